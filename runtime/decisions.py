"""The state machine of each decision rule: exact ones (`exact.py`) and statistical ones (`sequential.py`)."""

from __future__ import annotations

from typing import assert_never

from ttsc.compiler.ir.rules import FirstFinished, Greatest, Leading, Majority, Quantified, Rule, Sequential
from ttsc.runtime.decision import NOTHING as NOTHING
from ttsc.runtime.decision import Decision as Decision
from ttsc.runtime.decision import Settled as Settled
from ttsc.runtime.exact import (
    FirstFinishedDecision,
    GreatestDecision,
    LeadingDecision,
    MajorityDecision,
    QuantifiedDecision,
)
from ttsc.runtime.sequential import SequentialDecision


def decision_for(rule: Rule, length: int | None, count: int = 1, weighted: bool = False, seed: int = 0) -> Decision:
    """The state machine of a rule. `count`: the k of the rules that have one. `seed`: of random ties."""
    match rule:
        case Majority():
            return MajorityDecision(rule, length, weighted, seed)
        case Sequential():
            return SequentialDecision(rule, length, seed)
        case FirstFinished():
            return FirstFinishedDecision(rule, length, count)
        case Leading():
            return LeadingDecision(rule, length, count)
        case Greatest():
            return GreatestDecision(rule, length, count, seed)
        case Quantified():
            return QuantifiedDecision(rule, length)
        case _:
            assert_never(rule)
