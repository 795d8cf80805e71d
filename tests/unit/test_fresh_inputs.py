"""Inputs like those given: other texts of the same length where only the length matters, and nothing else changed."""

from __future__ import annotations

import pytest

import ttsc
from ttsc.backends.simulator.tokenizer import SimulatedTokenizer
from ttsc.estimates.fresh_inputs import changeable, fresh_inputs, text_like

TEXTS = (
    "How many apples are left of 17, if Ann eats 3?",
    "7",
    "Сколько будет 17 + 25?",
    "一共有多少个苹果?",
    "É possível",
    "I am here",
)


@pytest.mark.parametrize("text", TEXTS)
def test_texts_are_as_long_and_begin_in_other_ways(text: str) -> None:
    encode = SimulatedTokenizer().encode
    made = [text_like(text, turn) for turn in range(9)]
    assert made[0] == text and len(set(made)) == 9
    assert {len(each.encode()) for each in made} == {len(text.encode())}
    assert {len(encode(each)) for each in made} == {len(encode(text))}
    assert len({tuple(encode(each)[:2]) for each in made}) == 9


def test_thousands_of_texts_differ() -> None:
    assert len({text_like(TEXTS[0], turn) for turn in range(20_000)}) == 20_000


@pytest.mark.parametrize("text", ['{"a": 1}', " [1, 2]", "", "+ - ?"])
def test_what_may_be_read_by_a_machine_stays(text: str) -> None:
    assert text_like(text, 5) == text


PROMPT = 'prompt user(q: str) { user "{{ q }}" }\n'


def program(body: str, rest: str = "", parameters: str = "q: str") -> ttsc.CompiledProgram:
    return ttsc.compile(f"program p({parameters}) -> str {{\n{body}\n}}\n{PROMPT}{rest}")


ASK = "|> sample(1, max_tokens=8) |> one |> text"
ASKED = f"    return user(q) {ASK}"
LOOP = f"    var now = q\n    repeat 2 {{\n        now = user(now) {ASK}\n    }}\n    return now"
CONDITIONAL = "prompt asked(q: str) { user \"{% if q == 'x' %}a{% endif %}\" }\n"


@pytest.mark.parametrize(
    "found, changed",
    [
        (program(ASKED), {"q"}),
        (program(ASKED, parameters='q: str = "x"'), set()),
        (program(ASKED, parameters='q: str in ["x", "y"]'), set()),
        (program('    if q == "de" { return "ja" }\n' + ASKED), set()),
        (program(f"    offline let n = user(q) {ASK}\n    return n"), set()),
        (program(LOOP), {"q"}),
        (program(f"    return asked(q) {ASK}", CONDITIONAL), set()),
    ],
)
def test_only_texts_that_nobody_looks_at(found: ttsc.CompiledProgram, changed: set[str]) -> None:
    assert changeable(found.ir) == changed


def test_what_a_host_function_is_given_stays() -> None:
    found = program(
        "    return user(look(q)) |> sample(1, max_tokens=8) |> one |> text", "extern look(q: str) -> str\n"
    )
    assert changeable(found.ir) == {"q"}
    assert changeable(found.ir, {"look"}) == set()


def test_given_inputs_come_first_and_as_they_are() -> None:
    found = program(ASKED, parameters="q: str, n: int = 3")
    given = [{"q": "one of two", "n": 5}, {"q": "the other", "n": 6}]
    made = fresh_inputs(found.ir, given, 5)
    assert made[:2] == given
    assert [each["n"] for each in made] == [5, 6, 5, 6, 5]
    assert len({each["q"] for each in made}) == 5
    assert made[2]["q"].endswith("ne of two")


def test_lists_and_records_are_changed_inside() -> None:
    found = program(
        f"    return asked(q, items) {ASK}",
        'record Item { text: str, size: int }\n'
        'prompt asked(q: list[str], items: list[Item]) { user "{{ q }} {{ items }}" }\n',
        "q: list[str], items: list[Item]",
    )  # fmt: skip
    given = {"q": ["ab", "ba"], "items": [{"text": "cd", "size": 4}]}
    assert fresh_inputs(found.ir, [given], 2)[1] == {"q": ["bb", "ca"], "items": [{"text": "dd", "size": 4}]}
