"""Force and Cut: what a candidate has generated, longer or shorter by our own hand, and open to go on from.

Both work on one candidate or on each of a list as it comes. Nothing is decoded.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace

from ttsc.backends.protocol import Tokenizer
from ttsc.compiler.ir.nodes import Cut, Force
from ttsc.runtime.blocks import Job, guarded
from ttsc.runtime.failures import INVALID_ARGUMENT, RunFailed, failed
from ttsc.runtime.streams import LEFT_OUT, Absent, Stream, cause_of, slots_of
from ttsc.runtime.values import CandidateValue, Ids, aligned, as_candidate, ids_of_beginning, known, open_ids

Edit = Callable[[CandidateValue], CandidateValue]


def begin_force(job: Job) -> bool | None:
    """Of one candidate at once; a list has a task."""
    node = job.node
    assert isinstance(node, Force)
    source = job.there(node.source)
    if isinstance(source, Stream | list | tuple):
        return None
    text = _forcible(job.whole(node.text.id))
    job.cell.resolve(_forced(job, as_candidate(source), text))
    return True


def begin_cut(job: Job) -> bool | None:
    """The same."""
    node = job.node
    assert isinstance(node, Cut)
    source = job.there(node.source)
    if isinstance(source, Stream | list | tuple):
        return None
    job.cell.resolve(_cut(as_candidate(source), _place(job.whole(node.at.id))))
    return True


async def execute_force(job: Job, node: Force) -> None:
    text = _forcible(await job.complete(node.text))
    await _edit(job, node, lambda candidate: _forced(job, candidate, text))


async def execute_cut(job: Job, node: Cut) -> None:
    at = _place(await job.complete(node.at))
    await _edit(job, node, lambda candidate: _cut(candidate, at))


def _place(at: object) -> str | int:
    if not isinstance(at, str | int) or isinstance(at, bool) or at == "" or (isinstance(at, int) and at < 0):
        raise failed(
            INVALID_ARGUMENT, f"`cut` takes a number of tokens, 0 or more, or a text that is not empty, not {at!r}"
        )
    return at


async def _edit(job: Job, node: Force | Cut, edit: Edit) -> None:
    source = await job.value(node.source)
    assert isinstance(source, Stream | list | tuple)
    slots = slots_of(source)

    def abandon(index: int) -> None:
        stream.set(index, LEFT_OUT)
        tasks[index].cancel()
        job.use(node.source).release_element(index)

    async def produce(index: int) -> None:
        candidate = await slots[index].wait()
        stream.set(index, candidate if isinstance(candidate, Absent) else edit(as_candidate(candidate)))

    async def element(index: int) -> None:
        try:
            await guarded(produce(index))
        except RunFailed as error:
            job.run.stop_if_fatal(error)
            stream.set(index, Absent(error.failure))

    stream = Stream(len(slots), job.run.cascade, abandon, cause_of(source))
    watched = isinstance(source, Stream) and isinstance(node, Force)  # a cut candidate has fewer tokens than its source
    unwatch = source.watch(stream.advance) if watched and isinstance(source, Stream) else None
    tasks = [job.run.spawn(element(index), f"{node.result.id}[{index}]") for index in range(len(slots))]
    stream.publish(job.cell)
    if tasks:
        await asyncio.wait(tasks)
    if unwatch is not None:
        unwatch()


def _forcible(value: object) -> str | Ids:
    return value if isinstance(value, str) else _token_ids(value)


def _token_ids(value: object) -> Ids:
    ids = value if isinstance(value, list | tuple) else ()
    if not isinstance(value, list | tuple) or any(not isinstance(i, int) or isinstance(i, bool) or i < 0 for i in ids):
        raise failed(INVALID_ARGUMENT, f"`force` takes a text or a list of token ids, not {value!r}")
    return tuple(ids)


def _forced(job: Job, candidate: CandidateValue, text: str | Ids) -> CandidateValue:
    """The candidate goes on: a turn it had ended is open again."""
    tokenizer = candidate.tokenizer or job.run.tokenizer()
    added = tuple(tokenizer.encode(text)) if isinstance(text, str) else text
    kept = open_ids(candidate, tokenizer)
    ids = (*kept, *added)
    return replace(
        candidate,
        ids=ids,
        text=tokenizer.decode(ids),
        tokens=candidate.tokens + len(added),
        finish="",
        tokenizer=tokenizer,
        known_logprobs=_edited(candidate.known_logprobs, candidate.ids, len(kept), len(added)),
        known_confidences=_edited(candidate.known_confidences, candidate.ids, len(kept), len(added)),
    )


def _cut(candidate: CandidateValue, at: int | str) -> CandidateValue:
    """The beginning of what was generated. Its last turn is open, however it had ended."""
    tokenizer = candidate.tokenizer
    if tokenizer is None:
        return replace(candidate, finish="")
    ids, kept = _before(open_ids(candidate, tokenizer), at, tokenizer)
    if ids == candidate.ids:
        return replace(candidate, finish="")
    text = tokenizer.decode(ids)
    return replace(
        candidate,
        ids=ids,
        text=text,
        step=text[max(0, len(candidate.text) - len(candidate.step)) :],
        tokens=len(ids),
        finish="",
        known_logprobs=_edited(candidate.known_logprobs, candidate.ids, kept, len(ids) - kept),
        known_confidences=_edited(candidate.known_confidences, candidate.ids, kept, len(ids) - kept),
    )


def _edited(figures: tuple[float | None, ...], ids: Ids, kept: int, added: int) -> tuple[float | None, ...]:
    """Those of the first `kept` ids, and none for those that were added."""
    return known((*aligned(figures, ids)[:kept], *[None] * added))


def _before(ids: Ids, at: int | str, tokenizer: Tokenizer) -> tuple[Ids, int]:
    """The first `at` of `ids`, or those of everything before the text `at` (all if there is none); and how many of them
    are as they were: where the text begins inside a token, what is left of the token is encoded again.
    """
    if isinstance(at, int):
        return ids[:at], min(at, len(ids))
    place = tokenizer.decode(ids).find(at)
    return (ids, len(ids)) if place < 0 else ids_of_beginning(ids, place, tokenizer)
