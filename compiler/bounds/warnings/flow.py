"""What depends on what in a program: for each value the values it is made of, through regions and loops."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from ttsc.compiler.ir import nodes as ir
from ttsc.compiler.ir.rewrite import all_values, blocks, operands, results

Place = tuple[ir.Node, ...]
"""A node and the regions around it, outermost first."""


class Flow:
    """The dependencies of one program. `places`: every node with the regions around it."""

    def __init__(self, program: ir.Program) -> None:
        self.places: list[Place] = list(_places(program.body, ()))
        self._made_of: dict[str, list[str]] = {}
        self._used_by: dict[str, list[str]] = {}
        self.defined_by: dict[str, ir.Node] = {}
        for *_, node in self.places:
            for result in results(node):
                self.defined_by[result.id] = node
            self._link(node)

    def behind(self, values: Iterable[str]) -> set[str]:
        """All values that these depend on, and these."""
        found: set[str] = set()
        waiting = list(values)
        while waiting:
            value = waiting.pop()
            if value not in found:
                found.add(value)
                waiting.extend(self._made_of.get(value, ()))
        return found

    def ahead(self, values: Iterable[str], within: ir.Block | None = None) -> set[str]:
        """All values that depend on these, and these; `within`: only those that a block defines."""
        inside = None if within is None else {value.id for value in all_values(within)}
        found: set[str] = set()
        waiting = list(values)
        while waiting:
            value = waiting.pop()
            if value not in found and (inside is None or value in inside):
                found.add(value)
                waiting.extend(self._used_by.get(value, ()))
        return found

    def needed(self, program: ir.Program, *, requests: bool) -> set[str]:
        """What the program's results and its extern calls depend on; with `requests`, also what is asked of models."""
        roots = [value.id for value in program.body.yields]
        for *regions, node in self.places:
            if isinstance(node, ir.Extern) or (requests and isinstance(node, ir.Generate | ir.Score)):
                roots += [value.id for value in operands(node)]
                for region in regions:
                    roots += _control(region)
        return self.behind(roots)

    def _set(self, value: ir.Value, sources: Iterable[ir.Value]) -> None:
        for source in sources:
            self._made_of.setdefault(value.id, []).append(source.id)
            self._used_by.setdefault(source.id, []).append(value.id)

    def _link(self, node: ir.Node) -> None:
        match node:
            case ir.Map(result=result, over=over, body=body):
                self._set(result, (over, *body.yields))
                self._set(body.params[0], (over,))
            case ir.Dag(result=result, over=over, needs=needs, body=body):
                self._set(result, (over, needs, *body.yields))
                self._set(body.params[0], (over,))
                self._set(body.params[1], (over, needs, *body.yields))
            case ir.If():
                for i, result in enumerate(node.results):
                    self._set(result, (node.condition, node.then.yields[i], node.otherwise.yields[i]))
            case ir.Repeat(init=init, body=body):
                for result, param, first, following in zip(node.results, body.params, init, body.yields, strict=False):
                    self._set(result, (node.limit, first, following, body.yields[-1]))
                    self._set(param, (first, following))
            case ir.Offline(inputs=inputs, body=body):
                for result, value in zip(node.results, body.yields, strict=True):
                    self._set(result, (value,))
                for param, value in zip(body.params, inputs, strict=True):
                    self._set(param, (value,))
            case _:
                for result in results(node):
                    self._set(result, operands(node))


def _control(region: ir.Node) -> list[str]:
    """What decides whether, and how often, a region's blocks run."""
    match region:
        case ir.Map(over=over):
            return [over.id]
        case ir.Dag(over=over, needs=needs):
            return [over.id, needs.id]
        case ir.If(condition=condition):
            return [condition.id]
        case ir.Repeat(limit=limit, body=body):
            return [limit.id, body.yields[-1].id]
    return []


def _places(block: ir.Block, regions: tuple[ir.Node, ...]) -> Iterator[Place]:
    for node in block.nodes:
        yield (*regions, node)
        for inner in blocks(node):
            yield from _places(inner, (*regions, node))
