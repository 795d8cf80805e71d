"""Each kind of node as an expression of the program part."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, assert_never

from ttsc.compiler.ir.nodes import (
    Cut,
    Dag,
    Draw,
    Extern,
    Force,
    Generate,
    Offline,
    Pure,
    Score,
    Select,
    Turn,
    Value,
)
from ttsc.compiler.ir.rewrite import operands, walk
from ttsc.compiler.values import templates
from ttsc.compiler.values.types import IMAGE, ListOf, OptionalOf, PairOf, RecordType, Type
from ttsc.standalone.layout import call, data_expression, quoted
from ttsc.standalone.operators import native
from ttsc.standalone.prompts import formatted, pieces, text_literal

if TYPE_CHECKING:
    from ttsc.standalone.writer import Writer

_CONFIDENT = {"top_logprobs": "top", "stop_below": "below", "window": "window"}
"""Options of a generation that only matter where somebody asks how sure the model is."""
_LONG = 60


def computed(writer: Writer, node: Pure | Draw | Turn) -> str:
    """A value that is computed from others, all of them whole."""
    match node:
        case Pure():
            return _pure(writer, node)
        case Draw():
            return _draw(writer, node)
        case Turn():
            return _turn(writer, node)
        case _:
            assert_never(node)


def _pure(writer: Writer, node: Pure) -> str:
    arguments = [writer.whole(value) for value in node.args]
    found = native(node, arguments)
    if found is not None:
        return found
    if node.attr:
        attr = quoted(node.attr)
        if len(attr) > _LONG and node.op in ("parse", "parse_failure", "checked"):
            attr = writer.needed.text("SCHEMA", attr)
        arguments.append(f"attr={attr}")
    return call(writer.needed.operation(node.op), arguments)


def _draw(writer: Writer, node: Draw) -> str:
    function = writer.needed.support(
        "draws",
        {"resample": "resample", "select": "select_nodes", "shuffle": "shuffle", "random": "random_number"}[node.op],
    )
    values = [writer.whole(value) for value in node.args]
    settings = [quoted(node.attr)] if node.attr else []
    writer.needed.word("draw_seed")
    seed = f"job.draw_seed({quoted(node.result.id)}, {writer.at or '()'})"
    return f"{function}({', '.join([seed, *settings, *values])})"


def _turn(writer: Writer, node: Turn) -> str:
    parent = "None" if node.parent is None else writer.whole(node.parent)
    name = node.result.id.rpartition(".")[2]
    if not node.literal and any(_holds_image(value.type) for _, value in node.args):
        writer.needed.word("turn_with_images")
        template = writer.needed.text(f"{name}_template".upper(), text_literal(node.template))
        given = [f"{key}={writer.whole(value)}" for key, value in node.args]
        return call("job.turn_with_images", [parent, quoted(node.role), template, *given])
    writer.needed.word("turn")
    return call("job.turn", [parent, quoted(node.role), _text(writer, node, name)])


def _text(writer: Writer, node: Turn, name: str) -> str:
    if node.literal or templates.is_static(node.template):
        text = quoted(node.template)
        return text if len(text) <= _LONG else writer.needed.text(f"{name}_text".upper(), text_literal(node.template))
    arguments = {key: writer.whole(value) for key, value in node.args}
    parts = pieces(node.template)
    if parts is None:
        jinja = writer.needed.support("texts", "jinja")
        template = writer.needed.text(f"{name}_template".upper(), text_literal(node.template))
        return f"{jinja}({', '.join([template, *(f'{key}={each}' for key, each in arguments.items())])})"
    shown = writer.needed.support("texts", "shown")
    if len(parts) == 1 and isinstance(parts[0], tuple):
        key, fields = parts[0]
        return f"{shown}({', '.join([arguments[key], *map(quoted, fields)])})"
    writer.needed.external("typing", "Any")
    names = {key: key for key, _ in node.args}
    parameters = ", ".join(f"{key}: Any" for key in names)
    function = writer.needed.function(f"{name}_text", parameters, formatted(parts, names))
    return f"{function}({', '.join(arguments.values())})"


def _holds_image(type_: Type) -> bool:
    match type_:
        case ListOf(item) | OptionalOf(item):
            return _holds_image(item)
        case PairOf(first, second):
            return _holds_image(first) or _holds_image(second)
        case RecordType(fields=fields):
            return any(_holds_image(kind) for _, kind in fields)
    return type_ == IMAGE


# --- candidates ---


def started(writer: Writer, node: Generate | Force | Cut) -> str:
    """A list of candidates, of which each comes when it is done."""
    is_list = isinstance(node.source.type, ListOf)
    source = writer.listed(node.source) if is_list else writer.whole(node.source)
    match node:
        case Generate():
            return _generate(writer, node, source)
        case Force(text=other):
            head = "job.force"
            writer.needed.word("force")
        case Cut(at=other):
            head = "job.cut"
            writer.needed.word("cut")
        case _:
            assert_never(node)
    uses = writer.releases(node.result)
    return call(head, [source, writer.whole(other), *([f"uses={uses}"] if uses else [])])


def _generate(writer: Writer, node: Generate, source: str) -> str:
    writer.needed.word("generate")
    request = writer.request_of(node)
    arguments = [quoted(node.result.id), source, writer.whole(node.count), f"role={quoted(node.model)}"]
    arguments += [f"{name}={writer.whole(value)}" for name, value in node.options if name not in _CONFIDENT]
    if node.delimiter != "keep":
        arguments.append(f"delimiter={quoted(node.delimiter)}")
    if node.finished != "continue":
        arguments.append(f"finished={quoted(node.finished)}")
    if node.schema:
        schema = quoted(node.schema)
        arguments.append(f"schema={schema if len(schema) <= _LONG else writer.needed.text('SCHEMA', schema)}")
    arguments += ["logprobs=True"] if node.logprobs else []
    if node.confidences:
        arguments.append(f"confident={_confident(writer, node)}")
    arguments += ["stream=True"] if (node.stream if request is None else request.stream) else []
    arguments += ["warm=True"] if (node.share_prefix if request is None else request.share_prefix) else []
    arguments += ["gated=True"] if node.waves == "gated" and writer.plan.level > 0 else []
    arguments += [f"at={writer.at}"] if writer.at else []
    uses = writer.releases(node.result) if request is None or request.abortable else 0
    arguments += [f"uses={uses}"] if uses else []
    return call("job.generate", arguments)


def _confident(writer: Writer, node: Generate) -> str:
    name = writer.needed.support("confident", "Confident")
    options = dict(node.options)
    return call(name, [f"{to}={writer.whole(options[one])}" for one, to in _CONFIDENT.items() if one in options])


# --- what is asked for ---


def whole_operands(node: Select | Score | Extern | Offline | Dag) -> list[Value]:
    """Operands that must be whole before the node is begun; it waits for the others itself."""
    match node:
        case Select(count=count):
            return [] if count is None else [count]
        case Dag():
            return []
    return list(operands(node))


def asked(writer: Writer, node: Select | Score | Extern | Offline | Dag) -> str:
    """An expression that waits for what an engine, a host or a rule says."""
    match node:
        case Select():
            return _select(writer, node)
        case Score():
            return _score(writer, node)
        case Extern():
            return _extern(writer, node)
        case Offline():
            return _offline(writer, node)
        case Dag():
            return _dag(writer, node)
        case _:
            assert_never(node)


def _select(writer: Writer, node: Select) -> str:
    rule = node.rule
    name = {"any": "quantified", "all": "quantified"}.get(node.op, node.op)
    function = writer.needed.support("selecting", name)
    writer.needed.own(type(rule).__module__, type(rule).__name__)
    arguments = [data_expression(rule), writer.needed.decide(rule), writer.anyhow(node.over)]
    arguments += [writer.anyhow(value) for value in (node.keys, node.weights) if value is not None]
    if node.count is not None:
        arguments.append(writer.whole(node.count))
    if node.otherwise is not None:
        arguments.append(f"otherwise={writer.anyhow(node.otherwise)}")
    arguments += ["early=True"] if node.early else []
    if getattr(rule, "ties", "") == "random":
        writer.needed.word("draw_seed")
        arguments.append(f"seed=job.draw_seed({quoted(node.result.id)}, {writer.at or '()'})")
    return call(function, arguments)


def _score(writer: Writer, node: Score) -> str:
    function = {"logprob": "logprobs", "choices": "choices", "reward": "rewards", "embed": "vector"}[node.kind]
    server = f"job.servers[{quoted(node.model)}]"
    arguments = ["job", server, writer.whole(node.source)]
    arguments += [] if node.given is None else [writer.whole(node.given)]
    return call(writer.needed.support("scores", function), arguments)


def _extern(writer: Writer, node: Extern) -> str:
    signature = next(each for each in writer.plan.program.externs if each.name == node.name)
    arguments: Sequence[str] = [writer.whole(value) for value in node.args]
    inner = f"[{', '.join(arguments)}]"
    kind = writer.needed.type(signature.returns)
    writer.needed.word("externs")
    if signature.kind == "environment":
        function = writer.needed.support("externs", "act")
        after = "None" if node.after is None else writer.whole(node.after)
        return call(function, ["job", quoted(node.name), inner, kind, f"after={after}"])
    function = writer.needed.support("externs", "consult")
    return call(function, ["job", quoted(node.name), inner, kind])


def _offline(writer: Writer, node: Offline) -> str:
    function = writer.needed.support("offline", "offline")
    body = node.body
    name = writer.fresh(f"compute_{writer.name(node.id)}")
    parameters = [f"{writer.name(param.id)}: Any" for param in body.params]
    writer.needed.external("typing", "Any")
    writer.needed.support("job", "Place")
    with writer.function(f"async def {name}({', '.join([*parameters, 'at: Path'])}) -> Any"):
        for param in body.params:
            writer.define(param, writer.name(param.id))
        writer.at = "at"
        writer.block(body, [value.id for value in body.yields])
        writer.line(f"return [{', '.join(writer.anyhow(value) for value in body.yields)}]")
    roles = sorted({inner.model for inner in walk(body) if isinstance(inner, Generate | Score)})
    inputs = ", ".join(writer.whole(value) for value in node.inputs)
    return call(function, ["job", quoted(node.key), f"[{', '.join(map(quoted, roles))}]", f"[{inputs}]", name])


def _dag(writer: Writer, node: Dag) -> str:
    writer.needed.word("dag")
    body = writer.body_function(node.result, node.body, node.body.params, True)
    arguments = [writer.listed(node.over), writer.listed(node.needs), body]
    arguments += ["drop=True"] if node.invalid == "drop" else []
    return call("job.dag", [*arguments, f"at={writer.at or '()'}"])
