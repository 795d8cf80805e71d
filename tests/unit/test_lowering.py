"""What each operator is made of: snippets and the nodes they become. Every graph is verified too."""

from __future__ import annotations

import re

import pytest
from operator_snippets import lowered

from ttsc.compiler.ir.nodes import Generate
from ttsc.compiler.ir.printer import print_program
from ttsc.compiler.ir.rewrite import walk
from ttsc.compiler.ir.verify import verify

POOL = "f(q) |> sample(n)"


def nodes(body: str, returns: str) -> str:
    """The graph of `return body`, ids without numbers and spaces made one."""
    text = re.sub(r"([%@][a-z_]+)\d+", r"\1", print_program(lowered(f"return {body}", returns)))
    return " ".join(text.split())


@pytest.mark.parametrize(
    ("body", "returns", "parts"),
    [
        pytest.param(
            "f(q) |> sample(3, temperature=[0.2, 1.0], engine=Options(8), schema=Plan)",
            "list[Candidate]",
            [
                "%p = list(%c, %c) : list[float]",
                "record[block_size](%c) : Options",
                "(temperature=%p, max_tokens=%c, engine=%p) model=policy",
                'schema="{\\"type\\":\\"object\\"',
            ],
            id="grids",
        ),
        pytest.param(
            "f(q) |> ask(Plan, attempts=2)",
            "Plan",
            [
                "%found, %reason = repeat @ask %c (%found: Plan? = %c, %reason: str = %c) {",
                "%sample = generate sample %turn x %c",
                "parse[",
                "parse_failure[",
                "yield %p, %p, %p",
                '= require["no answer of attempts=2 was a Plan"](%found, %reason) : Plan',
            ],
            id="ask",
        ),
        pytest.param("f(q) |> ask(Plan, otherwise=none)", "Plan?", ["or_else(%found, %c) : Plan?"], id="ask-otherwise"),
        pytest.param(
            "[f(q)] |> ask(Plan, attempts=n)",
            "list[Plan]",
            ["map %p as %x: Context { %c = const none", "repeat @ask %n", "no answer of the attempts was a Plan"],
            id="ask-list",
        ),
        pytest.param(f"{POOL} |> cut(5)", "list[Candidate]", ["= cut %sample at %c : list[Candidate]"], id="cut"),
        pytest.param(
            f"{POOL} |> force([1, 2])", "list[Candidate]", ["%p = list(%c, %c) : list[int] %force = force"], id="force"
        ),
        pytest.param(
            f'{POOL} |> score(prm, steps="\\n\\n", reduce=min, link=sigmoid)',
            "list[Candidate]",
            [
                "score reward %x given=%c model=prm",
                "sigmoid(%x)",
                "reduce_scores[min](%map, %c)",
                "with_scores(%x, %map, %p)",
            ],
            id="process-reward",
        ),
        pytest.param(
            f'{POOL} |> score(prm, steps="\\n\\n", reduce=whole)',
            "list[Candidate]",
            ["score reward %x model=prm", "reduce_scores[whole](%reward, %c)"],
            id="whole-reward",
        ),
        pytest.param(
            f"{POOL} |> score(target.perplexity)",
            "list[Candidate]",
            [
                "score logprob %x model=target : list[float] %p = mean(%logprob) : float",
                "%p = neg(%p) : float %p = exp(%p)",
            ],
            id="perplexity",
        ),
        pytest.param(
            f"{POOL} |> score(target.logprob, normalise=sum)",
            "list[Candidate]",
            ["%p = sum(%logprob) : float %p = with_score(%x, %p)"],
            id="logprob",
        ),
        pytest.param(
            "f(q) |> logprob(of=q, model=target)",
            "float",
            ["score logprob %turn given=%q model=target"],
            id="logprob-of",
        ),
        pytest.param(
            'f(q) |> choices(["a"])',
            "list[float]",
            ["score choices %turn given=%p model=policy", "softmax(%choices)"],
            id="choices",
        ),
        pytest.param(f"{POOL} |> embed(embedder)", "list[list[float]]", ["score embed %p model=embedder"], id="embed"),
        pytest.param(
            f"{POOL} |> score(c => g(c.text), samples=n, otherwise=-1.0)",
            "list[Candidate]",
            ["generate judge %turn x %n", "%filter = filter %map", "%p = mean(%map)", "const -1.0"],
            id="judge-samples",
        ),
        pytest.param(
            f"{POOL} |> vote(by=boxed, ties=random, otherwise=abstain)",
            "str?",
            ["const abstain : abstain", "rule majority(ties=random, invalid=drop)", ": str?"],
            id="vote-abstain",
        ),
        pytest.param(
            f"{POOL} |> keep(2, by=[score, -tokens], ties=random, duplicates=drop)",
            "list[Candidate]",
            [
                "distinct(%sample, %map)",
                "%p = list(%p, %p) : list[float]",
                "select keep %p keys=%map count=%c rule greatest(ties=random)",
            ],
            id="keep",
        ),
        pytest.param(
            f"{POOL} |> maximal(by=score) |> distinct(by=answer) |> distinct",
            "list[Candidate]",
            ["maximal(%sample, %map)", "distinct(%p, %map)"],
            id="maximal-distinct",
        ),
        pytest.param(
            f"{POOL} |> distinct(by=c => to_str(passes(c.text)))",
            "list[Candidate]",
            ["pair(%x, %p)", "field[first](%x)", "field[second](%x)", "distinct(%map, %map)"],
            id="keys-that-can-fail",
        ),
        pytest.param(
            f"{POOL} |> cluster(same=alike) |> one",
            "list[Candidate]",
            [
                "combinations(%sample) : list[(Candidate, Candidate)]",
                "extern alike(%p, %p)",
                "cluster_same(%sample, %map)",
            ],
            id="cluster-same",
        ),
        pytest.param(
            f"{POOL} |> cluster(near=c => embed(c, embedder), distance=0.1, linkage=single) |> one",
            "list[Candidate]",
            ["score embed", "cluster_near[single](%map, %map, %c)"],
            id="cluster-near",
        ),
        pytest.param(
            f"{POOL} |> prune(weights=score, n=4, clusters={POOL} |> cluster(by=step), diverse=1.5)",
            "list[Candidate]",
            ["cluster_by(%sample, %map)", "prune[sum](%sample, %map, %c, %c, %c, %c, %p)"],
            id="prune",
        ),
        pytest.param(
            f"{POOL} |> tournament(by=(a, b) => compare(a.text, b.text), model=judge)",
            "Candidate",
            [
                "repeat @knockout %c (%standing: list[Candidate] = %sample) {",
                "pairs(%standing)",
                "find(%p, %c, %c)",
                "known(%p)",
            ],
            id="knockout",
        ),
        pytest.param(
            f"{POOL} |> tournament(by=(a, b) => a.score - b.score, style=round_robin, ties=last)",
            "Candidate",
            [
                "combinations(%sample)",
                "round_robin_wins(%sample, %map)",
                "select best %sample keys=%p rule greatest(ties=last)",
            ],
            id="round-robin",
        ),
        pytest.param(
            f"{POOL} |> resample(weights=score, method=conditional, reference=f(q), finished=freeze)",
            "list[Candidate]",
            ['draw resample["conditional freeze sum"](%sample, %map, %p, %c, %turn)'],
            id="resample",
        ),
        pytest.param(
            f"{POOL} |> rewrite(where=truncated, with=c => c |> branch(1, model=target))",
            "list[Candidate]",
            ["if @if %p {", "generate branch %x", "%p = one(%branch) : Candidate yield %p } else { yield %x }"],
            id="rewrite",
        ),
        pytest.param(
            "[3, 1] |> sort(by=x => x, order=descending)",
            "list[int]",
            [
                "%p = reverse(%p) : list[int] %p = reverse(%map) : list[int]",
                "%p = sort(%p, %p) : list[int] %p = reverse(%p)",
            ],
            id="sort",
        ),
        pytest.param(
            "notes |> dag(needs=needs, do=(t, found) => join(found, t.text), invalid=drop)",
            "list[str]",
            ["dag %store_notes needs %map invalid=drop as %x: Task, %found: list[str]"],
            id="dag",
        ),
        pytest.param("notes |> nearest(q, 2)", "list[Task]", ["nearest_words(%store_notes, %map, %q, %c)"], id="words"),
        pytest.param(
            "notes |> nearest(q, 2, model=embedder)",
            "list[Task]",
            [
                "score embed %p model=embedder",
                "score embed %q model=embedder",
                "nearest_vectors(%map, %map, %embed, %c)",
            ],
            id="vectors",
        ),
        pytest.param(
            "tree(f(q)) |> select(n=2, policy=uct, exploration=2.0)",
            "list[Node]",
            ['draw select["uct gaussian drop"](%p, %c, %c) : list[Node]'],
            id="select",
        ),
        pytest.param(
            "tree(f(q)) |> select(policy=mixed, finished=keep, prune=0.5)",
            "list[Node]",
            ['draw select["mixed gaussian keep"](%p, %c, %c, %c, %c) : list[Node]'],
            id="select mixed",
        ),
        pytest.param("n |> random", "int", ["draw random(%n) : int"], id="random"),
        pytest.param(
            "tree(f(q)) |> backpropagate(discount=0.5) |> leaves",
            "list[Candidate]",
            ["uncounted(%p)", "backpropagate(%p, %map, %c)", "leaves(%p)"],
            id="backpropagate",
        ),
        pytest.param(f"{POOL} |> shuffle", "list[Candidate]", ["draw shuffle(%sample)"], id="shuffle"),
        pytest.param(f"{POOL} |> count(where=finished)", "int", ["filter %sample", "length(%filter)"], id="count"),
        pytest.param(f"{POOL} |> extract(by=boxed)", "list[Candidate]", ["with_answer(%x, %p)"], id="extract"),
    ],
)
def test_lowered(body: str, returns: str, parts: list[str]) -> None:
    text = nodes(body, returns)
    assert [part for part in parts if part not in text] == []


@pytest.mark.parametrize(
    ("body", "asks"),
    [
        (f"{POOL} |> best", False),
        (f"{POOL} |> best(by=logprob)", True),
        (f"{POOL} |> best(by=c => mean(c.logprobs))", True),
    ],
)
def test_log_probabilities_are_asked_for_where_a_program_reads_them(body: str, asks: bool) -> None:
    found = [n for n in walk(lowered(f"return {body}", "Candidate").body) if isinstance(n, Generate)]
    assert [n.logprobs for n in found] == [asks]


def test_a_function_used_twice_binds_its_names_anew() -> None:
    text = print_program(
        lowered("let a = [q] |> each(x => x + q) return zip(a, a) |> each((x, y) => x + y)", "list[str]")
    )
    assert text.count("add(") == 2


def test_lowering_is_linear_in_the_number_of_maps() -> None:
    def size(count: int) -> int:
        body = " ".join(f"let v{i} = [q] |> each(x => x + q)" for i in range(count))
        return len(list(walk(lowered(f"{body} return q", "str").body)))

    assert size(40) - size(20) == size(20) - size(0)


def test_ids_are_given_once_whatever_variables_are_called() -> None:
    lets = " ".join(f"var c1 = {i}" if i == 1 else f"let x{i} = {i}" for i in range(12))
    program = lowered(f"{lets} repeat 2 {{ c1 = c1 + 1 }} return c1", "int")
    verify(program)
