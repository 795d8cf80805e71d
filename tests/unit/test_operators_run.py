"""Every operator on the scripted engine, end to end: the value that a reader works out by hand, at both ends of the
optimizer.

Candidate i of `pool(...)` says the i-th of some texts: the temperatures are a grid, and the script looks at them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest

import ttsc
from ttsc.backends.scripted import ScriptedEngine

DECLARATIONS = """
use std.answers (boxed, number)
model policy, prm, judge, embedder
record Plan { steps: list[str, 8], cost: int in 0..10 }
record Task { name: str, needs: list[int] }
record Note { text: str, weight: float }
record Options { block_size: int }
prompt f(q: str) { user "{{ q }}" }
prompt grade(t: str) { user "grade: {{ t }}" }
prompt compare(a: str, b: str) { user "compare: {{ a }} | {{ b }}" }
prompt again(r: str) { user "again: {{ r }}" }
program other(t: str) -> str { return f(t) |> sample(1, temperature=0.1, max_tokens=8) |> one |> upper }
"""
POOL = "f(q) |> sample({n}, temperature=[0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8], max_tokens=16)"


def pool(n: int) -> str:
    return POOL.format(n=n)


def says(texts: Sequence[str], judge: Callable[[str], str] = lambda asked: "no") -> ScriptedEngine:
    """An engine that says text i at temperature (i + 1) / 10, and what `judge` says at 0."""

    def reply(prompt: str, seed: int, sampling: Any) -> str:
        if sampling.temperature == 0:
            return judge(prompt.rpartition("<|user|>")[2].partition("<|end|>")[0])
        return texts[round(sampling.temperature * 10) - 1]

    return ScriptedEngine(reply)


def run(body: str, returns: str, engine: ScriptedEngine | None = None, **inputs: Any) -> Any:
    """The value of a program with this body, the same at all levels."""
    text = f'{DECLARATIONS}\nprogram p(q: str = "?") -> {returns} {{ {body} }}'
    engine = engine or says(["a"] * 8)
    values = [
        ttsc.compile(text, program="p", level=level).run(engine=engine, seed=1, **inputs).value for level in (0, 2)
    ]
    assert values[0] == values[1]
    return values[0]


ABCD = ["delta delta delta", "b", "c c", "b"]


@pytest.mark.parametrize(
    ("expression", "returns", "value"),
    [
        ("best(by=-tokens) |> text", "str", "b"),
        ("best(by=tokens) |> text", "str", "delta delta delta"),
        ("best(by=[tokens < 4, -tokens, index]).index", "int", 3),
        ("keep(2, by=tokens) |> text", "list[str]", ["delta delta delta", "c c"]),
        ("keep(3, by=-tokens, duplicates=drop) |> text", "list[str]", ["b", "c c", "delta delta delta"]),
        ("maximal(by=-tokens) |> each(index)", "list[int]", [1, 3]),
        ("distinct |> text", "list[str]", ["delta delta delta", "b", "c c"]),
        ("distinct(by=length(text) > 1) |> text", "list[str]", ["delta delta delta", "b"]),
        ("cluster(by=text) |> each(length)", "list[int]", [2, 1, 1]),
        (
            "cluster(same=(a, b) => a.tokens == b.tokens) |> each(g => one(g).text)",
            "list[str]",
            ["b", "delta delta delta", "c c"],
        ),
        (
            "cluster(near=c => [to_float(to_str(c.tokens)) |> or_else(0.0), 1.0], distance=0.001) |> each(length)",
            "list[int]",
            [2, 1, 1],
        ),
        ("extract(by=text) |> each(answer)", "list[str?]", ABCD),
        ("sort(by=tokens) |> text", "list[str]", ["b", "b", "c c", "delta delta delta"]),
        ("sort(by=[-tokens, -index]) |> each(index)", "list[int]", [0, 2, 3, 1]),
        ("sort(by=tokens, order=descending) |> each(index)", "list[int]", [0, 2, 1, 3]),
        ("count(tokens > 2)", "int", 2),
        ("filter(tokens > 2) |> each(upper(text))", "list[str]", ["DELTA DELTA DELTA", "C C"]),
        ("score(tokens) |> filter(score > 2) |> each(score)", "list[float]", [6.0, 4.0]),
        ("vote(by=text)", "str", "b"),
        ("filter(tokens > 9) |> vote(by=text, otherwise=none)", "str?", None),
        ('vote(by=c => find(c.text, "z"), otherwise=none)', "str?", None),
        ("tournament(by=(a, b) => a.tokens - b.tokens) |> text", "str", "delta delta delta"),
        ("tournament(by=(a, b) => b.tokens - a.tokens).index", "int", 1),
        ("tournament(by=(a, b) => a.tokens > b.tokens, style=round_robin).index", "int", 0),
        ("tournament(by=(a, b) => b.tokens - a.tokens, style=round_robin, ties=last).index", "int", 3),
        ("resample(weights=1.0 if tokens == 4 else 0.0, method=ceiling) |> text", "list[str]", ["c c"] * 4),
        ("resample(weights=1.0 if tokens == 4 else 0.0) |> text", "list[str]", ["c c"] * 4),
        ("resample(weights=score, method=conditional, reference=f(q), n=1) |> text", "list[str]", [""]),
        ("prune(weights=tokens, shared=0.0) |> text", "list[str]", ABCD),
        ("prune(weights=tokens, shared=0.8) |> text", "list[str]", ["delta delta delta", "c c"]),
        ("prune(weights=tokens, n=1, shared=0.1, normalise=softmax) |> text", "list[str]", ["delta delta delta"]),
        ("cut(1) |> text", "list[str]", ["delta", "b", "c", "b"]),
        ('cut(" ") |> text', "list[str]", ["delta", "b", "c", "b"]),
        ("each(c => last(enumerate(words(c.text))).first)", "list[int]", [2, 0, 1, 0]),
        ('rewrite(where=tokens > 2, with=c => f("x") |> sample(1, temperature=0.2)) |> text', "list[str]", ["b"] * 4),
        ("each(other)", "list[str]", ["DELTA DELTA DELTA"] * 4),
        ("each(temperature)", "list[float]", [0.1, 0.2, 0.3, 0.4]),
    ],
)
def test_of_a_pool(expression: str, returns: str, value: object) -> None:
    whole = f"{pool(4)} |> {expression}"
    if expression.endswith(".index"):
        whole = f"({whole.removesuffix('.index')}).index"
    found = run(f"return {whole}", returns, says(ABCD))
    assert found == (tuple(value) if isinstance(value, list) and not isinstance(found, list) else value)


@pytest.mark.parametrize(
    ("expression", "returns", "value"),
    [
        ('parse("so: {\\"steps\\": [\\"a\\"], \\"cost\\": 3}", Plan)', "Plan?", {"steps": ["a"], "cost": 3}),
        ('parse("{\\"steps\\": [], \\"cost\\": 30}", Plan)', "Plan?", None),
        ("zip([1, 2], [3, 4]) |> each((a, b) => a * b)", "list[int]", [3, 8]),
        ("cross([1, 2], [10, 20]) |> each((a, b) => a + b)", "list[int]", [11, 21, 12, 22]),
        ("enumerate([5, 6]) |> each((i, x) => i + x)", "list[int]", [5, 7]),
        ("[3, 1, 2] |> best(by=x => -x)", "int", 1),
        ("[3, 1, 2] |> keep(2, by=x => x)", "list[int]", [3, 2]),
        ("[true, false] |> sort(by=x => x)", "list[bool]", [False, True]),
        ("flatten([range(2), range(5, 7)]) |> drop(1) |> reverse", "list[int]", [6, 5, 1]),
        ("[1, 2, 2, 1] |> distinct", "list[int]", [1, 2]),
        ('["x", "y", "x"] |> cluster(by=x => x) |> each(length)', "list[int]", [2, 1]),
        ("depth([[], [0], [1], []])", "int", 3),
        ('nearest(["the red fox", "a blue whale", "red red"], "whale", 1)', "list[str]", ["a blue whale"]),
        (
            '[Note("cats purr", 1.0), Note("dogs bark", 2.0)] |> nearest("a dogs life", 1) |> each(weight)',
            "list[float]",
            [2.0],
        ),
        (
            '[Note("cats purr", 1.0), Note("dogs bark", 2.0)] |> nearest("dogs", 1, model=embedder) |> each(weight)',
            "list[float]",
            [2.0],
        ),
        ("round(100 * percentile(2.0, [1.0, 2.0, 3.0, 4.0]))", "int", 25),
        ("conformal_p(3.0, [1.0, 2.0, 3.0])", "float", 0.5),
        ("minimum(lowest(windows([4.0, 2.0, 1.0, 5.0], 2), 0.5))", "float", 1.5),
        ("quantile([1.0, 2.0, 3.0, 4.0], 0.25)", "float", 1.75),
        ('entropy(["a", "b", "a", "b"])', "float", 1.0),
        ("weibull_upper([0.25, 0.5])", "list[float]", [1.0, 1.0]),
        ("round(sigmoid(logit(0.25)) * 100)", "int", 25),
        ("length([1, 2, 3] |> shuffle)", "int", 3),
        ("random(1)", "int", 0),
        ("range(20) |> all(_ => random(3) in [0, 1, 2] and random(0.5) < 0.5)", "bool", True),
        ("length(range(40) |> each(_ => random(2)) |> distinct)", "int", 2),
        ("f(q) |> copies(2) |> length", "int", 2),
    ],
)
def test_of_data(expression: str, returns: str, value: object) -> None:
    found = run(f"return {expression}", returns)
    assert found == value or list(found) == value


# --- judges ---------------------------------------------------------------------------------------------------------


def test_the_mean_of_several_judgements_leaves_unreadable_ones_out() -> None:
    replies = iter(["8", "no idea", "4", "6"] * 2)
    engine = ScriptedEngine(lambda prompt, seed, sampling: next(replies) if "grade" in prompt else "a")
    value = run(
        f"return {pool(1)} |> score(c => grade(c.text), samples=4, temperature=1.0) |> each(score)",
        "list[float]",
        engine,
    )
    assert list(value) == [6.0]


def test_without_a_readable_judgement_the_score_is_what_is_said_otherwise() -> None:
    body = f"return {pool(1)} |> score(c => grade(c.text), samples=3, otherwise=-1.0) |> each(score)"
    assert list(run(body, "list[float]", says(["a"], lambda asked: "no idea"))) == [-1.0]


def test_verdicts_count_one_and_zero() -> None:
    read = 't => contains(t, "yes") if t != "?" else none'
    body = f"return {pool(3)} |> score(c => grade(c.text), read={read}, otherwise=0.5) |> each(score)"
    judge = {"grade: a": "yes", "grade: b": "no", "grade: c": "?"}
    assert list(run(body, "list[float]", says(["a", "b", "c"], judge.__getitem__))) == [1.0, 0.0, 0.5]


def test_a_judge_of_two_names_the_winner_by_its_letter() -> None:
    """The longer text wins each comparison; who is A and who is B changes from round to round."""

    def judge(asked: str) -> str:
        a, b = asked.removeprefix("compare: ").split(" | ")
        return f"Answer: {'A' if len(a) > len(b) else 'B'}, since a longer one says more"

    body = f"return {pool(5)} |> tournament(by=(a, b) => compare(a.text, b.text), model=judge) |> text"
    for texts in (["x", "xx", "xxx", "xxxx", "xxxxx"], ["xxx", "x", "xx", "x", "x"]):
        assert run(body, "str", says(texts, judge)) == max(texts, key=len)
        everyone = body.replace("model=judge)", "model=judge, style=round_robin)")
        assert run(everyone, "str", says(texts, judge)) == max(texts, key=len)


def test_a_judge_that_says_nothing_lets_the_first_go_on() -> None:
    body = f"return ({pool(4)} |> tournament(by=(a, b) => compare(a.text, b.text))).index"
    assert run(body, "int", says(["a", "b", "c", "d"], lambda asked: "hm")) == 0


def test_a_knockout_of_n_takes_n_less_one_comparisons() -> None:
    engine = says(["a"] * 7, lambda asked: "B")
    body = f"return ({pool(7)} |> tournament(by=(a, b) => compare(a.text, b.text))).index"
    text = f"{DECLARATIONS}\nprogram p(q: str) -> int {{ {body} }}"
    assert ttsc.compile(text, program="p").run(q="?", engine=engine).value == 6
    assert len([r for r in engine.records if r.kind == "generate"]) == 7 + 6


def test_a_judge_of_sameness_compares_with_the_first_of_a_group() -> None:
    body = f'return {pool(4)} |> cluster(same=(a, b) => compare(a.text, b.text)) |> each(g => join(text(g), ""))'
    alike = {"compare: a | b": "Yes.", "compare: a | d": "yes", "compare: b | c": "yes"}
    value = run(body, "list[str]", says(["a", "b", "c", "d"], lambda asked: alike.get(asked, "no")))
    assert list(value) == ["abd", "c"]


# --- models of rewards, probabilities and vectors -------------------------------------------------------------------


def scored(**more: Any) -> ScriptedEngine:
    return ScriptedEngine(lambda prompt, seed, sampling: "one\n\ntwo\n\nthree", **more)


@pytest.mark.parametrize(
    ("arguments", "score"),
    [
        ("", 3.0),
        ("reduce=whole", 3.0),
        ('steps="\\n\\n"', 3.0),
        ('steps="\\n\\n", reduce=min', 1.0),
        ('steps="\\n\\n", reduce=mean', 2.0),
        ('steps="\\n\\n", reduce=sum', 6.0),
        ('steps="\\n\\n", reduce=prod', 6.0),
        ('steps="\\n\\n", reduce=max', 3.0),
        ('steps="\\n\\n", reduce=whole', 3.0),
    ],
)
def test_step_rewards_are_reduced(arguments: str, score: float) -> None:
    engine = scored(reward=lambda text: float(text.count("one") + text.count("two") + text.count("three")))
    body = f"let pool = {pool(1)} let c = pool |> score(prm{', ' if arguments else ''}{arguments}) |> one"
    assert run(f"{body} return c.score", "float", engine) == score
    assert run(f"{body} return reward(c, prm{', ' if arguments else ''}{arguments})", "float", engine) == score


def test_a_link_makes_probabilities_of_logits() -> None:
    body = f"return ({pool(1)} |> score(prm, link=sigmoid) |> one).scores"
    assert list(run(body, "list[float]", scored(reward=lambda text: 0.0))) == [0.5]


def test_log_probabilities_of_a_span() -> None:
    engine = scored(scores=lambda before, span: -2.0)
    assert run('return f(q) |> logprob(of="three small words")', "float", engine) == -2.0
    assert run('return f(q) |> logprob(of="three small words", normalise=sum)', "float", engine) == -10.0
    assert run('return round((f(q) |> perplexity(of="two words")) * 100)', "int", engine) == 739
    assert run(f"return round(({pool(1)} |> score(judge.perplexity) |> one).score * 100)", "int", engine) == 739


def test_choices_are_shares_of_their_probabilities() -> None:
    engine = scored(scores=lambda before, span: 0.0 if span == "yes" else -1.0986122886681098)
    shares = run('return f(q) |> choices(["yes", "no"]) |> each(x => round(100 * x))', "list[int]", engine)
    assert list(shares) == [75, 25]


def test_a_program_that_reads_log_probabilities_gets_them() -> None:
    assert run(f"return {pool(3)} |> all(c => c.logprob < 0.0 and length(c.logprobs) == c.tokens)", "bool")


# --- records --------------------------------------------------------------------------------------------------------

GOOD = '{"steps": ["a", "b"], "cost": 3}'


def test_a_record_is_asked_for_until_it_fits() -> None:
    replies = iter(["nonsense", '{"steps": [], "cost": 99}', GOOD] * 2)
    engine = ScriptedEngine(lambda prompt, seed, sampling: next(replies))
    assert list(run("return (f(q) |> ask(Plan)).steps", "list[str]", engine)) == ["a", "b"]
    schemas = {r.request.sampling.schema for r in engine.records}
    assert len(schemas) == 1 and '"steps"' in schemas.pop()


def test_a_record_that_never_fits_is_what_is_said_otherwise_or_a_failure() -> None:
    engine = ScriptedEngine(lambda prompt, seed, sampling: '{"steps": [], "cost": 99}')
    assert run("return (f(q) |> ask(Plan, attempts=2, otherwise=Plan([], 7))).cost", "int", engine) == 7
    assert run("return f(q) |> ask(Plan, attempts=2, otherwise=none)", "Plan?", engine) is None
    with pytest.raises(ttsc.RunError, match="no answer of attempts=2 was a Plan: .*cost"):
        run("return f(q) |> ask(Plan, attempts=2)", "Plan", engine)


def test_options_of_the_engine_reach_it_candidate_by_candidate() -> None:
    engine = says(["a"] * 8)
    run("return f(q) |> sample(3, temperature=0.1, engine=[Options(8), Options(16)]) |> text", "list[str]", engine)
    seen = [dict(r.request.sampling.extra)["block_size"] for r in engine.records[:3]]
    assert sorted(seen) == [8, 8, 16]


# --- graphs, trees, populations -------------------------------------------------------------------------------------


def test_a_graph_is_done_in_the_order_of_its_needs() -> None:
    tasks = '[Task("c", [1, 2]), Task("a", []), Task("b", [1])]'
    body = f'return {tasks} |> dag(needs=needs, do=(t, found) => t.name + "(" + join(found, ",") + ")")'
    assert list(run(body, "list[str]")) == ["c(a(),b(a()))", "a()", "b(a())"]


def test_an_edge_that_closes_a_cycle_fails_or_is_left_out() -> None:
    tasks = '[Task("a", [1]), Task("b", [0])]'
    body = f'return {tasks} |> dag(needs=needs, do=(t, found) => t.name + join(found, ""))'
    with pytest.raises(ttsc.RunError):
        run(body, "list[str]")
    assert sorted(run(body.replace('""))', '""), invalid=drop)'), "list[str]")) in (["a", "ba"], ["ab", "b"])


def test_a_tree_grows_where_the_reward_is() -> None:
    """Steps are 0 or 1 by temperature; the reward counts ones, so best-first search finds 1 1 1."""

    def reply(prompt: str, seed: int, sampling: Any) -> str:
        return "1 " if sampling.temperature > 0.5 else "0 "

    engine = ScriptedEngine(reply, reward=lambda text: float(text.count("1")))
    body = """
        var t = tree(f(q))
        repeat 3 {
            let open = t |> select(1, policy=best)
            let children = open |> each(candidate |> branch(2, temperature=[0.2, 0.9], max_tokens=1) |> score(prm))
            t = t |> expand(open, children) |> backpropagate
        }
    """
    best = run(body + "return t |> candidates |> best |> text", "str", engine)
    assert best == "111"
    assert run(body + "return length(t)", "int", engine) == 7
    assert run(body + "return length(leaves(t))", "int", engine) == 4


def test_a_failed_key_leaves_its_element_out_of_a_sort() -> None:
    body = "return [4, 0, 2] |> sort(by=x => 8 // x)"
    assert list(run(body, "list[int]")) == [4, 2]


def test_draws_depend_on_the_seed_alone() -> None:
    body = f"return {pool(8)} |> resample(weights=1.0) |> each(index)"
    texts = [str(i) for i in range(8)]
    text = f"{DECLARATIONS}\nprogram p(q: str) -> list[int] {{ {body} }}"
    text = text.replace("weights=1.0", "weights=tokens")
    results = {
        tuple(ttsc.compile(text, program="p").run(q="?", engine=says(texts), seed=s).value) for s in (1, 1, 2, 3)
    }
    assert 1 < len(results) <= 3
