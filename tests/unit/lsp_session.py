"""A language client that talks to `ttsc lsp` in a process of its own, and what it was told."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import Any

from lsprotocol import types
from pygls.lsp.client import LanguageClient

WAIT_S = 30


class Session:
    """One server. `published`: the latest messages of each text, by URI."""

    def __init__(self) -> None:
        self.client = LanguageClient("tests", "1")
        self.published: dict[str, list[types.PublishDiagnosticsParams]] = {}
        self.logged: list[str] = []
        self._arrived = asyncio.Event()
        self._versions: dict[str, int] = {}

        @self.client.feature(types.TEXT_DOCUMENT_PUBLISH_DIAGNOSTICS)
        def publish(params: types.PublishDiagnosticsParams) -> None:
            self.published.setdefault(params.uri, []).append(params)
            self._arrived.set()

        @self.client.feature(types.WINDOW_LOG_MESSAGE)
        def log(params: types.LogMessageParams) -> None:
            self.logged.append(params.message)

    async def start(self, *command: str, encodings: list[types.PositionEncodingKind] | None = None) -> None:
        """Start the server, or what Python is told to run in its place."""
        await self.client.start_io(sys.executable, *(command or ("-m", "ttsc", "lsp", "--stdio")))
        general = types.GeneralClientCapabilities(position_encodings=encodings)
        rename = types.RenameClientCapabilities(prepare_support=True)
        able = types.ClientCapabilities(
            general=general, text_document=types.TextDocumentClientCapabilities(rename=rename)
        )
        self.initialized = await self.client.initialize_async(types.InitializeParams(capabilities=able))
        self.client.initialized(types.InitializedParams())

    async def stop(self) -> int | None:
        """Leave in the way the protocol wants; the server's exit code."""
        await self.client.shutdown_async(None)
        self.client.exit(None)
        server = self.process
        await asyncio.wait_for(server.wait(), WAIT_S)
        await self.client.stop()
        return server.returncode

    @property
    def process(self) -> asyncio.subprocess.Process:
        assert self.client._server is not None
        return self.client._server

    def open(self, uri: str, text: str) -> None:
        self._versions[uri] = 1
        item = types.TextDocumentItem(uri, "tts", 1, text)
        self.client.text_document_did_open(types.DidOpenTextDocumentParams(item))

    def change(self, uri: str, *changes: Any) -> None:
        self._versions[uri] += 1
        identifier = types.VersionedTextDocumentIdentifier(uri=uri, version=self._versions[uri])
        self.client.text_document_did_change(types.DidChangeTextDocumentParams(identifier, list(changes)))

    async def diagnostics(self, uri: str) -> list[types.Diagnostic]:
        """The messages about the text's latest version, once they are there."""

        async def latest() -> list[types.Diagnostic]:
            while True:
                for params in reversed(self.published.get(uri, [])):
                    if params.version == self._versions[uri]:
                        return list(params.diagnostics)
                self._arrived.clear()
                await self._arrived.wait()

        return await asyncio.wait_for(latest(), WAIT_S)


def uri_of(file: Path) -> str:
    return file.resolve().as_uri()


def position(text: str, mark: str) -> types.Position:
    """Where a piece of the text begins, in the units of the protocol."""
    return _end(text[: text.index(mark)])


def after(text: str, mark: str) -> types.Position:
    """Where a piece of the text ends."""
    return _end(text[: text.index(mark) + len(mark)])


def _end(text: str) -> types.Position:
    return types.Position(text.count("\n"), len(text.rpartition("\n")[2].encode("utf-16-le")) // 2)


def document_at(uri: str, where: types.Position) -> dict[str, Any]:
    return {"text_document": types.TextDocumentIdentifier(uri), "position": where}
