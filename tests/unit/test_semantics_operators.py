"""Operators and functions: what they give, what stands for an element function, which models they ask.

What the checker refuses is in `errors/operators.tts`.
"""

from __future__ import annotations

import pytest
from operator_snippets import bound, checked

from ttsc.compiler.semantics import typed
from ttsc.compiler.semantics.dump import expression as shown
from ttsc.compiler.semantics.operator_results import RESULTS
from ttsc.compiler.semantics.operators import OPERATORS
from ttsc.compiler.values.types import ListOf

POOL = "(f(q) |> sample(4))"


@pytest.mark.parametrize(
    ("expression", "type_"),
    [
        ("f(q) |> ask(Plan)", "Plan"),
        ("f(q) |> ask(Plan, otherwise=none)", "Plan?"),
        ("f(q) |> ask(Plan, otherwise=Plan(steps=[], cost=0))", "Plan"),
        ("[f(q)] |> ask(Plan)", "list[Plan]"),
        ("q |> parse(Plan)", "Plan?"),
        (f"{POOL} |> parse(Plan)", "list[Plan?]"),
        ("f(q) |> copies(3)", "list[Context]"),
        (f"{POOL} |> one |> cut(10)", "Candidate"),
        (f"{POOL} |> force([1, 2])", "list[Candidate]"),
        (f"{POOL} |> extract(by=boxed)", "list[Candidate]"),
        ("f(q) |> embed(model=embedder)", "list[float]"),
        ("[q, q] |> embed(model=embedder)", "list[list[float]]"),
        ("f(q) |> logprob(of=q)", "float"),
        ('f(q) |> choices(["a", "b"])', "list[float]"),
        (f"{POOL} |> one |> reward(prm)", "float"),
        (f'{POOL} |> vote(by=boxed, otherwise="?")', "str"),
        (f"{POOL} |> vote(by=boxed, otherwise=none)", "str?"),
        (f"{POOL} |> vote(by=boxed, otherwise=abstain)", "str?"),
        (f"{POOL} |> tournament(by=(a, b) => a.tokens - b.tokens)", "Candidate"),
        (f"{POOL} |> cluster(by=answer)", "list[list[Candidate]]"),
        ("[1, 2] |> best(by=x => -x)", "int"),
        ("[1, 2] |> keep(1, by=x => x)", "list[int]"),
        ("[1, 2] |> count(x => x > 1)", "int"),
        ('zip([1], ["a"])', "list[(int, str)]"),
        ("enumerate([q])", "list[(int, str)]"),
        ("cross([1], [true])", "list[(int, bool)]"),
        ("zip([1], [2]) |> each((a, b) => a / b)", "list[float]"),
        ("flatten([[1], []])", "list[int]"),
        ("range(2, 4) |> take(1)", "list[int]"),
        ("last([q])", "str"),
        ("reverse(q)", "str"),
        ("abs(-1)", "int"),
        ("exp(1)", "float"),
        ("softmax([1, 2])", "list[float]"),
        ('entropy(["4", none])', "float"),
        ("weibull_upper([0.5])", "list[float]"),
        ("tree(f(q)) |> select", "list[Node]"),
        ("tree(f(q)) |> select |> each(depth)", "list[int]"),
        ("tree(f(q)) |> backpropagate |> candidates", "list[Candidate]"),
        ("length(tree(f(q)))", "int"),
        ("notes |> nearest(q, 2)", "list[Task]"),
        ("notes |> sort(by=[length(needs), 1])", "list[Task]"),
        ('notes |> dag(needs=needs, do=(t, found) => t.text + join(found, ""))', "list[str]"),
        ("notes |> dag(needs=needs, do=(t, found) => length(found))", "list[int]"),
    ],
)
def test_type(expression: str, type_: str) -> None:
    assert str(bound(expression).type) == type_


@pytest.mark.parametrize(
    ("short", "long"),
    [
        ("best(by=-tokens)", "best(by=x => -x.tokens)"),
        ("filter(tokens < 5 and finished)", "filter(x => x.tokens < 5 and x.finished)"),
        ("resample(weights=exp(logit(score)))", "resample(weights=x => exp(logit(x.score)))"),
        ("keep(2, by=[finished, -tokens])", "keep(2, by=x => [1.0 if x.finished else 0.0, -x.tokens])"),
        ("each(boxed)", "each(x => boxed(x))"),
        ("each(other)", "each(x => other(x))"),
        ("filter(passes)", "filter(x => passes(x))"),
        ("each(length(text))", "each(x => length(x.text))"),
        ("filter(any(scores, s => s > score))", "filter(x => any(x.scores, s => s > x.score))"),
        ("each(text if finished else q)", "each(x => x.text if x.finished else q)"),
        ("each(score)", "each(x => x.score)"),
        (
            "each(f(text) |> sample(2) |> best(by=tokens) |> text)",
            "each(x => f(x.text) |> sample(2) |> best(by=x => x.tokens) |> text)",
        ),
    ],
)
def test_expressions_over_fields_are_lambdas(short: str, long: str) -> None:
    a, b = (shown(bound(f"f(q) |> sample(4) |> {stage}")) for stage in (short, long))
    assert a == b


def test_a_field_of_the_inner_element_goes_before_one_of_the_outer() -> None:
    e = bound("tree(f(q)) |> select |> each([candidate] |> best(by=index) |> text)")
    assert "(x: Candidate => x.index)" in shown(e)


def test_a_variable_goes_before_a_field() -> None:
    program = checked("let tokens = 3 return f(q) |> sample(4) |> filter(x => x.tokens < tokens)", "list[Candidate]")
    assert "x.tokens, tokens" in shown(program.body[1].value)  # type: ignore[union-attr]


def test_narrowing_holds_for_fields() -> None:
    e = bound('f(q) |> sample(4) |> each(answer if answer != none else "")')
    assert "known(x.answer)" in shown(e)


def test_two_names_take_a_pair_apart() -> None:
    e = bound("zip([1], [q]) |> each((a, b) => a + length(b))")
    assert "(pair: (int, str) => add(pair.first, length(pair.second)))" in shown(e)


@pytest.mark.parametrize(
    ("body", "roles"),
    [
        ("f(q) |> sample(4) |> score(prm) |> best", ["policy", "prm"]),
        ("f(q) |> sample(4) |> score(target.perplexity) |> best", ["policy", "target"]),
        ("f(q) |> sample(4, model=target) |> score(c => 1.0) |> best", ["target"]),
        ("f(q) |> sample(4, model=target) |> verify(passes) |> best", ["target"]),
        ("f(q) |> sample(4, model=target) |> score(c => g(c.text)) |> best", ["target", "policy"]),
        (
            "f(q) |> sample(4, model=target) |> tournament(by=(a, b) => compare(a.text, b.text), model=judge)",
            ["target", "judge"],
        ),
        ("f(q) |> sample(4, model=target) |> tournament(by=(a, b) => a.score > b.score)", ["target"]),
        ("f(q) |> sample(4) |> best(by=c => reward(c, prm))", ["policy", "prm"]),
    ],
)
def test_models_that_a_program_asks(body: str, roles: list[str]) -> None:
    assert [m.name for m in checked(f"return {body}", "Candidate").models] == roles


@pytest.mark.parametrize(
    ("expression", "limit"),
    [
        ("[1, 2] |> keep(1, by=x => x)", 1),
        ("notes |> nearest(q, 3)", 3),
        ("notes |> sort(by=length(text))", None),
    ],
)
def test_a_list_knows_how_long_it_can_be(expression: str, limit: int | None) -> None:
    type_ = bound(expression).type
    assert isinstance(type_, ListOf) and type_.limit == limit


def test_every_operator_gives_something() -> None:
    assert set(RESULTS) == set(OPERATORS)


def test_every_argument_can_be_walked() -> None:
    e = bound("f(q) |> ask(Plan, attempts=2)")
    assert isinstance(e, typed.Operator)
    assert [name for name, _ in e.arguments] == [p.name for p in OPERATORS["ask"].parameters]


def test_nested_functions_of_found_results_are_checked_in_reasonable_time() -> None:
    body = "length(found)"
    for _ in range(12):
        body = f"length(notes |> dag(needs=needs, do=(t, found) => {body}))"
    assert str(bound(body.replace("length(found)", "1")).type) == "int"
