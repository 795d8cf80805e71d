"""The language server as an editor meets it: a client, a process, standard input and output."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from lsp_session import WAIT_S, Session, after, document_at, position, uri_of
from lsprotocol import types
from pygls.exceptions import JsonRpcException

from ttsc.compiler.semantics.operators import OPERATORS
from ttsc.compiler.semantics.operators.spec import Choice

pytestmark = pytest.mark.asyncio(loop_scope="module")

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


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def session() -> AsyncIterator[Session]:
    running = Session()
    await running.start()
    yield running
    assert await running.stop() == 0
    assert not running.logged


@pytest.fixture
def uri(session: Session, tmp_path: Path) -> str:
    """`TEXT`, open; the file that it uses is on the disk."""
    (tmp_path / "lib").mkdir()
    (tmp_path / "lib" / "grades.tts").write_text(LIBRARY, encoding="utf-8")
    found = uri_of(tmp_path / "elect.tts")
    session.open(found, TEXT)
    return found


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


async def test_a_change_of_a_used_file_is_seen_by_its_users(session: Session, uri: str, tmp_path: Path) -> None:
    assert await session.diagnostics(uri) == []
    seen = len(session.published[uri])
    other = uri_of(tmp_path / "lib" / "grades.tts")
    session.open(other, LIBRARY.replace("points: int", "points: str"))
    await session.diagnostics(other)

    async def again() -> None:
        while len(session.published[uri]) == seen:
            await asyncio.sleep(0.01)

    await asyncio.wait_for(again(), WAIT_S)
    assert [d.code for d in session.published[uri][-1].diagnostics] == ["E0313"]


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
    assert library.uri.endswith("/stdlib/answers.tts")
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


# --- completion


async def test_completion_after_a_pipe_puts_what_fits_first(session: Session, uri: str) -> None:
    items = await completed(session, uri, after(TEXT, "drafts |> vo"))
    labels = [item.label for item in items]
    assert labels.index("vote") < labels.index("sample")
    assert {"vote", "best", "grade", "boxed"} <= set(labels)
    edit = items[0].text_edit
    assert isinstance(edit, types.TextEdit) and sliced(TEXT, edit.range) == "vote"


async def test_completion_of_arguments_words_roles_and_fields(session: Session, uri: str) -> None:
    async def labels(mark: str, new: str) -> list[str]:
        text = TEXT.replace(mark, new.replace("‸", ""))
        before = TEXT[: TEXT.index(mark)]
        session.change(uri, types.TextDocumentContentChangeWholeDocument(text))
        found = await completed(session, uri, after(text, before + new[: new.index("‸")]))
        return [item.label for item in found]

    arguments = await labels("vote(by=boxed)", "vote(by=boxed, ‸)")
    assert arguments[0].endswith("=") and {"ties=", "weight="} <= set(arguments) and "by=" not in arguments
    ties = OPERATORS["vote"].parameter("ties").kind
    assert isinstance(ties, Choice)
    assert await labels("vote(by=boxed)", "vote(by=boxed, ties=‸") == sorted(ties.words)
    assert await labels("model=policy", "model=‸") == ["judge", "policy"]
    assert {"text", "tokens", "finished"} <= set(await labels("mark.points > 3", "first.‸"))
    assert await labels("mark.points > 3", "mark.‸") == ["note", "points"]
    assert {"answers", "execute"} <= set(await labels("use std.answers (boxed)", "use std.‸"))
    assert {"number", "letter"} <= set(await labels("use std.answers (boxed)", "use std.answers (boxed, ‸)"))
    assert await labels('user "{{ question }}"', 'user "{{ ‸ }}"') == ["question"]
    assert {"drafts", "solve", "n"} <= set(await labels("vote(by=boxed)", "vote(by=boxed)\n    let x = ‸"))
    assert {"let", "return", "drafts"} <= set(await labels("return drafts", "‸\n    return drafts"))
    assert {"program", "prompt", "use"} <= set(await labels("model policy, judge", "‸\nmodel policy, judge"))
    assert {"int", "str", "Candidate"} <= set(await labels("n: int = 4", "n: ‸"))
    assert await labels("Votes", "Vo‸tes") == []


# --- changes


async def renamed(session: Session, uri: str, where: types.Position, new: str) -> str:
    """The text after a renaming."""
    edit = await session.client.text_document_rename_async(types.RenameParams(new_name=new, **document_at(uri, where)))
    assert edit is not None and edit.changes is not None
    lines = [line.encode("utf-16-le") for line in TEXT.split("\n")]
    for change in sorted(edit.changes[uri], key=lambda c: (c.range.start.line, -c.range.start.character)):
        line = lines[change.range.start.line]
        start, end = 2 * change.range.start.character, 2 * change.range.end.character
        lines[change.range.start.line] = line[:start] + change.new_text.encode("utf-16-le") + line[end:]
    return "\n".join(line.decode("utf-16-le") for line in lines)


async def test_renaming_reaches_every_use_and_nothing_else(session: Session, uri: str) -> None:
    assert await renamed(session, uri, position(TEXT, "first = "), "opening") == (TEXT.replace("first", "opening"))
    assert await renamed(session, uri, position(TEXT, "question }}"), "task") == (
        TEXT.replace("solve(question: str)", "solve(task: str)").replace("{{ question }}", "{{ task }}")
    )
    assert await renamed(session, uri, position(TEXT, "solve(question) "), "work") == TEXT.replace("solve", "work")
    place = await session.client.text_document_prepare_rename_async(
        types.PrepareRenameParams(**document_at(uri, position(TEXT, "drafts")))
    )
    assert isinstance(place, types.Range) and sliced(TEXT, place) == "drafts"


@pytest.mark.parametrize(
    ("mark", "new", "why"),
    [
        ("boxed)\n}", "answer", "'boxed' is defined in std:answers: rename it there"),
        ("points", "marks", "rename it there"),
        ("sample", "draw", "'sample' is a name of the language"),
        ("drafts", "return", "'return' is a word of the language"),
        ("drafts", "vote", "'vote' is an operator of the language"),
        ("drafts", "first", "'first' is already defined on line"),
        ("drafts", "boxed", "'boxed' is already defined on line 3"),
        ("elect", "solve", "'solve' is already defined on line"),
        ("drafts", "2nd", "is not a name"),
        ("question }}", "loop", "'loop' is a word of templates"),
        ("Reason", "Think", "there is no name here"),
    ],
)
async def test_a_renaming_that_changes_the_meaning_is_refused(
    session: Session, uri: str, mark: str, new: str, why: str
) -> None:
    with pytest.raises(JsonRpcException) as refused:
        await renamed(session, uri, position(TEXT, mark), new)
    assert why in refused.value.message


async def test_quick_fixes(session: Session, uri: str) -> None:
    text = TEXT.replace("vote(by=boxed)", "vot(by=number)")
    session.change(uri, types.TextDocumentContentChangeWholeDocument(text))
    found = await session.client.text_document_code_action_async(
        types.CodeActionParams(
            types.TextDocumentIdentifier(uri),
            types.Range(position(text, "vot("), position(text, "vot(")),
            types.CodeActionContext([]),
        )
    )
    (action,) = found or []
    assert isinstance(action, types.CodeAction) and action.title == "Change to 'vote'"
    assert action.edit is not None and action.edit.changes is not None
    (edit,) = action.edit.changes[uri]
    assert edit.new_text == "vote" and sliced(text, edit.range) == "vot"


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
