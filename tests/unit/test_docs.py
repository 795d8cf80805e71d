"""The documentation says what is true: its programs compile, and the reference names everything the language has."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from ttsc.compiler.semantics.functions import FUNCTIONS
from ttsc.compiler.semantics.operators import OPERATORS
from ttsc.driver import compile_source
from ttsc.grammar.parser import parse
from ttsc.grammar.source import Source

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
BLOCKS = [
    pytest.param(block, id=f"{page.name}:{number}")
    for page in PAGES
    for number, block in enumerate(re.findall(r"^```tts\n(.*?)^```", page.read_text(encoding="utf-8"), re.M | re.S), 1)
]


@pytest.mark.parametrize("block", BLOCKS)
def test_a_program_in_the_documentation_compiles(block: str) -> None:
    source = Source("<documentation>", block)
    names = [d.name.id for d in parse(source).declarations if type(d).__name__ == "Program"]
    assert names, "a block marked tts holds a program"
    for name in names:
        compile_source(source, name)


def test_the_reference_names_every_operator_with_its_arguments() -> None:
    text = (ROOT / "docs" / "language.md").read_text(encoding="utf-8")
    for name, spec in OPERATORS.items():
        assert f"`{name}(" in text or f"`{name}" in text, f"{name} is not in docs/language.md"
        for parameter in spec.parameters:
            assert re.search(rf"\b{parameter.name}\b", text), f"{parameter.name} of {name} is not in docs/language.md"


def test_the_reference_names_every_function() -> None:
    text = (ROOT / "docs" / "language.md").read_text(encoding="utf-8")
    missing = [name for name in FUNCTIONS if not re.search(rf"\b{name}\b", text)]
    assert not missing


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    prose = re.sub(r"```.*?```|`[^`\n]*`", "", page.read_text(encoding="utf-8"), flags=re.S)
    for target in re.findall(r"\]\(([^)#\s]+)", prose):
        if "://" not in target:
            assert (page.parent / target).exists(), f"{page.name} links to {target}"
