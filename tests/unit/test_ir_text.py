"""The text form of the IR: every construct reads back, errors say where and what."""

from __future__ import annotations

from pathlib import Path

import pytest

from ttsc.compiler.ir.nodes import Limit
from ttsc.compiler.ir.printer import print_node, print_program
from ttsc.compiler.ir.reader import TextInvalid, read
from ttsc.compiler.ir.rewrite import walk
from ttsc.compiler.values.types import STR, Interval, ListOf, RecordType

EVERYTHING = """\
program everything(%question: str, %n: int = 16 in 1..256, %m as mode: str? = none in ("a", "b"), %r: Report) -> str {
  doc "n chains\\nof \\"thought\\""
  model policy = "smollm2"
  model prm
  record Inner { a: list[int?] }
  record Report { passed: bool, inner: Inner? }
  extern run_tests(code: str, tests: list[str]) -> Report
  %c1 = const 0.7 : float
  %c2 = const ("a\\n", 1, -2.5, true, none, (1,), ()) : list[str]
  %c3 = const true : bool
  %c4 = const 3 : int
  %turn1 = turn system literal "Reason {{ step }}."
  %turn2 = turn %turn1 user "{{ question }}" (question=%question)
  %turn3 = turn assistant "no parent"
  %sample1 = generate sample %turn2 x %n (temperature=%c1, max_tokens=%c4) model=policy delimiter=drop finished=freeze \
stream share_prefix : list[Candidate]
  %judge1 = generate judge %turn3 x %c4 model=prm : list[Candidate]
  %map1 = map %sample1 as %x1: Candidate {
    %p1 = field[text](%x1) : str
    %p3 = last_boxed(%p1) : str?
    yield %p3
  } : list[str?]
  %filter1 = filter %sample1 as %x2: Candidate {
    %p4 = field[finished](%x2) : bool
    yield %p4
  } : list[Candidate]
  %p5 = list() : list[never]
  %vote1 = select vote %map1 otherwise=%question rule majority(ties=last, invalid=count, max_weight=1.0) early : str
  %extern1 = extern run_tests(%vote1, %c2) : Report
  %a, %b = if @if1 %c3 {
    yield %vote1, %filter1
  } else {
    yield %question, %sample1
  } : str, list[Candidate]
  %d = repeat @repeat1 %c4 (%k: list[Candidate] = %b) {
    %g = force %k with %a : list[Candidate]
    yield %g, %c3
  } : list[Candidate]
  if @if2 %c3 {
    yield
  } else {
    yield
  }
  %s = select stop_first %d count=%c4 rule first_finished(order=time, truncated=include) : list[Candidate]
  %"odd id" = select keep %d keys=%c2 count=%c4 rule greatest(ties=first, maximum=1.0) : list[Candidate]
  %t = select any %c2 rule quantified(any) : bool
  yield %a
}
"""


WHOLE_LANGUAGE = """\
program acting(oracle %gold: str, %n: int = 16 in 1..256, %xs: list[str, 8], %step: Step) -> str?, list[Step], bool {
  model policy
  model prm
  record Inner { a: list[int?, 3], b: (str, (int, Node?))? }
  record Step { passed: bool, inner: Inner?, grade: int in 0..10, "odd name": float in 0.5..1.0, kind: str in \
("a", "b") }
  record Empty { }
  extern run_tests(code: str, tests: list[str, 4]) -> Step
  environment extern act(x: str) -> str
  oracle extern correct(x: str) -> Empty
  store lessons = %lessons: list[Step]
  budget tokens=20000.0, latency=30, cost=0.05
  %c1 = const abstain : str?
  %c2 = const (none, abstain, "x") : list[str?]
  %ids = const (1, 2) : list[int]
  %hot = const (0.2, 0.9) : list[float]
  %true1 = const true : bool
  %turn1 = turn user "{{ n }}" (n=%n)
  %sample1 = generate sample %turn1 x %n (temperature=%hot, engine=%step) model=policy schema="{\\"a\\": \\"é\\"}" \
logprobs stream : list[Candidate]
  %f = force %sample1 with %ids : list[Candidate]
  %cut1 = cut %f at %n : list[Candidate]
  %one1 = one(%cut1) : Candidate
  %s1 = score reward %one1 given=%gold model=prm : list[float]
  %s2 = score logprob %one1 model=policy : list[float]
  %s3 = score choices %turn1 given=%xs model=policy : list[float]
  %s4 = score embed %gold model=policy : list[float]
  %d1 = draw resample["systematic resample sum"](%cut1, %s1, %n) : list[Candidate]
  %d2 = draw shuffle(%xs) : list[str]
  %a1 = extern act(%gold) after %true1 : str
  %done1 = done(%a1) : bool
  %score = "score"(%a1) : bool
  %needs1 = const ((), (0,)) : list[list[int]]
  %dag1 = dag %xs needs %needs1 invalid=drop as %x1: str, %found1: list[str] {
    yield %x1
  } : list[str]
  %dag2 = dag %xs needs %needs1 as %x2: str, %found2: list[int] {
    yield %n
  } : list[int]
  %o1, %o2 = offline @offline1 "abc" (%offline1.x1: str = %gold, %offline1.n1: int = %n) {
    %offline1.p1 = upper(%offline1.x1) : str
    yield %offline1.p1, %offline1.n1
  } : str, int
  %o3 = offline @offline2 "def" () {
    %offline2.c1 = const 1 : int
    yield %offline2.c1
  } : int
  %v = select vote %dag1 otherwise=%c1 rule majority(ties=random, invalid=drop) : str?
  %b = select best %xs keys=%s1 rule greatest(ties=random) : str
  yield %v, %lessons, %done1
}
"""


@pytest.mark.parametrize("text", [EVERYTHING, WHOLE_LANGUAGE])
def test_everything_reads_back_as_it_was_written(text: str) -> None:
    program = read(text)
    assert print_program(program) == text
    assert read(print_program(program)) == program


def test_what_is_no_part_of_a_types_identity_survives() -> None:
    program = read(WHOLE_LANGUAGE)
    limited, step = program.parameters[2].value.type, program.parameters[3].value.type
    assert limited == ListOf(STR) and isinstance(limited, ListOf) and limited.limit == 8
    assert isinstance(step, RecordType)
    allowed = (("grade", Interval(0, 10)), ("odd name", Interval(0.5, 1.0)), ("kind", ("a", "b")))
    assert step.allowed == allowed


def test_the_head_of_a_program() -> None:
    program = read(WHOLE_LANGUAGE)
    assert [parameter.oracle for parameter in program.parameters] == [True, False, False, False]
    assert [extern.kind for extern in program.externs] == ["plain", "environment", "oracle"]
    assert program.budget == (Limit("tokens", 20000.0), Limit("latency", 30), Limit("cost", 0.05))
    assert program.body.params[-1] == program.stores[0].value


def test_an_offline_region_sees_its_inputs_only() -> None:
    with pytest.raises(TextInvalid) as caught:
        read(WHOLE_LANGUAGE.replace("upper(%offline1.x1)", "upper(%gold)"))
    assert "`%gold` is not defined here" in str(caught.value)


def test_comments_and_layout_do_not_matter() -> None:
    program = read('program p()->str{# why\n%c=const "# no comment":str yield %c}')
    assert print_program(program) == 'program p() -> str {\n  %c = const "# no comment" : str\n  yield %c\n}\n'


def test_one_node() -> None:
    nodes = list(walk(read(EVERYTHING).body))
    assert print_node(nodes[0]) == "%c1 = const 0.7 : float"


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("program everything", "everything", "1:1: expected `program`, found `everything`"),
        ("x %n", "y %n", "15:37: expected `x`, found `y`"),
        ('"Reason', '"\\q', "12:32: invalid escape in a text"),
        ("0.7 : float", "0.7", "9:3: expected `:` and a type, found `%c2`"),
        ("list[int?]", "list[nt]", "5:26: there is no type `nt`"),
        ("  yield %a\n}", "}", "46:1: expected `yield` before this, found `}`"),
        ("ties=last", "tie=last", "27:105: expected other settings of `majority` before this, found `early`"),
        ("with %a", "with %zz", "35:24: `%zz` is not defined here"),
        ("with %a", "with %p1", "35:24: `%p1` is not defined here"),
        ("  yield %a\n}\n", "  yield %a\n}\nx", "48:1: expected the end of the text, found `x`"),
        ("-> str {", "-> int {", "1:114: the program does not yield the type it names"),
        ("const 0.7", "const ;", "8:15: unexpected ';'"),
        ("%a, %b = if", "%a = if", "29:3: 1 names for 2 types"),
        ("in 1..256", "in 1..x", "expected a number, found `x`"),
        ("ties=last", "ties=late", "expected `first` or `last` or `random`, found `late`"),
        ("str? = none", "(str) = none", "1:76: expected `,`, found `)`"),
        ("generate sample", "generate simple", "expected `sample` or `branch` or `refine` or `judge`, found `simple`"),
    ],
)
def test_errors(old: str, new: str, message: str) -> None:
    assert EVERYTHING.count(old) >= 1
    with pytest.raises(TextInvalid) as caught:
        read(EVERYTHING.replace(old, new, 1))
    assert message in str(caught.value)


def test_the_example_of_the_documentation_reads_back() -> None:
    page = (Path(__file__).parent.parent.parent / "docs" / "ir.md").read_text(encoding="utf-8")
    example = page.split("```\n")[1]
    assert print_program(read(example)) == example
