"""Error tests as readable files: programs divided by lines of `---`, each wrong on purpose.

    program p(q: str) -> str {
        return questoin  ### "E0204: unknown name 'questoin'"
    }
    ---
    …

`### "regex"` at the end of a line says that a diagnostic is expected on that line; the regex is searched in
`CODE: message`. Several may follow one `###`. A diagnostic that no regex matches fails the test, and so does a regex
that no diagnostic matches. Before a chunk is checked its expectations are cut off, and empty lines put in front of it,
so that a line has the same number in the message and in the file.

The harness knows no stage: it is given a function from a source to all diagnostics.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from ttsc.grammar.diagnostics import Diagnostic
from ttsc.grammar.source import Source

Check = Callable[[Source], list[Diagnostic]]

_EXPECTATION = re.compile(r"""[ \t]*###[ \t]*(?P<regexes>(?:"(?:[^"\\]|\\.)*"[ \t]*)+)$""")
_REGEX = re.compile(r'"((?:[^"\\]|\\.)*)"')


@dataclass(frozen=True, slots=True)
class Chunk:
    """One wrong program, and by line number what is expected of it."""

    source: Source
    line: int
    expected: dict[int, tuple[str, ...]]


def read(path: Path) -> list[Chunk]:
    """The chunks of a file."""
    return list(split(path.name, path.read_text(encoding="utf-8")))


def split(name: str, text: str) -> Iterator[Chunk]:
    lines = text.split("\n")
    starts = [0, *(number + 1 for number, line in enumerate(lines) if line.strip() == "---")]
    for start, end in zip(starts, [*(s - 1 for s in starts[1:]), len(lines)], strict=True):
        kept: list[str] = []
        expected: dict[int, tuple[str, ...]] = {}
        for number, line in enumerate(lines[start:end], start + 1):
            match = _EXPECTATION.search(line)
            if match:
                expected[number] = tuple(regex.replace('\\"', '"') for regex in _REGEX.findall(match["regexes"]))
                line = line[: match.start()]
            elif "###" in line:
                raise ValueError(f'{name}:{number}: an expectation is written ### "regex"')
            kept.append(line)
        yield Chunk(Source(name, "\n" * start + "\n".join(kept)), start + 1, expected)


def mismatches(chunk: Chunk, check: Check) -> list[str]:
    """What the diagnostics of a chunk and its expectations have different; empty if all is as expected."""
    open_ = [(line, regex) for line, regexes in chunk.expected.items() for regex in regexes]
    problems: list[str] = []
    for diagnostic in check(chunk.source):
        line = diagnostic.span.source.line_col(diagnostic.span.start)[0]
        shown = f"{diagnostic.code}: {diagnostic.message}"
        here = diagnostic.span.source is chunk.source
        met = next((e for e in open_ if here and e[0] == line and re.search(e[1], shown)), None)
        if met:
            open_.remove(met)
        else:
            problems.append(f"{diagnostic.span!r}: unexpected: {shown}")
    problems += [f"{chunk.source.path}:{line}: expected but missing: {regex}" for line, regex in open_]
    return problems
