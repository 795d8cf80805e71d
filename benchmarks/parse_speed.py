"""How long it takes to read a program: a cold process, a warm one, and the work that the committed tables save.

    python benchmarks/parse_speed.py [--rounds N]

Cold is a fresh interpreter that imports the parser and reads a file of about 60 lines, less the start of Python itself.
Each figure is the fastest of N, as everything that makes one slower has nothing to do with the parser.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from collections.abc import Callable

HEAD = '''"""Beam search over steps, guided by a process reward model."""
use std.answers (boxed)
model policy, prm

prompt solve(question: str) {
    system "Reason step by step. Put the final answer in \\\\boxed{}."
    user   "{{ question }}"
}
'''
PROGRAM = '''
"""Program {i}."""
program beam_search_{i}(question: str, width: int = 4 in 1..16, fanout: int = 4 in 1..16) -> str {{
    var beams = [solve(question)]
    repeat 40 {{
        beams = beams
            |> branch(fanout, until="\\\\n\\\\n", max_tokens=512, temperature=0.7)
            |> score(prm, reduce=last)
            |> keep(width, by=score, duplicates=drop)
    }} until all(beams, finished)
    let best_beam = beams |> best(by=(x => x.score if x.finish == "stop" else 0.5 * x.score))
    if best_beam.tokens > 20k {{ return "too long" }}
    return best_beam |> boxed
}}
'''
TEXT = HEAD + "".join(PROGRAM.format(i=i) for i in range(4))

COLD = """
import sys, time
begin = time.perf_counter()
from ttsc.grammar.parser import parse
from ttsc.grammar.source import Source
imported = time.perf_counter()
parse(Source("bench.tts", sys.stdin.read()))
print(imported - begin, time.perf_counter() - imported)
"""


def fastest(rounds: int, run: Callable[[], object]) -> float:
    """Seconds of the fastest of `rounds` runs."""
    times = []
    for _ in range(rounds):
        begin = time.perf_counter()
        run()
        times.append(time.perf_counter() - begin)
    return min(times)


def cold(rounds: int) -> tuple[float, float]:
    """Seconds to import the parser and to read the text, in a process of their own."""
    runs = []
    for _ in range(rounds):
        done = subprocess.run([sys.executable, "-c", COLD], input=TEXT, capture_output=True, text=True, check=True)
        imported, parsed = map(float, done.stdout.split())
        runs.append((imported, parsed))
    return min(runs, key=sum)


def main() -> None:
    arguments = argparse.ArgumentParser(description="Time the parser.")
    arguments.add_argument("--rounds", type=int, default=10)
    rounds: int = arguments.parse_args().rounds

    from ttsc.grammar import tables
    from ttsc.grammar.lexer import Lexer
    from ttsc.grammar.parser import parse
    from ttsc.grammar.source import Source

    source = Source("bench.tts", TEXT)
    parse(source)
    imported, parsed = cold(rounds)
    count = len(Lexer(source).tokens)
    print(f"text            {source.line_count:8} lines, {count} tokens")
    print(f"cold import     {imported * 1e3:8.1f} ms")
    print(f"cold parse      {parsed * 1e3:8.1f} ms, tables included")
    print(f"warm parse      {fastest(rounds, lambda: parse(source)) * 1e3:8.1f} ms")
    print(f"of it lexing    {fastest(rounds, lambda: Lexer(source)) * 1e3:8.1f} ms")
    print(f"loading tables  {fastest(rounds, tables._read) * 1e3:8.1f} ms")
    print(f"building tables {fastest(min(rounds, 3), tables.compute) * 1e3:8.1f} ms, with Lark imported")


if __name__ == "__main__":
    main()
