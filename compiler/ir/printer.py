"""The text form of the IR: what `ttsc dump --stage ir` shows and golden tests hold.

One node a line, blocks indented, every attribute that differs from its default. `read(print_program(p)) == p`.
"""

from __future__ import annotations

import json

from ttsc.compiler.ir.nodes import (
    Block,
    Const,
    Cut,
    Dag,
    Draw,
    Extern,
    ExternSignature,
    FirstFinished,
    Force,
    Generate,
    Greatest,
    If,
    Leading,
    Majority,
    Map,
    Node,
    Offline,
    Parameter,
    Program,
    Pure,
    Quantified,
    Repeat,
    Rule,
    Score,
    Select,
    Sequential,
    Turn,
    Value,
)  # fmt: skip
from ttsc.compiler.ir.rewrite import results
from ttsc.compiler.ir.types_text import (
    allowed_text,
    constant_text,
    id_text,
    name_text,
    record_text,
    records_of,
    type_text,
)

_INDENT = "  "
KEYWORDS = frozenset("const turn generate force cut score draw extern map filter dag offline select if repeat".split())
"""First words of the nodes; any other first word is a pure operation."""


def print_program(program: Program) -> str:
    """The whole program, ending in a newline."""
    parameters = ", ".join(_parameter(p) for p in program.parameters)
    returns = ", ".join(type_text(value.type) for value in program.body.yields)
    head = [f"program {name_text(program.name)}({parameters}) -> {returns} {{"]
    if program.doc:
        head.append(f"{_INDENT}doc {json.dumps(program.doc, ensure_ascii=False)}")
    for role in program.models:
        default = "" if role.default is None else f" = {json.dumps(role.default, ensure_ascii=False)}"
        head.append(f"{_INDENT}model {name_text(role.name)}{default}")
    head.extend(_INDENT + record_text(record) for record in records_of(program))
    head.extend(_INDENT + _signature(extern) for extern in program.externs)
    head.extend(f"{_INDENT}store {name_text(store.name)} = {_typed((store.value,))}" for store in program.stores)
    if program.budget:
        limits = ", ".join(f"{limit.resource}={constant_text(limit.amount)}" for limit in program.budget)
        head.append(f"{_INDENT}budget {limits}")
    return "\n".join([*head, *_block(program.body, 1), "}"]) + "\n"


def print_node(node: Node) -> str:
    """One node, with its blocks."""
    return "\n".join(_node(node, 0))


def _signature(extern: ExternSignature) -> str:
    kind = "" if extern.kind == "plain" else f"{extern.kind} "
    parts = ", ".join(f"{name_text(name)}: {type_text(each)}" for name, each in extern.parameters)
    return f"{kind}extern {name_text(extern.name)}({parts}) -> {type_text(extern.returns)}"


def _parameter(parameter: Parameter) -> str:
    value = parameter.value
    text = ("oracle " if parameter.oracle else "") + id_text(value.id)
    if parameter.name != value.id:
        text += f" as {name_text(parameter.name)}"
    text += f": {type_text(value.type)}"
    if not parameter.required or parameter.default is not None:
        text += f" = {constant_text(parameter.default)}"
        text += " required" if parameter.required else " known" if parameter.known else ""
    return text if parameter.tunable is None else f"{text} in {allowed_text(parameter.tunable)}"


def _block(block: Block, depth: int) -> list[str]:
    lines = [line for node in block.nodes for line in _node(node, depth)]
    yields = ", ".join(id_text(value.id) for value in block.yields)
    lines.append(f"{_INDENT * depth}yield {yields}".rstrip())
    return lines


def _node(node: Node, depth: int) -> list[str]:
    pad = _INDENT * depth
    first, last = _defined(node)
    match node:
        case Map():
            head = f"{node.mode} {id_text(node.over.id)} as {_typed(node.body.params)}"
        case Dag():
            invalid = "" if node.invalid == "fail" else f" invalid={node.invalid}"
            needs = f"needs {id_text(node.needs.id)}{invalid}"
            head = f"dag {id_text(node.over.id)} {needs} as {_typed(node.body.params)}"
        case Repeat():
            limit = f"{id_text(node.limit.id)} ahead" if node.ahead else id_text(node.limit.id)
            head = f"repeat @{name_text(node.id)} {limit} ({_bound(node.body.params, node.init)})"
        case Offline():
            inputs = _bound(node.body.params, node.inputs)
            head = f"offline @{name_text(node.id)} {json.dumps(node.key)} ({inputs})"
        case If():
            ahead = f" ahead={node.ahead}" if node.ahead else ""
            head = f"{first}if @{name_text(node.id)} {id_text(node.condition.id)}{ahead} {{"
            then, otherwise = _block(node.then, depth + 1), _block(node.otherwise, depth + 1)
            return [pad + head, *then, f"{pad}}} else {{", *otherwise, f"{pad}}}{last}"]
        case _:
            return [f"{pad}{first}{_line(node)}{last}"]
    return [f"{pad}{first}{head} {{", *_block(node.body, depth + 1), f"{pad}}}{last}"]


def _defined(node: Node) -> tuple[str, str]:
    """What stands before and after a node: the names it defines and their types. A turn's type goes without saying."""
    values = results(node)
    if not values:
        return "", ""
    names = ", ".join(id_text(value.id) for value in values)
    types = ", ".join(type_text(value.type) for value in values)
    return f"{names} = ", "" if isinstance(node, Turn) and types == "Context" else f" : {types}"


def _line(node: Const | Turn | Generate | Force | Cut | Score | Draw | Extern | Pure | Select) -> str:
    match node:
        case Const(value=value):
            return f"const {constant_text(value)}"
        case Turn():
            parent = "" if node.parent is None else f"{id_text(node.parent.id)} "
            literal = "literal " if node.literal else ""
            args = f" ({_named(node.args)})" if node.args else ""
            return f"turn {parent}{node.role} {literal}{json.dumps(node.template, ensure_ascii=False)}{args}"
        case Generate():
            return _generate(node)
        case Force():
            return f"force {id_text(node.source.id)} with {id_text(node.text.id)}"
        case Cut():
            return f"cut {id_text(node.source.id)} at {id_text(node.at.id)}"
        case Score():
            given = "" if node.given is None else f" given={id_text(node.given.id)}"
            return f"score {node.kind} {id_text(node.source.id)}{given} model={name_text(node.model)}"
        case Draw():
            return f"draw {node.op}{_attr(node.attr)}({_listed(node.args)})"
        case Extern():
            after = "" if node.after is None else f" after {id_text(node.after.id)}"
            return f"extern {name_text(node.name)}({_listed(node.args)}){after}"
        case Pure():
            op = json.dumps(node.op) if node.op in KEYWORDS else name_text(node.op)
            return f"{op}{_attr(node.attr)}({_listed(node.args)})"
        case Select():
            return _select(node)


def _generate(node: Generate) -> str:
    parts = [f"generate {node.op} {id_text(node.source.id)} x {id_text(node.count.id)}"]
    if node.options:
        parts.append(f"({_named(node.options)})")
    parts.append(f"model={name_text(node.model)}")
    if node.delimiter != "keep":
        parts.append(f"delimiter={node.delimiter}")
    if node.finished != "continue":
        parts.append(f"finished={node.finished}")
    if node.schema:
        parts.append(f"schema={json.dumps(node.schema, ensure_ascii=False)}")
    parts.extend(flag for flag in ("logprobs", "confidences", "stream", "share_prefix") if getattr(node, flag))
    if node.waves:
        parts.append(f"waves={node.waves}")
    return " ".join(parts)


def _select(node: Select) -> str:
    parts = [f"select {node.op} {id_text(node.over.id)}"]
    for label, value in (
        ("keys", node.keys),
        ("weights", node.weights),
        ("count", node.count),
        ("otherwise", node.otherwise),
    ):
        if value is not None:
            parts.append(f"{label}={id_text(value.id)}")
    parts.append(f"rule {rule_text(node.rule)}")
    if node.early:
        parts.append("early")
    return " ".join(parts)


def rule_text(rule: Rule) -> str:
    """`majority(ties=first, invalid=drop)`"""
    match rule:
        case Majority():
            bound = "" if rule.max_weight is None else f", max_weight={constant_text(rule.max_weight)}"
            return f"majority(ties={rule.ties}, invalid={rule.invalid}{bound}{_wave(rule.wave)})"
        case Sequential():
            return f"sequential({_sequential(rule)}{_wave(rule.wave)})"
        case FirstFinished():
            return f"first_finished(order={rule.order}, truncated={rule.truncated})"
        case Leading():
            return "leading()"
        case Greatest():
            bound = "" if rule.maximum is None else f", maximum={constant_text(rule.maximum)}"
            return f"greatest(ties={rule.ties}{bound})"
        case Quantified():
            return f"quantified({rule.kind})"


def _sequential(rule: Sequential) -> str:
    """The settings of a rule, those that its way of stopping reads."""
    common = f"stop={rule.stop}, ties={rule.ties}, invalid={rule.invalid}"
    match rule.stop:
        case "adaptive" | "beta":
            return f"{common}, confidence={constant_text(rule.confidence)}"
        case "sprt":
            return f"{common}, confidence={constant_text(rule.confidence)}, share={constant_text(rule.share)}"
        case "esc":
            return f"{common}, window={rule.window}"


def _wave(wave: int) -> str:
    return f", wave={wave}" if wave else ""


def _typed(values: tuple[Value, ...]) -> str:
    return ", ".join(f"{id_text(value.id)}: {type_text(value.type)}" for value in values)


def _bound(params: tuple[Value, ...], values: tuple[Value, ...]) -> str:
    pairs = zip(params, values, strict=True)
    return ", ".join(f"{_typed((param,))} = {id_text(value.id)}" for param, value in pairs)


def _attr(attr: str) -> str:
    return f"[{name_text(attr)}]" if attr else ""


def _listed(values: tuple[Value, ...]) -> str:
    return ", ".join(id_text(value.id) for value in values)


def _named(values: tuple[tuple[str, Value], ...]) -> str:
    return ", ".join(f"{name_text(name)}={id_text(value.id)}" for name, value in values)
