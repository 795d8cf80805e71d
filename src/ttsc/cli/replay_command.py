"""`ttsc replay`: the results of a traced run again, without an engine."""

from __future__ import annotations

import time
from pathlib import Path

import click


@click.command(short_help="Run a trace again, without an engine.")
@click.argument("trace", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--json", "as_json", is_flag=True, help="One JSON object per input on standard output.")
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE",
              help="Write the same objects to this file.")  # fmt: skip
def replay(trace: Path, as_json: bool, out: Path | None) -> int:
    """Run TRACE again, a file of `ttsc run --trace`: the same results, without an engine.

    Answers and values of externs come from the trace, at the times at which they came; everything else is computed
    again. It is an error if that gives another result. Nothing is written to stores.

    \b
      ttsc run programs/self_consistency.tts --set question="How much is 17 + 25?" --trace run.jsonl
      ttsc replay run.jsonl

    Exit codes: those of the run (0 done, 1 run failed, 4 budget cut, 5 engine unavailable); 2 if it can't be replayed
    or goes another way.
    """
    from ttsc.cli.output import Results, exit_code, summary
    from ttsc.replays import open_trace

    start = time.monotonic()
    opened = open_trace(trace)
    found = opened.replay()
    with Results(len(found), opened.seeds_honoured, as_json, out, False) as results:
        for result in found:
            results.add(result)
    summary(found, opened.seeds_honoured, time.monotonic() - start)
    return exit_code(found)
