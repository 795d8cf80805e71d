"""What an estimate says, as data: sums over requests, spreads over inputs, per node, per role, in all.

Amounts are means per input unless said otherwise; seconds are virtual ones.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from ttsc.compiler.bounds import ConcreteBounds
from ttsc.compiler.cost.counts import Counts


@dataclass(frozen=True, slots=True)
class Spread:
    """How a quantity varies over inputs. `error`: the standard error of the mean, 0 where all are equal."""

    mean: float = 0.0
    sd: float = 0.0
    p50: float = 0.0
    p95: float = 0.0
    greatest: float = 0.0
    error: float = 0.0


def spread(values: Sequence[float], weights: Sequence[float] | None = None) -> Spread:
    """Of values with weights (equal ones, if left out). Quantiles are values that occur: the smallest with at least
    so much of the weight at or below it.
    """
    if not values:
        return Spread()
    shares = [1.0] * len(values) if weights is None else list(weights)
    whole = math.fsum(shares)
    if whole <= 0:
        shares, whole = [1.0] * len(values), float(len(values))
    mean = math.fsum(v * w for v, w in zip(values, shares, strict=True)) / whole
    variance = math.fsum(w * (v - mean) ** 2 for v, w in zip(values, shares, strict=True)) / whole
    effective = whole * whole / math.fsum(w * w for w in shares)
    if effective > 1:
        variance *= effective / (effective - 1)
    ordered = sorted(zip(values, shares, strict=True))

    def quantile(part: float) -> float:
        reached = 0.0
        for value, share in ordered:
            reached += share
            if reached >= part * whole - 1e-9:
                return value
        return ordered[-1][0]

    sd = math.sqrt(max(0.0, variance))
    return Spread(mean, sd, quantile(0.5), quantile(0.95), ordered[-1][0], sd / math.sqrt(effective))


@dataclass(frozen=True, slots=True)
class Work:
    """What counts take on a machine: compute and memory access apart. FLOPs and bytes; None where the machine's source
    does not say (a measured profile knows seconds only). `binds`: compute, memory or overhead, whichever takes longest;
    "" if unknown.
    """

    flops_linear: float | None = None
    flops_attention: float | None = None
    bytes_weights: float | None = None
    bytes_kv: float | None = None
    eflops: float | None = None
    dollars: float | None = None
    compute_s: float | None = None
    memory_s: float | None = None
    overhead_s: float | None = None
    binds: str = ""

    @property
    def flops(self) -> float | None:
        return _sum(self.flops_linear, self.flops_attention)

    @property
    def bytes(self) -> float | None:
        return _sum(self.bytes_weights, self.bytes_kv)


def _sum(*parts: float | None) -> float | None:
    known = [part for part in parts if part is not None]
    return math.fsum(known) if known else None


@dataclass(frozen=True, slots=True)
class AtMost:
    """The worst case of one node, proven: `prefill_tokens` as if nothing were cached."""

    requests: int = 0
    prefill_tokens: int = 0
    decode_tokens: int = 0
    scored_tokens: int = 0


@dataclass(frozen=True, slots=True)
class Place:
    """Where a node is. `line`: in `file`, from 1, 0 if unknown; `source`: what is written there, on one line; `around`:
    the regions around it, from the outside in ("repeat @repeat1", "map %map1", "if @if1 then").
    """

    file: str = ""
    line: int = 0
    source: str = ""
    around: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class NodeEstimate:
    """One `Generate`, `Score` or `Extern` node. `kind`: generate, score, reward, embed, extern.

    counts: mean per input. requests, decoded: how they vary over inputs. aborted: requests cut off since they were no
    longer needed, and lost_tokens: what those had decoded. busy_s: time in which at least one of its requests was under
    way. at_once: how many were, on average over that time. critical_s: seconds of the critical path that it takes.
    waited_s: mean of seconds that a request waited for its first token is not in it; for externs all but `requests`
    (calls), `busy_s` and `critical_s` is 0.
    """

    id: str
    op: str
    kind: str
    role: str
    place: Place
    counts: Counts = Counts()
    requests: Spread = Spread()
    decoded: Spread = Spread()
    aborted: float = 0.0
    lost_tokens: float = 0.0
    failed: float = 0.0
    busy_s: float = 0.0
    at_once: float = 0.0
    critical_s: float = 0.0
    work: Work = Work()
    at_most: AtMost | None = None

    @property
    def cached_share(self) -> float:
        """Of the prompt tokens."""
        return self.counts.cached_tokens / self.counts.prompt_tokens if self.counts.prompt_tokens else 0.0


@dataclass(frozen=True, slots=True)
class RoleEstimate:
    """One model role: the machine it runs on, and what it is asked in all. kv_peak: KV tokens that are held at once by
    requests under way, the most over all inputs (inputs run with `Estimate.concurrency`); None if unknown.
    """

    role: str
    machine: str
    model: str
    source: str
    kv_tokens: int
    counts: Counts = Counts()
    work: Work = Work()
    kv_peak: int | None = None
    busy_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Leg:
    """A part of the critical path of one input: from `start_s`, for `seconds`, `node` (or, where it is "", nothing
    but the client) was what everything after it waited for.
    """

    node: str
    start_s: float
    seconds: float


@dataclass(frozen=True, slots=True)
class Bar:
    """One request or call of the input that `Estimate.critical` is of; `start_s` from its start. Tokens of it alone."""

    node: str
    start_s: float
    seconds: float
    finish: str
    prompt_tokens: int
    cached_tokens: int
    decoded_tokens: int


@dataclass(frozen=True, slots=True)
class Sample:
    """One input that was simulated. `tokens`: of prompts and decoded; `computed_tokens`: of prompts, those that were in
    no cache. `right`: None if nobody knows.
    """

    input: int
    seconds: float
    requests: int
    tokens: int
    right: float | None = None
    computed_tokens: int = 0


@dataclass(frozen=True, slots=True)
class Saving:
    """What a pass saves: a run without it, less one with it, per input. `same`: it changed nothing in this program."""

    name: str
    same: bool
    requests: float = 0.0
    computed_tokens: float = 0.0
    decoded_tokens: float = 0.0
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class PrefixEstimate:
    """A node of the plan's prefix tree. requests: that begin with it (mean per input), in all nodes below it. tokens:
    it adds to a prompt, on average; None where no request says. cached_share: of the prompts that begin there.
    """

    id: int
    parent: int | None
    kind: str
    node: str
    label: str
    requests: float = 0.0
    prompt_tokens: float = 0.0
    cached_tokens: float = 0.0


@dataclass(frozen=True, slots=True)
class Closed:
    """An expectation in closed form beside the simulated one. `name`: of the quantity; `formula`: whose."""

    name: str
    value: float
    simulated: float | None
    formula: str


@dataclass(frozen=True, slots=True)
class Estimate:
    """What a program costs on a workload and machines: means per input over `inputs` simulated ones.

    accuracy: share of right answers, None if the workload or the program's result does not say. latency: seconds of an
    input. wall_s: of all inputs with `concurrency` at once. critical: the path of the input of median latency. failed:
    share of inputs that failed (`failure`: how the first did); cut: share that a budget cut. given: parameters with
    their values, if these are the same for all inputs that were given. doc: what the program says of itself. notes:
    what the reader must know (defaults taken, stand-ins used), a sentence each. distinct_tokens: of all prompts of an
    input, each shared prefix once. at_most_text: the worst case in terms of the parameters. samples: what each input
    took. saving_inputs: how many of them `savings` are means of.
    """

    program: str
    file: str
    level: int
    passes: tuple[str, ...]
    workload: str
    workload_hash: str
    inputs: int
    concurrency: int
    seed: int
    total: Counts
    requests: Spread
    tokens: Spread
    latency: Spread
    wall_s: float
    work: Work
    nodes: tuple[NodeEstimate, ...]
    roles: tuple[RoleEstimate, ...]
    critical: tuple[Leg, ...]
    prefixes: tuple[PrefixEstimate, ...]
    at_most: ConcreteBounds
    at_most_text: str
    savings: tuple[Saving, ...] = ()
    closed: tuple[Closed, ...] = ()
    accuracy: float | None = None
    accuracy_error: float = 0.0
    abstained: float = 0.0
    cut: float = 0.0
    failed: float = 0.0
    failure: str = ""
    lost_tokens: float = 0.0
    distinct_tokens: float = 0.0
    given: tuple[tuple[str, str], ...] = ()
    doc: str = ""
    notes: tuple[str, ...] = ()
    timeline: tuple[Bar, ...] = ()
    samples: tuple[Sample, ...] = ()
    saving_inputs: int = 0

    @property
    def colder_first(self) -> Sample | None:
        """The first input, if it found so much less in the cache than those after it that their mean is not its own."""
        if len(self.samples) < 2:
            return None
        first, *others = self.samples
        later = math.fsum(each.computed_tokens for each in others) / len(others)
        return first if first.computed_tokens > 1.25 * later + 1 else None
