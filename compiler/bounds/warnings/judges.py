"""W0211: a judge whose judgement nobody reads: a score never looked at, a list of verified candidates unused."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator

from ttsc.compiler.bounds.warnings.flow import Flow
from ttsc.compiler.ir import nodes as ir
from ttsc.compiler.ir.rewrite import results, walk
from ttsc.compiler.values.types import CANDIDATE, CONTEXT, NODE, TREE, ListOf, OptionalOf, PairOf, RecordType, Type
from ttsc.grammar.diagnostics import Diagnostic
from ttsc.grammar.source import Span

_SCORED = ("with_score", "with_scores")


def judge_warnings(program: ir.Program, flow: Flow) -> Iterator[Diagnostic]:
    needed = flow.needed(program, requests=False)
    readers = _Readers(program, flow)
    judged: dict[int, set[str]] = {}
    for *regions, node in flow.places:
        if isinstance(node, ir.Map) and node.result.id not in needed and _asks(node):
            if not any(isinstance(region, ir.Map) and region.result.id not in needed for region in regions):
                yield Diagnostic(
                    "W0211",
                    "nobody reads what this gives, and a model is asked for each element",
                    node.span,
                    "its result is unused",
                    "use the result, or leave it out",
                    severity="warning",
                )
        elif isinstance(node, ir.Pure) and node.op in _SCORED and node.result.id in needed:
            body = next((region.body for region in reversed(regions) if isinstance(region, ir.Map)), program.body)
            if id(body) not in judged:
                judged[id(body)] = _judgements(body, flow)
            if any(value.id in judged[id(body)] for value in node.args[1:]) and not readers.read(node.result):
                yield Diagnostic(
                    "W0211",
                    "nobody reads the scores that a model is asked for here",
                    _span(node, regions),
                    "no selection, prompt or result depends on them",
                    "choose by them, as in `best(by=score)`, or leave the scoring out",
                    severity="warning",
                )


def _span(node: ir.Pure, regions: list[ir.Node]) -> Span:
    return next((region.span for region in reversed(regions) if isinstance(region, ir.Map)), node.span)


def _asks(node: ir.Map) -> bool:
    return any(isinstance(inner, ir.Generate | ir.Score) for inner in walk(node.body))


def _judgements(body: ir.Block, flow: Flow) -> set[str]:
    """What a block makes of its own requests."""
    requests = [node.result.id for node in walk(body) if isinstance(node, ir.Generate | ir.Score)]
    return flow.ahead(requests, body)


class _Readers:
    """Follows scored candidates forward, to whoever looks at their scores."""

    def __init__(self, program: ir.Program, flow: Flow) -> None:
        self._readers: dict[str, list[ir.Node]] = {}
        self._next: dict[str, list[ir.Value]] = {}
        self._given_back = {value.id for value in program.body.yields if _holds(value.type)}
        for *_, node in flow.places:
            self._link(node)

    def read(self, value: ir.Value) -> bool:
        seen: set[str] = set()
        waiting = deque([value])
        while waiting:
            at = waiting.popleft()
            if at.id in seen or not _holds(at.type):
                continue
            seen.add(at.id)
            if at.id in self._given_back or any(map(_reads, self._readers.get(at.id, ()))):
                return True
            waiting.extend(self._next.get(at.id, ()))
        return False

    def _to(self, source: ir.Value, *targets: ir.Value) -> None:
        self._next.setdefault(source.id, []).extend(targets)

    def _link(self, node: ir.Node) -> None:
        match node:
            case ir.Pure(result=result, op=op, args=args):
                for arg in args:
                    self._readers.setdefault(arg.id, []).append(node)
                for arg in args[1:] if op in _SCORED else args:
                    self._to(arg, result)
            case ir.Turn(args=named):
                for _, arg in named:
                    self._readers.setdefault(arg.id, []).append(node)
            case ir.Extern(args=args):
                for arg in args:
                    self._readers.setdefault(arg.id, []).append(node)
            case ir.Generate(source=source, finished="freeze") | ir.Force(source=source) | ir.Cut(source=source):
                self._to(source, node.result)
            case ir.Draw(args=args):
                for arg in args:
                    self._to(arg, node.result)
            case ir.Select(over=over):
                self._to(over, node.result)
            case ir.Map(body=body, over=over):
                self._to(over, body.params[0])
                if node.mode == "filter":
                    self._to(over, node.result)
                else:
                    self._to(body.yields[0], node.result)
            case ir.Dag(body=body, over=over):
                self._to(over, body.params[0])
                self._to(body.yields[0], node.result, body.params[1])
            case ir.If():
                for i, result in enumerate(results(node)):
                    self._to(node.then.yields[i], result)
                    self._to(node.otherwise.yields[i], result)
            case ir.Repeat(body=body, init=init):
                for result, param, first, value in zip(node.results, body.params, init, body.yields, strict=False):
                    self._to(first, param, result)
                    self._to(value, param, result)
            case _:
                pass


def _reads(node: ir.Node) -> bool:
    """Whether a node may look at the score of a candidate that it is given. Prompts and host functions may."""
    if isinstance(node, ir.Pure):
        return (node.op == "field" and node.attr in ("score", "scores")) or node.op in ("eq", "ne", "to_str")
    return True


def _holds(type_: Type) -> bool:
    """Whether a value of the type is, or holds, candidates."""
    match type_:
        case ListOf(item) | OptionalOf(item):
            return _holds(item)
        case PairOf(first, second):
            return _holds(first) or _holds(second)
        case RecordType(fields=fields):
            return any(_holds(kind) for _, kind in fields)
    return type_ in (CANDIDATE, CONTEXT, TREE, NODE)
