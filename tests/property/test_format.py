"""What the formatter promises: the meaning stays, twice is once, and every comment survives in its place.

Over programs derived from the grammar with any space and comments between their tokens, over every `.tts` file here,
and over every block marked `tts` in the documentation; and all of these files are formatted.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

sys.path.insert(0, str(Path(__file__).parent))
from source_programs import SourcePrograms  # noqa: E402

from ttsc.grammar.diagnostics import CompileError  # noqa: E402
from ttsc.grammar.format import format_source  # noqa: E402
from ttsc.grammar.lexer import Lexer  # noqa: E402
from ttsc.grammar.parser import parse  # noqa: E402
from ttsc.grammar.source import Source  # noqa: E402

ROOT = Path(__file__).parents[2]
FILES = sorted(path for room in ("programs", "stdlib", "docs", "tests") for path in (ROOT / room).rglob("*.tts"))
WRONG = {path for path in FILES if {"errors", "corpus"} & set(path.parts)}
"""Chunks with errors, and what the fuzzer keeps."""
PAGES = sorted({*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")})
BLOCKS = [
    pytest.param(block, id=f"{page.name}:{number}")
    for page in PAGES
    for number, block in enumerate(re.findall(r"^```tts\n(.*?)^```", page.read_text(encoding="utf-8"), re.M | re.S), 1)
]
limited = settings(max_examples=60, deadline=None, print_blob=True, suppress_health_check=list(HealthCheck))


def comments(text: str) -> list[str]:
    """All comments of a text, in order: what stands between its tokens and is no space."""
    found: list[str] = []
    end = 1 if text.startswith("\ufeff") else 0
    for token in Lexer(Source("", text)).tokens:
        found += [line.strip() for line in text[end : token.start].split("\n") if line.strip()]
        end = token.end
    return found


def check(text: str) -> str:
    formatted = format_source(text)
    assert parse(Source("", formatted)) == parse(Source("", text))
    assert format_source(formatted) == formatted
    assert comments(formatted) == comments(text)
    assert not formatted or (formatted.endswith("\n") and not formatted.startswith("\n"))
    return formatted


@given(st.data(), st.integers(5, 150))
@limited
def test_any_program(data: st.DataObject, size: int) -> None:
    text = SourcePrograms(lambda n: data.draw(st.integers(0, n - 1))).text(size)
    try:
        parse(Source("", text))
    except CompileError as error:
        assert {diagnostic.code for diagnostic in error.diagnostics} == {"E0111"}, "the generator makes programs"
        return
    check(text)


@given(st.randoms(use_true_random=False), st.integers(100, 500))
@limited
def test_long_programs(chance: object, size: int) -> None:
    text = SourcePrograms(lambda n: chance.randrange(n)).text(size)  # type: ignore[attr-defined]
    try:
        parse(Source("", text))
    except CompileError as error:
        assert {diagnostic.code for diagnostic in error.diagnostics} == {"E0111"}, "the generator makes programs"
        return
    check(text)


@pytest.mark.parametrize("path", sorted(set(FILES) - WRONG), ids=lambda path: str(path.relative_to(ROOT)))
def test_every_file_is_formatted(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert check(text) == text, "run ttsc fmt on it"


@pytest.mark.parametrize("block", BLOCKS)
def test_every_block_of_the_documentation_is_formatted(block: str) -> None:
    assert check(block) == block, "format it"
