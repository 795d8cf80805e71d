"""One request on a simulated server: what is asked, what it will say, and how far it is."""

from __future__ import annotations

from collections.abc import Callable

from ttsc.backends.protocol import EngineError
from ttsc.backends.simulator.radix import Node

Progressed = Callable[[int], None]
"""Told how many tokens there are, at the end of every step that made one."""


class Job:
    """`key`: the prompt, packed (`radix.packed`). `prompt`: its tokens. `output`: how many tokens it decodes if nobody
    aborts it; 0 for a request that only computes a prompt. `most`: max_tokens, which memory is reserved by.
    `cacheable`: tokens of the prompt that may come from the cache. `ended` is called once, with None or what it failed
    with; `packed_output` packs the first so many tokens it decoded.

    produced: tokens decoded so far, or at the last prefill; `base` is the server's step count less those. computed:
    tokens of its sequence whose KV is there. owned: the leading part of them that is in the prefix cache, up to `node`,
    which it locks. cached: tokens found there when it was first admitted. prefilled: prompt tokens that were found or
    computed, once, however often it was taken back.
    """

    __slots__ = (
        "aborted",
        "aborting",
        "base",
        "cacheable",
        "cached",
        "computed",
        "end",
        "ended",
        "ignore_eos",
        "key",
        "most",
        "node",
        "output",
        "over",
        "owned",
        "packed_output",
        "prefilled",
        "produced",
        "progressed",
        "prompt",
        "retracted",
        "server",
        "streams",
    )

    def __init__(
        self,
        key: bytes,
        prompt: int,
        *,
        output: int = 0,
        most: int = 0,
        cacheable: int | None = None,
        ignore_eos: bool = False,
        streams: bool = False,
        progressed: Progressed | None = None,
        packed_output: Callable[[int], bytes] = lambda _: b"",
        ended: Callable[[Job, EngineError | None], None],
    ) -> None:
        self.key = key
        self.prompt = prompt
        self.output = output
        self.most = most
        self.cacheable = prompt - 1 if cacheable is None else min(cacheable, prompt - 1)
        self.ignore_eos = ignore_eos
        self.streams = streams
        self.progressed = progressed
        self.packed_output = packed_output
        self.ended = ended
        self.server = -1
        self.produced = 0
        self.base = 0
        self.end = 0
        self.computed = 0
        self.owned = 0
        self.node: Node | None = None
        self.cached = 0
        self.prefilled = 0
        self.retracted = 0
        self.aborting = False
        self.aborted = False
        self.over = False

    @property
    def length(self) -> int:
        """Tokens to be computed before the next one can be decoded."""
        return self.prompt + self.produced

    def sequence(self, tokens: int) -> bytes:
        """Its first so many tokens, packed."""
        if tokens <= self.prompt:
            return self.key[: 4 * tokens]
        return self.key + self.packed_output(tokens - self.prompt)
