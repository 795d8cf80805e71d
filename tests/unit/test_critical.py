"""The critical path of each request: the longest chain of tokens from its start to the program's end."""

from __future__ import annotations

import pytest

from ttsc.compiler.ir.reader import read
from ttsc.compiler.plan.critical import UNKNOWN_ROUNDS, UNKNOWN_TOKENS, critical_paths

HEAD = """
program p(%question: str, %n: int = 3 in 1..8, %most: int in 16..64, %free: int) -> list[Candidate] {
  model policy
  %one = const 1 : int
  %ten = const 10 : int
  %five = const 5 : int
  %no = const false : bool
  %turn1 = turn user "{{ q }}" (q=%question)
"""


def paths(body: str) -> dict[str, int]:
    return critical_paths(read(HEAD + body + "}"))


def asked(name: str, source: str, most: str) -> str:
    return f"%{name} = generate sample %{source} x %one (max_tokens=%{most}) model=policy : list[Candidate]\n"


def test_a_chain_and_what_is_beside_it() -> None:
    body = asked("a", "turn1", "ten") + asked("b", "a", "five") + asked("c", "turn1", "five")
    assert paths(body + "%both = add(%b, %c) : list[Candidate]\nyield %both\n") == {"a": 15, "b": 5, "c": 5}


@pytest.mark.parametrize(("most", "tokens"), [("n", 3), ("most", 64), ("free", UNKNOWN_TOKENS), ("twice", 20)])
def test_tokens_that_are_no_constant(most: str, tokens: int) -> None:
    """A default, the greatest value in a range, what is computed from these."""
    body = "%twice = add(%ten, %ten) : int\n" + asked("a", "turn1", most)
    assert paths(body + "yield %a\n") == {"a": tokens}


def test_a_generation_that_does_not_say() -> None:
    body = "%a = generate sample %turn1 x %one model=policy : list[Candidate]\nyield %a\n"
    assert paths(body) == {"a": UNKNOWN_TOKENS}


@pytest.mark.parametrize(("limit", "rounds"), [("n", 3), ("five", 5), ("free", UNKNOWN_ROUNDS)])
def test_a_loop_is_as_long_as_its_rounds(limit: str, rounds: int) -> None:
    body = asked("a", "turn1", "ten")
    body += f"%r = repeat @loop %{limit} (%k: list[Candidate] = %a) {{\n{asked('b', 'k', 'five')}yield %b, %no\n}} : "
    body += "list[Candidate]\n" + asked("c", "r", "ten") + "yield %c\n"
    assert paths(body) == {"a": 10 + rounds * 5 + 10, "b": rounds * 5 + 10, "c": 10}


def test_a_branch_begins_after_its_condition() -> None:
    body = asked("a", "turn1", "ten") + "%length = count(%a) : int\n%c = lt(%one, %length) : bool\n"
    body += f"%r = if @if1 %c {{\n{asked('b', 'turn1', 'five')}yield %b\n}} else {{\nyield %a\n}} : list[Candidate]\n"
    assert paths(body + "yield %r\n") == {"a": 15, "b": 5}


def test_elements_and_their_scores() -> None:
    """What a map's body asks comes after its elements, also where it does not read them; a score takes one."""
    body = asked("a", "turn1", "ten") + "%m = map %a as %x: Candidate {\n"
    body += "%s = score reward %x model=policy : list[float]\n%p = sum(%s) : float\n"
    body += asked("b", "turn1", "five") + "yield %p\n} : list[float]\n"
    body += "%best = select best %a keys=%m rule greatest(ties=first) : Candidate\n%l = list(%best) : list[Candidate]\n"
    assert paths(body + "yield %l\n") == {"a": 15, "s": 1, "b": 5}
