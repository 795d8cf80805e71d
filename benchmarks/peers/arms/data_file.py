"""The data file of a workload as the peers' arms read it: settings, inputs, and texts with places to fill.

Only the standard library, as in `serve_arm`: these arms run in their peers' environments, where nothing of ttsc is
installed.
"""

from __future__ import annotations

import argparse
import itertools
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

Input = Mapping[str, Any]
"""An input: `values`, `messages`, `ids`, and the `text` that the ids are the tokens of."""


@dataclass(frozen=True, slots=True)
class Task:
    """What an arm was started for."""

    url: str
    """The server's, without a slash at the end."""
    model: str
    """The name it is served under."""
    workload: str
    settings: Mapping[str, Any]
    inputs: tuple[Input, ...]


def task(options: argparse.Namespace) -> Task:
    """What an arm's options and their data file ask for."""
    data = json.loads(options.data.read_text())
    return Task(options.url.rstrip("/"), options.model, options.workload, data["settings"], tuple(data["inputs"]))


def first_seeds(seed: int) -> Iterator[int]:
    """Seeds for the requests of a command, in the order they are sent: 31 bits, far from those of the next command."""
    return itertools.count((seed * 1_000_003) % 2**30)


def last_match(pattern: str, text: str) -> str | None:
    """The last match of a pattern (its first group, if it has one), white space trimmed, or None."""
    matches = list(re.finditer(pattern, text))
    if not matches:
        return None
    found: str | None = matches[-1][1 if matches[-1].re.groups else 0]
    return None if found is None else found.strip()


def filled(template: str, **values: Any) -> str:
    """A template with `{name}` replaced by each value; other braces stay, and so do braces inside of values."""
    names = "|".join(re.escape(name) for name in values)
    return re.sub(r"\{(" + names + r")\}", lambda match: str(values[match[1]]), template)
