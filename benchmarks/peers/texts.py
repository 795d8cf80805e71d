"""What the prompts of the workloads say, for the two kinds of model. All texts are ours."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Any, Literal

_SUBJECTS = (
    ("{0} crates hold {1} jars each. {2} jars break. How many are whole?", lambda a, b, c: a * b - c),
    ("A tram has {0} people in it. {1} get off and {2} get on. How many are in it now?", lambda a, b, c: a - b + c),
    ("Ines reads {0} pages on each of {1} days and {2} pages on the day after. How many is that?",
     lambda a, b, c: a * b + c),
    ("A baker sells {0} loaves in the morning, {1} at noon and {2} in the evening. How many is that?",
     lambda a, b, c: a + b + c),
)  # fmt: skip
_TOPICS = (
    "growing tomatoes on a balcony",
    "learning to sleep earlier",
    "a first week with a puppy",
    "cooking for twelve guests",
    "a long train journey with children",
    "keeping a bicycle in good order",
    "speaking in front of people",
    "saving water in a garden",
)
_SENTENCES = (
    "The harbour wakes before the town does, and the first boats leave while it is still dark.",
    "Nobody has counted the steps of the lighthouse the same way twice.",
    "In spring the meadows by the canal flood, and the herons come back to them.",
    "The mill was sold three times, and every owner changed the colour of its door.",
    "Letters were carried over the pass by mule until the road was built.",
    "A market of used tools is held on the first Sunday of every month.",
    "The old orchard gives apples that are good for cider and for little else.",
    "Rain falls on a third of the days, and on those it falls all day.",
)


@dataclass(frozen=True, slots=True)
class Texts:
    """Parts of prompts. Placeholders in braces are replaced literally. `begin` stands before every prompt."""

    kind: Literal["testbed", "chat"]
    begin: str
    instruction: str
    grade: str
    again: str
    final: str
    """What only the last step of a solution says."""
    leads: list[str]
    join: str
    chain: str
    conclude: str
    turns: list[str]
    metrics: list[dict[str, Any]]
    judgement: str
    suggest: str
    expand: str

    def question(self, i: int) -> str:
        """The i-th problem."""
        return _problem(i)[0] if self.kind == "testbed" else _word_problem(i)[0]

    def expected(self, i: int) -> str:
        """Its answer."""
        return _problem(i)[1] if self.kind == "testbed" else _word_problem(i)[1]

    def solve(self, question: str) -> str:
        """A prompt that asks for a solution that ends with the answer."""
        return self.begin + self.instruction + question

    def ask(self, question: str) -> str:
        """A prompt with the question alone."""
        return self.begin + question

    def essay(self, i: int) -> str:
        """The i-th text that is judged."""
        if self.kind == "testbed":
            return self.begin + "".join(_problem(8 * i + k)[0] for k in range(3))
        numbers = random.Random(f"essay {i}")
        return self.begin + "Judge this text.\n\n" + " ".join(numbers.sample(_SENTENCES, 6)) + "\n"

    def topic(self, i: int) -> str:
        """The i-th topic that tips are wanted for."""
        return _problem(i)[0] if self.kind == "testbed" else f"{_TOPICS[i % len(_TOPICS)]} (case {i + 1})"


def of(kind: Literal["testbed", "chat"], shared_tokens: int = 0) -> Texts:
    """The texts for a kind of model; every prompt begins with about `shared_tokens` tokens that are the same."""
    return _testbed() if kind == "testbed" else _chat(_background(shared_tokens))


def _testbed() -> Texts:
    """Letters the model's alphabet has: what it makes of prompts that are no problems does not matter."""
    return Texts(
        kind="testbed",
        begin="",
        instruction="",
        grade="{question}\n{solution}",
        again="{question}",
        final="A:",
        leads=[f"V{i}\n" for i in range(1, 6)],
        join="\n",
        chain="W{number}:{chain}\n",
        conclude="A:",
        turns=["\nV:\n", "\nW:\n", "\nA:"],
        metrics=[{"name": str(i), "text": f"V{i}:"} for i in range(1, 7)],
        judgement="W{name}:{judgement}\n",
        suggest="{topic}",
        expand="{topic}\n{tip}",
    )


def _chat(begin: str) -> Texts:
    names = ("Clarity", "Structure", "Evidence", "Tone", "Originality", "Grammar")
    return Texts(
        kind="chat",
        begin=begin,
        instruction=(
            "Solve the problem in one or two short steps. The last line is 'Answer: ' and the number.\n\n"
            "Problem: Pia buys 3 bags of 12 walnuts and eats 5. How many are left?\n"
            "3 bags are 3 * 12 = 36 walnuts, and 36 - 5 = 31.\nAnswer: 31\n\nProblem: "
        ),
        grade=(
            "{question}\n{solution}\n\nGrade this solution with a whole number from 0 (wrong) to 10 (right). "
            "Reply with the number alone."
        ),
        final="Answer:",
        again="That is not right. Solve it again, step by step: {question}",
        leads=[
            "Let us write down what is known.",
            "Step by step:",
            "First the numbers.",
            "To find the answer,",
            "In other words,",
        ],
        join="\nHere is what we have so far.\n",
        chain="Attempt {number}: {chain}\n",
        conclude="Taken together, the answer is",
        turns=[
            "\nNow carry this plan out.\n",
            "\nLook for mistakes in it.\n",
            "\nSo the answer is",
        ],
        metrics=[{"name": name, "text": f"{name}: "} for name in names],
        judgement="{name}: {judgement}\n",
        suggest=begin + "Give five short tips for {topic}, one a line.",
        expand=begin + "Write a paragraph on this tip for {topic}: {tip}",
    )


def _background(tokens: int) -> str:
    """A text of about so many tokens of an English tokenizer."""
    if not tokens:
        return ""
    parts: list[str] = []
    length = 0
    for number in range(1, tokens):
        sentence = f"{number}. {_SENTENCES[number % len(_SENTENCES)]} "
        parts.append(sentence)
        length += len(sentence)
        if length > 4.3 * tokens:
            break
    return "Background, which may or may not matter:\n" + "".join(parts) + "\n\n"


def _problem(i: int) -> tuple[str, str]:
    from benchmarks.testbed.task import problem

    made = problem(random.Random(f"peers {i}"), 3 + i % 4)
    return made.question, made.answer


def _word_problem(i: int) -> tuple[str, str]:
    numbers = random.Random(f"peers {i}")
    text, value = _SUBJECTS[i % len(_SUBJECTS)]
    a, b, c = numbers.randint(20, 60), numbers.randint(2, 12), numbers.randint(2, 15)
    return text.format(a, b, c), str(value(a, b, c))
