"""Properties of the IR over generated programs.

Text: `read(print(p)) == p`. Passes: any subset keeps a program valid, each is idempotent, and the result of a run is
the same before and after, under a small reference interpreter.
"""

from __future__ import annotations

import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path

from hypothesis import HealthCheck, given, note, settings
from hypothesis import strategies as st

sys.path.insert(0, str(Path(__file__).parent))
from ir_interpreter import Failed, Interpreter  # noqa: E402
from ir_programs import programs  # noqa: E402
from ir_vocabulary import types  # noqa: E402

from ttsc.compiler.ir import nodes as ir  # noqa: E402
from ttsc.compiler.ir.nodes import Program  # noqa: E402
from ttsc.compiler.ir.printer import print_program  # noqa: E402
from ttsc.compiler.ir.reader import TextInvalid, read  # noqa: E402
from ttsc.compiler.ir.verify import violations  # noqa: E402
from ttsc.compiler.passes.pass_ import Context  # noqa: E402
from ttsc.compiler.passes.pipeline import PIPELINE  # noqa: E402
from ttsc.compiler.passes.runner import run_passes  # noqa: E402
from ttsc.compiler.plan.lower import lower  # noqa: E402
from ttsc.compiler.plan.printer import print_plan  # noqa: E402
from ttsc.compiler.values.types import TREE, Type  # noqa: E402

CHECKED = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)
NAMES = [each.name for each in PIPELINE]
STORES = {"lessons": ("be brief",)}


@CHECKED
@given(programs())
def test_text_reads_back(program: Program) -> None:
    assert read(print_program(program)) == program


@CHECKED
@given(programs(), st.sets(st.sampled_from(NAMES)), st.sampled_from(["", "why\\boxed{2}"]))
def test_any_subset_of_passes_keeps_the_result(program: Program, disabled: set[str], question: str) -> None:
    note(print_program(program))
    plain = Interpreter()
    expected = plain.run(program, {"question": question}, STORES)
    optimized = run_passes(program, 2, disabled, enabled=NAMES).program
    note(print_program(optimized))
    interpreter = Interpreter()
    result = interpreter.run(optimized, {"question": question}, STORES)
    if expected is not Failed:  # what failed in something unread may now succeed
        assert result == expected
        assert interpreter.calls == plain.calls
    assert read(print_program(optimized)) == optimized
    assert print_plan(lower(optimized, 2, ()))


@CHECKED
@given(programs())
def test_partial_evaluation_keeps_the_result(program: Program) -> None:
    given_now: dict[str, ir.Constant] = {"question": "q", "n": 3, "words": ("x",)}
    expected = Interpreter().run(program, given_now, STORES)
    optimized = run_passes(program, 2, context=Context(given_now)).program
    if expected is not Failed:
        assert Interpreter().run(optimized, given_now, STORES) == expected


@CHECKED
@given(programs())
def test_each_pass_is_idempotent(program: Program) -> None:
    for each in PIPELINE:
        once = each.run(program, Context())
        assert each.run(once, Context()) is once, each.name
        program = once


def test_every_pass_finds_something_to_do() -> None:
    """Or the properties above would say nothing of it."""
    changed: Counter[str] = Counter()

    @settings(CHECKED, max_examples=150, derandomize=True, database=None)
    @given(programs())
    def run(program: Program) -> None:
        for each in PIPELINE:
            after = each.run(program, Context())
            changed[each.name] += after is not program
            program = after

    run()
    assert all(changed[name] for name in NAMES), changed


@CHECKED
@given(programs(), st.data())
def test_broken_text_is_refused_with_a_place(program: Program, data: st.DataObject) -> None:
    text = print_program(program)
    at = data.draw(st.integers(0, len(text) - 1))
    broken = text[:at] + data.draw(st.sampled_from(["", "}", "%", '"', "x", "("])) + text[at + 1 :]
    try:
        read(broken)
    except TextInvalid as invalid:
        assert 1 <= invalid.line <= broken.count("\n") + 1 and invalid.column >= 1


@CHECKED
@given(programs(), st.data())
def test_malformed_programs_are_refused(program: Program, data: st.DataObject) -> None:
    """A node defined twice, one missing or too late, a value of another type, an end that is not the program's."""
    nodes = program.body.nodes
    at = data.draw(st.integers(0, len(nodes) - 1))
    body = program.body
    match data.draw(st.sampled_from(["twice", "missing", "late", "retyped", "end"])):
        case "twice":
            broken = replace(body, nodes=(*nodes, nodes[at]))
        case "missing":
            broken = replace(body, nodes=nodes[:-1])  # the last one makes the result
        case "late":
            broken = replace(body, nodes=(nodes[-1], *nodes[:-1]))
        case "retyped":
            other = ir.Value(body.yields[0].id, TREE)
            broken = replace(body, nodes=(*nodes[:-1], replace(nodes[-1], result=other)))  # type: ignore[call-arg]
        case _:
            broken = replace(body, yields=body.yields[:-1])
    assert violations(replace(program, body=broken))


@given(types())
def test_types_read_back_whole(type_: Type) -> None:
    """With what is no part of their identity: limits of lists, and the values that fields may have."""
    value = ir.Value("x", type_)
    program = Program("p", "", (ir.Parameter(value, "x"),), (), (), ir.Block((value,), (), (value,)))
    text = print_program(program)
    back = read(text).parameters[0].value.type
    assert back == type_ and print_program(read(text)) == text
    assert repr(back) == repr(type_)


def test_the_interpreter_tells_programs_apart() -> None:
    """The properties above mean something: another seed, another temperature, another order give other results."""
    text = """
program p(%question: str) -> list[Candidate] {
  model policy
  %t = const 0.7 : float
  %c = const 2 : int
  %turn1 = turn user "{{ q }}" (q=%question)
  %sample1 = generate sample %turn1 x %c (temperature=%t) model=policy : list[Candidate]
  yield %sample1
}"""
    results = {
        repr(Interpreter().run(read(text.replace(*change)), {"question": "q"}, {}))
        for change in (("", ""), ("sample1", "sample2"), ("0.7", "0.0"), ("user", "system"), ("const 2", "const 3"))
    }
    assert len(results) == 5
