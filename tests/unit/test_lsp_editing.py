"""What the language server changes or offers to change: completion, renaming, fixes, format; over standard input."""

from __future__ import annotations

import pytest
from lsp_session import TEXT, Session, after, completed, document_at, position, sliced
from lsprotocol import types
from pygls.exceptions import JsonRpcException

from ttsc.compiler.semantics.operators import OPERATORS
from ttsc.compiler.semantics.operators.spec import Choice
from ttsc.grammar.format import format_source

pytest_plugins = ("lsp_fixtures",)
pytestmark = pytest.mark.asyncio(loop_scope="module")


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
    assert {"task", "execute"} <= set(await labels("use std.answers (boxed)", "use std.answers (boxed) for std.‸"))
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


async def test_formatting_is_that_of_the_command(session: Session, uri: str) -> None:
    async def formatted(text: str) -> list[types.TextEdit]:
        session.change(uri, types.TextDocumentContentChangeWholeDocument(text))
        options = types.FormattingOptions(tab_size=4, insert_spaces=True)
        params = types.DocumentFormattingParams(types.TextDocumentIdentifier(uri), options)
        return list(await session.client.text_document_formatting_async(params) or [])

    (edit,) = await formatted(TEXT.replace("    let drafts =", "let   drafts="))
    assert edit.range.start == types.Position(0, 0) and edit.range.end == after(TEXT, TEXT)
    assert edit.new_text == format_source(TEXT)
    assert await formatted(edit.new_text) == []
    assert await formatted(edit.new_text.replace("\n", "\r\n")) == [], "line ends are the editor's"
    assert await formatted(TEXT.replace("let drafts =", "let drafts = =")) == [], "a text with errors stays as it is"


async def test_help_with_arguments(session: Session, uri: str) -> None:
    params = types.SignatureHelpParams(**document_at(uri, after(TEXT, "sample(n, temperature=")))
    found = await session.client.text_document_signature_help_async(params)
    assert found is not None and found.active_parameter == 1
    assert found.signatures[0].label.startswith("sample(n: int, temperature:")
