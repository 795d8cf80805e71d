"""Run the library's strategies on the test bed's problems, and write what each did to `data/`.

    python -m benchmarks.strategies.run                      # all entries, 200 problems
    python -m benchmarks.strategies.run search beam_search   # a family, or entries by name or label
    python -m benchmarks.strategies.run --problems 8 --list

Engines of the test bed's models are started where they are missing, and stay (`ttsc engine stop`). All problems of a
strategy run at once, `--concurrency` at a time; strategies run one after the other, on empty prefix caches. Nothing
else should run on the machine if wall times are to mean something. A strategy that fails does not stop the others.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from typing import Any

import ttsc
from benchmarks.strategies import data_file
from benchmarks.strategies.bed import Bed, provenance
from benchmarks.strategies.code_lines import code_lines
from benchmarks.strategies.counting import Counting, StaticBounds
from benchmarks.strategies.data_file import Measured
from benchmarks.strategies.entries import ROOT, BadEntry, Entry, chosen, read
from benchmarks.testbed.comparing import wilson
from benchmarks.testbed.inputs import rows
from ttsc.externs import load_externs

PROBLEMS = 200
PROBLEM_SEED = 6
SEED = 1
CONCURRENCY = 64
_UNKNOWN_S = 40.0
"""What a strategy is taken to need that was never run, in seconds for `PROBLEMS`."""

Row = dict[str, str]


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point; 1 if a strategy could not be run or a bound was exceeded."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help="labels, strategies or families; all without any")
    parser.add_argument("--problems", type=int, default=PROBLEMS, help="how many (%(default)s)")
    parser.add_argument("--concurrency", type=int, default=CONCURRENCY, help="problems at a time (%(default)s)")
    parser.add_argument("--timeout", type=float, default=600.0, help="of a strategy, in seconds (%(default)s)")
    parser.add_argument("--missing", action="store_true", help="only those without data of so many problems")
    parser.add_argument("--list", action="store_true", help="say what would run, and for how long")
    parser.add_argument("--no-write", action="store_true", help="leave data/ as it is")
    options = parser.parse_args(arguments)
    try:
        entries = [each for each in chosen(read(), options.names) if not each.skip]
    except BadEntry as error:
        print(error, file=sys.stderr)
        return 2
    if options.missing:
        entries = [each for each in entries if _size(each) != options.problems]
    needed = sum(_expected_s(each, options.problems) for each in entries)
    print(f"{len(entries)} strategies on {options.problems} problems, about {needed / 60:.0f} min", flush=True)
    if options.list:
        for each in entries:
            print(f"  {each.label:<38}{_expected_s(each, options.problems):6.0f} s  {each.family}")
        return 0
    return asyncio.run(_all(entries, options))


async def _all(entries: Sequence[Entry], options: argparse.Namespace) -> int:
    bed = Bed(lambda text: print(text, flush=True))
    bed.start(dict.fromkeys(model for each in entries for model in each.roles.values()))
    facts = provenance()
    problems = rows(options.problems, PROBLEM_SEED)
    began, failed = time.monotonic(), 0
    for number, entry in enumerate(entries, 1):
        left = sum(_expected_s(each, options.problems) for each in entries[number - 1 :])
        head = f"[{number}/{len(entries)}, {time.monotonic() - began:.0f} s, {left:.0f} s left] {entry.label}"
        try:
            async with asyncio.timeout(options.timeout):
                measured = await measure(entry, problems, bed, options.concurrency, facts)
        except Exception as error:
            failed += 1
            print(f"{head}: FAILED, {type(error).__name__}: {_first_line(error)}", flush=True)
            continue
        whole = len(measured.errors) < measured.problems
        failed += bool(measured.broken) or not whole
        print(f"{head}: {_summary(measured)}", flush=True)
        if whole and not options.no_write:
            data_file.write(measured)
    await bed.close()
    print(f"{time.monotonic() - began:.0f} s; {failed} of {len(entries)} failed or broke a bound")
    return 1 if failed else 0


async def measure(
    entry: Entry,
    problems: Sequence[Row],
    bed: Bed,
    concurrency: int = CONCURRENCY,
    facts: dict[str, Any] | None = None,
) -> Measured:
    """One strategy on all problems. Raises what compiling it or opening its engines raises; a run that fails counts as
    wrong.
    """
    program = entry.compiled()
    bounds = StaticBounds(program)
    engines = {role: handle for role, handle in bed.engines(entry.roles).items() if role in program.models}
    await bed.empty_caches({role: entry.roles[role] for role in engines})
    inputs = [given(entry, each) for each in problems]
    counting = Counting()
    results: list[ttsc.RunResult] = []
    with tempfile.TemporaryDirectory() as artifacts:
        began = time.perf_counter()
        async for result in program.amap(
            inputs,
            concurrency=concurrency,
            engine=engines,
            externs=load_externs(ROOT / entry.externs) if entry.externs else None,
            artifacts=artifacts,
            seed=SEED,
            evaluation=entry.oracle is not None,
            on_event=counting,
        ):
            results.append(result)
        wall = time.perf_counter() - began
    broken = {}
    for number, values in enumerate(inputs):
        if over := bounds.exceeded(values, counting.runs[number]):
            broken[str(number)] = over
    figures = {name: [figure(r, p) for r, p in zip(results, problems, strict=True)] for name, figure in _FIGURES}
    return Measured(
        label=entry.label,
        settings=entry.settings,
        models=entry.roles,
        problems=len(problems),
        wall_s=round(wall, 2),
        lines=code_lines(entry.path.read_text(encoding="utf-8")),
        values=[_plain(each.value) for each in results],
        figures={**figures, "nodes": [counting.runs[number].nodes for number in range(len(problems))]},
        roles=_by_role(results),
        errors={str(n): f"{r.error.code} {r.error.message}" for n, r in enumerate(results) if r.error is not None},
        broken=broken,
        provenance={"seed": SEED, "problem_seed": PROBLEM_SEED, "concurrency": concurrency, **(facts or {})},
    )


def given(entry: Entry, problem: Row) -> dict[str, Any]:
    """The program's arguments for one problem."""
    oracle = {entry.oracle: problem["gold"]} if entry.oracle else {}
    return {"question": problem["question"], **entry.settings, **oracle}


def _usage(name: str) -> Callable[[ttsc.RunResult, Row], int]:
    return lambda result, _: getattr(result.usage, name)


_FIGURES: tuple[tuple[str, Callable[[ttsc.RunResult, Row], Any]], ...] = (
    ("right", lambda result, problem: int(result.value == problem["gold"])),
    ("answered", lambda result, _: int(result.value is not None)),
    ("seconds", lambda result, _: round(result.duration_s, 2)),
    ("calls", _usage("requests")),
    ("prefill", _usage("prefill_tokens")),
    ("cached", _usage("cached_tokens")),
    ("decoded", _usage("decoded_tokens")),
    ("scored", _usage("scored_tokens")),
    ("rewards", _usage("rewards")),
    ("aborted", _usage("aborted")),
    ("lost", _usage("lost_tokens")),
    ("distinct", _usage("distinct_tokens")),
)
_OF_ROLES = {"calls": "requests", "prefill": "prefill_tokens", "cached": "cached_tokens", "decoded": "decoded_tokens"}


def _by_role(results: Sequence[ttsc.RunResult]) -> dict[str, list[int]]:
    roles = sorted({role for each in results for role in each.usage.by_model})
    if len(roles) < 2:
        return {}
    return {
        f"{role}.{short}": [each.usage.by_model.get(role, {}).get(name, 0) for each in results]
        for role in roles
        for short, name in _OF_ROLES.items()
    }


def _plain(value: Any) -> Any:
    """A record as the list of its fields, figures with four decimals: data files hold many."""
    match value:
        case float():
            return round(value, 4)
        case dict():
            return [_plain(each) for each in value.values()]
        case list():
            return [_plain(each) for each in value]
    return value


def _size(entry: Entry) -> int:
    known = data_file.read(entry.label)
    return known.problems if known else 0


def _expected_s(entry: Entry, problems: int) -> float:
    known = data_file.read(entry.label)
    return known.wall_s / known.problems * problems if known else _UNKNOWN_S / PROBLEMS * problems


def _summary(measured: Measured) -> str:
    right, size = sum(measured.right), measured.problems
    low, high = wilson(right, size)
    said = (
        f"{right / size:.1%} ({low:.0%} to {high:.0%}), {measured.tokens:,.0f} tokens, {measured.mean('calls'):.1f} "
        f"calls, {measured.mean('aborted'):.1f} aborted, {measured.wall_s:.1f} s"
    )
    if measured.errors:
        said += f", {len(measured.errors)} FAILED: {_first_line(next(iter(measured.errors.values())))}"
    if measured.broken:
        said += f", {len(measured.broken)} BROKE A BOUND: {next(iter(measured.broken.values()))}"
    return said


def _first_line(error: object) -> str:
    return str(error).strip().split("\n")[0][:200]


if __name__ == "__main__":
    sys.exit(main())
