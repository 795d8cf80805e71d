"""A scripted engine with planted rates for tests of calibration: solutions, verdicts, grades."""

from __future__ import annotations

import random
import re
from collections.abc import Sequence

from ttsc.backends.protocol import Sampling
from ttsc.backends.scripted import ScriptedEngine

PROGRAM = """
prompt solve(question: str) { user "{{ question }}" }
prompt check(question: str, solution: str) { user "check {{ question }}: {{ solution }}" }
prompt grade(question: str, solution: str) { user "grade {{ question }}: {{ solution }}" }
prompt again() { user "again" }

extern looks_right(solution: str) -> bool

function answer(text: str) -> str? = find_last(text, "A: *(-?[0-9]+)", 1)

program voted(question: str, n: int = 4 in 1..8) -> str {
    return solve(question) |> sample(n, temperature=0.7, max_tokens=64) |> vote(by=answer, otherwise="")
}

program checked(question: str, n: int = 4 in 1..8) -> str {
    return solve(question)
        |> sample(n, temperature=0.7, max_tokens=64)
        |> filter(c => yes(check(question, c.text) |> sample(1, temperature=0.0, max_tokens=4) |> one |> text))
        |> vote(by=answer, otherwise="")
}

function yes(text: str) -> bool = lower(or_else(find(text, "(?i)(yes|no)", 1), "no")) == "yes"

program graded(question: str, n: int = 4 in 1..8) -> str? {
    return solve(question)
        |> sample(n, temperature=0.7, max_tokens=64)
        |> score(c => grade(question, c.text), read=mark, temperature=0.0, max_tokens=4)
        |> best(by=score)
        |> answer
}

function mark(text: str) -> float? = or_else(to_float(or_else(last_number(text), "")), 0.0)

program tested(question: str, n: int = 4 in 1..8) -> str {
    return solve(question)
        |> sample(n, temperature=0.7, max_tokens=64)
        |> filter(c => looks_right(c.text))
        |> vote(by=answer, otherwise="")
}

program revised(question: str, n: int = 4 in 1..8) -> str {
    return solve(question)
        |> sample(n, temperature=0.7, max_tokens=64)
        |> refine(again(), temperature=0.7, max_tokens=64)
        |> vote(by=answer, otherwise="")
}

program looped(question: str, rounds: int = 2 in 0..4) -> str {
    var draft = solve(question) |> sample(1, temperature=0.7, max_tokens=64) |> one
    repeat rounds {
        if looks_right(draft.text) { return or_else(answer(draft.text), "") }
        draft = draft |> refine(again(), temperature=0.7, max_tokens=64)
    }
    return or_else(answer(draft.text), "")
}

program stepped(question: str, width: int = 3 in 1..8, rounds: int = 4 in 1..8) -> str? {
    var beams = [solve(question)]
    repeat rounds {
        beams = beams
            |> branch(2, until=";", temperature=0.7, max_tokens=32)
            |> score(c => grade(question, c.text), read=mark, temperature=0.0, max_tokens=4)
            |> keep(width, by=score)
    } until all(beams, finished)
    return beams |> best(by=score) |> answer
}
"""


class Planted:
    """Rates by which the engine says things. `accuracies`: by the question's number, in turn."""

    def __init__(
        self,
        accuracies: Sequence[float] = (0.2, 0.5, 0.9),
        accepts: tuple[float, float] = (0.8, 0.3),
        flips: tuple[float, float] = (0.3, 0.1),
        steps: int = 3,
    ) -> None:
        self.accuracies = accuracies
        self.accepts = accepts
        self.flips = flips
        self.steps = steps
        self.verdicts: list[tuple[bool, bool]] = []
        """Of each judgement: whether the solution is right, whether it was accepted."""

    def engine(self) -> ScriptedEngine:
        return ScriptedEngine(self.reply)

    def rows(self, count: int) -> list[dict[str, str]]:
        return [{"question": f"Q{i}", "gold": f"{i}"} for i in range(count)]

    def reply(self, prompt: str, seed: int, sampling: Sampling) -> str:
        numbers = random.Random(f"{seed} {prompt}" if sampling.temperature == 0 else seed)
        asked = [int(each) for each in re.findall(r"Q(\d+)", prompt)]
        number = asked[0]
        said = re.findall(r"A:(\d+)", prompt)
        right = bool(said) and int(said[-1]) == number
        if "check Q" in prompt:
            accepted = numbers.random() < self.accepts[0 if right else 1]
            self.verdicts.append((right, accepted))
            return "Yes" if accepted else "No"
        if "grade Q" in prompt:
            return str(numbers.randint(5, 10) if right else numbers.randint(0, 6))
        if sampling.stop:
            return self._step(prompt, number, numbers)
        if "again" in prompt:
            fine = numbers.random() >= self.flips[1] if right else numbers.random() < self.flips[0]
        else:
            fine = numbers.random() < self.accuracies[number % len(self.accuracies)]
        words = " ".join(["so"] * numbers.randint(1, 20))
        return f"{words}\nA:{number if fine else 1000 + numbers.randint(0, 2)}"

    def _step(self, prompt: str, number: int, numbers: random.Random) -> str:
        written = prompt.rpartition("<|assistant|>")[2].count(";")
        if written + 1 < self.steps:
            return " so;"
        fine = numbers.random() < self.accuracies[number % len(self.accuracies)]
        return f" A:{number if fine else 1000}"
