"""Stopping a candidate for want of confidence: the online rule of DeepConf (Fu et al. 2025).

A candidate is stopped at the first token at whose end the mean confidence of a full window is below a bar, unless it
ends with that token anyway. The rule looks at the tokens of one generation alone, one after the other. So where it
holds depends on what the model says, not on how many tokens had arrived when it was seen: whatever came after that
token is cut off.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from ttsc.backends.protocol import Completion, Progress
from ttsc.compiler.values.windows import SlidingMean

DEFAULT_WINDOW = 2048
"""Tokens of a window, as published."""
_LOOKS = 8
"""In the time of a window."""
DEFAULT_TOP = 20
"""Most probable tokens that a token's confidence is made of, as published."""


@dataclass(frozen=True, slots=True)
class Bar:
    """`below`: the least mean confidence of a window of so many tokens."""

    below: float
    window: int = DEFAULT_WINDOW

    @property
    def every(self) -> int:
        """Tokens between two looks: a report has the most probable tokens at each place, and costs a server time. An
        eighth of a window more is decoded at most before a candidate is stopped.
        """
        return max(1, self.window // _LOOKS)


class Watch:
    """Follows one candidate's confidences."""

    __slots__ = ("_bar", "_mean", "place", "seen", "value")

    def __init__(self, bar: Bar) -> None:
        self._bar = bar
        self._mean = SlidingMean(bar.window)
        self.seen = 0
        self.place: int | None = None
        """How many tokens there were when the rule held, and the mean of the window then."""
        self.value = 0.0

    def push(self, confidences: Iterable[float]) -> bool:
        """Whether the rule has held by now."""
        for each in confidences:
            if self.place is not None:
                break
            self.seen += 1
            mean = self._mean.push(each)
            if mean is not None and mean < self._bar.below:
                self.place, self.value = self.seen, mean
        return self.place is not None


class Listener(Watch):
    """A watch on what an engine reports of a request, which is kept."""

    __slots__ = ("_confidences", "_ids")

    def __init__(self, bar: Bar) -> None:
        super().__init__(bar)
        self._ids: list[int] = []
        self._confidences: list[float] = []

    def hear(self, report: Progress) -> bool:
        """Whether the rule has held by now."""
        self._ids += report.new_ids
        self._confidences += report.confidences
        return self.push(report.confidences)

    def heard(self, request_id: str, prompt: Sequence[int]) -> Completion:
        """What there is of an answer that does not come. What of the prompt was cached is not known."""
        ids, confidences = tuple(self._ids), tuple(self._confidences)
        return Completion(request_id, ids, "abort", None, len(prompt), 0, len(ids), confidences=confidences)


def stopped(bar: Bar | None, answer: Completion) -> tuple[Completion, str]:
    """The answer as the rule has it, and what it decided, in words; as it is, and "", where the rule does not hold."""
    if bar is None or answer.confidences is None:
        return answer, ""
    watch = Watch(bar)
    watch.push(answer.confidences)
    place = watch.place
    if place is None or (place >= len(answer.output_ids) and answer.finish not in ("abort", "below")):
        return answer, ""
    ended = replace(
        answer,
        finish="below",
        matched=None,
        output_ids=answer.output_ids[:place],
        logprobs=None if answer.logprobs is None else answer.logprobs[:place],
        confidences=answer.confidences[:place],
    )
    words = f"the mean confidence of {bar.window} tokens is {watch.value:.6g} at token {place}, below {bar.below:.6g}"
    return ended, words
