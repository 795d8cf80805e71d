"""What is asked of an engine to profile it, in four parts: decode steps, prefill batches, requests, reported tokens.

Decode: sequences that share a cached prompt decode to two lengths; the difference is steps and nothing else. Prefill:
prompts cold and behind a cached one, alone and several in a batch, timed by the scheduler itself. Requests: a small
program that asks for one token each, so that prompts, client, HTTP and server are all in it. Prompts are random ids:
nothing of them is in the server's cache by chance, and the cache need not be emptied.
"""

from __future__ import annotations

import random
import statistics
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack

from ttsc.api import compile
from ttsc.profiling.bursts import Burst, Ids, WatchedEngine
from ttsc.profiling.observations import (
    Apart,
    Arrival,
    DecodeSpan,
    Departure,
    Measured,
    PrefillBatch,
    Settling,
    Streamed,
)

Say = Callable[[str], None]

_SHORT = 5
_FEWEST, _MOST_STEPS, _SPAN_S = 16, 112, 0.2
"""A decode burst has this length, and a longer one so many steps more that they take a while; those count."""
_ROWS = (1, 2, 4, 8, 16, 32, 64, 128, 256)
_MOST_BURST_S, _MOST_QUICK_S = 8.0, 3.0
_ALWAYS = 16
"""A burst that would take longer is left out, with all larger ones; but for so many sequences, as any program asks."""
_LONG_S, _ENOUGH = 0.5, 3
"""What takes so long is repeated so often and no more."""
_COLD = (2, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096)
_TOGETHER = ((4, 8), (16, 8), (32, 4), (8, 32), (4, 64), (16, 64))
"""(prompts, tokens of each) of batches."""
_BEHIND = (1, 16, 64, 256)
"""New tokens behind a cached prompt."""
_ASKED = (1, 2, 4, 8, 16, 32)
_STREAM_ROWS, _STREAM_TOKENS = 8, 33
_RESERVED = 16
"""Tokens of the context that a server may keep for itself."""

_PROBE = """
prompt digits(question: str) { user "{{ question }}" }
program probe(question: str, n: int = 1 in 1..64) -> list[str] {
    return digits(question) |> sample(n, max_tokens=1) |> text
}
"""


class Measuring:
    """One measurement of one engine, which nothing else should use meanwhile."""

    def __init__(self, engine: WatchedEngine, *, quick: bool, say: Say) -> None:
        self._engine = engine
        self._say = say
        self._repeats = 2 if quick else 5
        self._most_s = _MOST_QUICK_S if quick else _MOST_BURST_S
        self._source = random.Random(1)
        info = engine.info
        self._context = info.context_tokens - _RESERVED
        self._room = (info.kv_tokens or info.context_tokens) // 2
        self._running = info.max_running or 64
        self._chunk = int(info.details.get("chunked_prefill_size", 8192))
        self._skews: list[float] = []
        self._long = _SHORT + _FEWEST
        self.measured = Measured()

    async def run(self) -> Measured:
        """Raises `EngineError`, and `SaysNoTimes` if the server's answers have no times in them."""
        await self._warm_up()
        lengths = self._lengths()
        for length in lengths:
            await self._decode(length)
        await self._prefill(lengths[-1])
        await self._requests()
        await self._stream()
        return self.measured

    def _lengths(self) -> list[int]:
        """Lengths of the prompts behind which sequences decode: short, and as long as programs' prompts may get."""
        longest = min(768, self._context - _SHORT - _MOST_STEPS - 2, self._room // 2)
        return sorted({max(1, min(32, longest)), max(1, longest)})

    def _ids(self, count: int) -> Ids:
        vocabulary = getattr(self._engine.tokenizer, "vocabulary_tokens", None) or 1000
        # The first and the last ids are often special ones.
        low, high = (3, vocabulary) if vocabulary < 100 else (vocabulary // 10, vocabulary - vocabulary // 10)
        return tuple(self._source.randrange(low, high) for _ in range(count))

    async def _warm_up(self) -> None:
        self._say("warming up")
        for rows in (1, 4, 4):
            await self._engine.burst([self._ids(8) for _ in range(rows)], 4)
        for _ in range(max(3, self._repeats)):
            burst = await self._engine.burst([self._ids(8)], 1)
            received, sent = burst.received_s - burst.began_s, burst.ended_s - burst.served[0].finished_s
            self._skews.append((received - sent) / 2)
        burst = await self._engine.burst([self._ids(8)], _SHORT + _FEWEST)
        step_s = (burst.ended_s + self._skew_s - burst.first_s) / (_SHORT + _FEWEST)
        self._long = _SHORT + min(_MOST_STEPS, max(_FEWEST, round(_SPAN_S / step_s)))

    @property
    def _skew_s(self) -> float:
        """What the server's clock is ahead of ours if its answers take as long as requests to it."""
        return statistics.median(self._skews)

    # --- decode ---

    async def _decode(self, length: int) -> None:
        """Bursts of more and more sequences behind a cached prompt, until one takes too long."""
        prompt = self._ids(length)
        await self._engine.burst([prompt], 1)
        for rows in _ROWS:
            if rows > self._running or length + rows * (self._long + 2) > self._room:
                return
            self._say(f"decoding: {rows} sequences of {length} tokens")
            longest = 0.0
            for number in range(self._repeats):
                if number >= _ENOUGH and longest > _LONG_S:
                    break
                tails = [self._ids(2) for _ in range(rows)]
                bursts = [
                    await self._engine.burst([(*prompt, *tail) for tail in tails], n) for n in (_SHORT, self._long)
                ]
                self._spans(rows, bursts)
                longest = max(longest, bursts[1].seconds)
            # The next has twice the rows, and takes at most twice as long.
            if rows >= _ALWAYS and 2 * longest > self._most_s:
                return

    def _spans(self, rows: int, bursts: Sequence[Burst]) -> None:
        """The steps between the two lengths. What comes before a burst's last first token is left out: it has steps of
        its own, and those of sequences that came earlier. So are bursts some of which had ended by then.
        """
        short, long = bursts
        if any(burst.first_s > min(each.finished_s for each in burst.served) for burst in bursts):
            return
        seconds = (long.ended_s - long.first_s) - (short.ended_s - short.first_s)
        held = sum(each.prompt for each in long.served) + rows * _SHORT
        self.measured.decode.append(DecodeSpan(rows, held, self._long - _SHORT, seconds))
        if len(short.batches()) == 1:
            settled = (short.ended_s + self._skew_s - short.first_s) - seconds * (_SHORT - 1) / (self._long - _SHORT)
            self.measured.settling.append(Settling(rows, settled))
        for burst in bursts:
            self._batches(burst)

    # --- prefill ---

    async def _prefill(self, past: int) -> None:
        most = min(self._chunk, self._context - 2, self._room)
        for length in [each for each in _COLD if each <= most]:
            self._say(f"prefill: {length} tokens")
            if not await self._prefilled([length], ()):
                break
        for count, length in _TOGETHER:
            if count * length <= most and count <= self._running:
                self._say(f"prefill: {count} prompts of {length} tokens")
                await self._prefilled([length] * count, ())
        prompt = self._ids(min(past, self._context - _BEHIND[-1] - 2)) if past > _BEHIND[-1] else ()
        if prompt:
            await self._engine.burst([prompt], 1)
            for length in [each for each in _BEHIND if each <= most]:
                self._say(f"prefill: {length} tokens behind {len(prompt)} cached ones")
                await self._prefilled([length], prompt)

    async def _prefilled(self, lengths: Sequence[int], before: Ids) -> bool:
        """Whether it was quick enough to go on with more."""
        seconds: list[float] = []
        for number in range(self._repeats):
            if number >= _ENOUGH and seconds[0] > _LONG_S:
                break
            burst = await self._engine.burst([(*before, *self._ids(length)) for length in lengths], 1)
            self._batches(burst)
            seconds.append(burst.seconds)
        return statistics.median(seconds) * self._repeats < 2 * self._most_s

    def _batches(self, burst: Burst) -> None:
        """The batches that went in one piece: longer ones are computed in several, of which nothing is told."""
        for chunks, seconds in burst.batches():
            if sum(chunk.new for chunk in chunks) <= self._chunk:
                self.measured.prefill.append(PrefillBatch(chunks, seconds))

    # --- requests ---

    async def _requests(self) -> None:
        program = compile(_PROBE, level=0)
        asked = [each for each in _ASKED if each <= self._running]
        found = self.measured
        async with AsyncExitStack() as stack:
            runs = await stack.enter_async_context(program.open(engine=self._engine))

            async def ask(count: int) -> Burst:
                question = " ".join(str(self._source.randrange(10)) for _ in range(8))
                return await self._engine.watched(lambda: runs.run({"question": question, "n": count}))

            await ask(1)
            for count in asked:
                self._say(f"requests: {count} of a program")
                for _ in range(2 * self._repeats):
                    found.arrivals += self._arrived(count, burst := await ask(count))
                    found.departures += self._departed(count, burst)
                    direct = await self._engine.burst([self._ids(8) for _ in range(count)], 1)
                    found.direct_arrivals += self._arrived(count, direct)
                    found.direct_departures += self._departed(count, direct)
        await self._apart(asked[-1])

    def _arrived(self, count: int, burst: Burst) -> list[Arrival]:
        return [Arrival(count, burst.begun_s - self._skew_s - burst.began_s)] if _together(count, burst) else []

    def _departed(self, count: int, burst: Burst) -> list[Departure]:
        return [Departure(count, burst.ended_s + self._skew_s - burst.first_s)] if _together(count, burst) else []

    async def _apart(self, count: int) -> None:
        """The same requests in one message and each in its own."""
        self._say(f"requests: {count} messages at once")
        for _ in range(2 * self._repeats):
            together, apart = [
                await self._engine.burst([self._ids(8) for _ in range(count)], 1, apart=each) for each in (False, True)
            ]
            self.measured.apart.append(
                Apart(count, together.dispatched_s - together.began_s, apart.dispatched_s - apart.began_s)
            )

    async def _stream(self) -> None:
        rows = min(_STREAM_ROWS, self._running)
        self._say("reporting tokens")
        for _ in range(self._repeats):
            plain, stream = [
                await self._engine.burst([self._ids(8) for _ in range(rows)], _STREAM_TOKENS, stream=each, apart=True)
                for each in (False, True)
            ]
            self.measured.streamed.append(Streamed(rows * (_STREAM_TOKENS - 1), plain.seconds, stream.seconds))


def _together(count: int, burst: Burst) -> bool:
    """Whether all requests are there, and were one prefill batch: those that end with it end together."""
    return len(burst.served) == count and len(burst.batches()) == 1
