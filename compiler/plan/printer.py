"""The plan for people (`ttsc dump --stage plan`): the prefix tree, the requests, the selections, then the graph."""

from __future__ import annotations

from ttsc.compiler.ir.nodes import Generate, Score, Select
from ttsc.compiler.ir.printer import print_program, rule_text
from ttsc.compiler.ir.rewrite import walk
from ttsc.compiler.ir.types_text import constant_text
from ttsc.compiler.plan.nodes import Plan, Prefix, Request


def print_plan(plan: Plan) -> str:
    """The whole plan, ending in a newline."""
    passes = ", ".join(plan.passes) or "none"
    lines = [f"plan of {plan.program.name} at -O{plan.level} (passes: {passes})", ""]
    lines += ["prefix tree", *_tree(plan.prefixes), ""]
    lines += ["requests", *_table(plan), ""]
    lines += ["selections", *_selections(plan), ""]
    return "\n".join(lines) + "\n" + print_program(plan.program)


def _tree(prefixes: tuple[Prefix, ...]) -> list[str]:
    """One line a prefix. An only child stands below its parent at the same depth, so that long prompts stay narrow."""
    children: dict[int | None, list[Prefix]] = {}
    for prefix in prefixes:
        children.setdefault(prefix.parent, []).append(prefix)
    lines: list[str] = []

    def visit(prefix: Prefix, joint: str, indent: str) -> None:
        lines.append(f"  {joint}[{prefix.id}] %{prefix.node}  {prefix.label}")
        inner = children.get(prefix.id, [])
        if len(inner) == 1:
            visit(inner[0], f"{indent}└ ", indent)
            return
        for i, child in enumerate(inner):
            last = i == len(inner) - 1
            visit(child, indent + ("└─ " if last else "├─ "), indent + ("   " if last else "│  "))

    for prefix in children.get(None, []):
        visit(prefix, "", "")
    return lines or ["  (empty)"]


def _table(plan: Plan) -> list[str]:
    nodes = {node.result.id: node for node in walk(plan.program.body) if isinstance(node, Generate | Score)}
    rows = [("node", "model", "count", "after", "critical", "sampling", "facts")]
    for request in plan.requests:
        node = nodes[request.node]
        after = "run time" if request.prefix is None else f"[{request.prefix}]"
        count = f"%{node.count.id}" if isinstance(node, Generate) else "-"
        critical = str(request.critical or "unknown")
        rows.append(
            (f"%{request.node}", request.role, count, after, critical, _sampling(request), _facts(request, node))
        )
    if len(rows) == 1:
        return ["  (none)"]
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows]
    return [f"  {line}".rstrip() for line in lines]


def _sampling(request: Request) -> str:
    known = [f"{name}={constant_text(value)}" for name, value in request.fixed]
    return " ".join([*known, *(f"{name}=%{value}" for name, value in request.dynamic)]) or "-"


def _facts(request: Request, node: Generate | Score) -> str:
    facts = [
        ("warms its prefix", request.share_prefix),
        ("streams", request.stream),
        ("may be aborted", request.abortable),
    ]
    if isinstance(node, Score):
        given = "" if node.given is None else f", %{node.given.id}"
        facts.insert(0, (f"{node.kind} of %{node.source.id}{given}", True))
    return ", ".join(text for text, holds in facts if holds) or "-"


def _selections(plan: Plan) -> list[str]:
    lines = []
    for node in walk(plan.program.body):
        if isinstance(node, Select):
            when = "as soon as it is decided" if node.early else "when all have arrived"
            lines.append(f"  %{node.result.id}  {node.op} over %{node.over.id} by {rule_text(node.rule)}, {when}")
    return lines or ["  (none)"]
