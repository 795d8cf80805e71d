"""RESULTS.md: what was measured, a table for each workload, the targets beside what was reached."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks.peers.measure import Measured, Mode, Spread, equal_answers, fastest, ratio
from benchmarks.peers.same_reward_section import same_reward_section
from benchmarks.peers.server import Counts
from benchmarks.peers.workloads import DECIDABLE, NAMES

HAND = ("hand_wait", "hand_early")
SEEDED = ("ttsc_default", "ttsc_wait", "hand_wait", "hand_early")
"""Arms that send the same seeds, so that their answers can be compared."""


@dataclass(frozen=True, slots=True)
class Result:
    """One workload in one mode, with all that is needed to say so."""

    workload: str
    mode: Mode
    about: Mapping[str, Any]
    arms: Mapping[str, Measured]

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        mode = {"inputs": self.mode.inputs, "alone": self.mode.alone}
        arms = {name: measured.to_json() for name, measured in self.arms.items()}
        return {"workload": self.workload, "mode": mode, "about": dict(self.about), "arms": arms}

    @staticmethod
    def from_json(data: Mapping[str, Any]) -> Result:
        """What `to_json` gave."""
        arms = {name: Measured.from_json(each) for name, each in data["arms"].items()}
        return Result(data["workload"], Mode(**data["mode"]), data["about"], arms)


@dataclass(frozen=True, slots=True)
class Target:
    """A ratio of medians that is aimed at: `ours` over each of `theirs`."""

    title: str
    ours: str
    theirs: tuple[str, ...]
    most: float
    decidable_only: bool = False


TARGETS = (
    Target("wait-for-all / best hand-written client that waits for all", "ttsc_wait", ("hand_wait",), 1.02),
    Target("default / the same, where a decision can come early", "ttsc_default", ("hand_wait",), 0.75, True),
    Target("default / its-hub", "ttsc_default", ("its_hub", "its_hub_adaptive", "its_hub_beta"), 0.6),
    Target("default / SGLang's frontend with warm-up", "ttsc_default", ("frontend_warm",), 0.9),
    Target("default / SGLang's frontend", "ttsc_default", ("frontend",), 0.7),
)


def render(
    results: Sequence[Result],
    prefill: Mapping[str, Any] | None = None,
    losers: Mapping[str, Any] | None = None,
    same_reward: Mapping[str, Any] | None = None,
) -> str:
    """The whole page. `prefill`, `losers`, `same_reward`: what the scripts of that name measured."""
    parts = [_HEAD, *_conditions(results), *_targets(results)]
    parts += [*(_prefill(prefill) if prefill else []), *(_losers(losers) if losers else [])]
    parts += same_reward_section(same_reward) if same_reward else []
    several = len({result.about.get("model") for result in results}) > 1
    for result in results:
        parts += _table(result, several)
    missing = [name for name in NAMES if not any(result.workload == name for result in results)]
    if results and missing:
        parts += [f"Not measured: {', '.join(missing)}.", ""]
    return "\n".join(parts).rstrip() + "\n"


_HEAD = """# Against the peers: results

Written by `benchmarks/peers/run.py`; [peers/README.md](peers/README.md) says what the arms are. One server, the same
prompts token for token, its prefix cache emptied before each run, arms in turns, a warm-up run of each that is not
counted. Seconds are medians with least and greatest; tokens are medians of the server's own counters. Arms with the
same seeds decode the same tokens until they stop, so that their answers can be compared; peers have no seeds, and are
compared by tokens and seconds, not by answers.
"""


def _conditions(results: Sequence[Result]) -> list[str]:
    lines: list[str] = []
    for about in _distinct(result.about for result in results):
        lines += [f"- {name}: {value}" for name, value in about.items()]
        lines.append("")
    return lines


def _distinct(abouts: Any) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    for about in abouts:
        if dict(about) not in found:
            found.append(dict(about))
    return found


def _targets(results: Sequence[Result]) -> list[str]:
    lines = [
        *("## Targets", ""),
        "The last column is what the faster hand-written client reaches against the same peer: where it misses a",
        "target, so does any client that has the same tokens decoded.",
        *("", "| ratio of medians | target | workload | reached | met | by hand |", "|---|---|---|---|---|---|"),
    ]
    several = len({result.about.get("model") for result in results}) > 1
    for target in TARGETS:
        for result in results:
            if target.decidable_only and result.workload not in DECIDABLE:
                continue
            for name in target.theirs:
                if target.ours not in result.arms or name not in result.arms:
                    continue
                value = ratio(result.arms[target.ours], result.arms[name])
                reached = "failed" if value is None else f"{value:.2f}"
                met = "" if value is None else "yes" if value <= target.most else "no"
                which = target.title if len(target.theirs) == 1 else f"{target.title} ({name})"
                best = fastest(result.arms, HAND)
                hand = None if best is None or name in HAND else ratio(result.arms[best], result.arms[name])
                cells = (which, f"≤ {target.most}", _title(result, several), reached, met, _ratio(hand))
                lines.append("| " + " | ".join(cells) + " |")
    return [*lines, ""]


def _prefill(measured: Mapping[str, Any]) -> list[str]:
    lines = [
        *("## Prefill with long shared prompts", ""),
        f"`benchmarks/peers/prefill.py --model {measured['model']} --shared {measured['shared']}`: all prompts of a",
        "workload begin with the same text. Computed: by the server's counter; needed: distinct tokens of the prefix",
        "tree of all prompts, without those that it decoded. Target: at most 1.02.",
        *("", "| workload | requests | prompt | needed | computed | ratio |", "|---|---|---|---|---|---|"),
    ]
    for row in measured["rows"]:
        cells = (row["workload"], row["requests"], row["prompt"], row["tree"], row["computed"], f"{row['ratio']:.3f}")
        lines.append("| " + " | ".join(map(str, cells)) + " |")
    return [*lines, ""]


def _losers(measured: Mapping[str, Any]) -> list[str]:
    lines = [
        *("## Tokens decoded by losers after the decision", ""),
        f"`benchmarks/peers/losers.py --model {measured['model']} --inputs {measured['inputs']}`: what a request",
        "decoded after its abort was sent, in tokens. Target: at most 2 each.",
        *("", "| workload | losers | median | most |", "|---|---|---|---|"),
    ]
    for row in measured["rows"]:
        spread = Spread.of(row["late"])
        most = "| " if spread is None else f"{spread.median:.0f} | {spread.high:.0f}"
        lines.append(f"| {row['workload']} | {len(row['late'])} | {most} |")
    return [*lines, ""]


def _title(result: Result, several: bool) -> str:
    """`several`: results of more than one model are shown, so the model has to be said."""
    model = f" ({result.about.get('model')})" if several else ""
    return f"{result.workload}{model}, {result.mode.title}"


def _table(result: Result, several: bool) -> list[str]:
    best = fastest(result.arms, HAND)
    title = f"## {_title(result, several)}"
    per = f" ({result.mode.count} runs of one, summed)" if result.mode.inputs == 1 and result.mode.alone > 1 else ""
    lines = [
        *(title + per, ""),
        "| arm | seconds | / best by hand | ttsc default / it | client CPU s | prompt | computed | decoded | "
        "requests | aborted | equal answers |",
        "|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    lines += [_row(result, name, best) for name in result.arms]
    versions = ", ".join(f"{name}: {each.version}" for name, each in result.arms.items() if each.version)
    errors = [f"- {name} failed: {each.error}" for name, each in result.arms.items() if each.error]
    return [*lines, "", *errors, *([""] if errors else []), f"Versions: {versions}.", ""]


def _row(result: Result, name: str, best: str | None) -> str:
    arm = result.arms[name]
    spread = Spread.of(arm.seconds)
    if spread is None:
        return f"| {name} | failed | | | | | | | | | |"
    default = result.arms.get("ttsc_default")
    cells = [
        f"{spread.median:.3f} ({spread.low:.3f}..{spread.high:.3f})",
        _ratio(None if best is None else ratio(arm, result.arms[best])),
        _ratio(None if default is None else ratio(default, arm)),
        _ratio(cpu.median if (cpu := Spread.of(arm.cpu_seconds)) else None),
        *(_tokens(arm.counts, field) for field in ("prompt", "computed", "decoded", "requests", "aborted")),
        _equal(result, name),
    ]
    return f"| {name} | " + " | ".join(cells) + " |"


def _ratio(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}"


def _tokens(counts: Sequence[Counts], field: str) -> str:
    spread = Spread.of([getattr(each, field) for each in counts])
    return "" if spread is None else f"{spread.median:.0f}"


def _equal(result: Result, name: str) -> str:
    """Of the answers that ttsc gives when it waits for all."""
    reference = result.arms.get("ttsc_wait") or result.arms.get("hand_wait")
    if reference is None or name not in SEEDED:
        return ""
    same, of = equal_answers(result.arms[name], reference)
    return f"{same} of {of}" if of else ""
