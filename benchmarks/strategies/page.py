"""Write `docs/strategies.md` and its plots from the measured data: python -m benchmarks.strategies.page"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from benchmarks.strategies import data_file
from benchmarks.strategies.data_file import Measured
from benchmarks.strategies.entries import CLAIMS, ROOT, Entry, read
from benchmarks.testbed.comparing import wilson
from ttsc import stdlib

PAGE = ROOT / "docs" / "strategies.md"
PLOT = ROOT / "docs" / "strategies.svg"
REFERENCE = "single"
"""The entry of one sample, which every plot shows."""
ALONE = {"large": "target-alone", "reviser": "reviser-alone", "fuser": "fuser-alone"}
"""Models that solve by themselves what the policy can't, and the entry of one sample of each."""

Pair = tuple[Entry, Measured]

_HEAD = """\
# The strategies on the test bed

<!-- Written by `python -m benchmarks.strategies.page` from benchmarks/strategies/data: change those, not this page. -->

The strategies of the [library](../stdlib), but those that are named [below](#not-shown-here), on the same {problems}
problems of the [test bed](../benchmarks/testbed/README.md): chains of {least} to {most} operations, solved by a policy
of 0.8 million parameters that gets {single} of them right with one sample. The [tutorial](testbed-tutorial.md) runs
some of these by hand. Settings are small, so that all can run; they are in
[`benchmarks/strategies/entries`](../benchmarks/strategies/entries) and in the tables. What is compared here is
strategies on this test bed: a model that reasons in other ways has other figures.

- *right*: share of right answers, with Wilson's 95 % interval. Where a strategy may withhold its answer, the share of
  problems that it answered stands beside.
- Tokens are those of a problem on average, of all models together, by the servers' own counts, aborted requests
  included. *prefill* are prompt tokens that were computed, *cached* those that the prefix cache had, *decoded* those
  that were generated, *scored* those whose log-probabilities were asked for. Servers of reward models do not tell what
  they had in their cache: their prompts count as prefill in full.
- *seconds*: wall time of all problems, {concurrency} at a time, over their number; single runs on two cores, some of
  them beside other work. *lines*: of `.tts`, without docstring, comments and tests.

![Accuracy against tokens](strategies.svg)

On the frontier, from cheap to dear: {frontier}. The plot has what samples from the policy. Strategies
that ask other models for solutions are to be held against what one sample of those gives: {alone}. What
knows the right answer is not in the plot either.
"""


def main() -> None:
    """Entry point."""
    from benchmarks.strategies.plot import draw

    entries = read()
    PAGE.write_text(page(entries), encoding="utf-8")
    PLOT.write_text(draw(plotted(entries)), encoding="utf-8")
    print(f"wrote {PAGE.relative_to(ROOT)} and {PLOT.relative_to(ROOT)}")


def page(entries: Sequence[Entry], folder: Path = data_file.FOLDER) -> str:
    """The text of the page."""
    from benchmarks.strategies.claims import claims_section

    known = measured(entries, folder)
    found = {entry.label: each for entry, each in known}
    least, most = _operations()
    parts = [
        _HEAD.format(
            problems=max((each.problems for each in found.values()), default=0),
            least=least,
            most=most,
            single=_share(found[REFERENCE]) if REFERENCE in found else "?",
            concurrency=max((each.provenance.get("concurrency", 0) for each in found.values()), default=0),
            frontier=", ".join(f"`{entry.label}`" for entry, _ in frontier(plotted(entries, folder))),
            alone=", ".join(f"`{name}` {_share(found[at])}" for name, at in ALONE.items() if at in found) or "?",
        ),
        *(_family(family, entries, found) for family in stdlib.FAMILIES),
        claims_section(found),
        _bounds(known),
        _left_out(entries, found),
        _variants(entries, found),
        _provenance(known),
    ]
    return "\n".join(part for part in parts if part)


def measured(entries: Sequence[Entry], folder: Path = data_file.FOLDER) -> list[Pair]:
    """Entries that have data, with it."""
    found = [(each, data_file.read(each.label, folder)) for each in entries if not each.skip]
    return [(entry, data) for entry, data in found if data is not None]


def plotted(entries: Sequence[Entry], folder: Path = data_file.FOLDER) -> list[Pair]:
    """What the plot shows: the library and one sample for comparison, without what knows the right answer or has
    solutions of another model than the policy.
    """
    return [
        (entry, data)
        for entry, data in measured(entries, folder)
        if not entry.oracle
        and not set(ALONE) & set(entry.roles.values())
        and (entry.family != CLAIMS or entry.label == REFERENCE)
    ]


def frontier(pairs: Sequence[Pair]) -> list[Pair]:
    """Those that nothing beats: whatever is more often right costs more tokens. From cheap to dear."""
    best, found = -1.0, []
    for pair in sorted(pairs, key=lambda each: (each[1].tokens, -each[1].mean("right"))):
        if pair[1].mean("right") > best:
            best = pair[1].mean("right")
            found.append(pair)
    return found


_TABLE = """\
| strategy | paper | right | prefill | cached | decoded | scored | seconds | lines | setting | what its paper says |
|---|---|---|---:|---:|---:|---:|---:|---:|---|---|"""


def _family(family: str, entries: Sequence[Entry], found: dict[str, Measured]) -> str:
    rows = [_row(each, found[each.label]) for each in entries if each.family == family and each.label in found]
    if not rows:
        return ""
    title = stdlib.FAMILIES[family]
    return "\n".join([f"## {title[0].upper()}{title[1:]}", "", _TABLE, *rows, ""])


def _variants(entries: Sequence[Entry], found: dict[str, Measured]) -> str:
    rows = [_row(each, found[each.label]) for each in entries if each.family == CLAIMS and each.label in found]
    if not rows:
        return ""
    text = "Strategies at other settings, and pools of candidates that are only looked at, for the section above."
    return "\n".join(["## Runs for the claims", "", text, "", _TABLE, *rows, ""])


def _row(entry: Entry, data: Measured) -> str:
    link = Path("..") / entry.path.relative_to(ROOT)
    setting = ", ".join(f"{name}={_shown(value)}" for name, value in entry.settings.items())
    roles = ", ".join(f"{role}={model}" for role, model in entry.roles.items() if role != model)
    cells = [
        f"[`{entry.label}`]({link.as_posix()})",
        _papers(entry.docstring()),
        _right(data),
        *(f"{data.mean(name):,.0f}" for name in ("prefill", "cached", "decoded", "scored")),
        f"{data.wall_s / data.problems:.2f}",
        str(data.lines),
        f"{setting}{'; ' if setting and roles else ''}{roles}",
        entry.promise + (" (it knows the right answer)" if entry.oracle else ""),
    ]
    return "| " + " | ".join(cells) + " |"


def _shown(value: object) -> str:
    """A value in a cell: a long list by its size."""
    return f"[{len(value)} numbers]" if isinstance(value, list) and len(value) > 8 else str(value).replace("\n", "\\n")


def _papers(docstring: str) -> str:
    """Links to the papers that a file's first paragraph names."""
    first = docstring.strip().split("\n\n")[0]
    found = dict.fromkeys(re.findall(r"\b\d{4}\.\d{5}\b", first))
    return ", ".join(f"[{each}](https://arxiv.org/abs/{each})" for each in found)


def _right(data: Measured) -> str:
    if not any(data.right) and any(isinstance(each, list) for each in data.values):
        return "a pool"
    low, high = wilson(sum(data.right), data.problems)
    answered = data.mean("answered")
    withheld = f", {answered:.0%} answered" if answered < 0.995 else ""
    failed = f", {len(data.errors)} failed" if data.errors else ""
    return f"{_share(data)} ({100 * low:.1f} to {100 * high:.1f}){withheld}{failed}"


def _share(data: Measured) -> str:
    return f"{100 * data.mean('right'):.1f} %"


def _bounds(known: Sequence[Pair]) -> str:
    runs = sum(each.problems for _, each in known)
    broken = {entry.label: each.broken for entry, each in known if each.broken}
    text = (
        f"Requests, prompt tokens, decoded tokens, calls of host functions and generations in flight of all {runs:,} "
        "runs were held against the program's [static bounds](bounds.md), what was sent again after a failure once. "
    )
    if broken:
        text += "Exceeded by: " + "; ".join(f"`{label}` in {len(each)} runs" for label, each in broken.items()) + "."
    else:
        text += "None exceeded one."
    return f"## Static bounds\n\n{text}\n"


def _left_out(entries: Sequence[Entry], found: dict[str, Measured]) -> str:
    lines = [f"- `{each.label}` ({each.family}): {each.skip}." for each in entries if each.skip]
    lines += [
        f"- `{each.label}` ({each.family}): not measured."
        for each in entries
        if not each.skip and each.label not in found
    ]
    named = {each.name for each in entries}
    tools = stdlib.names("tools")
    lines += [f"- `{name}`: no entry." for name in stdlib.names() if name not in named and name not in tools]
    return "\n".join(["## Not shown here", "", *lines, ""]) if lines else ""


def _provenance(known: Sequence[Pair]) -> str:
    facts = sorted({_facts(each) for _, each in known})
    lines = [
        "## How it was measured",
        "",
        "`python -m benchmarks.strategies.run`, then `python -m benchmarks.strategies.page`.",
        "",
    ]
    return "\n".join([*lines, *(f"- {each}" for each in facts), ""])


def _facts(data: Measured) -> str:
    told = data.provenance
    seeds = f"{data.problems} problems of seed {told['problem_seed']}, runs of seed {told['seed']}"
    versions = ", ".join(f"{name} {told[key]}" for name, key in _VERSIONS.items())
    return f"{seeds}, {told['concurrency']} at a time; {versions}; {told['machine']}."


_VERSIONS = {"ttsc": "ttsc", "SGLang": "sglang", "torch": "torch", "Python": "python"}


def _operations() -> tuple[int, int]:
    from benchmarks.testbed.task import OPERATIONS

    return OPERATIONS


if __name__ == "__main__":
    main()
