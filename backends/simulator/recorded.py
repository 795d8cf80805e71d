"""Outcomes of a run that was recorded: the same ids at the same places, so that a simulation asks the same prompts.

For measuring the simulator against an engine: what differs then is time and the prefix cache, nothing else.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from ttsc.backends.protocol import (
    EmbedRequest,
    FinishKind,
    GenerateRequest,
    Origin,
    RequestRefused,
    RewardRequest,
    ScoreRequest,
)
from ttsc.backends.simulator.outcomes import Decoded

Place = tuple[int, str]
"""An input's number and a site."""


@dataclass(frozen=True, slots=True)
class Recorded:
    """What one request gave. `finish` is "abort" for a generation that was given up, "below" for one that was
    stopped: then `ids` are those it had.
    """

    node: str
    ids: tuple[int, ...] = ()
    finish: FinishKind = "eos"
    matched: str | int | None = None
    logprobs: tuple[float, ...] | None = None
    confidences: tuple[float, ...] | None = None
    values: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class RecordedOutcomes:
    """The `Outcomes` of a recorded run.

    A generation that was given up or stopped there goes on here, by its last token again and again, up to max_tokens:
    it ends no earlier than it did. A request that was not made there (an abort came a moment later, a hedge) says what
    another of its node said. Raises `RequestRefused` if there is none.
    """

    places: Mapping[Place, Recorded]
    _nodes: dict[str, list[Recorded]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for _, each in sorted(self.places.items()):
            self._nodes.setdefault(each.node, []).append(each)

    def decode(self, request: GenerateRequest) -> Decoded:
        found = self._at(request.origin)
        most, of_ids = request.sampling.max_tokens, (found.logprobs, found.confidences)
        if found.finish in ("abort", "below"):
            missing = most - len(found.ids)
            ids = (*found.ids, *(found.ids[-1:] or request.input_ids[-1:]) * missing)[:most]
            return Decoded(ids, "length", None, *(_extended(each, most) for each in of_ids))
        if len(found.ids) > most:
            ids = found.ids[:most]
            return Decoded(ids, "length", None, *(None if each is None else each[:most] for each in of_ids))
        return Decoded(found.ids, found.finish, found.matched, *of_ids)

    def scores(self, request: ScoreRequest) -> tuple[float, ...]:
        values, count = self._at(request.origin).values, len(request.input_ids) - request.start
        return (values * (count // max(1, len(values)) + 1))[:count] if values else (0.0,) * count

    def rewards(self, request: RewardRequest) -> tuple[float, ...]:
        return self._at(request.origin).values

    def embed(self, request: EmbedRequest) -> tuple[float, ...]:
        return self._at(request.origin).values

    def _at(self, origin: Origin | None) -> Recorded:
        if origin is None:
            raise RequestRefused("a request that does not say where it comes from has no recorded answer")
        found = self.places.get((origin.input, origin.site))
        if found is not None:
            return found
        others = self._nodes.get(origin.node)
        if not others:
            raise RequestRefused(
                f"nothing was recorded of %{origin.node}", "record a run of this program, at this level"
            )
        return others[origin.index % len(others)]


def _extended(figures: tuple[float, ...] | None, length: int) -> tuple[float, ...] | None:
    """By the last one, again and again."""
    if figures is None:
        return None
    return (*figures, *(figures[-1:] or (0.0,)) * (length - len(figures)))[:length]
