"""What tests of the simulator share: a machine whose steps take round numbers, outcomes that are told, and requests."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from ttsc.backends.protocol import EmbedRequest, GenerateRequest, RewardRequest, Sampling, ScoreRequest
from ttsc.backends.scripted.tokenizer import END, ScriptedTokenizer
from ttsc.backends.simulator.engine import SimulatedEngine
from ttsc.backends.simulator.faults import Faults
from ttsc.backends.simulator.outcomes import Decoded
from ttsc.compiler.cost.steps import Chunk, DecodeStep, Limits, Machine, Overheads

LIMITS = Limits(kv_tokens=100_000, running=64, context_tokens=8192)


@dataclass(frozen=True)
class Linear:
    """A decode step takes `fixed` seconds, `row` for each row and `context` for each token in the batch; a prefill
    `start` seconds and `token` for each one computed.
    """

    fixed: float = 1.0
    row: float = 0.0
    context: float = 0.0
    start: float = 0.0
    token: float = 0.5

    def decode(self, rows: int) -> DecodeStep:
        return DecodeStep(self.fixed + self.row * rows, self.context)

    def prefill(self, chunks: Sequence[Chunk]) -> float:
        return self.start + self.token * sum(chunk.new for chunk in chunks)


@dataclass
class Told:
    """Outcomes by a function from the request to how many tokens it decodes, the end among them. They are numbered
    words, others for each seed, and `answer` before the end. `asked` keeps every request.
    """

    length: Callable[[GenerateRequest], int]
    tokenizer: ScriptedTokenizer = field(default_factory=ScriptedTokenizer)
    answer: str = ""
    asked: list[object] = field(default_factory=list)

    def decode(self, request: GenerateRequest) -> Decoded:
        self.asked.append(request)
        length, most = self.length(request), request.sampling.max_tokens
        words = [f"w{request.sampling.seed or 0}_{place % 50}" for place in range(length - 1)]
        ids = [self.tokenizer.encode(word)[0] for word in words]
        tail = self.tokenizer.encode(self.answer)
        ids[len(ids) - len(tail) :] = tail
        if length > most:
            return Decoded(tuple(ids[:most]), "length", None)
        return Decoded((*ids, END), "eos", END)

    def scores(self, request: ScoreRequest) -> tuple[float, ...]:
        self.asked.append(request)
        return tuple(-0.1 * (place + 1) for place in range(len(request.input_ids) - request.start))

    def rewards(self, request: RewardRequest) -> tuple[float, ...]:
        self.asked.append(request)
        return (float(len(request.input_ids)),)

    def embed(self, request: EmbedRequest) -> tuple[float, ...]:
        self.asked.append(request)
        return (1.0, 0.0)


def machine(
    steps: Linear | None = None, limits: Limits = LIMITS, overheads: Overheads | None = None, name: str = "test"
) -> Machine:
    return Machine(name, "a model", steps or Linear(), limits, overheads or Overheads(), None, "made up for a test")


def engine(
    length: Callable[[GenerateRequest], int] | int = 4,
    *,
    steps: Linear | None = None,
    limits: Limits = LIMITS,
    overheads: Overheads | None = None,
    replicas: int = 1,
    faults: Faults | None = None,
    answer: str = "",
) -> SimulatedEngine:
    told = Told(length if callable(length) else lambda _: length, answer=answer)
    return SimulatedEngine(machine(steps, limits, overheads), told, told.tokenizer, replicas=replicas, faults=faults)


def request(number: int, ids: Sequence[int], most: int = 64, **given: object) -> GenerateRequest:
    """`given`: fields of the request, or of its sampling."""
    sampling = {name: given.pop(name) for name in ("seed", "ignore_eos", "stop") if name in given}
    return GenerateRequest(
        f"r{number:04}",
        tuple(ids),
        Sampling(max_tokens=most, **sampling),  # type: ignore[arg-type]
        **given,  # type: ignore[arg-type]
    )
