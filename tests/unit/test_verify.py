"""Each invariant of the IR, broken once."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ttsc.compiler.ir.nodes import Block, Offline, Program
from ttsc.compiler.ir.reader import read
from ttsc.compiler.ir.value_types import type_of
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


WHOLE = """
program w(oracle %gold: str, %n: int = 4, %xs: list[str], %step: Step) -> str?, list[Step], bool {
  model policy
  record Step { passed: bool, answer: Candidate? }
  environment extern act(x: str) -> str
  extern look(x: str) -> str
  store lessons = %lessons: list[Step]
  %half = const 0.5 : float
  %ids = const (1, 2) : list[int]
  %ones = const (1.0, 0.5) : list[float]
  %grid = const (0.2, 0.9) : list[float]
  %lists = const ((1.0, 2.0), (0.5,)) : list[list[float]]
  %edges = const ((), (0,)) : list[list[int]]
  %none = const abstain : str?
  %yes = const true : bool
  %turn1 = turn user "{{ n }}" (n=%n)
  %sample1 = generate sample %turn1 x %n (temperature=%grid, engine=%step) model=policy : list[Candidate]
  %force1 = force %sample1 with %ids : list[Candidate]
  %cut1 = cut %force1 at %n : list[Candidate]
  %one1 = one(%cut1) : Candidate
  %cut2 = cut %one1 at %gold : Candidate
  %s1 = score reward %cut2 given=%gold model=policy : list[float]
  %s2 = score choices %turn1 given=%xs model=policy : list[float]
  %s3 = score embed %gold model=policy : list[float]
  %d1 = draw resample["systematic resample sum"](%cut1, %ones, %n) : list[Candidate]
  %d2 = draw shuffle(%xs) : list[str]
  %tree1 = tree(%one1) : Tree
  %d3 = draw select["best beta drop"](%tree1, %n) : list[Node]
  %node1 = one(%d3) : Node
  %visits = field[visits](%node1) : int
  %zip1 = zip(%xs, %ids) : list[(str, int)]
  %pair1 = one(%zip1) : (str, int)
  %second1 = field[second](%pair1) : int
  %a1 = extern act(%gold) after %yes : str
  %l1 = extern look(%gold) : str
  %done1 = done(%a1) : bool
  %dag1 = dag %xs needs %edges as %x1: str, %found1: list[str] {
    yield %x1
  } : list[str]
  %kept1 = offline @offline1 "abc" (%offline1.x1: str = %gold) {
    yield %offline1.x1
  } : str
  %best1 = select best %xs keys=%lists rule greatest(ties=random) : str
  %vote1 = select vote %dag1 otherwise=%none rule majority(ties=random, invalid=drop) : str?
  yield %vote1, %lessons, %done1
}
"""


def test_a_valid_program_of_the_whole_language() -> None:
    verify(read(WHOLE))


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("temperature=%grid", "temperature=%xs", "the option `temperature` is str, not float"),
        ("engine=%step", "engine=%n", "the option `engine` is int, not a record"),
        ("force %sample1 with %ids", "force %sample1 with %ones", "the text is list[float], not str or list[int]"),
        ("at %n : list[Candidate]", "at %half : list[Candidate]", "%cut1: the place is float, not int or str"),
        ("%cut2 = cut %one1", "%cut2 = cut %gold", "%cut2: %gold is str, not a candidate or a list of candidates"),
        ("at %gold : Candidate", "at %gold : Context", "%cut2: the result is Candidate, not Context"),
        ("given=%gold model=policy", "given=%gold model=prm", "%s1: there is no model role `prm`"),
        ("reward %cut2", "reward %gold", "%s1: the source is str, not Candidate"),
        ("reward %cut2 given=%gold", "reward %cut2 given=%n", "%s1: what is given is int, not str"),
        ("choices %turn1 given=%xs", "choices %turn1", "%s2: `choices` without texts to choose from"),
        ("choices %turn1 given=%xs", "choices %turn1 given=%gold", "%s2: what is given is str, not list[str]"),
        ("embed %gold", "embed %gold given=%gold", "%s3: `embed` with a text beside its source"),
        ("embed %gold", "embed %one1", "%s3: the source is Candidate, not str"),
        (
            "embed %gold model=policy : list[float]",
            "embed %gold model=policy : float",
            "%s3: the result is list[float]",
        ),
        ("systematic resample sum", "simple", "%d1: `resample` does not know the settings `simple`"),
        ("(%cut1, %ones, %n)", "(%cut1)", "%d1: `resample` takes 3 to "),
        ("(%cut1, %ones, %n)", "(%cut1, %xs, %n)", "%d1: the weights is list[str], not list[float]"),
        ("(%cut1, %ones, %n)", "(%cut1, %ones, %half)", "%d1: the count is float, not int"),
        ("draw shuffle(%xs)", "draw shuffle(%gold)", "%d2: %gold is str, not a list"),
        ("draw shuffle(%xs)", "draw random(%xs)", "%d2: %xs is list[str], not a number"),
        ("draw shuffle(%xs) : list[str]", "draw shuffle(%xs) : list[int]", "%d2: the result is list[str], not"),
        ('select["best beta drop"](%tree1', 'select["best beta drop"](%xs', "%d3: the tree is list[str], not Tree"),
        ("list[Node]", "list[Candidate]", "%d3: the result is list[Node], not list[Candidate]"),
        ("field[visits]", "field[text]", "%visits: Node has no field `text`"),
        ("field[second]", "field[third]", "%second1: (str, int) has no field `third`"),
        ("field[second](%pair1) : int", "field[second](%pair1) : str", "%second1: the result is int, not str"),
        ("act(%gold) after %yes", "act(%gold)", "%a1: `act` without an order"),
        ("act(%gold) after %yes", "act(%gold) after %n", "%a1: what it comes after is int, not bool"),
        ("look(%gold)", "look(%gold) after %yes", "%l1: `look` with an order"),
        ("needs %edges", "needs %ids", "%dag1: what elements need is list[int], not list[list[int]]"),
        ("dag %xs", "dag %gold", "%dag1: %gold is str, not a list"),
        ("%x1: str, %found1: list[str] {", "%x1: str {", "%dag1: the body does not take an element and a list"),
        ("%x1: str, %found1", "%x1: int, %found1", "%dag1: the element is str, not int"),
        ("%found1: list[str]", "%found1: list[int]", "%dag1: what was found is list[str], not list[int]"),
        ("    yield %x1", "    yield", "%dag1: the body yields 0 values"),
        ('"abc"', '""', "%offline1: the region has no key"),
        ("%offline1.x1: str =", "%offline1.x1: int =", "%offline1: the region's start's %gold is str, not int"),
        ("    yield %offline1.x1", "    yield", "%offline1: the region gives 0 values for 1"),
        ("(%offline1.x1: str = %gold)", "(%offline1.x1: Candidate = %one1)", "the region's %offline1.x1 is Candidate"),
        ("keys=%lists", "keys=%xs", "%best1: the keys is list[str], not list[float]"),
        ("otherwise=%none rule", "otherwise=%n rule", "%vote1: `otherwise` is int, not str?"),
        (": str?\n  yield", ": int\n  yield", "%vote1: the result is str, not int"),
        ("-> str?, list[Step], bool", "-> str?, list[Step]", "the body yields 2 values, not 3"),
        ("-> str?, list[Step], bool", "-> str?, bool, bool", "the store `lessons` at the end is bool, not list[Step]"),
        ("-> str?, list[Step], bool", "-> str?, list[Step], str", "the last yield is str, not bool"),
        ("%lessons: list[Step]\n", "%lessons: Step\n", "the store `lessons` is no list"),
        ("  extern look", "  environment extern act", "two externs named `act`"),
        ("  store lessons", "  store lessons = %l2: list[Step]\n  store lessons", "two stores named `lessons`"),
    ],
)
def test_each_invariant_of_the_whole_language(old: str, new: str, message: str) -> None:
    assert old in WHOLE
    text = WHOLE.replace(old, new, 1)
    for returns, yields in (
        ("-> str?, list[Step] {", "%vote1, %lessons"),
        ("-> str?, bool, bool {", "%vote1, %yes, %done1"),
        ("-> str?, list[Step], str {", "%vote1, %lessons, %gold"),
    ):
        if returns in text:
            text = text.replace("%vote1, %lessons, %done1", yields)
    text = text.replace("-> str?, list[Step], bool", "-> int, list[Step], bool") if ": int\n  yield" in text else text
    text = text.replace("list[Step], bool", "Step, bool") if "%lessons: Step\n" in text else text
    problems = violations(read(text))
    assert any(message in problem for problem in problems), problems


def test_what_is_kept_offline_is_data() -> None:
    text = WHOLE.replace("(%offline1.x1: str = %gold)", "(%offline1.x1: Step = %step)")
    text = text.replace("} : str\n", "} : Step\n").replace("as %x1: Step", "as %x1: str")
    assert "%offline1: %kept1 is Step, which cannot be kept" in violations(read(text))


def test_an_offline_region_is_closed() -> None:
    program = read(WHOLE)
    nodes = [
        replace(node, body=replace(node.body, yields=(program.body.params[0],))) if isinstance(node, Offline) else node
        for node in program.body.nodes
    ]
    assert any("reads %gold, which is out of scope here" in p for p in violations(_with(program, tuple(nodes))))
