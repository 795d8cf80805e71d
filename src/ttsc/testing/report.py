"""What is said of tests: for people, as JSON lines, and as JUnit XML for build servers."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from xml.etree import ElementTree

from ttsc.grammar.diagnostics import CompileError, Diagnostic
from ttsc.grammar.render import printable, render, render_all
from ttsc.grammar.render import to_json as diagnostic_to_json
from ttsc.grammar.source import Span
from ttsc.testing.running import Failure, Outcome


def text(file: str, outcome: Outcome, *, color: bool) -> str:
    """One line for a test with what it took, and what failed of it with its place, in the shape of the compiler's own
    messages.
    """
    mark = "ok" if outcome.passed else "FAILED"
    line = f"{file}:{_line(outcome.test.span)}: {printable(outcome.test.title)}: {mark}"
    if outcome.measures:
        calls, tokens = outcome.measures["calls"], outcome.measures["tokens"]
        line += f" ({calls} call{'s' * (calls != 1)}, {tokens} token{'s' * (tokens != 1)}, {outcome.duration_s:.1f} s)"
    if outcome.passed:
        return line
    return f"{line}\n{render_all(map(_diagnostic, outcome.failures), color=color)}\n"


def to_json(file: str, outcome: Outcome) -> str:
    """One object: file, line, test, passed, failures with code, message and line, counters, seconds."""
    return json.dumps(
        {
            "file": file,
            "line": _line(outcome.test.span),
            "test": outcome.test.title,
            "passed": outcome.passed,
            "failures": [
                {
                    "code": each.code,
                    "message": each.message,
                    "line": _line(each.span),
                    "hint": each.hint,
                    "notes": list(each.notes),
                }
                for each in outcome.failures
            ],
            "measures": outcome.measures,
            "duration_s": round(outcome.duration_s, 3),
        },
        ensure_ascii=False,
    )


def error_to_json(file: str, error: CompileError) -> str:
    """One object for a file that can't be compiled: it has `errors` in place of a test."""
    errors = [diagnostic_to_json(item) for item in error.diagnostics]
    return json.dumps({"file": file, "passed": False, "errors": errors}, ensure_ascii=False)


def as_junit(results: Sequence[tuple[str, Outcome]], broken: Mapping[str, CompileError]) -> bytes:
    """All results as one JUnit document: a suite per file, a case per test.

    A file that can't be compiled is a case with an error. Of tests with one title the later ones have their line.
    """
    root = ElementTree.Element("testsuites")
    for file in dict.fromkeys((*(file for file, _ in results), *broken)):
        outcomes = [outcome for each, outcome in results if each == file]
        suite = ElementTree.SubElement(
            root,
            "testsuite",
            name=file,
            tests=str(len(outcomes) or 1),
            failures=str(sum(not outcome.passed for outcome in outcomes)),
            errors=str(int(file in broken)),
            time=f"{sum(outcome.duration_s for outcome in outcomes):.3f}",
        )
        if file in broken:
            case = ElementTree.SubElement(suite, "testcase", classname=Path(file).stem, name="compiles", time="0.000")
            node = ElementTree.SubElement(case, "error", message=_clean(broken[file].diagnostics[0].message))
            node.text = _clean(render_all(broken[file].diagnostics))
        names: set[str] = set()
        for outcome in outcomes:
            line = str(_line(outcome.test.span))
            name = _clean(outcome.test.title)
            name = f"{name} (line {line})" if name in names else name
            names.add(name)
            case = ElementTree.SubElement(
                suite,
                "testcase",
                classname=Path(file).stem,
                name=name,
                file=file,
                line=line,
                time=f"{outcome.duration_s:.3f}",
            )
            for failure in outcome.failures:
                node = ElementTree.SubElement(case, "failure", type=failure.code, message=_clean(failure.message))
                node.text = _clean(render(_diagnostic(failure)))
    document: bytes = ElementTree.tostring(root, encoding="utf-8", xml_declaration=True)
    return document


def _diagnostic(failure: Failure) -> Diagnostic:
    return Diagnostic(failure.code, failure.message, failure.span, "", failure.hint, failure.notes)


def _line(span: Span) -> int:
    return span.source.line_col(span.start)[0]


def _clean(message: str) -> str:
    """Without the characters that XML has no place for."""
    return "".join(c for c in message if c in "\t\n\r" or (ord(c) >= 0x20 and not 0xD800 <= ord(c) <= 0xDFFF))
