"""docs/errors.md, made from the explanations: `python -m ttsc.explanations.reference docs/errors.md`."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

from ttsc.explanations import STAGES, Explanation, of_stage, wrapped

_HEAD = """\
# Errors and warnings

Every message has a code. `ttsc explain-error CODE` says in the terminal what this page says;
without a code it lists them all. Made by `python -m ttsc.explanations.reference docs/errors.md`
from the texts in `src/ttsc/explanations/`.
"""


def text() -> str:
    """The page: a section per stage, a part per code, as Markdown."""
    parts = [_HEAD.rstrip("\n")]
    for stage, title in STAGES.items():
        parts.append(f"## {title}")
        for each in of_stage(stage):
            parts.extend(_entry(each))
    return "\n\n".join(parts) + "\n"


def _entry(explanation: Explanation) -> Iterator[str]:
    yield f"### {explanation.code}: {explanation.title}"
    yield wrapped(explanation.text)
    for name, program in (("Wrong:", explanation.wrong), ("Right:", explanation.right)):
        if program:
            yield f"{name}\n\n```\n{program}\n```"


def main(arguments: list[str]) -> None:
    """Write the page to each of the files."""
    for name in arguments:
        Path(name).write_text(text(), encoding="utf-8", newline="\n")


if __name__ == "__main__":
    main(sys.argv[1:])
