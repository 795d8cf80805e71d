"""The language server: the protocol's messages, each handed to the module that answers it.

Requests are answered from the latest text at once. Diagnostics are published when no change has come for a moment. A
fault in an answer is logged, on standard error, and reported to the editor; the server goes on.
"""

from __future__ import annotations

import asyncio
import logging
from typing import BinaryIO, Protocol

from lsprotocol import types
from pygls.exceptions import FeatureRequestError, JsonRpcException
from pygls.lsp.server import LanguageServer

from ttsc import __version__
from ttsc.grammar.source import Span
from ttsc.lsp.actions import actions
from ttsc.lsp.completion import complete
from ttsc.lsp.definition import definition, references
from ttsc.lsp.diagnostics import diagnostics
from ttsc.lsp.documents import Document, Documents
from ttsc.lsp.formatting import formatted
from ttsc.lsp.hover import hover
from ttsc.lsp.positions import Lines
from ttsc.lsp.rename import RenameRefused, rename, renamed_place
from ttsc.lsp.signature_help import signature_help
from ttsc.lsp.symbols import symbols

log = logging.getLogger(__name__)

QUIET_S = 0.15
"""Seconds without a change before the messages about a text are published."""


class PlaceParams(Protocol):
    """What every request about a place says."""

    text_document: types.TextDocumentIdentifier
    position: types.Position


class Server(LanguageServer):
    """A language server for `.tts` files. `documents` holds what the editor has open."""

    def __init__(self) -> None:
        super().__init__("ttsc", __version__)
        self.documents = Documents()
        self.shut_down = False
        self._waiting: dict[str, asyncio.TimerHandle] = {}

    def serve(self, stdin: BinaryIO, stdout: BinaryIO) -> int:
        """Answer until the editor is done; the exit code that the protocol wants: 0 if it said so before it left."""
        self.start_io(stdin, stdout)
        return 0 if self.shut_down else 1

    def report_server_error(self, error: Exception, source: object) -> None:
        """Log a fault of ours, and tell the editor of one that no request waits for. A refusal is no fault."""
        if isinstance(error, JsonRpcException) and error.code == types.LSPErrorCodes.RequestFailed.value:
            return
        log.error("%s", error, exc_info=error)
        if source is not FeatureRequestError:
            text = f"ttsc failed: {type(error).__name__}; see the server's log"
            self.window_log_message(types.LogMessageParams(types.MessageType.Error, text))

    # --- diagnostics

    def later(self, document: Document) -> None:
        """Publish when the user pauses, for this document and for open ones that use it."""
        waiting = self._waiting.pop(document.uri, None)
        if waiting is not None:
            waiting.cancel()
        loop = asyncio.get_running_loop()
        self._waiting[document.uri] = loop.call_later(QUIET_S, self.publish_with_users, document.uri)

    def publish_with_users(self, uri: str) -> None:
        """Publish for a document, then for those that use it."""
        self._waiting.pop(uri, None)
        document = self.documents.get(uri)
        if document is None:
            return
        self.publish(document)
        for user in self.documents.users(document):
            user.forget()
            self.publish(user)

    def publish(self, document: Document) -> None:
        """Send what there is to say about a document's version."""
        try:
            found = diagnostics(document, self.documents)
        except Exception as error:
            self.report_server_error(error, None)
            return
        self.text_document_publish_diagnostics(types.PublishDiagnosticsParams(document.uri, found, document.version))

    # --- places

    def at(self, params: PlaceParams) -> tuple[Document, int] | None:
        """The document and offset that a request is about; None for a document that isn't open."""
        document = self.documents.get(params.text_document.uri)
        return None if document is None else (document, document.lines.offset(params.position))

    def location(self, span: Span, document: Document) -> types.Location:
        """A place as the editor finds it, in whatever file it is."""
        lines = document.lines if span.source is document.source else Lines(span.source.text, self.documents.encoding)
        return types.Location(self.documents.uri(span.source), lines.of(span))


def _refusal(refused: RenameRefused) -> JsonRpcException:
    """The answer that makes an editor show why."""
    return JsonRpcException(str(refused), code=types.LSPErrorCodes.RequestFailed.value)


def create() -> Server:
    """A server with its answers registered."""
    server = Server()

    @server.feature(types.INITIALIZE)
    def initialize(params: types.InitializeParams) -> None:
        server.documents.encoding = types.PositionEncodingKind(server.workspace.position_encoding).value

    @server.feature(types.INITIALIZED)
    async def initialized(params: types.InitializedParams) -> None:
        """Ask to be told of files that change on the disk, where the editor can be asked."""
        workspace = server.client_capabilities.workspace
        watched = workspace.did_change_watched_files if workspace else None
        if watched and watched.dynamic_registration:
            options = types.DidChangeWatchedFilesRegistrationOptions([types.FileSystemWatcher("**/*.tts")])
            method = types.WORKSPACE_DID_CHANGE_WATCHED_FILES
            asked = types.RegistrationParams([types.Registration("files", method, options)])
            await server.client_register_capability_async(asked)

    @server.feature(types.SHUTDOWN)
    def shutdown(params: None) -> None:
        server.shut_down = True

    _synchronisation(server)
    _questions(server)
    _changes(server)
    return server


def _synchronisation(server: Server) -> None:
    @server.feature(types.TEXT_DOCUMENT_DID_OPEN)
    def did_open(params: types.DidOpenTextDocumentParams) -> None:
        item = params.text_document
        server.later(server.documents.open(item.uri, item.text, item.version))

    @server.feature(types.TEXT_DOCUMENT_DID_CHANGE)
    def did_change(params: types.DidChangeTextDocumentParams) -> None:
        changed = params.text_document
        document = server.documents.change(changed.uri, params.content_changes, changed.version)
        if document is not None:
            server.later(document)

    @server.feature(types.TEXT_DOCUMENT_DID_CLOSE)
    def did_close(params: types.DidCloseTextDocumentParams) -> None:
        uri = params.text_document.uri
        server.documents.close(uri)
        server.text_document_publish_diagnostics(types.PublishDiagnosticsParams(uri, []))

    @server.feature(types.WORKSPACE_DID_CHANGE_WATCHED_FILES)
    def files_changed(params: types.DidChangeWatchedFilesParams) -> None:
        for document in server.documents:
            document.forget()
            server.later(document)


def _questions(server: Server) -> None:
    @server.feature(types.TEXT_DOCUMENT_HOVER)
    def on_hover(params: types.HoverParams) -> types.Hover | None:
        place = server.at(params)
        found = hover(place[0].analysis, place[1]) if place else None
        if place is None or found is None:
            return None
        text, span = found
        return types.Hover(types.MarkupContent(types.MarkupKind.Markdown, text), place[0].lines.of(span))

    @server.feature(
        types.TEXT_DOCUMENT_COMPLETION, types.CompletionOptions(trigger_characters=[".", ">", "(", "=", ",", " ", "{"])
    )
    def on_completion(params: types.CompletionParams) -> types.CompletionList | None:
        place = server.at(params)
        return None if place is None else types.CompletionList(False, complete(*place))

    @server.feature(types.TEXT_DOCUMENT_SIGNATURE_HELP, types.SignatureHelpOptions(trigger_characters=["(", ","]))
    def on_signature_help(params: types.SignatureHelpParams) -> types.SignatureHelp | None:
        place = server.at(params)
        return None if place is None else signature_help(*place)

    @server.feature(types.TEXT_DOCUMENT_DEFINITION)
    def on_definition(params: types.DefinitionParams) -> types.Location | None:
        place = server.at(params)
        span = definition(place[0].analysis, place[1]) if place else None
        return None if place is None or span is None else server.location(span, place[0])

    @server.feature(types.TEXT_DOCUMENT_REFERENCES)
    def on_references(params: types.ReferenceParams) -> list[types.Location]:
        place = server.at(params)
        if place is None:
            return []
        found = references(place[0].analysis, place[1], params.context.include_declaration)
        return [server.location(span, place[0]) for span in found]

    @server.feature(types.TEXT_DOCUMENT_DOCUMENT_HIGHLIGHT)
    def on_highlight(params: types.DocumentHighlightParams) -> list[types.DocumentHighlight]:
        place = server.at(params)
        if place is None:
            return []
        document, offset = place
        spans = references(document.analysis, offset)
        return [types.DocumentHighlight(document.lines.of(s)) for s in spans if s.source is document.source]

    @server.feature(types.TEXT_DOCUMENT_DOCUMENT_SYMBOL)
    def on_symbols(params: types.DocumentSymbolParams) -> list[types.DocumentSymbol]:
        document = server.documents.get(params.text_document.uri)
        return [] if document is None else symbols(document.analysis, document.lines)


def _changes(server: Server) -> None:
    @server.feature(types.TEXT_DOCUMENT_PREPARE_RENAME)
    def on_prepare_rename(params: types.PrepareRenameParams) -> types.Range | None:
        place = server.at(params)
        if place is None:
            return None
        try:
            return place[0].lines.of(renamed_place(place[0].analysis, place[1]))
        except RenameRefused as refused:
            raise _refusal(refused) from None

    @server.feature(types.TEXT_DOCUMENT_RENAME, types.RenameOptions(prepare_provider=True))
    def on_rename(params: types.RenameParams) -> types.WorkspaceEdit | None:
        place = server.at(params)
        if place is None:
            return None
        document, offset = place
        try:
            spans = rename(document.analysis, offset, params.new_name, document.library)
        except RenameRefused as refused:
            raise _refusal(refused) from None
        edits = [types.TextEdit(document.lines.of(span), params.new_name) for span in spans]
        return types.WorkspaceEdit(changes={document.uri: edits})

    @server.feature(types.TEXT_DOCUMENT_FORMATTING)
    def on_formatting(params: types.DocumentFormattingParams) -> list[types.TextEdit]:
        document = server.documents.get(params.text_document.uri)
        text = formatted(document) if document else None
        return [] if document is None or text is None else [types.TextEdit(document.lines.everything, text)]

    @server.feature(
        types.TEXT_DOCUMENT_CODE_ACTION, types.CodeActionOptions(code_action_kinds=[types.CodeActionKind.QuickFix])
    )
    def on_code_action(params: types.CodeActionParams) -> list[types.CodeAction]:
        document = server.documents.get(params.text_document.uri)
        if document is None:
            return []
        start, end = document.lines.offset(params.range.start), document.lines.offset(params.range.end)
        return actions(document, start, end)
