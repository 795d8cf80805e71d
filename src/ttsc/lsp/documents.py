"""The texts that an editor has open, each with the analysis of its latest version.

What is open counts before what is on the disk, also for files that are only used by others.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path

from lsprotocol import types
from pygls.uris import from_fs_path, to_fs_path

from ttsc import stdlib
from ttsc.errors import UsageError
from ttsc.grammar.source import Source
from ttsc.library import PREFIX, FileLibrary
from ttsc.lsp.analysis import Analysis, analyze
from ttsc.lsp.positions import Lines, changed

log = logging.getLogger(__name__)


class Document:
    """One version of a text. `path`: its file, or its URI where it has none (a text that was never saved)."""

    def __init__(self, uri: str, text: str, version: int | None, documents: Documents) -> None:
        self.uri = uri
        self.version = version
        self.file = _file(uri)
        self.source = Source(str(self.file) if self.file else uri, text)
        self._documents = documents

    @property
    def library(self) -> OpenLibrary:
        """What its `use` declarations find."""
        return OpenLibrary(self._documents, self.file.parent if self.file else None)

    @cached_property
    def lines(self) -> Lines:
        return Lines(self.source.text, self._documents.encoding)

    @cached_property
    def analysis(self) -> Analysis:
        """Computed when first asked for."""
        return analyze(self.source, self.library)

    def forget(self) -> None:
        """Analyse again, since a file that it uses has changed."""
        self.__dict__.pop("analysis", None)


class Documents:
    """The open documents by URI. `encoding`: what a client's columns count."""

    def __init__(self) -> None:
        self.encoding = "utf-16"
        self._open: dict[str, Document] = {}

    def __iter__(self) -> Iterator[Document]:
        return iter(list(self._open.values()))

    def open(self, uri: str, text: str, version: int | None) -> Document:
        self._open[uri] = document = Document(uri, text, version, self)
        return document

    def change(
        self, uri: str, changes: Sequence[types.TextDocumentContentChangeEvent], version: int | None
    ) -> Document | None:
        """Apply changes in their order; None if the document isn't open."""
        before = self._open.get(uri)
        if before is None:
            return None
        text = before.source.text
        for change in changes:
            text = changed(text, change, self.encoding)
        return self.open(uri, text, version)

    def close(self, uri: str) -> None:
        self._open.pop(uri, None)

    def get(self, uri: str) -> Document | None:
        return self._open.get(uri)

    def at(self, file: Path) -> Document | None:
        """The open document of a file, if there is one."""
        real = file.resolve()
        return next((document for document in self if document.file and document.file.resolve() == real), None)

    def users(self, edited: Document) -> list[Document]:
        """Open documents that use the file of one that has changed, to be analysed again."""
        if edited.file is None:
            return []
        real = str(edited.file.resolve())
        found = []
        for document in self:
            if document is not edited and "analysis" in document.__dict__:
                used = {str(Path(module.source.path).resolve()) for module in document.analysis.index.modules()}
                if real in used or document.analysis.diagnostics:
                    found.append(document)
        return found

    def uri(self, source: Source) -> str:
        """Where an editor finds a source: an open document, a file, a file of the standard library."""
        if source.path.startswith(PREFIX):
            file = stdlib.path(source.path.removeprefix(PREFIX))
            return from_fs_path(str(file)) or source.path
        if source.path in self._open:
            return source.path
        document = self.at(Path(source.path))
        return document.uri if document else from_fs_path(str(Path(source.path).resolve())) or source.path


class OpenLibrary:
    """The files below a folder and the standard library, as they are in the editor or else on the disk."""

    def __init__(self, documents: Documents, root: Path | None) -> None:
        self._documents = documents
        self._files = FileLibrary(root)

    @property
    def task(self) -> Source | None:
        """What stands in for `std.task`: nothing, in an editor."""
        return None

    def find(self, path: tuple[str, ...], user: Source) -> Source | None:
        """The source that a `use` path names in the file `user`, or None, also if the file can't be read."""
        try:
            source = self._files.find(path, user)
        except UsageError as error:
            log.info("%s", error)
            return None
        if source is None or source.path.startswith(PREFIX):
            return source
        document = self._documents.at(Path(source.path))
        return source if document is None else Source(source.path, document.source.text)

    def names(self) -> tuple[str, ...]:
        """Dotted names that `find` knows."""
        return self._files.names()


def _file(uri: str) -> Path | None:
    path = to_fs_path(uri) if uri.startswith("file:") else None
    return Path(path) if path else None
