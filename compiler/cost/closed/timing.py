"""Seconds and counts of a pool of generations, by the step times of a machine.

A pool's prompt is computed once and found by the others. Sequences decode together and get fewer as they finish, at the
order statistics of their lengths; expectations of products are taken as products of expectations.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ttsc.compiler.cost.closed.racing import order_statistics
from ttsc.compiler.cost.counts import Counts
from ttsc.compiler.cost.distributions import Lengths
from ttsc.compiler.cost.steps import Chunk, Machine


@dataclass(frozen=True, slots=True)
class Prompt:
    """Of a request: its tokens, and those of the first one in an input that are not in the cache."""

    tokens: float
    computed: float


@dataclass(frozen=True, slots=True)
class Timing:
    counts: Counts
    seconds: float


def raced(machine: Machine, prompt: Prompt, lengths: Lengths, n: int, finished: Sequence[float]) -> Timing:
    """A pool of n that ends once some have finished: `finished`: P(it is i + 1 of them); the others are stopped."""
    seconds, decoded, reads = _marks(machine, prompt, lengths, n)
    tokens = max(1, round(prompt.tokens))
    new = min(tokens, max(1, round(prompt.computed)))
    begun = machine.steps.prefill([Chunk(new, tokens - new)])
    if n > 1:
        begun += machine.steps.prefill([Chunk(1, tokens - 1)] * (n - 1))
    overheads = machine.overheads
    serial = overheads.post_s + n * overheads.request_s + overheads.round_trip_s + overheads.answer_s
    total_decoded = _dot(decoded, finished)
    counts = Counts(
        requests=n,
        prompt_tokens=n * prompt.tokens,
        cached_tokens=n * prompt.tokens - prompt.computed - (n - 1),
        decoded_tokens=total_decoded,
        decode_reads=_dot(reads, finished),
        prefill_pairs=prompt.computed * (prompt.tokens - (prompt.computed - 1) / 2) + (n - 1) * prompt.tokens,
    )
    return Timing(counts, serial + begun + _dot(seconds, finished))


def judged(machine: Machine, prompt: Prompt, lengths: Lengths, asked: float) -> Timing:
    """`asked` requests, each as soon as its candidate is there: their prompts are computed while others decode, and
    what comes after the last candidate is one request. No length: a reward, which is not decoded.
    """
    tokens = max(1, round(prompt.tokens))
    new = min(tokens, max(1, round(prompt.computed)))
    computing = machine.steps.prefill([Chunk(new, tokens - new)])
    mean = lengths.mean
    steps = max(0.0, mean - 1)
    step = machine.steps.decode(1)
    decoding = steps * step.seconds(prompt.tokens + mean / 2) if mean else 0.0
    overheads = machine.overheads
    serial = asked * (overheads.post_s + overheads.request_s + overheads.answer_s) + overheads.round_trip_s
    counts = Counts(
        requests=asked,
        prompt_tokens=asked * prompt.tokens,
        cached_tokens=asked * (prompt.tokens - prompt.computed),
        decoded_tokens=asked * mean,
        decode_reads=asked * (steps * prompt.tokens + steps * (steps + 1) / 2),
        prefill_pairs=asked * prompt.computed * (prompt.tokens - (prompt.computed - 1) / 2),
    )
    return Timing(counts, serial + max(1.0, asked) * computing + decoding)


def _marks(
    machine: Machine, prompt: Prompt, lengths: Lengths, n: int
) -> tuple[tuple[float, ...], tuple[float, ...], tuple[float, ...]]:
    """When the first, second, ... of n has finished: seconds of decoding, tokens decoded, and (token, context token)
    pairs read so far. More than the machine runs at once take turns.
    """
    running = max(1, machine.limits.running)
    turns = max(1.0, n / running)
    seconds = decoded = reads = reached = 0.0
    marks: list[tuple[float, float, float]] = []
    for rank, length in enumerate(order_statistics(lengths, n)):
        rows = n - rank
        steps = max(0.0, length - reached)
        at_once = max(1, min(running, rows))
        step = machine.steps.decode(at_once)
        context = prompt.tokens + reached + steps / 2
        seconds += (
            turns * steps * step.seconds(at_once * context) if rows > running else steps * step.seconds(rows * context)
        )
        decoded += rows * steps
        reads += rows * steps * context
        reached = max(reached, length)
        marks.append((seconds, decoded, reads))
    return tuple(m[0] for m in marks), tuple(m[1] for m in marks), tuple(m[2] for m in marks)


def _dot(values: Sequence[float], chances: Sequence[float]) -> float:
    return float(sum(value * chance for value, chance in zip(values, chances, strict=True)))
