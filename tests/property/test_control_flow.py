"""Structured control flow against Python: early returns, nested loops and branches become regions and give the same
result.

A random body is written twice, in `.tts` and in Python; the compiled program must return what Python returns, at
every level. No model is called, so nothing here depends on an engine.
"""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import ttsc
from ttsc.backends.scripted import ScriptedEngine

VARIABLES = ("a", "b", "c")


class Writer:
    """Writes one body in both languages, from one stream of random choices."""

    def __init__(self, choices: random.Random) -> None:
        self._r = choices

    def body(self, depth: int, names: tuple[str, ...]) -> tuple[list[str], list[str], bool]:
        """Lines of `.tts`, lines of Python, and whether it always returns."""
        tts: list[str] = []
        python: list[str] = []
        for _ in range(self._r.randint(1, 3)):
            kind = self._r.choice(
                ["assign", "assign", "let", "if", "repeat", "return"] if depth else ["assign", "return"]
            )
            if kind == "assign":
                name, value = self._r.choice(VARIABLES), self._number(names)
                tts.append(f"{name} = {value}")
                python.append(f"{name} = {value}")
            elif kind == "let":
                name = f"x{len(names)}"
                value = self._number(names)
                tts.append(f"let {name} = {value}")
                python.append(f"{name} = {value}")
                names = (*names, name)
            elif kind == "return":
                value = self._number(names)
                if self._r.random() < 0.5:
                    condition = self._condition(names)
                    tts.append(f"if {condition} {{ return {value} }}")
                    python += [f"if {condition}:", f"    return {value}"]
                    continue
                tts.append(f"return {value}")
                python.append(f"return {value}")
                return tts, python, True
            elif kind == "if":
                condition = self._condition(names)
                t1, p1, r1 = self.body(depth - 1, names)
                tts += [f"if {condition} {{", *_indented(t1), "}"]
                python += [f"if {condition}:", *_indented(p1)]
                if self._r.random() < 0.6:
                    t2, p2, r2 = self.body(depth - 1, names)
                    tts[-1] = "} else {"
                    tts += [*_indented(t2), "}"]
                    python += ["else:", *_indented(p2)]
                    if r1 and r2:
                        return tts, python, True
            else:
                rounds = self._r.randint(0, 3)
                t, p, _ = self.body(depth - 1, names)
                tts += [f"repeat {rounds} {{", *_indented(t), "}"]
                python += [f"for _ in range({rounds}):", *_indented(p)]
                if self._r.random() < 0.5:
                    condition = self._condition(VARIABLES)
                    tts[-1] += f" until {condition}"
                    python.append(f"    if {condition}: break")
        return tts, python, False

    def _number(self, names: tuple[str, ...]) -> str:
        a, b = self._r.choice(names), self._r.choice(names)
        return f"({a} * {self._r.randint(1, 3)} + {b} + {self._r.randint(-2, 5)}) % 23"

    def _condition(self, names: tuple[str, ...]) -> str:
        return f"{self._r.choice(names)} {self._r.choice(['<', '>=', '==', '!='])} {self._r.randint(0, 12)}"


def _indented(lines: list[str]) -> list[str]:
    return [f"    {line}" for line in lines]


def write(seed: int) -> tuple[str, str]:
    tts, python, returns = Writer(random.Random(seed)).body(3, VARIABLES)
    if not returns:
        tts.append("return a + b + c")
        python.append("return a + b + c")
    head = ["program p(x: int) -> int {", "    var a = x", "    var b = 1", "    var c = 2"]
    text = "\n".join([*head, *_indented(tts), "}"])
    reference = "\n".join(["def p(x):", "    a, b, c = x, 1, 2", *_indented(python)])
    return text, reference


@pytest.mark.parametrize("level", [0, 1, 2])
@given(seed=st.integers(0, 2**32), x=st.integers(-5, 20))
@settings(max_examples=60, deadline=None)
def test_a_program_returns_what_python_returns(level: ttsc.Level, seed: int, x: int) -> None:
    text, reference = write(seed)
    scope: dict[str, object] = {}
    exec(reference, scope)  # noqa: S102
    expected = scope["p"](x)  # type: ignore[operator]
    result = ttsc.compile(text, level=level).run(x=x, engine=ScriptedEngine({}))
    assert result.error is None, f"{text}\n{result.error}"
    assert result.value == expected, text
