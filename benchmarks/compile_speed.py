"""How long compiling takes, from text to plan: the programs of the repository, and programs of 100 to 10,000 lines.

    python benchmarks/compile_speed.py [--rounds N] [--largest LINES]

Warm: everything is imported, and a program was compiled before. Times are processor time of this process, so that what
else runs on the machine counts little; each figure is the median of N runs, with the fastest and the slowest. The long
programs are one program with that many statements (loops, conditions, generations, votes), and one file with that many
lines of small programs, of which the last is compiled. `--calls` counts calls of Python functions instead: the same
number on any machine, however busy, which shows whether the work grows with the text alone.
"""

from __future__ import annotations

import argparse
import cProfile
import statistics
import time
from collections.abc import Callable
from pathlib import Path

from ttsc.compiler.semantics.check import check
from ttsc.driver import compile_source
from ttsc.grammar.parser import parse
from ttsc.grammar.source import Source
from ttsc.library import FileLibrary, open_source

ROOT = Path(__file__).parents[1]
HEAD = """use std.answers (boxed)

prompt solve(question: str, hint: str) {
    system "Reason step by step. Put the final answer in \\\\boxed{}."
    user "{{ question }} {{ hint }}"
}
"""
PART = """    let pool_{i} = solve(question, last) |> sample(n, temperature=0.7, max_tokens=256)
    let best_{i} = pool_{i} |> vote(by=boxed)
    if length(best_{i}) > {i} and n > 2 {{
        last = best_{i}
    }} else {{
        count = count + {i} * 2
    }}
    repeat 2 {{
        last = or_else(pool_{i} |> filter(c => c.tokens > {i}) |> best(by=tokens) |> boxed, last)
    }} until length(last) > {i}
"""
SMALL = """
program small_{i}(question: str, n: int = 4 in 1..64) -> str {{
    let pool = solve(question, "{i}") |> sample(n, temperature=0.7, max_tokens=256)
    if n > 2 {{
        return pool |> vote(by=boxed)
    }}
    return pool |> filter(c => c.tokens > {i}) |> best(by=tokens) |> text
}}
"""


def long_program(lines: int) -> str:
    """One program of about so many lines."""
    parts = "".join(PART.format(i=i) for i in range(max(1, (lines - 10) // PART.count("\n"))))
    begin = '\nprogram main(question: str, n: int = 4 in 1..64) -> str {\n    var last = ""\n    var count = 0\n'
    return f"{HEAD}{begin}{parts}    return last + to_str(count)\n}}\n"


def many_programs(lines: int) -> str:
    """A file of about so many lines in small programs; `main` is the last."""
    parts = "".join(SMALL.format(i=i) for i in range(max(1, (lines - 14) // SMALL.count("\n"))))
    return f"{HEAD}{parts}{SMALL.format(i=0).replace('small_0', 'main')}"


def measure(rounds: int, run: Callable[[], object]) -> list[float]:
    """Milliseconds of processor time of each of `rounds` runs, in order of size."""
    run()
    times = []
    for _ in range(rounds):
        begin = time.process_time()
        run()
        times.append(1000 * (time.process_time() - begin))
    return sorted(times)


def calls(run: Callable[[], object]) -> int:
    """Calls of functions that a run makes."""
    run()
    profile = cProfile.Profile()
    profile.runcall(run)
    return sum(entry.callcount for entry in profile.getstats())


def row(name: str, lines: int, times: list[float]) -> None:
    median = statistics.median(times)
    spread = f"{times[0]:9.1f} to {times[-1]:9.1f}"
    print(f"{name:34}{lines:7}{median:11.1f} ms  ({spread}){1000 * median / lines:9.1f} us/line")


def main() -> None:
    parser = argparse.ArgumentParser(description="Time the compiler.")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--largest", type=int, default=10_000, help="lines of the longest generated programs")
    parser.add_argument("--calls", action="store_true", help="count calls instead of time")
    given = parser.parse_args()

    def show(name: str, lines: int, rounds: int, run: Callable[[], object]) -> None:
        if given.calls:
            print(f"{name:34}{lines:7}{calls(run) / lines:11.1f} calls/line")
        else:
            row(name, lines, measure(rounds, run))

    print("programs of the repository, text to plan")
    for path in sorted(ROOT.glob("programs/*.tts"), key=lambda path: -len(path.read_text(encoding="utf-8")))[:5]:
        source, library = open_source(path)
        name = check(source, library).programs[-1].name
        lines = source.text.count("\n")
        show(path.name, lines, given.rounds, lambda: compile_source(source, name, library=library))  # noqa: B023
    for title, make in (("one program", long_program), ("many programs", many_programs)):
        print(f"{title}")
        for lines in (100, 1_000, given.largest):
            source = Source("generated.tts", make(lines))
            rounds = max(1, min(given.rounds, 20_000 // lines))
            count = source.text.count("\n")
            show("  text to tree", count, rounds, lambda: parse(source))  # noqa: B023
            show("  text to checked program", count, rounds, lambda: check(source, FileLibrary()))  # noqa: B023
            show("  text to plan", count, rounds, lambda: compile_source(source, "main"))  # noqa: B023


if __name__ == "__main__":
    main()
