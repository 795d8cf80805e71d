"""Journals of a program's runs: opened for what is run, with refusals as errors of usage."""

from __future__ import annotations

import json
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
from ttsc.runtime.journal_file import JournalFile, JournalRefused
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


def overview(path: str | Path) -> list[str]:
    """What a journal holds, in lines. Raises `UsageError` (E0517)."""
    with _opened(path) as file:
        header = {name: str(value) for name, value in file.rows("SELECT name, value FROM header")}
        states = {str(state): int(count) for state, count in file.rows(_STATES)}
        ((answers, tokens),) = file.rows("SELECT count(*), coalesce(sum(tokens), 0) FROM answers")
        ((calls,),) = file.rows("SELECT count(*) FROM calls")
        failed = file.rows("SELECT input, result FROM inputs WHERE state = 'failed' ORDER BY input LIMIT ?", (_SHOWN,))
    models = ", ".join(f"{role}={model}" for role, model in json.loads(header.get("models", "{}")).items())
    budget = f", budget {header['budget']}" if header.get("budget") else ""
    ended = states.get("ended", 0) + states.get("ending", 0)
    lines = [
        f"program   {header.get('program', '')} at -O{header.get('level', '')}{budget}",
        f"models    {models}",
        f"inputs    {ended} ended, {states.get('failed', 0)} failed, {states.get('open', 0)} under way",
        f"kept      {answers} answers of {tokens} tokens and {calls} calls of externs, for inputs that have not ended",
    ]
    for number, result in failed:
        error = json.loads(result)["error"]
        lines.append(f"failed    input {number}: {error['code']}: {error['message']}")
    return lines


def forget(path: str | Path, numbers: Sequence[int]) -> None:
    """Drop all that is kept of some inputs, so that they start over. Raises `UsageError` (E0517)."""
    with _opened(path) as file:
        for number in numbers:
            if not file.rows("SELECT 1 FROM inputs WHERE input = ?", (number,)):
                raise JournalRefused(f"'{path}' holds nothing of input {number}", "inputs are numbered from 0")
            file.hand(
                *((f"DELETE FROM {table} WHERE input = ?", (number,)) for table in ("inputs", "answers", "calls"))
            )


_SHOWN = 10
_STATES = "SELECT state, count(*) FROM inputs GROUP BY state"


@contextmanager
def _opened(path: str | Path) -> Iterator[JournalFile]:
    with refusals():
        file = JournalFile(Path(path), create=False)
        try:
            yield file
        finally:
            file.close()


@contextmanager
def refusals() -> Iterator[None]:
    """What a journal refuses, as `UsageError` (E0517)."""
    try:
        yield
    except JournalRefused as error:
        raise UsageError(Problem("E0517", error.message, error.hint)) from error
