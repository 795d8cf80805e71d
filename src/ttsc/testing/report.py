"""What is said of tests: for people, as JSON lines, and as JUnit XML for build servers."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from xml.etree import ElementTree

from ttsc.grammar.diagnostics import Diagnostic
from ttsc.grammar.render import render
from ttsc.testing.running import Failure, Outcome

CODE = "T0001"
"""The code of an expectation that did not hold, in the shape of the compiler's own messages."""


def text(file: str, outcome: Outcome, *, color: bool) -> str:
    """One line for a test, and what failed of it with its place."""
    mark = "ok" if outcome.passed else "FAILED"
    lines = [f"{file}: {outcome.test.title}: {mark}"]
    for failure in outcome.failures:
        lines.append(render(_diagnostic(failure), color=color).rstrip("\n"))
    return "\n".join(lines)


def to_json(file: str, outcome: Outcome) -> str:
    """One object: file, test, passed, failures with message and line, counters, seconds."""
    return json.dumps(
        {
            "file": file,
            "test": outcome.test.title,
            "passed": outcome.passed,
            "failures": [
                {"message": each.message, "line": _line(each), "hint": each.hint} for each in outcome.failures
            ],
            "measures": outcome.measures,
            "duration_s": round(outcome.duration_s, 3),
        },
        ensure_ascii=False,
    )


def junit(results: Sequence[tuple[str, Outcome]]) -> bytes:
    """All results as one JUnit document: a suite per file, a case per test."""
    root = ElementTree.Element("testsuites")
    files = list(dict.fromkeys(file for file, _ in results))
    for file in files:
        outcomes = [outcome for each, outcome in results if each == file]
        failed = sum(not outcome.passed for outcome in outcomes)
        seconds = sum(outcome.duration_s for outcome in outcomes)
        suite = ElementTree.SubElement(
            root, "testsuite", name=file, tests=str(len(outcomes)), failures=str(failed), time=f"{seconds:.3f}"
        )
        for outcome in outcomes:
            case = ElementTree.SubElement(
                suite,
                "testcase",
                classname=Path(file).stem,
                name=outcome.test.title,
                time=f"{outcome.duration_s:.3f}",
            )
            for failure in outcome.failures:
                node = ElementTree.SubElement(case, "failure", message=_clean(failure.message))
                node.text = _clean(render(_diagnostic(failure), color=False))
    return ElementTree.tostring(root, encoding="utf-8", xml_declaration=True)


def _diagnostic(failure: Failure) -> Diagnostic:
    return Diagnostic(CODE, failure.message, failure.span, "", failure.hint)


def _line(failure: Failure) -> int:
    return failure.span.source.line_col(failure.span.start)[0]


def _clean(message: str) -> str:
    """Without the characters that XML has no place for."""
    return "".join(c for c in message if c in "\t\n\r" or (ord(c) >= 0x20 and not 0xD800 <= ord(c) <= 0xDFFF))
