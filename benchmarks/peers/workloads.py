"""The workloads: settings and inputs, per kind of model, and the data file that every arm reads.

Two kinds of model: `testbed`, the tiny one that reasons in arithmetic (its alphabet has 23 characters, so prompts are
made of these), and `chat`, any model with a chat template. Shapes and settings of the four ports are those of SGLang's
own benchmark programs; the texts are ours. Sizes are settings: those of `Sizes.of` are small enough for a CPU.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from benchmarks.peers import texts
from ttsc.backends.protocol import Turn
from ttsc.backends.sglang.tokenizer import ModelTokenizer
from ttsc.compiler.ir.nodes import Draw, Generate
from ttsc.compiler.ir.rewrite import walk
from ttsc.driver import compile_file

Kind = Literal["testbed", "chat"]
PROGRAMS = Path(__file__).parent / "programs"
ANSWER = r"A(?:nswer)?: *\$?(-?[0-9]+)"
NUMBER = r"(-?[0-9]+)"


@dataclass(frozen=True, slots=True)
class Sizes:
    """How large the workloads are. Tokens per generation, counts, and how many inputs run alone, one by one."""

    samples: int = 8
    solution_tokens: int = 80
    judge_tokens: int = 2
    particles: int = 6
    steps: int = 10
    step_tokens: int = 12
    chain_tokens: int = 56
    final_tokens: int = 8
    tree_tokens: int = 40
    judgement_tokens: int = 24
    tip_tokens: int = 12
    paragraph_tokens: int = 48
    alone: int = 4
    shared_tokens: int = 0
    """Tokens of a text that all prompts of a workload begin with, about; 0: none."""

    @staticmethod
    def of(kind: Kind) -> Sizes:
        """The sizes that a full run takes."""
        return Sizes() if kind == "testbed" else replace(Sizes(), alone=2, judge_tokens=4, final_tokens=16)

    @staticmethod
    def small() -> Sizes:
        """The smallest that still run everything: for tests."""
        return Sizes(4, 12, 2, 4, 3, 6, 12, 4, 4, 6, 6, 12, 1)


@dataclass(frozen=True, slots=True)
class Workload:
    """`settings` as the arms read them; `values` are the program's parameters for a question's number."""

    name: str
    settings: dict[str, Any]
    values: Callable[[int], dict[str, Any]]
    prompt: Callable[[dict[str, Any]], str]
    """What the user's first turn says, of an input's values."""


def workload(name: str, kind: Kind, sizes: Sizes, reward_url: str = "") -> Workload:
    """One of `NAMES`."""
    said = texts.of(kind, sizes.shared_tokens)
    return _MAKERS[name](said, sizes, reward_url)


def data(made: Workload, tokenizer: ModelTokenizer, count: int) -> dict[str, Any]:
    """The data file: see README.md. `nodes`: the program's generating and drawing nodes, which seeds derive from."""
    inputs = []
    for number in range(count):
        values = made.values(number)
        turns = [Turn("user", made.prompt(values))]
        inputs.append(
            {
                "values": values,
                "messages": [{"role": turn.role, "content": turn.text} for turn in turns],
                "ids": tokenizer.chat_ids(turns),
                "text": rendered(tokenizer, turns),
            }
        )
    settings = json.loads(json.dumps(made.settings))
    for owner, key in (("judge", "text"), ("reward", "text")):
        if owner in settings:
            settings[owner][key] = rendered(tokenizer, [Turn("user", settings[owner]["user"])])
    if "reward" in settings:
        settings["reward"]["text"] += "{solution}"
    if "form" in settings:
        settings["expand"] = rendered(tokenizer, [Turn("user", settings["form"])])
    return {"workload": made.name, "settings": settings, "nodes": nodes(made.name), "inputs": inputs}


def rendered(tokenizer: ModelTokenizer, turns: list[Turn]) -> str:
    """A conversation as text, in the model's own template, up to where the assistant speaks."""
    text = tokenizer._render([{"role": turn.role, "content": turn.text} for turn in turns], True)
    return str(text)


def nodes(name: str) -> dict[str, str]:
    """The ids of a program's generating and drawing nodes, by what they do: `sample`, a second one `sample.2`."""
    found: dict[str, str] = {}
    for node in walk(compile_file(PROGRAMS / f"{name}.tts", None, 2, ()).plan.program.body):
        if isinstance(node, Generate | Draw):
            alike = sum(1 for key in found if key.split(".")[0] == node.op)
            found[node.op if not alike else f"{node.op}.{alike + 1}"] = node.result.id
    return found


def _generation(temperature: float, max_tokens: int, *stop: str) -> dict[str, Any]:
    return {"temperature": temperature, "max_tokens": max_tokens, **({"stop": list(stop)} if stop else {})}


def _question(values: dict[str, Any]) -> str:
    return str(values["question"])


def _self_consistency(said: texts.Texts, sizes: Sizes, _: str) -> Workload:
    settings = {**_generation(0.7, sizes.solution_tokens), "n": sizes.samples, "answer": ANSWER}
    fixed = {"n": sizes.samples, "temperature": 0.7, "max_tokens": sizes.solution_tokens}
    return Workload(
        "self_consistency", settings, lambda i: {"question": said.solve(said.question(i)), **fixed}, _question
    )


def _first_finish(said: texts.Texts, sizes: Sizes, name: str) -> Workload:
    return replace(_self_consistency(said, sizes, name), name="first_finish")


def _best_of_n(said: texts.Texts, sizes: Sizes, _: str) -> Workload:
    judge = {
        **_generation(0.0, sizes.judge_tokens),
        "messages": [{"role": "user", "content": said.grade}],
        "user": said.grade,
        "score": NUMBER,
        "maximum": 10.0,
    }
    settings = {
        **_generation(0.7, sizes.solution_tokens),
        "n": sizes.samples,
        "answer": ANSWER,
        "judge": judge,
    }
    fixed = {
        "n": sizes.samples,
        "temperature": 0.7,
        "max_tokens": sizes.solution_tokens,
        "form": said.grade,
        "judge_tokens": sizes.judge_tokens,
    }
    return Workload("best_of_n", settings, lambda i: {"question": said.solve(said.question(i)), **fixed}, _question)


def _verify_refine(said: texts.Texts, sizes: Sizes, _: str) -> Workload:
    settings = {**_generation(0.7, sizes.solution_tokens), "answer": ANSWER, "rounds": 3}
    fixed = {"rounds": 3, "temperature": 0.7, "max_tokens": sizes.solution_tokens}

    def values(i: int) -> dict[str, Any]:
        question = said.question(i)
        again = said.again.replace("{question}", question)
        return {"question": said.solve(question), "expected": said.expected(i), "again": again, **fixed}

    return Workload("verify_refine", settings, values, _question)


def _particle_filter(said: texts.Texts, sizes: Sizes, reward_url: str) -> Workload:
    settings = {
        **_generation(0.8, sizes.step_tokens, "\n"),
        "particles": sizes.particles,
        "steps": sizes.steps,
        "until": "\n",
        "final": said.final,
        "answer": ANSWER,
        "reward": {"url": reward_url, "user": "{question}"},
    }
    fixed = {
        "particles": sizes.particles,
        "steps": sizes.steps,
        "delimiter": "\n",
        "temperature": 0.8,
        "max_tokens": sizes.step_tokens,
    }
    return Workload(
        "particle_filter", settings, lambda i: {"question": said.solve(said.question(i)), **fixed}, _question
    )


def _multi_chain(said: texts.Texts, sizes: Sizes, _: str) -> Workload:
    settings = {
        "leads": said.leads,
        "chain": _generation(0.3, sizes.chain_tokens, "Question"),
        "final": _generation(0.0, sizes.final_tokens),
        "join": said.join,
        "solution": said.chain,
        "conclude": said.conclude,
        "answer": NUMBER,
    }
    fixed = {
        "leads": said.leads,
        "join_text": said.join,
        "form": said.chain,
        "conclude": said.conclude,
        "temperature": 0.3,
        "max_tokens": sizes.chain_tokens,
        "stop": "Question",
        "final_tokens": sizes.final_tokens,
    }
    return Workload(
        "multi_chain_reasoning", settings, lambda i: {"question": said.ask(said.question(i)), **fixed}, _question
    )


def _tree(said: texts.Texts, sizes: Sizes, _: str) -> Workload:
    settings = {
        **_generation(0.7, sizes.tree_tokens),
        "branches": 2,
        "turns": said.turns,
        "answer": NUMBER,
    }
    fixed = {"branches": 2, "turns": said.turns, "temperature": 0.7, "max_tokens": sizes.tree_tokens}
    return Workload(
        "tree_of_thought_deep", settings, lambda i: {"question": said.ask(said.question(i)), **fixed}, _question
    )


def _llm_judge(said: texts.Texts, sizes: Sizes, _: str) -> Workload:
    settings = {
        "metrics": said.metrics,
        "judgement": _generation(0.0, sizes.judgement_tokens, "END"),
        "score": _generation(0.0, 2),
        "join": said.join,
        "line": said.judgement,
        "conclude": said.conclude,
    }
    fixed = {
        "metrics": said.metrics,
        "join_text": said.join,
        "form": said.judgement,
        "conclude": said.conclude,
        "max_tokens": sizes.judgement_tokens,
        "stop": "END",
        "score_tokens": 2,
    }
    return Workload(
        "llm_judge", settings, lambda i: {"essay": said.essay(i), **fixed}, lambda values: str(values["essay"])
    )


def _tips(said: texts.Texts, sizes: Sizes, _: str) -> Workload:
    settings = {
        "number": 5,
        "tip": _generation(0.0, sizes.tip_tokens, "\n"),
        "paragraph": _generation(0.0, sizes.paragraph_tokens, "\n\n"),
        "item": "{number}:",
        "after": "\n",
        "form": said.expand,
    }
    fixed = {
        "number": 5,
        "item": "{number}:",
        "after": "\n",
        "form": said.expand,
        "tip_tokens": sizes.tip_tokens,
        "tip_stop": "\n",
        "paragraph_tokens": sizes.paragraph_tokens,
        "paragraph_stop": "\n\n",
    }

    def values(i: int) -> dict[str, Any]:
        topic = said.topic(i)
        return {"request": said.suggest.replace("{topic}", topic), "topic": topic, **fixed}

    return Workload("tip_suggestion", settings, values, lambda values: str(values["request"]))


_MAKERS: dict[str, Callable[[texts.Texts, Sizes, str], Workload]] = {
    "self_consistency": _self_consistency,
    "first_finish": _first_finish,
    "best_of_n": _best_of_n,
    "verify_refine": _verify_refine,
    "particle_filter": _particle_filter,
    "multi_chain_reasoning": _multi_chain,
    "tree_of_thought_deep": _tree,
    "llm_judge": _llm_judge,
    "tip_suggestion": _tips,
}
NAMES = tuple(_MAKERS)
DECIDABLE = frozenset({"self_consistency", "first_finish", "best_of_n", "tree_of_thought_deep"})
"""Those whose result can be settled before every candidate has ended."""
