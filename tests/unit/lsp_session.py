"""A language client that talks to `ttsc lsp` in a process of its own, what it was told, and texts to talk about."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import Any

from lsprotocol import types
from pygls.lsp.client import LanguageClient

from ttsc.grammar.source import Source
from ttsc.library import FileLibrary
from ttsc.lsp.analysis import Analysis, analyze

WAIT_S = 30
LIBRARY = '''
"""How good an attempt was."""
record Grade { points: int, note: str }

extern grade(text: str) -> Grade
'''
TEXT = '''"""Votes 😀 on an answer."""

use std.answers (boxed)
use lib.grades (grade)

model policy, judge

prompt solve(question: str) { system "Reason 😀 well." user "{{ question }}" }

"""The answer that most of n attempts give."""
program elect(question: str, n: int = 4 in 1..64) -> str {
    let drafts = solve(question) |> sample(n, temperature=0.7, model=policy)
    let first = drafts |> one
    if contains("😀", first.text) { return first.text }
    let mark = grade(first.text)
    if mark.points > 3 { return mark.note }
    return drafts |> vote(by=boxed)
}
'''


class Session:
    """One server. `published`: the latest messages of each text, by URI."""

    def __init__(self) -> None:
        self.client = LanguageClient("tests", "1")
        self.published: dict[str, list[types.PublishDiagnosticsParams]] = {}
        self.logged: list[str] = []
        self.registered: list[str] = []
        self._arrived = asyncio.Event()
        self._versions: dict[str, int] = {}

        @self.client.feature(types.TEXT_DOCUMENT_PUBLISH_DIAGNOSTICS)
        def publish(params: types.PublishDiagnosticsParams) -> None:
            self.published.setdefault(params.uri, []).append(params)
            self._arrived.set()

        @self.client.feature(types.CLIENT_REGISTER_CAPABILITY)
        def register(params: types.RegistrationParams) -> None:
            self.registered.extend(registration.method for registration in params.registrations)

        @self.client.feature(types.WINDOW_LOG_MESSAGE)
        def log(params: types.LogMessageParams) -> None:
            self.logged.append(params.message)

    async def start(self, *command: str, encodings: list[types.PositionEncodingKind] | None = None) -> None:
        """Start the server, or what Python is told to run in its place."""
        await self.client.start_io(sys.executable, *(command or ("-m", "ttsc", "lsp", "--stdio")))
        general = types.GeneralClientCapabilities(position_encodings=encodings)
        rename = types.RenameClientCapabilities(prepare_support=True)
        watched = types.DidChangeWatchedFilesClientCapabilities(dynamic_registration=True)
        able = types.ClientCapabilities(
            general=general,
            text_document=types.TextDocumentClientCapabilities(rename=rename),
            workspace=types.WorkspaceClientCapabilities(did_change_watched_files=watched),
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


def changed(text: str, old: str, new: str) -> types.TextDocumentContentChangePartial:
    start = position(text, old)
    width = len(old.encode("utf-16-le")) // 2
    end = types.Position(start.line, start.character + width)
    return types.TextDocumentContentChangePartial(text=new, range=types.Range(start, end))


def sliced(text: str, place: types.Range) -> str:
    """The part of the text that a range means, its columns being UTF-16."""
    assert place.start.line == place.end.line
    line = text.split("\n")[place.start.line].encode("utf-16-le")
    return line[2 * place.start.character : 2 * place.end.character].decode("utf-16-le")


async def hovered(session: Session, uri: str, where: types.Position) -> str:
    found = await session.client.text_document_hover_async(types.HoverParams(**document_at(uri, where)))
    assert found is not None and isinstance(found.contents, types.MarkupContent)
    return found.contents.value


async def completed(session: Session, uri: str, where: types.Position) -> list[types.CompletionItem]:
    found = await session.client.text_document_completion_async(types.CompletionParams(**document_at(uri, where)))
    assert isinstance(found, types.CompletionList)
    return sorted(found.items, key=lambda item: item.sort_text or item.label)


def analysed(text: str) -> Analysis:
    return analyze(Source("<text>", text), FileLibrary())


def split(text: str) -> tuple[str, int]:
    """The text without its `‸`, and where that was."""
    at = text.index("‸")
    return text.replace("‸", ""), at
