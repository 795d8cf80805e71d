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
    """Of a request: its tokens, those that the first one of an input computes, and those that each other one does,
    which finds in the cache what it shares with the first.
    """

    tokens: float
    computed: float
    others: float = 1.0


@dataclass(frozen=True, slots=True)
class Timing:
    counts: Counts
    seconds: float


def raced(machine: Machine, prompt: Prompt, lengths: Lengths, n: int, finished: Sequence[float]) -> Timing:
    """A pool of n that ends once some have finished: `finished`: P(it is i + 1 of them); the others are stopped."""
    seconds, decoded, reads = _marks(machine, prompt, lengths, n)
    tokens = max(1, round(prompt.tokens))
    begun = machine.steps.prefill([_chunk(tokens, prompt.computed)])
    if n > 1:
        begun += machine.steps.prefill([_chunk(tokens, prompt.others)] * (n - 1))
    overheads = machine.overheads
    serial = overheads.post_s + n * overheads.request_s + overheads.round_trip_s + overheads.answer_s
    total_decoded = _dot(decoded, finished)
    counts = Counts(
        requests=n,
        prompt_tokens=n * prompt.tokens,
        cached_tokens=n * prompt.tokens - prompt.computed - (n - 1) * prompt.others,
        decoded_tokens=total_decoded,
        decode_reads=_dot(reads, finished),
        prefill_pairs=_pairs(prompt.tokens, prompt.computed) + (n - 1) * _pairs(prompt.tokens, prompt.others),
    )
    return Timing(counts, serial + begun + _dot(seconds, finished))


def judged(machine: Machine, prompt: Prompt, lengths: Lengths, asked: float) -> Timing:
    """`asked` requests, each as soon as its candidate is there: their prompts are computed while others decode, and
    what comes after the last candidate is one request. No length: a reward, which is not decoded.
    """
    tokens = max(1, round(prompt.tokens))
    more = max(0.0, asked - 1)
    computing = machine.steps.prefill([_chunk(tokens, prompt.computed)])
    computing += more * machine.steps.prefill([_chunk(tokens, prompt.others)])
    mean = lengths.mean
    steps = max(0.0, mean - 1)
    step = machine.steps.decode(1)
    decoding = steps * step.seconds(prompt.tokens + mean / 2) if mean else 0.0
    overheads = machine.overheads
    serial = asked * (overheads.post_s + overheads.request_s + overheads.answer_s) + overheads.round_trip_s
    counts = Counts(
        requests=asked,
        prompt_tokens=asked * prompt.tokens,
        cached_tokens=asked * prompt.tokens - min(1.0, asked) * prompt.computed - more * prompt.others,
        decoded_tokens=asked * mean,
        decode_reads=asked * (steps * prompt.tokens + steps * (steps + 1) / 2),
        prefill_pairs=_pairs(prompt.tokens, prompt.computed) + more * _pairs(prompt.tokens, prompt.others),
    )
    return Timing(counts, serial + computing + decoding)


def _chunk(tokens: int, computed: float) -> Chunk:
    new = min(tokens, max(1, round(computed)))
    return Chunk(new, tokens - new)


def _pairs(tokens: float, computed: float) -> float:
    """(token, context token) pairs of the last `computed` tokens of a prompt."""
    return computed * (tokens - (computed - 1) / 2)


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
