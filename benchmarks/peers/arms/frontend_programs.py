"""The workloads as programs of SGLang's frontend language: its own benchmark programs, a vote, and best of n.

The shapes are those of SGLang's benchmark folder: what is forked, what is generated where, what is joined. The
texts are the workload's, raw (no roles: a chat template that the frontend picks by the model's name would change
the prompts).

`warm`: the state is synchronised before each fork. A fork is meant to have its prefix computed first, by a request
for no token that it waits for; but it looks for text before what was just appended has reached the state, and finds
none (0.5.23, as in 0.5.3). Where a sub-program is called that all inputs or candidates begin alike, that beginning
is sent too.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from os.path import commonprefix
from typing import Any

import sglang
from data_file import Input, Task, filled, last_match
from sglang.lang.interpreter import ProgramState, ProgramStateGroup
from sglang.lang.ir import SglFunction, SglGen

# The shortest beginning, in characters, that `run_batch` sends ahead of a batch.
_WORTH_SENDING = 64

Arguments = dict[str, str]
Answer = Callable[[ProgramState], Any]


class Programs:
    """The programs with a task's settings. Each maker gives a function and how its answer is read from its state."""

    def __init__(self, task: Task, warm: bool) -> None:
        self._settings = task.settings
        self._warm = warm
        # What a program says before its arguments is a constant of its source; `run_batch` finds it there by tracing.
        self._beginning = commonprefix([item["text"] for item in task.inputs]) if len(task.inputs) > 1 else ""

    def of(self, workload: str) -> tuple[SglFunction, Answer]:
        """A workload's program. Raises `NotImplementedError`."""
        makers: dict[str, Callable[[], tuple[SglFunction, Answer]]] = {
            "self_consistency": self._self_consistency,
            "best_of_n": self._best_of_n,
            "multi_chain_reasoning": self._multi_chain_reasoning,
            "tree_of_thought_deep": self._tree_of_thought_deep,
            "llm_judge": self._llm_judge,
            "tip_suggestion": self._tip_suggestion,
        }
        if workload not in makers:
            raise NotImplementedError(f"there is no {workload} in the frontend language")
        return makers[workload]()

    def arguments(self, item: Input) -> Arguments:
        """What a program is called with. Every program takes these, whether it reads them or not."""
        values = item["values"]
        return {
            "rest": item["text"][len(self._beginning) :],
            "question": str(values.get("question", "")),
            "topic": str(values.get("topic", "")),
        }

    def constant(self, workload: str) -> str | None:
        """What `warm` sends once for all inputs: how a sub-program begins, if that is long enough to matter."""
        if not self._warm or workload != "tip_suggestion":
            return None
        return _long(self._settings["expand"].split("{topic}")[0].split("{tip}")[0])

    def _fork(self, s: ProgramState, size: int) -> ProgramStateGroup:
        if self._warm:
            s.sync()
        return s.fork(size)

    def _vote(self, texts: list[str]) -> str | None:
        found = [answer for text in texts if (answer := last_match(self._settings["answer"], text)) is not None]
        return Counter(found).most_common(1)[0][0] if found else None

    def _self_consistency(self) -> tuple[SglFunction, Answer]:
        settings, beginning = self._settings, self._beginning

        @sglang.function
        def self_consistency(s, rest, question, topic):  # type: ignore[no-untyped-def]
            s += beginning
            s += rest
            forks = self._fork(s, settings["n"])
            forks += _gen("solution", settings)
            forks.join()

        return self_consistency, lambda s: self._vote(s["solution"])

    def _best_of_n(self) -> tuple[SglFunction, Answer]:
        settings, beginning = self._settings, self._beginning
        judge = settings["judge"]

        @sglang.function
        def grade(s, prompt):  # type: ignore[no-untyped-def]
            s += prompt
            s += _gen("grade", judge)

        @sglang.function
        def best_of_n(s, rest, question, topic):  # type: ignore[no-untyped-def]
            s += beginning
            s += rest
            forks = self._fork(s, settings["n"])
            forks += _gen("solution", settings)
            shared = _long(filled(judge["text"].split("{solution}")[0], question=question))
            if self._warm and shared:
                # The forks are generating meanwhile.
                s.stream_executor.backend.cache_prefix(shared)
            # A judge starts when its solution is there, unless an earlier one is still being written.
            grades = [
                grade(prompt=filled(judge["text"], question=question, solution=fork["solution"])) for fork in forks
            ]
            return [(fork["solution"], each["grade"]) for fork, each in zip(forks, grades, strict=True)]

        def best(s: ProgramState) -> str | None:
            graded = [(last_match(judge["score"], grade), solution) for solution, grade in s.ret_value]
            scored = [(float(score), solution) for score, solution in graded if score is not None]
            return last_match(settings["answer"], max(scored, key=lambda each: each[0])[1]) if scored else None

        return best_of_n, best

    def _multi_chain_reasoning(self) -> tuple[SglFunction, Answer]:
        settings, beginning = self._settings, self._beginning
        leads = settings["leads"]

        @sglang.function
        def multi_chain_reasoning(s, rest, question, topic):  # type: ignore[no-untyped-def]
            s += beginning
            s += rest
            forks = self._fork(s, len(leads))
            for i, lead in enumerate(leads):
                forks[i] += lead + _gen("chain", settings["chain"])
            forks.join()
            s += settings["join"]
            for i, chain in enumerate(s["chain"]):
                s += filled(settings["solution"], number=i + 1, chain=chain)
            s += settings["conclude"] + _gen("answer", settings["final"])

        return multi_chain_reasoning, lambda s: last_match(settings["answer"], s["answer"])

    def _tree_of_thought_deep(self) -> tuple[SglFunction, Answer]:
        settings, beginning = self._settings, self._beginning
        branches = settings["branches"]

        def grown(s: ProgramState, level: int) -> list[ProgramState]:
            forks = self._fork(s, branches)
            forks += _gen(f"level_{level}", settings)
            return list(forks)

        @sglang.function
        def tree_of_thought_deep(s, rest, question, topic):  # type: ignore[no-untyped-def]
            s += beginning
            s += rest
            states = grown(s, 0)
            for level, turn in enumerate(settings["turns"], 1):
                children = []
                for state in states:
                    state += turn
                    children += grown(state, level)
                states = children
            return [state[f"level_{level}"] for state in states]

        return tree_of_thought_deep, lambda s: self._vote(s.ret_value)

    def _llm_judge(self) -> tuple[SglFunction, Answer]:
        settings, beginning = self._settings, self._beginning
        metrics = settings["metrics"]

        @sglang.function
        def llm_judge(s, rest, question, topic):  # type: ignore[no-untyped-def]
            s += beginning
            s += rest
            forks = self._fork(s, len(metrics))
            for i, metric in enumerate(metrics):
                forks[i] += metric["text"]
                forks[i] += _gen("judgement", settings["judgement"])
            forks.join()
            s += settings["join"]
            for metric, judgement in zip(metrics, s["judgement"], strict=True):
                s += filled(settings["line"], name=metric["name"], judgement=judgement)
            s += settings["conclude"] + _gen("score", settings["score"])

        return llm_judge, lambda s: s["score"]

    def _tip_suggestion(self) -> tuple[SglFunction, Answer]:
        settings, beginning = self._settings, self._beginning
        numbers = range(1, settings["number"] + 1)

        @sglang.function
        def expand_tip(s, topic, tip):  # type: ignore[no-untyped-def]
            s += filled(settings["expand"], topic=topic, tip=tip)
            s += _gen("paragraph", settings["paragraph"])

        @sglang.function
        def tip_suggestion(s, rest, question, topic):  # type: ignore[no-untyped-def]
            s += beginning
            s += rest
            paragraphs = []
            for number in numbers:
                s += filled(settings["item"], number=number) + _gen(f"tip_{number}", settings["tip"])
                s += settings["after"]
                paragraphs.append(expand_tip(topic=topic, tip=s[f"tip_{number}"]))
            return [each["paragraph"] for each in paragraphs]

        return tip_suggestion, lambda s: s.ret_value


def _gen(name: str, settings: Mapping[str, Any]) -> SglGen:
    return sglang.gen(
        name,
        max_tokens=settings["max_tokens"],
        temperature=settings["temperature"],
        stop=settings.get("stop"),
        ignore_eos=settings.get("ignore_eos", False),
    )


def _long(text: str) -> str | None:
    return text if len(text) > _WORTH_SENDING else None
