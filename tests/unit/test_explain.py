"""`ttsc explain`: what it shows (read the golden files), its schema, its page, what it refuses."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from html.parser import HTMLParser
from pathlib import Path

import jsonschema
import pytest
from click.testing import CliRunner

import ttsc
from ttsc.cli.app import app
from ttsc.compiler.cost.workload_file import parse_workload
from ttsc.estimates.analysis import analysed
from ttsc.estimates.figures import Estimate, NodeEstimate, Spread
from ttsc.explaining.document import Explanation, json_of, json_schema, read_json
from ttsc.explaining.page import html_of
from ttsc.explaining.quantities import amount, dollars, flops, seconds, share, size
from ttsc.explaining.request import Request, explained
from ttsc.explaining.text import text_of

PROGRAMS = Path(__file__).parents[2] / "programs"
WORKLOAD = """
name = "for this test"
[questions]
count = 8
beta = [2.0, 2.0]
[writing.default]
tokens = { values = [20, 30, 40, 60] }
steps = { values = [2, 3] }
answer = "\\\\boxed{{{answer}}}\\nAnswer: {answer}"
[writing.judge]
tokens = { constant = 2 }
"""
SHOWN = {
    "self_consistency": {"n": 6},
    "best_of_n": {"n": 3},
    "beam_search": {"steps": 3, "width": 2, "fanout": 2},
    "verify_and_refine": {},
}


@cache
def explanation(name: str) -> Explanation:
    return explained(
        Request(
            ttsc.compile(PROGRAMS / f"{name}.tts"),
            settings=SHOWN[name],
            workload=parse_workload(WORKLOAD),
            samples=8,
            hardware={"": "h100"},
            models={"": "Qwen3-8B"},
        )
    )


def relative(text: str) -> str:
    """Without the folder that the repository is in."""
    return text.replace(str(PROGRAMS), "programs")


@pytest.mark.parametrize("name", SHOWN)
def test_text(name: str, golden: Callable[[str, str], None]) -> None:
    found = explanation(name)
    text = text_of(replace(found, estimate=replace(found.estimate, file=f"programs/{name}.tts")))
    assert max(len(line) for line in text.split("\n")) <= 100
    golden(f"explain/{name}.txt", text)


@pytest.mark.parametrize("name", SHOWN)
def test_json_is_as_its_schema_says_and_reads_back(name: str) -> None:
    text = json_of(explanation(name))
    jsonschema.validate(json.loads(text), json_schema())
    assert read_json(text) == explanation(name)


def test_the_schema_changes_only_with_its_version(golden: Callable[[str, str], None]) -> None:
    golden("explain/schema.json", json.dumps(json_schema(), indent=1, sort_keys=True) + "\n")


# --- the page -------------------------------------------------------------------------------------------------------

VOID = {"meta", "br", "line", "rect", "img", "hr", "input", "link"}


class Page(HTMLParser):
    """Elements must be closed in order; what would be fetched is noted."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.references: list[str] = []
        self.ids: list[str] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.ids += [given["id"] or ""] if "id" in given else []
        self.references += [value or "" for name, value in attrs if name in ("src", "href", "xlink:href", "action")]
        assert tag not in ("script", "link", "iframe", "object", "embed"), f"<{tag}> fetches or runs something"
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.references += [value or "" for name, value in attrs if name in ("src", "href", "xlink:href")]

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self.open and self.open.pop() == tag, f"</{tag}> closes nothing"

    def handle_data(self, data: str) -> None:
        self.text += data


def parsed(text: str) -> Page:
    page = Page()
    page.feed(text)
    page.close()
    return page


@pytest.mark.parametrize("name", SHOWN)
def test_the_page_is_whole_and_stands_alone(name: str) -> None:
    text = html_of(explanation(name))
    page = parsed(text)
    assert page.open == []
    assert page.references == []
    assert "url(" not in text and "@import" not in text and "http" not in text
    assert {"timeline", "plan", "prefixes", "inputs", "worst"} <= set(page.ids)
    for node in explanation(name).estimate.nodes:
        assert (f"{node.op}()" if node.kind == "extern" else node.id) in page.text


def test_texts_of_a_program_are_no_markup() -> None:
    found = explanation("self_consistency").estimate
    notes = ("`<img src=y>` and <b>bold</b>",)
    hostile = replace(found, doc="<script>alert(1)</script>", given=(("q", '"><img src=x>'),), notes=notes)
    text = html_of(Explanation(hostile))
    page = parsed(text)
    assert "<code>&lt;img src=y&gt;</code> and &lt;b&gt;bold" in text
    assert page.references == []
    assert "<script>alert(1)</script>" in page.text


# --- estimated and actual -------------------------------------------------------------------------------------------


def scaled(found: Estimate, factor: float) -> Estimate:
    """As if requests had decoded so many times as much."""

    def more(node: NodeEstimate) -> NodeEstimate:
        return replace(node, decoded=Spread(node.decoded.mean * factor))

    total = replace(found.total, decoded_tokens=found.total.decoded_tokens * factor)
    return replace(found, nodes=tuple(more(node) for node in found.nodes), total=total)


def test_large_errors_are_marked_and_something_is_advised() -> None:
    found = explanation("best_of_n").estimate
    same = analysed(found, found, [("policy", "a model")], measured=True)
    assert not same.advice and not any(each.large for node in same.nodes for each in node.figures)
    off = analysed(found, scaled(found, 3.0), [("policy", "a model")], measured=True)
    wrong = {(node.node, each.name) for node in off.nodes for each in node.figures if each.large}
    assert wrong == {(node, "decoded tokens") for node in ("", "sample1", "judge1")}
    assert "calibrate" in off.advice[0]
    shown = text_of(Explanation(found, off))
    assert "-67% !" in shown and max(map(len, shown.split("\n"))) <= 100
    assert "-67%" in parsed(html_of(Explanation(found, off))).text
    assert read_json(json_of(Explanation(found, off))).analysis == off


def test_analyze_runs_on_an_engine(file: str, scripted: Callable[..., object]) -> None:
    scripted()
    done = CliRunner().invoke(
        app,
        ["explain", file, "--set", "question=x", "--samples", "2", "--analyze", "--engine", "http://scripted"],
        standalone_mode=False,
    )
    assert done.exception is None, done.exception
    assert "estimated and actual; 1 input run on" in done.output


def labels(lines: list[str]) -> list[str]:
    """What stands before the figures of each line."""
    return [re.split(r"\s{2,}", line.strip())[0] for line in lines if line.strip()]


def test_the_example_of_the_documentation_looks_like_the_output() -> None:
    page = (PROGRAMS.parent / "docs" / "explain.md").read_text(encoding="utf-8")
    example = page.split("$ ttsc explain")[1].split("```")[0].split("\n")[2:]
    assert max(map(len, example)) <= 100
    shown = str(explanation("best_of_n")).split("\n")
    kept = [
        name for name in labels(example) if not re.search(r"\d|^what models|^--workload|^nothing here|^select_", name)
    ]
    missing = set(kept) - set(labels(shown))
    assert len(kept) > 25 and not missing, f"the output has no such lines (run the command again): {missing}"


# --- from Python ----------------------------------------------------------------------------------------------------


def test_a_program_explains_itself() -> None:
    program = ttsc.compile(PROGRAMS / "self_consistency.tts")
    workload = parse_workload(WORKLOAD)
    found = program.explain(n=6, workload=workload, samples=8, hardware="h100", models={"policy": "Qwen3-8B"})
    assert found == explanation("self_consistency")
    assert str(found) == text_of(found) and found.json() == json_of(found) and found.html() == html_of(found)


def test_inside_an_event_loop_too() -> None:
    async def asked() -> Explanation:
        program = ttsc.compile(PROGRAMS / "self_consistency.tts")
        return program.explain(inputs=[{"question": "How much is 17 + 25?"}], n=2, samples=1, savings=False)

    assert asyncio.run(asked()).estimate.requests.mean == 2


def test_values_are_checked_from_python() -> None:
    program = ttsc.compile(PROGRAMS / "self_consistency.tts")
    with pytest.raises(ttsc.InputError, match="E0502"):
        program.explain(m=3)
    with pytest.raises(ttsc.UsageError, match="abacus"):
        program.explain(hardware="abacus", samples=1)


# --- the command ----------------------------------------------------------------------------------------------------


def test_forms_and_files(tmp_path: Path, file: str) -> None:
    out = tmp_path / "x.json"
    arguments = ["explain", file, "--samples", "2", "--no-savings", "--format", "json", "-o", str(out)]
    assert CliRunner().invoke(app, arguments, standalone_mode=False).exception is None
    found = json.loads(out.read_text())
    assert (found["schema"], found["version"]) == ("ttsc.explain", 1)
    assert found["estimate"]["savings"] == []
    assert any("made up" in note for note in found["estimate"]["notes"])


@pytest.mark.parametrize(
    "arguments, said",
    [
        (["--engine", "http://x"], "--engine goes with --analyze"),
        (["--input", "{}", "--inputs", "x.jsonl"], "can't go together"),
        (["--hardware", "abacus"], "no hardware is known as 'abacus'"),
        (["--hardware", "nobody=h100"], "has no model role 'nobody'"),
        (["--workload", "nowhere.toml"], "can't be read"),
        (["--analyze"], "question"),
        (["-o", "nowhere/x.txt"], "there is no folder"),
    ],
)
def test_what_is_refused(file: str, arguments: list[str], said: str) -> None:
    done = CliRunner().invoke(app, ["explain", file, "--samples", "1", *arguments], standalone_mode=False)
    error = done.exception
    assert error is not None and said in (getattr(error, "message", "") or str(error))


@pytest.mark.parametrize(
    "shown, expected",
    [
        (amount(8.0), "8"),
        (amount(5.26), "5.3"),
        (amount(1204.2), "1,204"),
        (amount(0.004), "4e-3"),
        (seconds(0.0123), "12.3 ms"),
        (seconds(0.9996), "1.00 s"),
        (seconds(200), "3 min 20 s"),
        (seconds(7500), "2 h 5 min"),
        (seconds(-0.01), "-10 ms"),
        (share(0.001), "<1%"),
        (share(0.999), ">99%"),
        (flops(1.5e13), "15 TFLOP"),
        (size(2.5e9), "2.5 GB"),
        (dollars(0.00123), "$0.0012"),
    ],
)
def test_quantities(shown: str, expected: str) -> None:
    assert shown == expected
