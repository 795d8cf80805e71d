"""One run of the program: its operators. Each starts at once and gives what is still coming."""

from __future__ import annotations

import asyncio
import hashlib
import inspect
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, cast

from ttsc.backends.protocol import IMAGE, Completion, GenerateRequest, Sampling, Turn
from ttsc.compiler.values.templates import MAX_OUTPUT, TemplateFailed
from ttsc.runtime.dag import checked_edges
from ttsc.runtime.editing import _cut, _forced, _token_ids
from ttsc.runtime.failures import INVALID_ARGUMENT, LIMIT_REACHED, TEMPLATE_FAILED, failed
from ttsc.runtime.generation import _engine_options, _number, _of_grid, stop_of, stops
from ttsc.runtime.prompts import rendered
from ttsc.runtime.run import MAX_ROUNDS
from ttsc.runtime.streams import LEFT_OUT, Absent
from ttsc.runtime.values import (
    CandidateValue,
    Ids,
    add_turn,
    as_candidate,
    cut_delimiter,
    generated_ids,
    grown,
    open_ids,
    plain,
    prompt_ids,
)
from ttsc.standalone.support.coming import Coming, Task, Tasks, arrived, cause_of, release, slots_of, there, whole
from ttsc.standalone.support.server import Server

Place = tuple[int | str, ...]
"""Rounds and indices of the loops and maps around: what seeds depend on besides the name."""


class Job(Tasks):
    """A run on one input. `servers`: by model role. Lists are given as they come, everything else complete."""

    def __init__(
        self,
        servers: Mapping[str, Server],
        seed: int,
        *,
        externs: Mapping[str, Callable[..., Any]] | None = None,
        artifacts: str | None = None,
    ) -> None:
        """`externs`: the host's functions by name. `artifacts`: the folder of offline values."""
        super().__init__()
        self.servers = servers
        self.seed = seed
        self.externs = externs or {}
        self.artifacts = artifacts
        self.world = asyncio.Lock()

    # --- seeds ---

    def seed_of(self, name: str, at: Place, what: object, size: int) -> int:
        """A number that depends on where in the program it is used, never on timing."""
        offline = max((i for i, step in enumerate(at) if isinstance(step, str)), default=None)
        root: tuple[object, ...] = (self.seed, 0) if offline is None else (at[offline],)
        inner = at if offline is None else at[offline + 1 :]
        place = ":".join(map(str, (*root, name if offline is None else name.rpartition(".")[2], *inner, what)))
        return int.from_bytes(hashlib.blake2b(place.encode(), digest_size=size).digest(), "big")

    def draw_seed(self, name: str, at: Place) -> int:
        """For a node's own random numbers."""
        return self.seed_of(name, at, "draw", 8)

    # --- prompts ---

    def turn(self, parent: object, role: str, text: str) -> CandidateValue:
        """The conversation `parent` (None: a new one) and one message more."""
        if len(text) > MAX_OUTPUT:
            why = f"the text is longer than {MAX_OUTPUT} characters"
            raise failed(TEMPLATE_FAILED, f"a prompt could not be rendered: {why}")
        return add_turn(parent, Turn(cast(Any, role), text.replace(IMAGE, "\N{REPLACEMENT CHARACTER}")))

    def turn_with_images(self, parent: object, role: str, template: str, **args: object) -> CandidateValue:
        """The same, of a template that may show pictures."""
        try:
            text, images = rendered(template, {name: plain(value) for name, value in args.items()})
        except TemplateFailed as error:
            raise failed(TEMPLATE_FAILED, f"a prompt could not be rendered: {error.message}") from error
        return add_turn(parent, Turn(cast(Any, role), text), images)

    # --- candidates ---

    def generate(
        self,
        name: str,
        source: object,
        count: object = 1,
        *,
        role: str,
        at: Place = (),
        uses: int = 0,
        delimiter: str = "keep",
        finished: str = "continue",
        schema: str | None = None,
        logprobs: bool = False,
        confident: Any = None,
        stream: bool = False,
        warm: bool = False,
        gated: bool = False,
        **options: object,
    ) -> Coming:
        """`count` continuations of each source, in order. An option that is a list gives continuation i its element i.

        `delimiter`: whether `until` stays in the text. `finished`: what becomes of a source that has ended by itself.
        `stream`: somebody watches the tokens. `warm`: wait for a request that warms a prefix they share.
        `gated`: a continuation is begun only when a selection demands it.
        """
        each = whole_number(count, "the number of candidates")
        server = self.servers[role]
        sources = source if isinstance(source, Coming | list | tuple) else (source,)
        slots = slots_of(sources)
        left = [each] * len(slots)
        top = confident.top if confident else 0

        async def produce(index: int) -> object:
            parent = await there(slots[index // each])
            if isinstance(parent, Absent):
                return parent
            candidate = as_candidate(parent)
            if candidate.finished and finished != "continue":
                keeps = finished == "freeze" and index % each == 0
                return replace(candidate, index=index) if keeps else LEFT_OUT
            coming.advance(index, candidate.tokens)
            sampling = self._sampling(options, index % each, schema, self.seed_of(name, at, index, 4) & 0x7FFF_FFFF)
            before = (open_ids if candidate.finished else generated_ids)(candidate, server.tokenizer)
            prompt = (*prompt_ids(candidate.context, server.tokenizer), *before)
            server.room_for(len(prompt), sampling.max_tokens)
            asks = confident.of(index % each) if confident else None
            streams = stream or (asks is not None and asks.streams)
            every = asks.every if asks is not None else 1
            images = candidate.context.images
            answer = await self.request(
                server,
                lambda rid: GenerateRequest(rid, prompt, sampling, streams, logprobs, top, images, every=every),
                warm,
                lambda tokens: coming.advance(index, candidate.tokens + tokens),
                asks,
            )
            return continued(candidate, before, answer, sampling, server, role, index, delimiter)

        def ended(index: int) -> None:
            left[index // each] -= 1
            if left[index // each] == 0:
                release(sources, index // each)

        coming = Coming(self, len(slots) * each, produce, uses=uses, cause=cause_of(source), ended=ended, gated=gated)
        return coming

    async def ask(
        self, server: Server, path: str, body: dict[str, Any], read: Callable[[dict[str, Any]], Any], tokens: int
    ) -> Any:
        """What a server computes on `tokens` tokens without decoding."""
        return await server.ask(path, body, read)

    async def may_begin(self) -> None:
        """Raise if nothing may begin any more."""

    async def in_time(self, work: Coroutine[Any, Any, Any]) -> Any:
        """What `work` gives."""
        return await work

    async def request(
        self,
        server: Server,
        make: Callable[[str], GenerateRequest],
        warm: bool,
        on_tokens: Callable[[int], None],
        confident: Any = None,
    ) -> Completion:
        """One sequence, decoded."""
        return await server.generate(make, warm, on_tokens, confident)

    def _sampling(self, options: Mapping[str, object], place: int, schema: str | None, seed: int) -> Sampling:
        chosen = {name: one for name, value in options.items() if (one := _of_grid(value, place)) is not None}
        most = chosen.get("max_tokens", 1024)
        if not isinstance(most, int) or isinstance(most, bool) or most < 1:
            raise failed(INVALID_ARGUMENT, f"max_tokens must be a positive whole number; it is {most!r}")
        return Sampling(
            max_tokens=most,
            temperature=_number(chosen, "temperature", 1.0),
            top_p=_number(chosen, "top_p", 1.0),
            top_k=int(_number(chosen, "top_k", -1)),
            min_p=_number(chosen, "min_p", 0.0),
            stop=stops(options.get("until"), place),
            seed=seed,
            schema=schema,
            extra=_engine_options(chosen.get("engine")),
        )

    def force(self, source: object, text: object, *, uses: int = 0) -> object:
        """`text` (or token ids) after what each candidate has generated, as if the model had said it."""
        added = text if isinstance(text, str) else _token_ids(text)
        tokenizer = next(iter(self.servers.values())).tokenizer

        def edit(candidate: CandidateValue) -> CandidateValue:
            if candidate.tokenizer is None:
                candidate = replace(candidate, tokenizer=tokenizer)
            return _forced(cast(Any, self), candidate, added)

        return self._edited(source, edit, uses)

    def cut(self, source: object, place: object, *, uses: int = 0) -> object:
        """The beginning of what each candidate has generated: so many tokens, or what stands before a text."""
        if not isinstance(place, str | int) or isinstance(place, bool) or place == "" or place == -1:
            raise failed(INVALID_ARGUMENT, f"`cut` takes a number of tokens or a text that is not empty, not {place!r}")
        return self._edited(source, lambda candidate: _cut(candidate, place), uses)

    def _edited(self, source: object, edit: Callable[[CandidateValue], CandidateValue], uses: int) -> object:
        if not isinstance(source, Coming | list | tuple):
            return edit(as_candidate(source))
        slots = slots_of(source)

        async def produce(index: int) -> object:
            candidate = await there(slots[index])
            return candidate if isinstance(candidate, Absent) else edit(as_candidate(candidate))

        return Coming(self, len(slots), produce, uses=uses, cause=cause_of(source), ended=lambda i: release(source, i))

    # --- lists ---

    def map(
        self, over: object, body: Callable[..., Any], *, at: Place | None = None, uses: int = 0, keeps: bool = False
    ) -> Coming:
        """What `body` gives for each element, each as soon as its element is there. With `at` the body gets its place.

        `keeps`: the body reads the list itself, too, so no element of it is released.
        """
        return self._each(over, body, at, uses, keeps, lambda element, value: value)

    def filter(
        self, over: object, body: Callable[..., Any], *, at: Place | None = None, uses: int = 0, keeps: bool = False
    ) -> Coming:
        """The elements for which `body` gives true."""
        coming = self._each(over, body, at, uses, keeps, lambda element, value: element if value is True else LEFT_OUT)
        if isinstance(over, Coming):
            coming.tokens[:] = over.tokens
            over.watchers.append(coming.advance)
        return coming

    def _each(
        self,
        over: object,
        body: Callable[..., Any],
        at: Place | None,
        uses: int,
        keeps: bool,
        outcome: Callable[[object, object], object],
    ) -> Coming:
        slots = slots_of(over, demand=False)

        async def produce(index: int) -> object:
            element = await there(slots[index])
            if isinstance(element, Absent):
                return element
            value = body(element) if at is None else body(element, (*at, index))
            return outcome(element, await whole(await value if inspect.isawaitable(value) else value))

        ended = (lambda index: None) if keeps else lambda index: release(over, index)
        return Coming(self, len(slots), produce, uses=uses, cause=cause_of(over), ended=ended, source=over)

    async def dag(
        self, over: object, needs: object, body: Callable[..., Any], *, drop: bool = False, at: Place = ()
    ) -> Coming:
        """What `body` gives for each element, given what those it needs gave."""
        slots = slots_of(over)
        wanted = [await there(slot) for slot in slots_of(needs)]
        if len(wanted) != len(slots):
            over = await whole(over)
            slots = slots_of(over)
            wanted = [each for each in wanted if not isinstance(each, Absent)]
            if len(wanted) != len(slots):
                counts = f"{len(slots)} elements, but what is needed of {len(wanted)} of them"
                raise failed(INVALID_ARGUMENT, f"`dag` got {counts}")
        edges = checked_edges([() if isinstance(each, Absent) else each for each in wanted], drop)

        async def produce(index: int) -> object:
            if isinstance(wanted[index], Absent):
                return wanted[index]
            element = await there(slots[index])
            found = [await there(coming.slots[other]) for other in edges[index]]
            absent = next((each for each in (element, *found) if isinstance(each, Absent)), None)
            if absent is not None:
                return absent
            value = body(element, tuple(found), (*at, index))
            return await whole(await value if inspect.isawaitable(value) else value)

        coming = Coming(self, len(slots), produce, cause=cause_of(over))
        return coming

    # --- control ---

    async def repeat(
        self,
        limit: object,
        body: Callable[..., Coroutine[Any, Any, tuple[Sequence[Any], Any]]],
        carried: Sequence[Any],
        *,
        at: Place = (),
    ) -> Sequence[Any]:
        """`body` at most `limit` times. It is given what is carried and its place, and gives what is carried on, and
        whether to stop. A round may begin before all that it is given is there.
        """
        for number in rounds(limit):
            carried, stop = await body(*carried, (*at, number))
            if await whole(stop) is True:
                break
        return carried

    def parts(self, work: Coroutine[Any, Any, Sequence[Any]], count: int) -> list[Task]:
        """Start work that gives `count` values, each of which may still be coming."""
        task = self.later(work)

        async def part(place: int) -> Any:
            return await arrived((await there(task))[place])

        return [self.later(part(place)) for place in range(count)]


def continued(
    source: CandidateValue,
    before: Ids,
    answer: Completion,
    sampling: Sampling,
    server: Server,
    role: str,
    index: int,
    delimiter: str,
) -> CandidateValue:
    """The candidate that an answer makes of its source."""
    new, as_decoded = answer.output_ids, len(answer.output_ids)
    if answer.finish == "stop" and delimiter == "drop":
        new, as_decoded = cut_delimiter(new, stop_of(answer.matched, sampling.stop), server.tokenizer)
    ids = (*before, *new)
    sizes = (as_decoded, len(ids))
    return CandidateValue(
        context=source.context,
        ids=ids,
        text=server.tokenizer.decode(ids),
        tokens=source.tokens + len(answer.output_ids),
        finish=answer.finish,
        model=role,
        index=index,
        tokenizer=server.tokenizer,
        temperature=sampling.temperature,
        step=server.tokenizer.decode(new),
        known_logprobs=grown(source.known_logprobs, source.ids, before, answer.logprobs or (), *sizes),
        known_confidences=grown(source.known_confidences, source.ids, before, answer.confidences or (), *sizes),
    )


def rounds(limit: object) -> Iterator[int]:
    """The numbers of a loop's rounds. Raises a failure for one too many."""
    if not isinstance(limit, int) or isinstance(limit, bool):
        raise failed(INVALID_ARGUMENT, f"the limit of a repeat must be a whole number; it is {limit!r}")
    for number in range(max(0, limit)):
        if number >= MAX_ROUNDS:
            what = f"a repeat went on for {MAX_ROUNDS} rounds (its limit is {limit})"
            raise failed(LIMIT_REACHED, what, "lower the limit or let it stop earlier")
        yield number


def whole_number(value: object, what: str) -> int:
    """A count. Raises a failure that names it."""
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise failed(INVALID_ARGUMENT, f"{what} must be a whole number, 0 or more; it is {value!r}")
    return value
