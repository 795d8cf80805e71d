"""A little of the fuzzer on every run of the tests; `python -m tests.fuzz.run` does the rest."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from fuzz_inputs import CORPUS, KINDS, Inputs  # noqa: E402
from fuzz_target import attempt  # noqa: E402

STAGES = frozenset({"parse", "format", "check"})


@pytest.mark.parametrize("seed", [11, 12])
def test_inputs(seed: int) -> None:
    inputs = Inputs(seed)
    seen = set()
    for number in range(300):
        attempt(inputs.text(number), STAGES)
        seen.add(inputs.kind(number))
    assert seen == set(KINDS)


@pytest.mark.parametrize("path", sorted(CORPUS.glob("*")), ids=lambda path: path.name)
def test_corpus(path: Path) -> None:
    """What once failed, or reached what nothing else did."""
    attempt(path.read_bytes().decode("utf-8", errors="surrogateescape"), STAGES)


def test_an_input_is_named_by_seed_and_number() -> None:
    assert Inputs(3).text(77) == Inputs(3).text(77) != Inputs(4).text(77)


def test_a_fault_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """The target raises what the compiler raises and may not."""
    import fuzz_target

    def broken(_source: object) -> None:
        raise KeyError("a bug")

    monkeypatch.setattr(fuzz_target, "parse", broken)
    with pytest.raises(KeyError):
        attempt("", STAGES)
