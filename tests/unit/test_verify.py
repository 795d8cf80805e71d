"""Each invariant of the IR, broken once."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ttsc.compiler.ir.node_verifier import type_of
from ttsc.compiler.ir.nodes import Block, Program
from ttsc.compiler.ir.reader import read
from ttsc.compiler.ir.verify import verify, violations
from ttsc.compiler.values.types import FLOAT, INT, ListOf
from ttsc.grammar.diagnostics import InternalError

VALID = """
program p(%question: str, %n: int = 4) -> str {
  model policy
  record Report { passed: bool }
  extern run_tests(code: str) -> Report
  %c0 = const 0.5 : float
  %c1 = const 1 : int
  %yes = const true : bool
  %ones = const (1, 1.0) : list[float]
  %turn1 = turn user "{{ question }}" (question=%question)
  %sample1 = generate sample %turn1 x %n (temperature=%c0, max_tokens=%c1) model=policy : list[Candidate]
  %map1 = map %sample1 as %x1: Candidate {
    %p1 = field[text](%x1) : str
    %p2 = last_boxed(%p1) : str?
    yield %p2
  } : list[str?]
  %filter1 = filter %sample1 as %x2: Candidate {
    %p3 = field[text](%x2) : str
    %e1 = extern run_tests(%p3) : Report
    %p4 = field[passed](%e1) : bool
    yield %p4
  } : list[Candidate]
  %vote1 = select vote %map1 rule majority(ties=first, invalid=drop) : str
  %best1 = select best %filter1 keys=%ones rule greatest(ties=first) : Candidate
  %any1 = if @any1 %yes {
    yield %c1
  } else {
    yield %c0
  } : float
  %pool = repeat @repeat1 %n (%k: list[Candidate] = %sample1) {
    %f1 = force %k with %vote1 : list[Candidate]
    yield %f1, %yes
  } : list[Candidate]
  yield %vote1
}
"""


def test_a_valid_program() -> None:
    verify(read(VALID))


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("%c1 = const 1 : int", "%c1 = const 1 : int\n  %c1 = const 2 : int", "%c1 is defined twice"),
        ("%best1 =", "%repeat1 =", "the id repeat1 is taken"),
        ("@repeat1", "@any1", "the id any1 is taken"),
        ("const 1 : int", "const 1.5 : int", "%c1: the constant is float, not int"),
        ("(question=%question)", "", "%turn1: the template reads question, which are not given"),
        ('user "{{ question }}"', 'user literal "{{ question }}"', "%turn1: a literal turn has arguments"),
        ('"{{ question }}"', '"{{ question"', "%turn1: the template is invalid"),
        ("(question=%question)", "(question=%question, question=%question)", "%turn1: an argument is given twice"),
        ("sample %turn1", "sample %question", "%question is str, not a candidate"),
        ("x %n", "x %c0", "%sample1: the count is float, not int"),
        ("temperature=%c0", "heat=%c0", "%sample1: there is no option `heat`"),
        ("max_tokens=%c1", "max_tokens=%c0", "the option `max_tokens` is float, not int"),
        ("model=policy : list[Candidate]", "model=prm : list[Candidate]", "%sample1: there is no model role `prm`"),
        ("model=policy : list[Candidate]", "model=policy : Candidate", "%sample1: the result is Candidate"),
        ("extern run_tests(%p3)", "extern run(%p3)", "%e1: there is no extern `run`"),
        ("extern run_tests(%p3)", "extern run_tests()", "%e1: 0 arguments for `run_tests`"),
        ("extern run_tests(%p3)", "extern run_tests(%c0)", "%e1: the argument `code` is float, not str"),
        ("last_boxed(%p1)", "first_boxed(%p1)", "%p2: there is no operation `first_boxed`"),
        ("last_boxed(%p1)", "last_boxed()", "%p2: 0 arguments for `last_boxed`"),
        ("last_boxed(%p1)", "last_boxed[x](%p1)", "%p2: `last_boxed` has the attribute 'x'"),
        ("last_boxed(%p1) : str?", "last_boxed(%p1) : int?", "%p2: the result is str?, not int?"),
        ("field[passed](%e1)", "field[failed](%e1)", "%p4: Report has no field `failed`"),
        ("field[text](%x1)", "field[secret](%x1)", "%p1: Candidate has no field `secret`"),
        ("%x1: Candidate", "%x1: str", "%map1: the element is Candidate, not str"),
        ("    yield %p2", "    yield %p2, %p1", "%map1: the body yields 2 values"),
        ("} : list[str?]", "} : list[str]", "%map1: the result is list[str?], not list[str]"),
        ("    yield %p4", "    yield %p3", "%filter1: the body's yield is str, not bool"),
        ("map %sample1", "map %question", "%map1: %question is str, not a list"),
        ("majority(ties=first, invalid=drop)", "greatest(ties=first)", "`vote` with the rule Greatest"),
        ("vote %map1 rule", "vote %map1 count=%n rule", "%vote1: `vote` with count"),
        ("best %filter1 keys=%ones", "best %filter1", "%best1: `best` without keys"),
        ("vote %map1 rule", "vote %map1 weights=%map1 rule", "the weights is list[str?], not list[float]"),
        ("vote %map1 rule", "vote %map1 otherwise=%n rule", "%vote1: `otherwise` is int, not str"),
        ("vote %map1", "vote %sample1", "%vote1: the list is list[Candidate], not list[str?]"),
        ("if @any1 %yes", "if @any1 %n", "%any1: the condition is int, not bool"),
        ("    yield %c0", "    yield %question", "a branch's %question is str, not float"),
        ("    yield %f1, %yes", "    yield %f1, %n", "%repeat1: the body's last yield is not a bool"),
        ("    yield %f1, %yes", "    yield %yes", "%repeat1: the body gives 0 values for 1"),
        ("repeat @repeat1 %n", "repeat @repeat1 %c0", "%repeat1: the limit is float, not int"),
        ("= %sample1)", "= %question)", "%repeat1: the loop's start's %question is str, not list[Candidate]"),
        ("force %k with %vote1", "force %k with %n", "%f1: the text is int, not str"),
        ("record Report", "model policy\n  record Report", "two model roles named `policy`"),
        ("%n: int = 4", '%n: int = "four"', "the default of `n` is str, not int"),
    ],
)
def test_each_invariant(old: str, new: str, message: str) -> None:
    assert old in VALID
    assert any(message in problem for problem in violations(read(VALID.replace(old, new, 1))))


def test_order_scope_and_types_of_reads() -> None:
    program = read(VALID)
    first, second, *rest = program.body.nodes
    problems = violations(_with(program, (*rest, first, second)))
    assert any("reads %c0, which is never defined before this" in p for p in problems)
    leaked = replace(program.body, yields=(program.body.nodes[6].body.yields[0],))  # type: ignore[union-attr]
    assert any("out of scope" in p for p in violations(replace(program, body=leaked)))
    retyped = replace(program.body, yields=(replace(program.body.yields[0], type=INT),))
    assert "reads %vote1 as int, not str" in violations(replace(program, body=retyped))


def test_every_problem_is_listed_with_its_stage() -> None:
    program = read(VALID)
    broken = replace(program, body=Block((), program.body.nodes, ()))
    with pytest.raises(InternalError) as caught:
        verify(broken, "fold_constants")
    message = str(caught.value)
    assert "invalid program `p` after fold_constants" in message
    assert "the body's params are not the parameters" in message and "yields 0 values" in message


def test_types_of_constants() -> None:
    assert type_of((1, 2.0)) == ListOf(FLOAT)


def _with(program: Program, nodes: tuple[object, ...]) -> Program:
    return replace(program, body=replace(program.body, nodes=nodes))  # type: ignore[arg-type]
