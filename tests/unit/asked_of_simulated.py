"""What tests of simulated models share: requests as the runtime makes them, and a workload of round numbers."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from ttsc.backends.protocol import GenerateRequest, Origin, RewardRequest, Sampling, Turn
from ttsc.backends.simulator.drawn import WorkloadOutcomes
from ttsc.backends.simulator.outcomes import Decoded
from ttsc.backends.simulator.tokenizer import SimulatedTokenizer
from ttsc.compiler.cost.distributions import Lengths
from ttsc.compiler.cost.workload import Question, Revisions, Rewards, Verdicts, Workload, Writing

TOKENIZER = SimulatedTokenizer()
WORKLOAD = Workload(
    name="test",
    questions=(Question(0.2), Question(0.5), Question(0.9)),
    writing={
        "default": Writing(Lengths((40, 60, 80)), Lengths((2, 4))),
        "branch": Writing(Lengths((15, 20)), Lengths((2, 4))),
        "judge": Writing(Lengths.constant(2)),
    },
    verdicts={"default": Verdicts(0.8, 0.3)},
    rewards={"default": Rewards(1.0, 1.0, -1.0, 1.5)},
    revisions={"default": Revisions(fixes=0.4, breaks=0.1)},
)


def prompt(*turns: tuple[str, str]) -> tuple[int, ...]:
    return tuple(TOKENIZER.chat_ids([Turn(role, text) for role, text in turns]))  # type: ignore[arg-type]


def generate(
    ids: tuple[int, ...], seed: int = 0, op: str = "sample", input: int = 0, max_tokens: int = 1000, **more: Any
) -> GenerateRequest:
    logprobs, origin = more.pop("logprobs", False), Origin(f"{op}1", op, "policy", 0, f"{op}1#0", input)
    return GenerateRequest("r", ids, Sampling(max_tokens, seed=seed, **more), logprobs=logprobs, origin=origin)


def reward(ids: tuple[int, ...], input: int = 0) -> RewardRequest:
    return RewardRequest("r", ids, origin=Origin("reward1", "reward", "prm", 0, "reward1#0", input))


def text(decoded: Decoded) -> str:
    return TOKENIZER.decode(decoded.ids)


def outcomes(seed: int = 0, **changed: Any) -> WorkloadOutcomes:
    return WorkloadOutcomes(replace(WORKLOAD, **changed), seed)


SOLVE = prompt(("user", "What is it?"))
