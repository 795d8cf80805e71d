"""Every chunk of `tests/errors/*.tts` fails as it says, and the harness notices when one does not."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import chunks
import pytest

from ttsc.grammar.diagnostics import CompileError, Diagnostic
from ttsc.grammar.parser import parse
from ttsc.grammar.source import Source

FOLDER = Path(chunks.__file__).parent


def check_syntax(source: Source) -> list[Diagnostic]:
    try:
        parse(source)
    except CompileError as error:
        return list(error.diagnostics)
    return []


def check_semantics(source: Source) -> list[Diagnostic]:
    """What a user sees: the errors, or without one the warnings."""
    from ttsc.compiler.semantics.check import check
    from ttsc.library import FileLibrary

    try:
        return list(check(source, FileLibrary()).warnings)
    except CompileError as error:
        return list(error.diagnostics)


def check_money(source: Source) -> list[Diagnostic]:
    """The same with bounds, and what costs money for nothing."""
    from ttsc.compiler.bounds.check import check_bounds, check_money
    from ttsc.compiler.semantics.check import check
    from ttsc.library import FileLibrary

    try:
        checked = check(source, FileLibrary())
        return [*checked.warnings, *check_money(checked, check_bounds(checked))]
    except CompileError as error:
        return list(error.diagnostics)


CHECKS: dict[str, Callable[[Source], list[Diagnostic]]] = {
    "syntax": check_syntax,
    "bounds": check_money,
    "warnings": check_money,
}
"""By the name of the file: the stage that its chunks are for. All others are for the checker."""

CHUNKS = [(path.stem, chunk) for path in sorted(FOLDER.glob("*.tts")) for chunk in chunks.read(path)]


@pytest.mark.parametrize(("stage", "chunk"), CHUNKS, ids=[f"{stage}:{chunk.line}" for stage, chunk in CHUNKS])
def test_chunk(stage: str, chunk: chunks.Chunk) -> None:
    assert not chunks.mismatches(chunk, CHECKS.get(stage, check_semantics))


def _only(text: str) -> chunks.Chunk:
    (chunk,) = chunks.split("t.tts", text)
    return chunk


def test_expected_error() -> None:
    assert chunks.mismatches(_only("record R { a }  ### \"E0116: 'a' has no type\""), check_syntax) == []


def test_missing_error() -> None:
    (problem,) = chunks.mismatches(_only('record R { a: int }  ### "E0116"'), check_syntax)
    assert problem == "t.tts:1: expected but missing: E0116"


def test_unexpected_error() -> None:
    (problem,) = chunks.mismatches(_only("record R { a }"), check_syntax)
    assert problem.startswith("t.tts:1:12: unexpected: E0116")


def test_error_on_another_line() -> None:
    assert len(chunks.mismatches(_only('record R {  ### "E0116"\n a }'), check_syntax)) == 2


def test_one_error_meets_one_expectation() -> None:
    assert len(chunks.mismatches(_only('record R { a }  ### "E0116" "E0116"'), check_syntax)) == 1
    assert chunks.mismatches(_only("record R { a, b }  ### \"'a'\" \"'b'\""), check_syntax) == []


def test_lines_are_those_of_the_file() -> None:
    first, second = chunks.split("t.tts", 'record R { a: int }\n---\nrecord R { a }  ### "E0116"')
    assert (first.line, second.line) == (1, 3)
    assert chunks.mismatches(second, check_syntax) == []


def test_malformed_expectation() -> None:
    with pytest.raises(ValueError, match="t.tts:2"):
        list(chunks.split("t.tts", "record R { a: int }\nrecord ### E0116"))
