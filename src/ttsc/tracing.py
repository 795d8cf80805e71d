"""A run's trace: the header from the program, and between the events what a replay needs besides."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

from ttsc.backends.protocol import Engine
from ttsc.compiler.ir.nodes import Limit
from ttsc.compiler.semantics.check import check
from ttsc.compiler.semantics.modules import Library
from ttsc.driver import Compiled
from ttsc.grammar.source import Source
from ttsc.journals import plan_digest
from ttsc.runtime.events import AnswerTaken, Event, RequestEnded, RunEnded, TokensArrived
from ttsc.runtime.records import recordable
from ttsc.runtime.tokenizer_memo import RecordedEngine, RecordedTokenizer, ids_digest
from ttsc.runtime.trace import StoresHeld, Tokenized, TraceHeader, TraceWriter, engine_facts


class Tracing:
    """Writes the trace of one session. `engines`: those to use, whose tokenizers tell what they are asked."""

    def __init__(
        self,
        path: str | Path,
        compiled: Compiled,
        source_hash: str,
        engines: Mapping[str, Engine],
        budget: Sequence[Limit],
    ) -> None:
        self._writer = TraceWriter(path)
        self._compiled = compiled
        self._source_hash = source_hash
        self._budget = budget
        self._begun = False
        self._decoded: list[tuple[int, tuple[int, ...], str]] = []
        self._told: set[str] = set()
        self._held: dict[str, tuple[Any, ...]] = {}
        self._facts = engine_facts({role: engine.info for role, engine in engines.items()})
        self.engines = self._recorded(engines)

    def _recorded(self, engines: Mapping[str, Engine]) -> dict[str, Engine]:
        lanes: dict[int, tuple[int, Engine]] = {}
        tokenizers: list[Any] = []
        for role, engine in engines.items():
            if engine.tokenizer not in tokenizers:
                tokenizers.append(engine.tokenizer)
            number = tokenizers.index(engine.tokenizer)
            if id(engine) not in lanes:
                lanes[id(engine)] = (len(lanes), cast(Engine, RecordedEngine(engine, self._tokenizer(number, engine))))
            eos_ids = sorted(engine.tokenizer.eos_ids)
            self._facts[role] |= {"lane": lanes[id(engine)][0], "tokenizer": number, "eos_ids": eos_ids}
        return {role: lanes[id(engine)][1] for role, engine in engines.items()}

    def _tokenizer(self, number: int, engine: Engine) -> RecordedTokenizer:
        return RecordedTokenizer(
            engine.tokenizer,
            lambda call, data: self._writer.write(Tokenized(number, call, data)),
            lambda ids, text: self._decoded.append((number, tuple(ids), text)),
        )

    def begin(self, seed: int, number: int, stores: Mapping[str, Sequence[Any]]) -> None:
        """An input begins; these are the items of its stores."""
        if not self._begun:
            self._begun = True
            self._writer.begin(self._header(seed))
        held = {name: tuple(items) for name, items in stores.items()}
        if held != self._held:
            self._held = held
            self._writer.write(StoresHeld(number, held))

    def write(self, event: Event) -> None:
        """One event, and before it what was decoded and does not stand in it."""
        decoded, self._decoded = self._decoded, []
        for number, ids, text in decoded:
            if isinstance(event, TokensArrived) and text == event.text:
                continue
            if isinstance(event, RequestEnded | AnswerTaken) and ids == event.output_ids:
                self._told.add(ids_digest(ids))
                continue
            digest = ids_digest(ids)
            if digest not in self._told:
                self._told.add(digest)
                self._writer.write(Tokenized(number, "decode", {"digest": digest, "text": text}))
        self._writer.write(event)
        if isinstance(event, RunEnded):
            for name, items in event.result.appended.items():
                self._held[name] = (*self._held.get(name, ()), *items)

    def close(self) -> None:
        self._writer.close()

    def _header(self, seed: int) -> TraceHeader:
        compiled = self._compiled
        plan = compiled.plan
        known = {each.name: each.default for each in plan.program.parameters if each.known}
        return TraceHeader(
            program=compiled.name,
            program_hash=self._source_hash,
            level=plan.level,
            passes=plan.passes,
            seed=seed,
            engines=self._facts,
            source=_recorded_source(compiled.source),
            modules=_modules(compiled),
            task=_recorded_source(compiled.library.task),
            disabled=compiled.disabled,
            enabled=compiled.enabled,
            known=recordable(known),
            plan=plan_digest(plan),
            budget=tuple((limit.resource, limit.amount) for limit in self._budget),
        )


class _Noting:
    """A library that notes what is found."""

    def __init__(self, library: Library) -> None:
        self._library = library
        self.found: dict[str, dict[str, dict[str, str]]] = {}

    @property
    def task(self) -> Source | None:
        return self._library.task

    def find(self, path: tuple[str, ...], user: Source) -> Source | None:
        source = self._library.find(path, user)
        if source is not None:
            self.found.setdefault(user.path, {})[".".join(path)] = _recorded_source(source)
        return source

    def names(self) -> tuple[str, ...]:
        return self._library.names()


def _recorded_source(source: Source | None) -> dict[str, str]:
    return {} if source is None else {"path": source.path, "text": source.text}


def _modules(compiled: Compiled) -> dict[str, dict[str, dict[str, str]]]:
    """The files that a program uses, by the file that uses them and the dotted name there."""
    library = _Noting(compiled.library)
    check(compiled.source, library)
    return library.found
