"""Offline regions: closed over what they read, and named by a key that passes leave alone."""

from __future__ import annotations

from ttsc.compiler.ir.nodes import Block, Node, Offline, Program, Value
from ttsc.compiler.ir.offline import offline
from ttsc.compiler.ir.printer import print_node
from ttsc.compiler.ir.reader import read
from ttsc.compiler.ir.rewrite import walk
from ttsc.compiler.ir.verify import verify
from ttsc.compiler.passes.runner import run_passes
from ttsc.compiler.values.types import STR

OPEN = """
program p(%question: str, %n: int, %flag: bool) -> str {
  model policy
  record Note { text: str, grade: int in 0..10 }
  extern look(x: str) -> Note
  %c7 = const 2 : int
  %turn8 = turn user "{{ q }}" (q=%question)
  %sample3 = generate sample %turn8 x %n model=policy : list[Candidate]
  %map2 = map %sample3 as %x4: Candidate {
    %p9 = field[text](%x4) : str
    %e1 = extern look(%p9) : Note
    %p1 = field[text](%e1) : str
    yield %p1
  } : list[str]
  %a, %b = if @if5 %flag {
    yield %question, %c7
  } else {
    %p2 = add(%n, %c7) : int
    yield %question, %p2
  } : str, int
  %d = repeat @repeat6 %b (%k: str = %a) {
    %p3 = join(%map2, %k) : str
    yield %p3, %flag
  } : str
  yield %d
}
"""
CLOSED = """\
%notes = offline @offline_notes1 "KEY" (%offline_notes1.input1: str = %question, %offline_notes1.input2: int = %n, \
%offline_notes1.input3: bool = %flag) {
  %offline_notes1.c1 = const 2 : int
  %offline_notes1.turn1 = turn user "{{ q }}" (q=%offline_notes1.input1)
  %offline_notes1.sample1 = generate sample %offline_notes1.turn1 x %offline_notes1.input2 model=policy \
: list[Candidate]
  %offline_notes1.map1 = map %offline_notes1.sample1 as %offline_notes1.x1: Candidate {
    %offline_notes1.p1 = field[text](%offline_notes1.x1) : str
    %offline_notes1.e1 = extern look(%offline_notes1.p1) : Note
    %offline_notes1.p2 = field[text](%offline_notes1.e1) : str
    yield %offline_notes1.p2
  } : list[str]
  %offline_notes1.a1, %offline_notes1.b1 = if @"offline_notes1.if1" %offline_notes1.input3 {
    yield %offline_notes1.input1, %offline_notes1.c1
  } else {
    %offline_notes1.p3 = add(%offline_notes1.input2, %offline_notes1.c1) : int
    yield %offline_notes1.input1, %offline_notes1.p3
  } : str, int
  %offline_notes1.d1 = repeat @"offline_notes1.repeat1" %offline_notes1.b1 \
(%offline_notes1.k1: str = %offline_notes1.a1) {
    %offline_notes1.p4 = join(%offline_notes1.map1, %offline_notes1.k1) : str
    yield %offline_notes1.p4, %offline_notes1.input3
  } : str
  yield %offline_notes1.d1
} : str"""


def region(text: str, name: str = "offline_notes1") -> Offline:
    """The whole of a program as a region."""
    program = read(text)
    return offline((Value("notes", STR),), name, program.body.nodes, program.body.yields)


def around(node: Offline, text: str) -> Program:
    """A program that reads nothing but the region."""
    program = read(text)
    nodes: tuple[Node, ...] = (node,)
    body = Block(program.body.params, nodes, node.results)
    return Program("q", "", program.parameters, program.models, program.externs, body)


def test_a_region_reads_its_inputs_only() -> None:
    node = region(OPEN)
    assert print_node(node).replace(node.key, "KEY") == CLOSED
    program = around(node, OPEN)
    verify(program)


def test_the_key_does_not_depend_on_names_around() -> None:
    renamed = OPEN.replace("%question", "%task").replace("%sample3", "%sample12").replace("@if5", "@if9")
    assert region(renamed).key == region(OPEN).key


def test_the_key_depends_on_what_is_computed() -> None:
    changes = (
        ("const 2", "const 3"), ("{{ q }}", "{{ q }}?"), ("model=policy", "model=policy logprobs"),
        ("grade: int in 0..10", "grade: int in 0..5"), ("grade: int in 0..10", "grade: float"), ("%n: int", "%n: int?"),
        ("add(%n, %c7)", "mul(%n, %c7)"),
    )  # fmt: skip
    assert len({region(OPEN.replace(old, new)).key for old, new in (("", ""), *changes)}) == len(changes) + 1


def test_the_key_does_not_depend_on_where_it_stands() -> None:
    assert region(OPEN, "offline_x1").key == region(OPEN, "offline_y2").key


def test_passes_leave_the_key_and_the_border() -> None:
    text = OPEN.replace("%p2 = add(%n, %c7) : int", "%p5 = mul(%c7, %c7) : int\n    %p2 = add(%n, %p5) : int")
    node = region(text)
    optimized = run_passes(around(node, text), 2).program
    verify(optimized)
    (found,) = [each for each in walk(optimized.body) if isinstance(each, Offline)]
    assert found.key == node.key and found.inputs == node.inputs and found.body.params == node.body.params
    assert found.body != node.body and "const 4 : int" in print_node(found), "but what is inside is improved"


def test_regions_in_regions() -> None:
    inner = region(OPEN)
    outer = offline((Value("both", STR),), "offline_both1", (inner,), inner.results)
    (closed,) = [each for each in walk(outer.body) if isinstance(each, Offline)]
    assert closed.id == "offline_both1.offline_notes1" and closed.inputs == outer.body.params
    verify(around(outer, OPEN))
