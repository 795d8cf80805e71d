"""How long ttsc takes to start: `import ttsc`, and a cold `ttsc check` of the largest program at hand.

Each figure is the wall time of a new process, less nothing: the interpreter's own start is in it and shown beside it.
Run with `make bench`. Prints milliseconds: median, smallest, largest,
and the median of the processor time.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
IMPORT_LIMIT_MS = 150
CHECK_LIMIT_MS = 400


def measure(command: list[str], repeats: int) -> tuple[list[float], list[float]]:
    """Wall and processor times of `command` in milliseconds, after one run to fill the caches."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    times, busy = [], []
    for number in range(repeats + 1):
        start, used = time.perf_counter(), processor_s()
        subprocess.run(command, check=True, capture_output=True, cwd=ROOT, env=environment)
        if number:
            times.append((time.perf_counter() - start) * 1000)
            busy.append((processor_s() - used) * 1000)
    return times, busy


def processor_s() -> float:
    """Seconds of processor time that ended child processes have used: what remains comparable on a busy machine."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def largest_program() -> Path:
    """The program with the longest text, of the examples and the library."""
    return max((*ROOT.glob("programs/*.tts"), *ROOT.glob("stdlib/*.tts")), key=lambda path: path.stat().st_size)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=9, help="measured starts of each kind, at least 5 (default: 9)")
    parser.add_argument("--json", action="store_true", help="one JSON object per figure")
    options = parser.parse_args()
    repeats = max(5, options.repeats)
    program = largest_program().relative_to(ROOT)
    python = [sys.executable, "-P"]
    rows = (
        ("python -c pass", [*python, "-c", "pass"], None),
        ("import ttsc", [*python, "-c", "import ttsc"], IMPORT_LIMIT_MS),
        (f"ttsc check {program}", [*python, "-m", "ttsc", "check", str(program)], CHECK_LIMIT_MS),
    )
    missed = False
    for name, command, limit in rows:
        times, busy = measure(command, repeats)
        median, processor = statistics.median(times), statistics.median(busy)
        missed |= limit is not None and median > limit
        if options.json:
            figures = {"median_ms": median, "min_ms": min(times), "max_ms": max(times), "processor_ms": processor}
            rounded = {key: round(value, 1) for key, value in figures.items()}
            print(json.dumps({"what": name, **rounded, "limit_ms": limit, "repeats": repeats}))
        else:
            spread = f"{min(times):6.1f} to {max(times):6.1f}"
            aim = f"  (aim: {limit} ms)" if limit else ""
            print(f"{name:<46} median {median:6.1f} ms  {spread}  processor {processor:6.1f} ms  {repeats} starts{aim}")
    sys.exit(1 if missed else 0)


if __name__ == "__main__":
    main()
