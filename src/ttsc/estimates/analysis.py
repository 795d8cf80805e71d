"""What a program really took beside what was expected, node by node."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ttsc.estimates.figures import Estimate, NodeEstimate, Spread

LARGE = 0.25
"""A relative error from which on a figure is flagged, if chance does not explain it."""
_CHANCE = 2.0
"""Standard errors (of both means) that chance explains."""


@dataclass(frozen=True, slots=True)
class Compared:
    """One figure, per input. `error`: (estimated - actual) / actual; None if the actual is 0 and the estimate is not.
    `large`: it is more than a quarter, and more than chance between so few inputs.
    """

    name: str
    estimated: float
    actual: float
    error: float | None
    large: bool


@dataclass(frozen=True, slots=True)
class NodeAnalysis:
    """`node` is "" for the whole program."""

    node: str
    figures: tuple[Compared, ...]


@dataclass(frozen=True, slots=True)
class Analysis:
    """`actual`: the figures of the real runs, in the form of an estimate. `engines`: what they ran on, by role.
    `advice`: what to do about large errors, a sentence each.
    """

    actual: Estimate
    engines: tuple[tuple[str, str], ...]
    nodes: tuple[NodeAnalysis, ...]
    advice: tuple[str, ...]


def analysed(estimated: Estimate, actual: Estimate, engines: Sequence[tuple[str, str]], *, measured: bool) -> Analysis:
    """Both of the same plan and the same inputs. `measured`: the machine is a profile of this engine."""
    theirs = {node.id: node for node in actual.nodes}
    rows = [NodeAnalysis("", _whole(estimated, actual))]
    rows += [NodeAnalysis(node.id, _node(node, theirs[node.id])) for node in estimated.nodes]
    return Analysis(actual, tuple(engines), tuple(rows), _advice(rows, measured))


def _whole(estimated: Estimate, actual: Estimate) -> tuple[Compared, ...]:
    return (
        _compared("requests", estimated.requests.mean, actual.requests.mean, estimated.requests, actual.requests),
        _compared("prompt tokens", estimated.total.prompt_tokens, actual.total.prompt_tokens),
        _compared("cached tokens", estimated.total.cached_tokens, actual.total.cached_tokens),
        _compared("decoded tokens", estimated.total.decoded_tokens, actual.total.decoded_tokens),
        _compared("seconds", estimated.latency.mean, actual.latency.mean),
    )


def _node(estimated: NodeEstimate, actual: NodeEstimate) -> tuple[Compared, ...]:
    requests = _compared("requests", estimated.requests.mean, actual.requests.mean, estimated.requests, actual.requests)
    seconds = _compared("seconds", estimated.busy_s, actual.busy_s)
    if estimated.kind == "extern":
        return (requests, seconds)
    mine, theirs = estimated.counts, actual.counts
    decoded = _compared(
        "decoded tokens", estimated.decoded.mean, actual.decoded.mean, estimated.decoded, actual.decoded
    )
    return (
        requests,
        _compared("prompt tokens", mine.prompt_tokens, theirs.prompt_tokens),
        _compared("cached tokens", mine.cached_tokens, theirs.cached_tokens),
        *((decoded,) if estimated.kind == "generate" else ()),
        seconds,
    )


def _compared(
    name: str, estimated: float, actual: float, spread: Spread | None = None, other: Spread | None = None
) -> Compared:
    error = (estimated - actual) / actual if actual else (0.0 if not estimated else None)
    large = error is None or abs(error) > LARGE
    if large and spread is not None and other is not None:
        chance = _CHANCE * (spread.error**2 + other.error**2) ** 0.5
        large = abs(estimated - actual) > chance
    return Compared(name, estimated, actual, error, large)


def _advice(rows: Sequence[NodeAnalysis], measured: bool) -> tuple[str, ...]:
    wrong = {figure.name for row in rows for figure in row.figures if figure.large}
    found = []
    if wrong & {"decoded tokens", "requests"}:
        found.append(
            "how long the model writes or how often it is right is not what the workload says:"
            " `ttsc calibrate FILE --inputs dev.jsonl -o workload.toml` measures it"
        )
    if "prompt tokens" in wrong:
        found.append("prompts are not as long as estimated: a tokenizer that stands in for the model's own counts them")
    elif "cached tokens" in wrong:
        found.append("how much is cached depends on what ran on the engine before, which an estimate does not know")
    if "seconds" in wrong and not measured:
        found.append(
            "seconds are those of another machine than the engine's:"
            " `ttsc engine profile -o profile.toml` measures it, and `--profile profile.toml` takes it"
        )
    return tuple(found)
