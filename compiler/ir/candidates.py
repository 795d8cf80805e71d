"""Which operations hand on candidates: their results are, or hold, candidates of their arguments as these were."""

from __future__ import annotations

from ttsc.compiler.ir.nodes import Block, Dag, Draw, If, Map, Offline, Pure, Repeat, Select
from ttsc.compiler.ir.rewrite import walk

_SAME = frozenset(
    "list add item one last or_else known head take drop reverse flatten copies sort maximal distinct pair zip cross"
    " enumerate pairs combinations with_score with_scores with_answer cluster_by cluster_same cluster_near"
    " prune nearest_words nearest_vectors".split()
)
_PARTS = frozenset({"first", "second"})
"""Fields of pairs."""


def hands_on(node: Pure) -> bool:
    """Whether a pure operation's result is, or holds, candidates of its arguments."""
    return node.op in _SAME or (node.op == "field" and node.attr in _PARTS)


def candidate_sources(body: Block) -> dict[str, list[str]]:
    """For each value, the values whose candidates it may hold unchanged."""
    sources: dict[str, list[str]] = {}

    def link(value: str, *others: str) -> None:
        sources.setdefault(value, []).extend(others)

    for node in walk(body):
        match node:
            case Map():
                link(node.result.id, *([node.over.id] if node.mode == "filter" else [v.id for v in node.body.yields]))
                for param in node.body.params:
                    link(param.id, node.over.id)
            case Dag():
                element, found = node.body.params
                given = [value.id for value in node.body.yields]
                link(node.result.id, *given)
                link(found.id, *given)
                link(element.id, node.over.id)
            case If():
                for result, a, b in zip(node.results, node.then.yields, node.otherwise.yields, strict=True):
                    link(result.id, a.id, b.id)
            case Repeat():
                carried = zip(node.results, node.body.params, node.init, node.body.yields, strict=False)
                for result, param, init, given_next in carried:
                    link(result.id, init.id, given_next.id)
                    link(param.id, init.id, given_next.id)
            case Offline():
                for param, value in zip(node.body.params, node.inputs, strict=True):
                    link(param.id, value.id)
            case Select() if node.op in ("best", "keep", "stop_first", "leading"):
                link(node.result.id, node.over.id)
            case Draw() if node.op in ("resample", "shuffle"):
                link(node.result.id, node.args[0].id, *(value.id for value in node.args[4:]))
            case Pure() if hands_on(node):
                link(node.result.id, *(arg.id for arg in node.args))
    return sources
