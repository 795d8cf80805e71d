"""The text form of the IR: what `ttsc dump --stage ir` shows and golden tests hold.

One node a line, blocks indented, every attribute that differs from its default. `read(print_program(p)) == p`.
"""

from __future__ import annotations

import json

from ttsc.compiler.ir.nodes import (
    Block,
    Const,
    Extern,
    FirstFinished,
    Force,
    Generate,
    Greatest,
    If,
    Majority,
    Map,
    Node,
    Parameter,
    Program,
    Pure,
    Quantified,
    Repeat,
    Rule,
    Select,
    Turn,
    Value,
)  # fmt: skip
from ttsc.compiler.ir.rewrite import results
from ttsc.compiler.ir.types_text import constant_text, id_text, name_text, records_of, tunable_text, type_text

_INDENT = "  "
KEYWORDS = frozenset({"const", "turn", "generate", "force", "extern", "map", "filter", "select", "if", "repeat"})
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
    for record in records_of(program):
        fields = ", ".join(f"{name_text(name)}: {type_text(each)}" for name, each in record.fields)
        head.append(f"{_INDENT}record {name_text(record.name)} {{ {fields} }}" if fields
                    else f"{_INDENT}record {name_text(record.name)} {{ }}")  # fmt: skip
    for extern in program.externs:
        parts = ", ".join(f"{name_text(name)}: {type_text(each)}" for name, each in extern.parameters)
        head.append(f"{_INDENT}extern {name_text(extern.name)}({parts}) -> {type_text(extern.returns)}")
    return "\n".join([*head, *_block(program.body, 1), "}"]) + "\n"


def print_node(node: Node) -> str:
    """One node, with its blocks."""
    return "\n".join(_node(node, 0))


def _parameter(parameter: Parameter) -> str:
    value = parameter.value
    text = id_text(value.id)
    if parameter.name != value.id:
        text += f" as {name_text(parameter.name)}"
    text += f": {type_text(value.type)}"
    if not parameter.required or parameter.default is not None:
        text += f" = {constant_text(parameter.default)}"
        text += " required" if parameter.required else ""
    return text if parameter.tunable is None else f"{text} in {tunable_text(parameter.tunable)}"


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
            head = f"{first}{node.mode} {id_text(node.over.id)} as {_typed(node.body.params)} {{"
            return [pad + head, *_block(node.body, depth + 1), f"{pad}}}{last}"]
        case If():
            head = f"{first}if @{name_text(node.id)} {id_text(node.condition.id)} {{"
            then, otherwise = _block(node.then, depth + 1), _block(node.otherwise, depth + 1)
            return [pad + head, *then, f"{pad}}} else {{", *otherwise, f"{pad}}}{last}"]
        case Repeat():
            pairs = zip(node.body.params, node.init, strict=True)
            carried = ", ".join(f"{_typed((param,))} = {id_text(init.id)}" for param, init in pairs)
            head = f"{first}repeat @{name_text(node.id)} {id_text(node.limit.id)} ({carried}) {{"
            return [pad + head, *_block(node.body, depth + 1), f"{pad}}}{last}"]
    return [f"{pad}{first}{_line(node)}{last}"]


def _defined(node: Node) -> tuple[str, str]:
    """What stands before and after a node: the names it defines and their types. A turn's type goes without saying."""
    values = results(node)
    if not values:
        return "", ""
    names = ", ".join(id_text(value.id) for value in values)
    types = ", ".join(type_text(value.type) for value in values)
    return f"{names} = ", "" if isinstance(node, Turn) and types == "Context" else f" : {types}"


def _line(node: Const | Turn | Generate | Force | Extern | Pure | Select) -> str:
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
        case Extern():
            return f"extern {name_text(node.name)}({_listed(node.args)})"
        case Pure():
            attr = f"[{name_text(node.attr)}]" if node.attr else ""
            op = json.dumps(node.op) if node.op in KEYWORDS else name_text(node.op)
            return f"{op}{attr}({_listed(node.args)})"
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
    parts.extend(flag for flag in ("stream", "share_prefix") if getattr(node, flag))
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
            return f"majority(ties={rule.ties}, invalid={rule.invalid}{bound})"
        case FirstFinished():
            return f"first_finished(order={rule.order}, truncated={rule.truncated})"
        case Greatest():
            bound = "" if rule.maximum is None else f", maximum={constant_text(rule.maximum)}"
            return f"greatest(ties={rule.ties}{bound})"
        case Quantified():
            return f"quantified({rule.kind})"


def _typed(values: tuple[Value, ...]) -> str:
    return ", ".join(f"{id_text(value.id)}: {type_text(value.type)}" for value in values)


def _listed(values: tuple[Value, ...]) -> str:
    return ", ".join(id_text(value.id) for value in values)


def _named(values: tuple[tuple[str, Value], ...]) -> str:
    return ", ".join(f"{name_text(name)}={id_text(value.id)}" for name, value in values)
