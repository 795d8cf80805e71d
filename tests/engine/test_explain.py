"""An estimate beside runs on a real server: what is called actual is what the server counted, node by node."""

from __future__ import annotations

import ttsc

PROGRAM = """
prompt solve(question: str) { user "{{ question }}" }
prompt again(question: str) { user "Once more: {{ question }}" }

program twice(question: str, n: int = 3 in 1..8) -> str {
    let pool = solve(question) |> sample(n, max_tokens=8, temperature=0)
    return pool |> refine(again(question), max_tokens=4, temperature=0) |> vote(by=whole, otherwise="")
}

function whole(text: str) -> str = text
"""


def test_actual_figures_are_the_servers(engine_url: str) -> None:
    program = ttsc.compile(PROGRAM)
    inputs = [{"question": f"How much is {number} + {number}?"} for number in (3, 4)]
    with ttsc.connect(engine_url) as engine:
        found = program.explain(inputs=inputs, samples=4, savings=False, analyze=True, engine=engine, seed=5)
        usages = [program.run(each, engine=engine, seed=5).usage for each in inputs]
    assert found.analysis is not None
    actual = found.analysis.actual
    assert actual.inputs == 2 and not actual.failed
    assert actual.total.prompt_tokens == sum(each.prefill_tokens + each.cached_tokens for each in usages) / 2
    assert {node.id: node.requests.mean for node in actual.nodes} == {
        node.id: node.requests.mean for node in found.estimate.nodes
    }
    assert actual.total.decoded_tokens <= found.estimate.at_most.decode_tokens
    shown = str(found)
    assert "estimated and actual; 2 inputs run on" in shown
    assert max(map(len, shown.split("\n"))) <= 100
