"""What is known of a run so far, gathered from its events. Shared by the live display and the plain lines."""

from __future__ import annotations

from dataclasses import dataclass, field

from ttsc.runtime.events import (
    AnswerTaken,
    Decided,
    Event,
    ExternCalled,
    OfflineTaken,
    RequestEnded,
    RequestRetried,
    RequestStarted,
    RunEnded,
    TokensArrived,
)

MARKS = {"running": "…", "eos": "✓", "stop": "✓", "done": "✓", "length": "▸", "abort": "✗", "error": "!"}
"""Running; ended by itself, at its delimiter, or without decoding; cut by max_tokens; aborted because it was no longer
needed; failed.
"""

_VALUE_CHARACTERS = 60


@dataclass
class Candidate:
    """One request: its state (`running` or how it ended), tokens decoded so far and the end of what they say. `kind`:
    generate, or what is scored: score, reward, embed.
    """

    request_id: str
    node: str
    op: str
    index: int
    input: int
    kind: str
    state: str = "running"
    tokens: int = 0
    tail: str = ""


@dataclass
class View:
    """The state of every input's run. `feed` it the events in their order."""

    candidates: dict[str, Candidate] = field(default_factory=dict)
    order: dict[tuple[int, str], list[Candidate]] = field(default_factory=dict)
    decisions: dict[tuple[int, str], Decided] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    ended: int = 0
    decoded_tokens: int = 0
    cached_tokens: int = 0
    prefill_tokens: int = 0
    aborted: int = 0

    def feed(self, event: Event) -> str | None:
        """Take one event in. Gives the plain line that tells of it, or None where there is nothing to say."""
        match event:
            case RequestStarted():
                candidate = Candidate(event.request_id, event.node, event.op, event.index, event.input, event.kind)
                self.candidates[event.request_id] = candidate
                self.order.setdefault((event.input, event.node), []).append(candidate)
            case TokensArrived():
                known = self.candidates.get(event.request_id)
                if known is not None:
                    known.tokens = event.tokens
                    known.tail = (known.tail + event.text)[-160:]
            case RequestEnded():
                return self._end(event)
            case AnswerTaken():
                return f"{event.node}[{event.index}] {event.completion_tokens} tokens taken from the journal"
            case Decided():
                self.decisions[(event.input, event.node)] = event
                return decided_line(event)
            case RequestRetried():
                return f"{event.node}: {event.error}; attempt {event.attempt} in {event.delay_s:.1f} s"
            case ExternCalled():
                ended = f"failed: {event.error}" if event.error else "taken from the journal" if event.taken else "done"
                return f"{event.name} {ended} in {event.duration_s:.2f} s"
            case OfflineTaken():
                return f"{event.node} {event.source}" + (f": {event.note}" if event.note else "")
            case RunEnded():
                self.ended += 1
        return None

    def running(self) -> int:
        """How many requests are decoding now."""
        return sum(candidate.state == "running" for candidate in self.candidates.values())

    def tokens(self) -> int:
        """Tokens decoded so far, those of running requests included as far as they have been reported."""
        return self.decoded_tokens + sum(item.tokens for item in self.candidates.values() if item.state == "running")

    def forget(self, number: int) -> None:
        """Drop the candidates of an input that has ended, so that a long list of inputs doesn't fill memory."""
        for key in [key for key in self.order if key[0] == number]:
            for candidate in self.order.pop(key):
                self.candidates.pop(candidate.request_id, None)
            self.decisions.pop(key, None)

    def _end(self, event: RequestEnded) -> str:
        self.decoded_tokens += event.completion_tokens
        self.cached_tokens += event.cached_tokens
        self.prefill_tokens += event.prompt_tokens - event.cached_tokens
        self.aborted += event.finish in ("abort", "below")
        candidate = self.candidates.get(event.request_id)
        index = ""
        if candidate is not None:
            candidate.state = event.finish
            candidate.tokens = event.completion_tokens
            candidate.tail = event.text[-160:]
            index = f"[{candidate.index}]"
        words = {
            "eos": "finished",
            "stop": "finished",
            "length": "cut by max_tokens",
            "abort": "aborted",
            "below": "stopped",
            "error": "failed",
        }
        reason = f": {event.error or event.decision}" if event.error or event.decision else ""
        how = words.get(event.finish, event.finish)
        if event.finish == "done":
            return f"{event.node}{index} {SCORED[event.kind]}, {event.duration_s:.1f} s"
        return f"{event.node}{index} {how} after {event.completion_tokens} tokens, {event.duration_s:.1f} s{reason}"


_COUNTED = ("vote", "any", "all")
SCORED = {"score": "scored", "reward": "rated", "embed": "embedded"}
"""What became of a request that decodes nothing, by its kind."""


def decided_line(event: Decided) -> str:
    """A decision in words: what was chosen, from how many, and how many were stopped."""
    parts = [
        f"{event.op} decided: {_shortened(event.value)}" if event.value else f"{event.op} decided",
        f"by {event.arrived} arrived",
    ]
    if event.early and event.outstanding:
        parts.append(f"{event.outstanding} outstanding no longer needed")
    if event.confidence is not None:
        parts.append(f"{event.rule} sure at {event.confidence:.3f} after {event.looked}")
    elif event.rule == "esc":
        parts.append(f"a unanimous window after {event.looked}")
    tally = tally_text(event)
    return ", ".join(parts) + (f" ({tally})" if tally else "")


def _shortened(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _VALUE_CHARACTERS else line[: _VALUE_CHARACTERS - 1] + "…"


def tally_text(event: Decided) -> str:
    """The votes, most first: `42 ×5, 41 ×2`; of what is ranked the keys, best first: `#2: 0.9, #0: 0.4`."""
    counted = event.op in _COUNTED
    shown = [f"{answer} ×{weight:g}" if counted else f"{answer}: {weight:g}" for answer, weight in event.tally[:4]]
    return ", ".join(shown) + (", …" if len(event.tally) > 4 else "")
