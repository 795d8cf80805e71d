"""The section of RESULTS.md on its-hub's algorithms with the same reward model: what `same_reward.py` measured."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks.testbed.comparing import mcnemar, wilson


def same_reward_section(measured: Mapping[str, Any]) -> list[str]:
    """A table of both sides, and how they differ problem by problem."""
    settings = ", ".join(f"{name} {value}" for name, value in measured["settings"].items())
    lines = [
        *("## its-hub with the same reward model", ""),
        f"`{measured['command']}` on {measured['machine']}; {settings}. The test bed's problems, n samples (places",
        "of a level, particles) on both sides, rewards by the same server. Right: share with Wilson's 95 % interval;",
        "p: McNemar's exact test, problem by problem. Tokens are the servers' own counts, seconds are of all.",
        "",
        "| algorithm | arm | right | p | policy: requests | prompt | computed | decoded | rewards: requests | prompt | "
        "computed | seconds |",
        "|---|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    rows = measured["rows"]
    for row in rows:
        others = [each for each in rows if each["workload"] == row["workload"] and each["arm"] != row["arm"]]
        lines.append(_row(row, others[0] if others and row["arm"] == "ttsc" else None))
    versions = dict.fromkeys(f"{row['arm']}: {row['version']}" for row in rows)
    return [*lines, "", f"Versions: {', '.join(versions)}.", ""]


def _row(row: Mapping[str, Any], other: Mapping[str, Any] | None) -> str:
    right: Sequence[int] = row["right"]
    low, high = wilson(sum(right), len(right))
    share = f"{100 * sum(right) / len(right):.1f} % ({100 * low:.1f} to {100 * high:.1f})"
    p = ""
    if other is not None:
        better = sum(a > b for a, b in zip(right, other["right"], strict=True))
        worse = sum(a < b for a, b in zip(right, other["right"], strict=True))
        p = f"{mcnemar(better, worse):.2f}"
    policy, prm = row["policy"], row["prm"]
    counts = [policy[name] for name in ("requests", "prompt", "computed", "decoded")]
    counts += [prm[name] for name in ("requests", "prompt", "computed")]
    cells = [row["workload"], row["arm"], share, p, *map(str, counts), f"{row['seconds']:.1f}"]
    return "| " + " | ".join(cells) + " |"
