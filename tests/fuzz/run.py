"""The fuzzer: `python -m tests.fuzz.run --inputs 1000000 --seed 1` from the root of the repository.

Each input is given to the parser, and if it is a program to the formatter and the checker. The run fails if one
raises what it may not or takes longer than two seconds of processor time, or if the process needs more than 500 MB;
such an input is written to the folder given by `--found`. The report tells how many inputs of which kind came how far,
the slowest, and the peak memory.
"""

from __future__ import annotations

import argparse
import json
import resource
import signal
import sys
import time
import traceback
from collections import Counter
from pathlib import Path
from types import FrameType

sys.path.insert(0, str(Path(__file__).parent))
from fuzz_inputs import all_inputs  # noqa: E402
from fuzz_target import attempt  # noqa: E402

SECONDS = 2.0
MEMORY = 500 * 2**20


class Hang(Exception):
    pass


def _alarm(_signal: int, _frame: FrameType | None) -> None:
    raise Hang(f"more than {SECONDS:g} s")


def run(count: int, seed: int, stages: frozenset[str], found: Path | None, first: int = 0) -> dict[str, object]:
    """Tries the inputs from number `first` on; the report."""
    resource.setrlimit(resource.RLIMIT_DATA, (MEMORY, resource.getrlimit(resource.RLIMIT_DATA)[1]))
    signal.signal(signal.SIGPROF, _alarm)
    outcomes: Counter[str] = Counter()
    failures: list[str] = []
    slowest, slowest_number = 0.0, -1
    begin = time.monotonic()
    for number, kind, text in all_inputs(seed, count):
        if number < first:
            continue
        signal.setitimer(signal.ITIMER_PROF, SECONDS)
        start = time.process_time()
        try:
            outcomes[f"{kind}: {attempt(text, stages)}"] += 1
        except Exception as error:  # whatever it is, it is what the fuzzer looks for
            signal.setitimer(signal.ITIMER_PROF, 0)
            outcomes[f"{kind}: failed"] += 1
            failures.append(f"{seed}:{number}: {type(error).__name__}: {error}"[:300])
            if found is not None:
                found.mkdir(parents=True, exist_ok=True)
                path = found / f"{seed}-{number}.tts"
                path.write_text(text, encoding="utf-8", errors="surrogateescape")
                path.with_suffix(".txt").write_text(traceback.format_exc(), encoding="utf-8")
        finally:
            signal.setitimer(signal.ITIMER_PROF, 0)
        took = time.process_time() - start
        if took > slowest:
            slowest, slowest_number = took, number
    return {
        "inputs": count - first,
        "seed": seed,
        "stages": sorted(stages),
        "outcomes": dict(sorted(outcomes.items())),
        "failures": failures,
        "slowest_s": round(slowest, 4),
        "slowest_input": slowest_number,
        "peak_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1),
        "wall_s": round(time.monotonic() - begin, 1),
    }


def main() -> int:
    parser = argparse.ArgumentParser(description="Fuzz the front end.")
    parser.add_argument("--inputs", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--first", type=int, default=0, help="the number of the first input")
    parser.add_argument("--stages", default="parse,format,check")
    parser.add_argument("--found", type=Path, help="folder for inputs that failed")
    given = parser.parse_args()
    report = run(given.inputs, given.seed, frozenset(given.stages.split(",")), given.found, given.first)
    print(json.dumps(report, indent=2))
    return 1 if report["failures"] else 0


if __name__ == "__main__":
    sys.exit(main())
