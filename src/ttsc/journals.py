"""Journals of a program's runs: opened for what is run, with refusals as errors of usage."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from hashlib import blake2b
from pathlib import Path
from typing import Any

from ttsc.compiler.ir.nodes import Limit
from ttsc.compiler.ir.printer import print_program
from ttsc.compiler.plan.nodes import Plan
from ttsc.errors import Problem, UsageError
from ttsc.runtime.journal import Identity, Journal
from ttsc.runtime.journal_file import JournalRefused
from ttsc.runtime.ledger import clause


def plan_digest(plan: Plan) -> str:
    """Of everything that decides what a plan asks: its IR after the passes. 32 hexadecimal digits."""
    return blake2b(print_program(plan.program).encode(), digest_size=16).hexdigest()


def open_journal(path: str | Path, plan: Plan, source_hash: str, budget: Sequence[Limit]) -> Journal:
    """The journal in a file, begun or gone on with. Raises `UsageError` (E0517)."""
    identity = Identity(
        program=plan.program.name,
        plan=plan_digest(plan),
        source=source_hash,
        level=plan.level,
        budget=", ".join(map(clause, budget)),
    )
    with refusals():
        return Journal(path, identity)


def check_inputs(journal: Journal, inputs: Sequence[Mapping[str, Any]], seed: int) -> None:
    """Raise `UsageError` (E0517) if one of the inputs is another than when the journal was begun."""
    with refusals():
        for number, values in enumerate(inputs):
            journal.check(number, values, seed)


@contextmanager
def refusals() -> Iterator[None]:
    """What a journal refuses, as `UsageError` (E0517)."""
    try:
        yield
    except JournalRefused as error:
        raise UsageError(Problem("E0517", error.message, error.hint)) from error
