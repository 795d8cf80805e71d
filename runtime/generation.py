"""Generate: candidates from contexts and candidates.

Element i * count + j is the j-th continuation of source i. Each element waits for its source only, so a step of one
beam does not wait for the other beams; it goes on in the moment its source or its answer arrives, and costs no task. An
element that nobody needs any more is aborted on the engine; one of a request that the plan says must not be aborted
runs to its end. An option that is a list is a grid: the j-th continuation of each source takes its element j, from the
start again where it is shorter.

In waves, an element begins when it is demanded ("gated"), or at once, but after what is needed for sure until it is
demanded ("ranked").
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from functools import partial

from ttsc.backends.protocol import Completion, ContextTooLong, Sampling
from ttsc.compiler.ir.nodes import Generate
from ttsc.compiler.plan.nodes import Request
from ttsc.runtime.bars import DEFAULT_TOP, DEFAULT_WINDOW, Bar
from ttsc.runtime.blocks import Job, as_failure, whole_number
from ttsc.runtime.failures import INVALID_ARGUMENT, engine_failure, failed
from ttsc.runtime.flights import Ticket
from ttsc.runtime.leases import Promise
from ttsc.runtime.records import Flying, Site
from ttsc.runtime.streams import LEFT_OUT, Absent, Stream, cause_of, slots_of
from ttsc.runtime.values import (
    CandidateValue,
    Ids,
    as_candidate,
    cut_delimiter,
    generated_ids,
    grown,
    open_ids,
    prompt_ids,
)
from ttsc.runtime.work import Decoding

DEFAULT_MAX_TOKENS = 1024
"""For a node that says nothing; programs always do."""


class Generation:
    """One Generate node while it runs."""

    def __init__(self, job: Job, node: Generate, count: int, options: dict[str, object], source: object) -> None:
        self._job = job
        self._run = job.run
        self._node = node
        self._lane = job.run.lane(node.model)
        self._tokenizer = self._lane.engine.tokenizer
        self._request: Request | None = job.run.requests.get(node.result.id)
        self._options = options
        self._top = top_of(options.get("top_logprobs")) if node.confidences else 0
        self._grid = any(isinstance(value, list | tuple) for value in options.values())
        self._count = count
        self._slots = slots_of(source if isinstance(source, Stream | list | tuple) else (source,))
        self._left = [count] * len(self._slots)
        self._samplings: dict[int, Sampling] = {}
        """Per element of a grid: the sampling without its seed."""
        self._prompts: dict[int, tuple[Ids, Ids]] = {}
        """Per source: the whole prompt, and its part that the candidate generated."""
        length = len(self._slots) * count
        waves = node.waves if job.run.cascade.enabled else ""
        self._ranked = waves == "ranked"
        self._promoted = 0
        self.stream = Stream(length, job.run.cascade, self._abandon, cause_of(source), self._demanded)
        self._flights: dict[int, Flying] = {}
        self._started = bytearray(length)
        """Which elements have begun: one that a plan says must not be aborted goes on from there."""
        self._begun = 0
        """How many elements, from the first on, have begun, or were needed by nobody when it was their turn."""
        self._open = length
        """How many elements have no outcome. One that never begins is abandoned some time."""
        self._begin(0 if waves == "gated" else length)

    def _begin(self, upto: int) -> None:
        begun, self._begun = self._begun, max(self._begun, upto)
        pending = [index for index in range(begun, upto) if not self.stream.slot(index).done]
        if pending:
            self._started[begun:upto] = b"\x01" * (upto - begun)
            asyncio.get_running_loop().call_soon(self._start, pending)

    def _start(self, indices: list[int]) -> None:
        for index in indices:
            self._slots[index // self._count].on_done(partial(self._sourced, index))

    def _demanded(self, upto: int) -> None:
        self._begin(upto)
        for index in range(self._promoted, upto):
            flight = self._flights.get(index)
            if flight is not None:
                self._job.promote(flight)
        self._promoted = upto

    def _abandon(self, index: int) -> None:
        if self._started[index] and self._request is not None and not self._request.abortable:
            return
        flight = self._flights.get(index)
        self._set(index, LEFT_OUT)
        if flight is not None:
            flight.abandon()

    def _set(self, index: int, outcome: object) -> None:
        """The outcome of an element; the first counts."""
        if not self.stream.slot(index).done:
            self.stream.set(index, outcome)
            self._release_source(index)
            self._open -= 1
            if not self._open:
                self._finish()

    def _finish(self) -> None:
        self.stream.close()
        self._flights.clear()
        self._job.release()
        self._run.shut(self)

    def _release_source(self, index: int) -> None:
        source = index // self._count
        self._left[source] -= 1
        if self._left[source] == 0:
            self._job.use(self._node.source).release_element(source)

    def _over(self, index: int) -> bool:
        """Whether nothing is to be done for an element any more."""
        return self._run.cancelled or self.stream.slot(index).done

    def _fail(self, index: int, error: Exception) -> None:
        failure = as_failure(error)
        self._run.stop_if_fatal(failure)
        self._set(index, Absent(failure.failure))

    def _sourced(self, index: int, source: Promise) -> None:
        """What the element continues is there."""
        if self._over(index):
            return
        try:
            self._ask(index, source)
        except Exception as error:
            self._fail(index, error)

    def _ask(self, index: int, source: Promise) -> None:
        if source.error is not None:
            raise source.error
        if isinstance(source.value, Absent):
            self._set(index, source.value)
            return
        candidate = as_candidate(source.value)
        if candidate.finished and self._node.finished != "continue":
            kept = self._node.finished == "freeze" and index % self._count == 0
            self._set(index, replace(candidate, index=index) if kept else LEFT_OUT)
            return
        prompt, generated = self._prompt(index // self._count, candidate)
        self.stream.advance(index, candidate.tokens)
        sampling = self._sampling(index)
        self._check_room(prompt, sampling)
        flight = self._job.fly(self._lane, self._ticket(index, candidate, prompt, sampling))
        if self._over(index):
            flight.abandon()
            return
        self._flights[index] = flight
        flight.outcome.on_done(partial(self._answered, index, candidate, generated, sampling))

    def _answered(
        self, index: int, candidate: CandidateValue, generated: Ids, sampling: Sampling, answer: Promise
    ) -> None:
        if self._over(index):
            return
        try:
            if answer.error is not None:
                raise answer.error
            assert isinstance(answer.value, Completion)
            self._set(index, self._candidate(index, candidate, generated, answer.value, sampling))
        except Exception as error:
            self._fail(index, error)

    def _prompt(self, source: int, candidate: CandidateValue) -> tuple[Ids, Ids]:
        """The prompt, and its part that the candidate generated: the same tuples for all its continuations."""
        if source not in self._prompts:
            pick = open_ids if candidate.finished else generated_ids
            generated = pick(candidate, self._tokenizer)
            context = prompt_ids(candidate.context, self._tokenizer)
            self._prompts[source] = ((*context, *generated) if generated else context, generated)
        return self._prompts[source]

    def _check_room(self, prompt: Ids, sampling: Sampling) -> None:
        room = self._lane.engine.info.context_tokens
        if len(prompt) + sampling.max_tokens > room:
            raise engine_failure(
                ContextTooLong(
                    f"a prompt of {len(prompt)} tokens and max_tokens={sampling.max_tokens} exceed the context of "
                    f"{room} tokens of {self._lane.engine.info.model}",
                    "lower max_tokens or shorten the prompt",
                )
            )

    def _ticket(self, index: int, candidate: CandidateValue, prompt: Ids, sampling: Sampling) -> Ticket:
        node, request = self._node, self._request
        base = candidate.context.base
        lineage = candidate.requests or (base.requests if base is not None else ())
        return Ticket(
            node=node.result.id,
            op=node.op,
            role=node.model,
            index=index,
            input_index=self._run.input_index,
            ids=prompt,
            work=Decoding(
                sampling,
                stream=node.stream if request is None else request.stream,
                logprobs=node.logprobs,
                images=candidate.context.images,
                confidences=self._top,
                bar=self._bar(index % self._count if self._grid else 0),
            ),
            share_prefix=node.share_prefix if request is None else request.share_prefix,
            parent=lineage[-1] if lineage else None,
            emit=self._run.emit,
            on_tokens=lambda tokens: self.stream.advance(index, candidate.tokens + tokens),
            starting=self._run.starting,
            site=Site(node.result.id, self._job.scope.path, index),
            speculative=self._ranked and index >= self.stream.demanded,
            critical=0 if request is None else request.critical,
        )

    def _sampling(self, index: int) -> Sampling:
        """Its sampling. What its options say is worked out once for all continuations with the same options."""
        place = index % self._count if self._grid else 0
        known = self._samplings.get(place)
        if known is None:
            known = self._samplings[place] = self._sampling_of(place)
        return _seeded(known, self._run.request_seed(self._node.result.id, self._job.scope.path, index))

    def _bar(self, place: int) -> Bar | None:
        return bar_of(*(_of_grid(self._options.get(name), place) for name in ("stop_below", "window")))

    def _sampling_of(self, place: int) -> Sampling:
        options = {name: each for name, value in self._options.items() if (each := _of_grid(value, place)) is not None}
        max_tokens = options.get("max_tokens", DEFAULT_MAX_TOKENS)
        if not isinstance(max_tokens, int) or isinstance(max_tokens, bool) or max_tokens < 1:
            raise failed(INVALID_ARGUMENT, f"max_tokens must be a positive whole number; it is {max_tokens!r}")
        return Sampling(
            max_tokens=max_tokens,
            temperature=_number(options, "temperature", 1.0),
            top_p=_number(options, "top_p", 1.0),
            top_k=int(_number(options, "top_k", -1)),
            min_p=_number(options, "min_p", 0.0),
            stop=stops(self._options.get("until"), place),
            schema=self._node.schema or None,
            extra=_engine_options(options.get("engine")),
        )

    def _candidate(
        self, index: int, source: CandidateValue, before: Ids, completion: Completion, sampling: Sampling
    ) -> CandidateValue:
        new_ids, as_decoded = completion.output_ids, len(completion.output_ids)
        if completion.finish == "stop" and self._node.delimiter == "drop":
            delimiter = stop_of(completion.matched, sampling.stop)
            new_ids, as_decoded = cut_delimiter(new_ids, delimiter, self._tokenizer)
        ids = (*before, *new_ids) if before else new_ids
        step, sizes = self._tokenizer.decode(new_ids), (as_decoded, len(ids))
        return CandidateValue(
            context=source.context,
            ids=ids,
            text=self._tokenizer.decode(ids) if before else step,
            tokens=source.tokens + len(completion.output_ids),
            finish=completion.finish,
            model=self._node.model,
            index=index,
            requests=(*source.requests, completion.request_id),
            tokenizer=self._tokenizer,
            temperature=sampling.temperature,
            step=step,
            known_logprobs=grown(source.known_logprobs, source.ids, before, completion.logprobs or (), *sizes),
            known_confidences=grown(source.known_confidences, source.ids, before, completion.confidences or (), *sizes),
        )


def _seeded(sampling: Sampling, seed: int) -> Sampling:
    """`dataclasses.replace` takes several times as long, and this is done for every request."""
    return Sampling(
        sampling.max_tokens,
        sampling.temperature,
        sampling.top_p,
        sampling.top_k,
        sampling.min_p,
        sampling.stop,
        seed,
        sampling.ignore_eos,
        sampling.schema,
        sampling.extra,
    )


def _of_grid(value: object, place: int) -> object:
    """The option of one continuation: an element of a list, or the same value for all."""
    if not isinstance(value, list | tuple):
        return value
    if not value:
        raise failed(INVALID_ARGUMENT, "an option that is a list needs at least one element")
    return value[place % len(value)]


def stops(until: object, place: int) -> tuple[str, ...]:
    """The texts that end one continuation: one, any of a list of them, or what a list of lists gives it."""
    if isinstance(until, list | tuple) and any(isinstance(each, list | tuple) for each in until):
        until = until[place % len(until)]
    found = tuple(until) if isinstance(until, list | tuple) else () if until is None else (until,)
    if until is not None and (not found or not all(isinstance(each, str) and each for each in found)):
        raise failed(INVALID_ARGUMENT, f"until must be a text that is not empty, or a list of these; it is {until!r}")
    return found


def stop_of(matched: object, given: tuple[str, ...]) -> str:
    """The text that ended a continuation."""
    return matched if isinstance(matched, str) else given[0]


def bar_of(below: object, window: object) -> Bar | None:
    """The bar of one continuation."""
    if below is None:
        return None
    if not isinstance(below, int | float) or isinstance(below, bool):
        raise failed(INVALID_ARGUMENT, f"stop_below must be a number; it is {below!r}")
    size = DEFAULT_WINDOW if window is None else window
    if not isinstance(size, int) or isinstance(size, bool) or size < 1:
        raise failed(INVALID_ARGUMENT, f"window must be a positive whole number; it is {size!r}")
    return Bar(float(below), size)


def top_of(given: object) -> int:
    """Of how many most probable tokens a confidence is made."""
    most = DEFAULT_TOP if given is None else given
    if not isinstance(most, int) or isinstance(most, bool) or most < 1:
        raise failed(INVALID_ARGUMENT, f"top_logprobs must be a positive whole number; it is {most!r}")
    return most


def _number(options: Mapping[str, object], name: str, default: float) -> float:
    value = options.get(name, default)
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise failed(INVALID_ARGUMENT, f"{name} must be a number; it is {value!r}")
    return float(value)


def _engine_options(record: object) -> tuple[tuple[str, str | int | float | bool], ...]:
    """The engine's own options from a record; a field that is none is left to the engine."""
    if record is None:
        return ()
    if not isinstance(record, Mapping):
        raise failed(INVALID_ARGUMENT, f"engine must be a record of the engine's options; it is {record!r}")
    given = [(str(name), value) for name, value in record.items() if value is not None]
    for name, value in given:
        if not isinstance(value, str | int | float | bool):
            raise failed(INVALID_ARGUMENT, f"the engine option {name} must be a text, a number or a bool")
    return tuple(given)


def begin_generate(job: Job) -> bool:
    """Ask for what can be asked for. What remains goes on when something arrives."""
    node = job.node
    assert isinstance(node, Generate)
    count = whole_number(job.whole(node.count.id), "the number of candidates")
    options = {name: job.whole(value.id) for name, value in node.options}
    request = job.run.requests.get(node.result.id)
    if request is not None:
        options.update(request.fixed)
        for name, value_id in request.dynamic:
            options[name] = job.whole(value_id)
    generation = Generation(job, node, count, options, job.there(node.source))
    if generation.stream.length:
        job.run.open(generation)
    generation.stream.publish(job.cell)
    return not generation.stream.length
