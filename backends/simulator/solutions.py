"""Solutions of simulated models: whole, step by step, what is missing of one that was cut off, and revisions."""

from __future__ import annotations

import math

from ttsc.backends.simulator.case import Case
from ttsc.backends.simulator.latents import Latent, last_step, step_survival
from ttsc.backends.simulator.outcomes import Decoded
from ttsc.backends.simulator.tokenizer import spelled
from ttsc.backends.simulator.writing import filler, settled, steps
from ttsc.compiler.cost.distributions import Lengths

UNKNOWN_STEPS = Lengths((2, 3, 4, 5))
"""Of a solution written step by step, where the workload does not say."""
DELIMITER = "\n\n"
"""Between steps that nobody asked to stop at."""


def solution(case: Case, closing: int) -> list[int]:
    """All of a solution, or what is missing of it, without the `closing` tokens that end it."""
    body = case.tokens - closing
    prior = case.prior()
    if prior is None:
        right = case.chance.random() < case.accuracy
        return _written(case, 0, _planned(case, 0), right, None, body)
    if case.revised():
        right = case.revise(prior)
        first = prior.step + 1 if case.seen.marks else 0
        return _written(case, first, _planned(case, 0), right, None if right else prior, body)
    begun = case.begun(prior.rank)
    if begun is not None:
        return begun
    if case.cut_off():
        lengths, done = case.writing.tokens, case.seen.written
        longer = lengths.draw_beyond(done, case.chance)
        end = case.answer(prior.rank)
        rest = (longer - done - closing if longer is not None else 0) - len(end)
        return [*filler(prior.chance + done, rest), *end]
    first = prior.step + 1
    count = _planned(case, first)
    survives = step_survival(_lengths(case), case.accuracy) ** count
    right = prior.right and case.chance.random() < survives
    return _written(case, first, count, right, None if prior.right else prior, body)


def _written(case: Case, first: int, count: int, right: bool, wrong: Latent | None, tokens: int) -> list[int]:
    """`count` steps from the one numbered `first` on. `wrong`: an earlier latent whose wrong answer stays."""
    delimiter = spelled(_delimiter(case))
    rank = 0 if right else (wrong.rank if wrong is not None and wrong.rank else case.wrong())
    end = case.answer(rank)
    count = max(1, min(count, (tokens - len(end)) // (len(delimiter) + 3)))
    error = count if right else 0 if wrong is not None else _first_error(case, count)
    latents = [case.new(place < error, rank, first + place) for place in range(count)]
    return steps(latents, tokens, delimiter, end)


def _planned(case: Case, done: int) -> int:
    """How many steps the rest of a solution has; one if solutions of its kind have none."""
    if case.writing.steps is None:
        return 1
    drawn = case.writing.steps.draw_beyond(done, case.chance)
    return 1 if drawn is None else drawn - done


def _first_error(case: Case, count: int) -> int:
    """Which of `count` steps goes wrong first, given that one does."""
    survival = step_survival(_lengths(case), case.accuracy)
    if survival >= 1:
        return case.chance.randrange(count)
    if survival <= 0:
        return 0
    share = case.chance.random() * (1 - survival**count)
    return min(count - 1, int(math.log1p(-share) / math.log(survival)))


def step(case: Case) -> Decoded:
    """One step up to the delimiter, or the last one."""
    sampling, seen, lengths = case.request.sampling, case.seen, _lengths(case)
    prior = seen.marks[-1] if seen.marks else None
    delimiter = next(stop for stop in sampling.stop if stop.isspace())
    continued = prior is not None and not case.revised()
    begun = case.begun(prior.rank) if prior is not None and continued else None
    if begun is not None:
        return settled(begun, sampling, True)
    if prior is not None and continued and case.cut_off():
        done = len(seen.tail) + 1
        longer = case.writing.tokens.draw_beyond(done, case.chance)
        tokens = 1 if longer is None else longer - done
        latent, ids = prior, []
    else:
        latent = _next_step(case, prior)
        tokens, ids = case.tokens - 1, [latent.mark()]
    last = latent.share < last_step(lengths, latent.step)
    end = case.answer(latent.rank) if last else spelled(delimiter)
    ids += filler(latent.chance + len(seen.tail), tokens - len(end) - last)
    return settled([*ids, *end], sampling, last)


def _next_step(case: Case, prior: Latent | None) -> Latent:
    survival = step_survival(_lengths(case), case.accuracy)
    if prior is None:
        prior = case.prior()
        fine = case.chance.random() < survival if prior is None else case.revise(prior)
        step = 0
    else:
        step = prior.step + 1
        if case.revised():
            fine = case.revise(prior)
        else:
            fine = prior.right and case.chance.random() < survival
    kept = prior.rank if prior is not None and prior.rank else case.wrong()
    return case.new(fine, 0 if fine else kept, step)


def _lengths(case: Case) -> Lengths:
    return case.writing.steps or UNKNOWN_STEPS


def _delimiter(case: Case) -> str:
    return next((stop for stop in case.request.sampling.stop if stop.isspace()), DELIMITER)
