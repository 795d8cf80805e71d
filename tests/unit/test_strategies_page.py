"""The measurement of the library on the test bed, without an engine: entries, figures, claims, and that
`docs/strategies.md` is what the committed data make.
"""

from __future__ import annotations

import dataclasses
import importlib
import math
import random
from collections import Counter
from collections.abc import Callable
from itertools import combinations
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import ttsc
from ttsc import stdlib

ROOT = Path(__file__).parents[2]
PROVENANCE = {"problem_seed": 6, "seed": 1, "concurrency": 64}
NUMBERED = ("ttsc", "sglang", "torch", "python", "machine")


@pytest.fixture
def load(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], ModuleType]:
    """Imports a module of the harness."""
    monkeypatch.syspath_prepend(ROOT)
    return lambda name: importlib.import_module(f"benchmarks.strategies.{name}")


@pytest.fixture
def measured(load: Callable[[str], ModuleType]) -> Callable[..., Any]:
    """`measured("label", right=[…])`: made-up data of a strategy."""

    def make(label: str, values: list[Any] | None = None, **figures: list[int]) -> Any:
        right = figures.get("right", [0] * len(values or []))
        whole = {name: [0] * len(right) for name in ("prefill", "cached", "decoded", "scored", "aborted", "distinct")}
        roles = {name.replace("_", ".", 1): row for name, row in figures.items() if "_" in name}
        rest = {name: row for name, row in figures.items() if "_" not in name}
        return load("data_file").Measured(
            label=label,
            settings={"n": 8, "temperatures": [1.0], "checks": 1},
            models={"policy": "policy"},
            problems=len(right),
            wall_s=2.0,
            lines=9,
            values=values or right,
            figures={**whole, "answered": [1] * len(right), "right": right, **rest},
            roles=roles,
            provenance={**PROVENANCE, **dict.fromkeys(NUMBERED, "1")},
        )

    return make


# --- entries ---


def test_every_strategy_has_an_entry(load: Callable[[str], ModuleType]) -> None:
    named = {each.name for each in load("entries").read()}
    assert {name for name in stdlib.names() if stdlib.family(name) != "tools"} - named == set()


def test_every_entry_compiles_with_its_roles_and_parameters(load: Callable[[str], ModuleType]) -> None:
    for entry in load("entries").read():
        if entry.skip:
            continue
        program = dataclasses.replace(entry, level=0).compiled()
        assert set(program.models) <= set(entry.roles), entry.label
        program.check_input({"question": "Q:01+02", **entry.settings, **({entry.oracle: "03"} if entry.oracle else {})})


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('[[strategy]]\nname = "self_consistency"\nroles = {policy = "policy"}\nnumber = 3', "no key number"),
        ('[[strategy]]\nname = "nothing_of_the_kind"\nroles = {policy = "policy"}', "no such strategy"),
        ('[[strategy]]\nname = "self_consistency"', "no roles"),
        ('[[strategy]]\nname = "self_consistency"\nskip = "why"\n' * 2, "two entries of one label"),
    ],
)
def test_what_is_wrong_with_an_entry(load: Callable[[str], ModuleType], tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "voting.toml").write_text(text)
    with pytest.raises(load("entries").BadEntry, match=said):
        load("entries").read(tmp_path)


def test_bounds_that_are_exceeded_are_told(load: Callable[[str], ModuleType]) -> None:
    counting = load("counting")
    program = ttsc.compile("std:self_consistency")
    bounds, seen = counting.StaticBounds(program), counting.Counting()
    for number in range(3):
        at = {"node": "%1", "op": "sample", "role": "policy", "index": number, "parent": None, "time_s": 0.0}
        seen(ttsc.RequestStarted(request_id=f"r{number}", prompt_tokens=9, **at))
    given = {"question": "2 + 2?", "n": 2}
    assert bounds.exceeded(given, seen.runs[0]) == "generations policy: 3 > 2; in flight: 3 > 2"
    assert bounds.exceeded({**given, "n": 3}, seen.runs[0]) == ""


def test_what_is_sent_again_counts_once(load: Callable[[str], ModuleType]) -> None:
    """As the bounds say: attempts that an engine failed are not in them."""
    seen = load("counting").Counting()
    at = {"node": "%1", "op": "sample", "role": "policy", "index": 0, "parent": None, "time_s": 0.0}
    for attempt in ("r1", "r1-2"):
        seen(ttsc.RequestStarted(request_id=attempt, prompt_tokens=9, **at))
        ended = {"finish": "error", "cached_tokens": 0, "text": "", "duration_s": 1.0, "seen_tokens": None}
        seen(ttsc.RequestEnded(attempt, "%1", prompt_tokens=9, completion_tokens=40, time_s=1.0, **ended))
        if attempt == "r1":
            seen(ttsc.RequestRetried("r1", "%1", 1, "the connection broke", 0.1, 1.0))
    assert +seen.runs[0].counts == {
        ("generations", "policy"): 1,
        ("prefill", "policy"): 9,
        ("decode", "policy"): 40,
    }


def test_nodes_are_what_each_level_of_a_tree_continues(load: Callable[[str], ModuleType]) -> None:
    seen = load("counting").Counting()
    at = {"node": "%1", "op": "branch", "role": "policy", "prompt_tokens": 9, "time_s": 0.0}
    for child, parent in [("a", None), ("b", None), ("aa", "a"), ("ab", "a"), ("aaa", "aa"), ("aba", "ab")]:
        seen(ttsc.RequestStarted(request_id=child, parent=parent, index=0, **at))
    assert seen.runs[0].nodes == len(["a"]) + len(["a", "aa", "ab"])


def test_data_come_back_as_they_were_written(
    load: Callable[[str], ModuleType], measured: Callable[..., Any], tmp_path: Path
) -> None:
    data = measured("one", values=["41", None], right=[1, 0], policy_calls=[3, 4])
    load("data_file").write(data, tmp_path)
    assert load("data_file").read("one", tmp_path) == data
    assert load("data_file").read("another", tmp_path) is None
    assert data.mean("policy.calls") == 3.5


# --- figures ---


def test_intervals(load: Callable[[str], ModuleType]) -> None:
    statistics = load("statistics")
    ones = [1] * 60 + [0] * 40
    found = statistics.mean(ones)
    half = 1.96 * math.sqrt(0.6 * 0.4 / 100)  # the normal approximation
    assert found.value == 0.6
    assert abs(found.low - (0.6 - half)) < 0.02 and abs(found.high - (0.6 + half)) < 0.02
    assert statistics.difference(ones, ones) == statistics.Estimate(0.0, 0.0, 0.0)
    assert statistics.ratio([2, 4, 6], [1, 2, 3]) == statistics.Estimate(2.0, 2.0, 2.0)
    assert statistics.better([1] * 6 + [0], [0] * 6 + [0]) == 2 / 2**6, "six of six pairs, two-sided"


def test_the_frontier_is_what_nothing_cheaper_beats(
    load: Callable[[str], ModuleType], measured: Callable[..., Any]
) -> None:
    shares = {"a": (10, 5), "b": (20, 4), "c": (30, 7), "d": (30, 8), "e": (40, 8)}
    pairs = [(None, measured(n, right=[1] * r + [0] * (10 - r), decoded=[t] * 10)) for n, (t, r) in shares.items()]
    assert [data.label for _, data in load("page").frontier(pairs)] == ["a", "d"]


def test_the_expected_majority_is_that_of_all_subsets(
    load: Callable[[str], ModuleType], measured: Callable[..., Any]
) -> None:
    answers = load("claims.answers")
    gold = answers.golds(measured("pool", values=[["?"]]))[0]
    pool = [gold, "x", gold, "y", None, "x"]
    expected = []
    for chosen in combinations(range(len(pool)), 3):
        counts = Counter(pool[i] for i in chosen if pool[i] is not None)
        top = [name for name, count in counts.items() if count == max(counts.values())]
        expected.append((gold in top) / len(top))
    found = answers.majorities(measured("pool", values=[pool]))
    assert abs(found[3][0] - sum(expected) / len(expected)) < 0.1, "200 draws"
    assert found[6][0] == 0.5, "two answers share the first place"


def test_the_best_by_a_judge_is_that_of_all_subsets(
    load: Callable[[str], ModuleType], measured: Callable[..., Any]
) -> None:
    verifiers = load("claims.verifiers")
    gold = load("claims.answers").golds(measured("pool", values=[["?"]]))[0]
    pool = [[gold, 1, 2], ["x", 2, 2], [gold, 1, 1], ["y", 0, 0], [None, 2, 2]]
    scores = [0.5, 1.0, 1.0, 0.0, 0.0]
    expected = []
    for chosen in combinations(range(len(pool)), 2):
        top = [i for i in chosen if scores[i] == max(scores[j] for j in chosen)]
        expected.append(sum(pool[i][0] == gold for i in top) / len(top))
    assert verifiers.best_of(measured("pool", values=[pool]), 2)[0] == pytest.approx(sum(expected) / len(expected))


def test_utility_within_a_number_of_draws_is_the_sum_over_them(load: Callable[[str], ModuleType]) -> None:
    """Draw by draw: what is not accepted is drawn again."""
    import numpy

    resampling = load("claims.resampling")
    c, f, right, cost = 0.9, 0.3, 0.4, 2.0
    reach, expected = 1.0, 0.0
    for _ in range(5):
        expected += reach * (c * right - cost * f * (1 - right))
        reach *= (1 - c) * right + (1 - f) * (1 - right)
    assert resampling.predicted(numpy.array([right]), c, f, 5, cost)[0] == pytest.approx(expected)


def test_a_claim_holds_or_not_by_its_figures(load: Callable[[str], ModuleType], measured: Callable[..., Any]) -> None:
    claim = load("claims.voting").CLAIMS[0]
    low, high = measured("single", right=[0, 1] * 50), measured("self_consistency", right=[1, 1, 1, 0] * 25)
    better = measured("self_consistency", right=[1] * 75 + [0, 1] * 12 + [0])
    assert claim.of({"single": low, "self_consistency": better}).holds is True
    assert claim.of({"single": high, "self_consistency": low}).holds is False
    assert claim.of({"single": low}).text().endswith("no data of `self_consistency`.\n")


# --- the page ---


def test_the_page_is_what_the_data_make(load: Callable[[str], ModuleType]) -> None:
    page = load("page")
    assert page.PAGE.read_text(encoding="utf-8") == page.page(load("entries").read()), (
        "run python -m benchmarks.strategies.page"
    )


def test_the_plot_shows_every_strategy(load: Callable[[str], ModuleType]) -> None:
    """The same bytes twice; the committed one has the frontier's names."""
    pytest.importorskip("matplotlib")
    page, plot = load("page"), load("plot")
    pairs = page.plotted(load("entries").read())
    assert plot.draw(pairs) == plot.draw(pairs)
    committed = page.PLOT.read_text(encoding="utf-8")
    assert [entry.label for entry, _ in page.frontier(pairs) if f">{entry.label}<" not in committed] == []


def test_what_is_not_measured_is_said(
    load: Callable[[str], ModuleType], measured: Callable[..., Any], tmp_path: Path
) -> None:
    entries = load("entries").read()
    one = next(each for each in entries if each.label == "self_consistency")
    load("data_file").write(measured(one.label, right=[1, 0]), tmp_path)
    skipped = dataclasses.replace(one, label="other", skip="why not")
    text = load("page").page([one, skipped, dataclasses.replace(one, label="third")], tmp_path)
    assert "| 50.0 % (9.5 to 90.5) |" in text
    assert "- `other` (voting): why not." in text and "- `third` (voting): not measured." in text


def test_every_claim_can_be_looked_at(load: Callable[[str], ModuleType], measured: Callable[..., Any]) -> None:
    """On made-up runs of a model that is right in half of its samples, with verifiers that know it."""
    r, found = random.Random(3), {}
    claims = load("claims")
    golds = load("claims.answers").golds(measured("any", right=[0] * 40))
    for label in {each for claim in claims.EXAMINED for each in claim.needs}:
        figures = {
            name: [r.randint(50, 900) for _ in golds]
            for name in ("decoded", "nodes", "policy_decoded", "target_decoded", "target_prefill", "judge_decoded")
        }
        calls = {name: [r.randint(1, 16) for _ in golds] for name in ("policy_calls", "judge_calls")}
        right = [r.randint(0, 1) for _ in golds]
        values = [_pool(label, gold, r) if label.startswith("pool") else r.choice([gold, "x"]) for gold in golds]
        found[label] = measured(label, values=values, right=right, **figures, **calls)
    looked = [each.of(found) for each in claims.EXAMINED]
    assert [each.title for each in looked if each.holds is None] == []
    by_title = {each.title: each for each in looked}
    bent = next(each for title, each in by_title.items() if "bends down" in title)
    assert bent.because.count("1.00 of right and 0.00 of wrong ones") == 3, "what the verifiers accept"
    assert "nan" not in claims.claims_section(found)


def _pool(label: str, gold: str, r: random.Random) -> list[Any]:
    """Eight candidates, half of them right; the verdict or the reward says so."""
    answers = [gold if i % 2 else str(r.randint(100, 102)) for i in range(8)]
    if label == "pool-judge":
        return [[each, int(each == gold), 1] for each in answers]
    return answers if "temperature" in label else [[each, 0.9 if each == gold else 0.2] for each in answers]
