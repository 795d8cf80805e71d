"""The language server as an editor meets it: a client, a process, standard input and output."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from lsp_session import (
    LIBRARY,
    TEXT,
    WAIT_S,
    Session,
    after,
    changed,
    completed,
    document_at,
    hovered,
    position,
    sliced,
    uri_of,
)
from lsprotocol import types
from pygls.exceptions import JsonRpcException

pytest_plugins = ("lsp_fixtures",)
pytestmark = pytest.mark.asyncio(loop_scope="module")


# --- life


async def test_it_says_what_it_can_do(session: Session) -> None:
    able = session.initialized.capabilities
    assert session.initialized.server_info is not None and session.initialized.server_info.name == "ttsc"
    assert able.position_encoding == "utf-16"
    assert able.text_document_sync is not None
    for answer in ("hover", "definition", "references", "document_symbol", "document_formatting"):
        assert getattr(able, f"{answer}_provider"), answer
    assert able.completion_provider is not None and "." in (able.completion_provider.trigger_characters or ())
    assert isinstance(able.rename_provider, types.RenameOptions) and able.rename_provider.prepare_provider


async def test_an_editor_that_leaves_without_a_word_is_reported() -> None:
    running = Session()
    await running.start()
    running.client.exit(None)
    assert await asyncio.wait_for(running.process.wait(), WAIT_S) == 1
    await running.client.stop()


async def test_the_server_ends_with_its_editor() -> None:
    running = Session()
    await running.start()
    assert running.process.stdin is not None
    running.process.stdin.close()
    assert await asyncio.wait_for(running.process.wait(), WAIT_S) == 1
    await running.client.stop()


async def test_what_is_printed_by_accident_stays_out_of_the_protocol(tmp_path: Path) -> None:
    script = tmp_path / "noisy.py"
    script.write_text(
        "import os\n"
        "import ttsc.lsp.server as server\n"
        "original = server.hover\n"
        "def noisy(*arguments):\n"
        "    print('noise', flush=True)\n"
        "    os.write(1, b'more noise')\n"
        "    return original(*arguments)\n"
        "server.hover = noisy\n"
        "from ttsc.cli import main\n"
        "main(['lsp'])\n",
        encoding="utf-8",
    )
    running = Session()
    await running.start(str(script))
    running.open("untitled:1", 'prompt f() { user "x" }')
    assert "prompt f()" in await hovered(running, "untitled:1", types.Position(0, 7))
    assert await running.stop() == 0


async def test_a_fault_of_the_server_is_an_answer_and_it_goes_on(tmp_path: Path) -> None:
    script = tmp_path / "faulty.py"
    script.write_text(
        "import ttsc.lsp.server as server\n"
        "import ttsc.lsp.analysis as analysis\n"
        "def fault(*_):\n"
        "    raise ZeroDivisionError('by design')\n"
        "server.hover = server.diagnostics = analysis.check = fault\n"
        "from ttsc.cli import main\n"
        "main(['lsp'])\n",
        encoding="utf-8",
    )
    running = Session()
    await running.start(str(script))
    running.open("untitled:1", 'prompt f() { user "x" }')
    with pytest.raises(JsonRpcException, match="ZeroDivisionError"):
        await hovered(running, "untitled:1", types.Position(0, 7))
    found = await running.client.text_document_document_symbol_async(
        types.DocumentSymbolParams(types.TextDocumentIdentifier("untitled:1"))
    )
    assert [symbol.name for symbol in found or []] == ["f"]

    async def told() -> None:
        while not running.logged:
            await asyncio.sleep(0.01)

    await asyncio.wait_for(told(), WAIT_S)
    assert running.logged == ["ttsc failed: ZeroDivisionError; see the server's log"]
    assert await running.stop() == 0


# --- messages


async def test_a_right_text_has_no_messages(session: Session, uri: str) -> None:
    assert await session.diagnostics(uri) == []


async def test_messages_come_with_code_place_and_hint(session: Session, uri: str) -> None:
    session.change(uri, changed(TEXT, "vote(", "vot("))
    (found,) = await session.diagnostics(uri)
    assert (found.code, found.severity, found.source) == ("E0203", types.DiagnosticSeverity.Error, "ttsc")
    assert "unknown operator 'vot'" in found.message and "did you mean 'vote'?" in found.message
    assert found.range == types.Range(position(TEXT, "vote("), after(TEXT, "|> vot"))


async def test_columns_count_utf16_units(session: Session, uri: str) -> None:
    session.change(uri, changed(TEXT, 'contains("😀", first.text)', 'contains("😀", fist.text)'))
    (found,) = await session.diagnostics(uri)
    now = TEXT.replace('contains("😀", first', 'contains("😀", fist')
    assert sliced(now, found.range) == "fist"
    # An edit behind the character goes where the editor means.
    session.change(uri, changed(now, "fist", "first"))
    assert await session.diagnostics(uri) == []


@pytest.mark.parametrize("encoding", ["utf-8", "utf-32"])
async def test_a_client_may_count_otherwise(encoding: str) -> None:
    running = Session()
    await running.start(encodings=[types.PositionEncodingKind(encoding)])
    assert running.initialized.capabilities.position_encoding == encoding
    text = 'program p(q: str) -> str { return "😀" + qq }'
    running.open("untitled:p", text)
    (found,) = await running.diagnostics("untitled:p")
    width = len("😀".encode()) if encoding == "utf-8" else 1
    assert found.range.start.character == text.index("qq") - 1 + width
    assert await running.stop() == 0


async def test_a_broken_text_shows_syntax_errors_and_still_answers(session: Session, uri: str) -> None:
    session.change(uri, changed(TEXT, "let first = drafts |> one", "let first = = drafts |> one"))
    found = await session.diagnostics(uri)
    assert [d.code for d in found if str(d.code).startswith("E01")] and len(found) == 1
    assert "program elect" in await hovered(session, uri, position(TEXT, "elect"))


async def test_errors_of_a_used_file_are_shown_at_the_use(session: Session, uri: str, tmp_path: Path) -> None:
    file = tmp_path / "lib" / "grades.tts"
    session.open(uri_of(file), LIBRARY.replace("extern grade", "extrn grade"))
    await session.diagnostics(uri_of(file))
    session.change(uri, changed(TEXT, "n attempts give", "n attempts  give"))
    (found,) = await session.diagnostics(uri)
    assert sliced(TEXT, found.range) == "use lib.grades (grade)"
    assert found.related_information and found.related_information[0].location.uri == uri_of(file)


async def republished(session: Session, uri: str, seen: int) -> list[object]:
    """Codes of the messages that come after `seen` publications."""

    async def again() -> None:
        while len(session.published[uri]) <= seen:
            await asyncio.sleep(0.01)

    await asyncio.wait_for(again(), WAIT_S)
    return [d.code for d in session.published[uri][-1].diagnostics]


async def test_a_change_of_a_used_file_is_seen_by_its_users(session: Session, uri: str, tmp_path: Path) -> None:
    assert await session.diagnostics(uri) == []
    seen = len(session.published[uri])
    other = uri_of(tmp_path / "lib" / "grades.tts")
    session.open(other, LIBRARY.replace("points: int", "points: str"))
    await session.diagnostics(other)
    assert await republished(session, uri, seen) == ["E0313"]


async def test_a_change_on_the_disk_is_seen_when_the_editor_says_so(session: Session, uri: str, tmp_path: Path) -> None:
    assert await session.diagnostics(uri) == []
    seen = len(session.published[uri])
    file = tmp_path / "lib" / "grades.tts"
    file.write_text(LIBRARY.replace("points: int", "points: str"), encoding="utf-8")
    assert session.registered == [types.WORKSPACE_DID_CHANGE_WATCHED_FILES]
    event = types.FileEvent(uri_of(file), types.FileChangeType.Changed)
    session.client.workspace_did_change_watched_files(types.DidChangeWatchedFilesParams([event]))
    assert await republished(session, uri, seen) == ["E0313"]


async def test_a_closed_text_has_no_messages(session: Session, uri: str) -> None:
    session.change(uri, changed(TEXT, "vote(", "vot("))
    assert await session.diagnostics(uri)
    session.client.text_document_did_close(types.DidCloseTextDocumentParams(types.TextDocumentIdentifier(uri)))
    assert (
        await session.client.text_document_hover_async(types.HoverParams(**document_at(uri, position(TEXT, "elect"))))
        is None
    )
    assert not session.published[uri][-1].diagnostics


# --- questions


async def test_hover_shows_types_and_documentation(session: Session, uri: str) -> None:
    assert "let drafts: list[Candidate]" in await hovered(session, uri, position(TEXT, "drafts |> one"))
    assert "n: int = 4 in 1..64" in await hovered(session, uri, position(TEXT, "n, temperature"))
    sample = await hovered(session, uri, position(TEXT, "sample"))
    assert (
        "[temperature=0.7]" in sample
        and "`temperature: float | list[float] = 0.7` 0 is greedy" in sample
        and "independent continuations" in sample
    )
    assert "gives `list[Candidate]`" in sample
    program = await hovered(session, uri, position(TEXT, "elect"))
    assert "-> str" in program and "The answer that most of n attempts give." in program
    assert "last \\boxed" in await hovered(session, uri, position(TEXT, "boxed)\n}"))
    assert "points: int" in await hovered(session, uri, position(TEXT, "points"))


async def test_definition_leads_into_other_files(session: Session, uri: str, tmp_path: Path) -> None:
    async def defined(where: types.Position) -> types.Location:
        found = await session.client.text_document_definition_async(types.DefinitionParams(**document_at(uri, where)))
        assert isinstance(found, types.Location)
        return found

    here = await defined(position(TEXT, "drafts |> one"))
    assert (here.uri, here.range.start) == (uri, position(TEXT, "drafts"))
    field = await defined(position(TEXT, "points"))
    assert field.uri == uri_of(tmp_path / "lib" / "grades.tts") and sliced(LIBRARY, field.range) == "points"
    library = await defined(position(TEXT, "boxed)\n}"))
    assert library.uri.endswith("/stdlib/tools/answers.tts")
    text = Path(library.uri.removeprefix("file://")).read_text(encoding="utf-8")
    assert sliced(text, library.range) == "boxed"
    file = await defined(position(TEXT, "lib.grades"))
    assert file.uri == uri_of(tmp_path / "lib" / "grades.tts") and file.range.start == types.Position(0, 0)


async def test_references_of_a_name(session: Session, uri: str) -> None:
    async def found(declaration: bool) -> list[str]:
        params = types.ReferenceParams(
            **document_at(uri, position(TEXT, "question }}")), context=types.ReferenceContext(declaration)
        )
        places = await session.client.text_document_references_async(params)
        assert places is not None
        return [sliced(TEXT, place.range) for place in places]

    assert await found(True) == ["question", "question"]
    assert await found(False) == ["question"]


async def test_the_outline_is_nested(session: Session, uri: str) -> None:
    found = await session.client.text_document_document_symbol_async(
        types.DocumentSymbolParams(types.TextDocumentIdentifier(uri))
    )
    assert found is not None
    outline: dict[str, Any] = {symbol.name: symbol for symbol in found}
    assert list(outline) == ["policy", "judge", "solve", "elect"]
    assert [child.name for child in outline["elect"].children] == ["question", "n", "drafts", "first", "mark"]
    assert outline["elect"].range.end.line == len(TEXT.splitlines()) - 1
    assert sliced(TEXT, outline["elect"].selection_range) == "elect"


# --- what it survives


async def test_a_hostile_text_does_not_hang_it(session: Session) -> None:
    for number, text in enumerate(["(" * 50_000, "|> x " * 20_000, "\x00\ufffe😀" * 10_000, '"""' + "{{" * 100_000]):
        uri = f"untitled:hostile-{number}"
        session.open(uri, text)
        assert await session.diagnostics(uri)
        await completed(session, uri, types.Position(0, 1_000))


async def test_requests_about_unknown_texts_and_places_have_answers(session: Session, uri: str) -> None:
    nowhere = document_at("untitled:never-opened", types.Position(0, 0))
    assert await session.client.text_document_hover_async(types.HoverParams(**nowhere)) is None
    assert await session.client.text_document_completion_async(types.CompletionParams(**nowhere)) is None
    beyond = document_at(uri, types.Position(10_000, 10_000))
    assert await session.client.text_document_hover_async(types.HoverParams(**beyond)) is None
