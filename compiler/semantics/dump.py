"""The typed program as text, for `ttsc dump --stage typed` and golden tests."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence

from ttsc.compiler.semantics import typed
from ttsc.compiler.semantics.check import Checked
from ttsc.compiler.values.abstain import Abstain
from ttsc.compiler.values.types import Interval, RecordType


def print_typed(checked: Checked) -> str:
    """Every declaration of the file, every expression with its type where it is bound."""
    parts: list[str] = []
    for prompt in checked.prompts:
        turns = [f"  {t.role} {json.dumps(t.template)}" for t in prompt.turns]
        parts.append("\n".join([f"prompt {prompt.name}({_parameters(prompt.parameters)}) {{", *turns, "}"]))
    for extern in checked.externs:
        kind = "" if extern.kind == "plain" else f"{extern.kind} "
        parts.append(f"{kind}extern {extern.name}({_parameters(extern.parameters)}) -> {extern.returns}")
    for function in checked.functions:
        parts.append(
            f"function {function.name}({_parameters(function.parameters)}) -> {function.returns}"
            f" = {expression(function.body)}"
        )
    for store in checked.stores:
        parts.append(f"store {store.name}: {store.item}")
    for program in checked.programs:
        limits = ", ".join(f"{limit.resource} <= {limit.amount:g}" for limit in program.budget)
        head = f"program {program.name}({_parameters(program.parameters)}) -> {program.returns}"
        head += (f" budget {limits}" if limits else "") + " {"
        if program.effects:
            head += f"\n  effects {', '.join(sorted(program.effects))}"
        models = [f"  model {m.name}" + (f" = {json.dumps(m.default)}" if m.default else "") for m in program.models]
        parts.append("\n".join([head, *models, *_statements(program.body, 1), "}"]))
    parts.extend(_test(test) for test in checked.tests)
    return "\n\n".join(parts) + "\n"


def _parameters(parameters: Sequence[typed.Parameter]) -> str:
    shown = []
    for p in parameters:
        text = f"{'oracle ' if p.oracle else ''}{p.name}: {p.type}"
        if not p.required:
            text += f" = {json.dumps(p.default)}"
        match p.tunable:
            case Interval(low, high):
                text += f" in {low}..{high}"
            case tuple() as choices:
                text += f" in {json.dumps(choices)}"
        shown.append(text)
    return ", ".join(shown)


def _statements(statements: Sequence[typed.Statement], depth: int) -> Iterator[str]:
    pad = "  " * depth
    for s in statements:
        match s:
            case typed.Bind(symbol, value, offline=offline):
                word = "var" if symbol.kind == "var" else "offline let" if offline else "let"
                yield f"{pad}{word} {symbol.name}: {symbol.type} = {expression(value)}"
            case typed.Assign(symbol, value):
                yield f"{pad}{symbol.name} = {expression(value)}"
            case typed.Return(value):
                yield f"{pad}return {expression(value)}"
            case typed.If(condition, then, otherwise):
                yield f"{pad}if {expression(condition)} {{"
                yield from _statements(then, depth + 1)
                if otherwise:
                    yield f"{pad}}} else {{"
                    yield from _statements(otherwise, depth + 1)
                yield f"{pad}}}"
            case typed.Repeat(count, body, until):
                yield f"{pad}repeat {expression(count)} {{"
                yield from _statements(body, depth + 1)
                yield f"{pad}}}" + (f" until {expression(until)}" if until is not None else "")
            case typed.For(element, over, body, until):
                yield f"{pad}for {element.name}: {element.type} in {expression(over)} {{"
                yield from _statements(body, depth + 1)
                yield f"{pad}}}" + (f" until {expression(until)}" if until is not None else "")


def _test(test: typed.Test) -> str:
    lines = [f"test {json.dumps(test.title)} {{"]
    for s in test.scripted:
        pattern = "" if s.pattern is None else f" {json.dumps(s.pattern)}"
        lines.append(f"  model {s.role}{pattern} => {json.dumps(list(s.replies))}")
    for stub in test.stubs:
        names = ", ".join(f"{p.name}: {p.type}" for p in stub.parameters)
        lines.append(f"  extern {stub.extern.name}({names}) = {expression(stub.value)}")
    lines += [f"  store {s.store.name} = {expression(s.items)}" for s in test.stores]
    lines += _statements(test.body, 1)
    lines += [f"  expect {expression(e.condition)}" for e in test.expects]
    return "\n".join([*lines, "}"])


def expression(e: typed.Expr | typed.Lambda | str | RecordType | None) -> str:
    """One expression, operators with their types."""
    match e:
        case None:
            return "none"
        case str():
            return e
        case RecordType(name):
            return name
        case typed.Const(Abstain()):
            return "abstain"
        case typed.Const(value):
            return json.dumps(value)
        case typed.Read(symbol):
            return symbol.name
        case typed.Pure("field", (value,), _, attr):
            return f"{expression(value)}.{attr}"
        case typed.Pure(op, args):
            return f"{op}({', '.join(expression(a) for a in args)})"
        case typed.Conditional(condition, then, otherwise):
            return f"({expression(then)} if {expression(condition)} else {expression(otherwise)})"
        case typed.Lambda(param, body, others=others):
            names = ", ".join(f"{p.name}: {p.type}" for p in (param, *others))
            return f"({names} => {expression(body)})"
        case typed.PromptCall(prompt, args):
            return f"{prompt.name}({', '.join(expression(a) for a in args)})"
        case typed.ExternCall(extern, args):
            return f"{extern.name}({', '.join(expression(a) for a in args)})"
        case typed.ProgramCall(program, args):
            return f"{program.name}({', '.join(expression(a) for a in args)})"
        case typed.RecordValue(fields, type_):
            return f"{type_}({', '.join(expression(f) for f in fields)})"
        case typed.FunctionCall(function, args):
            return f"{function.name}({', '.join(expression(a) for a in args)})"
        case typed.Operator(name, source, arguments, type_):
            given = ", ".join(f"{k}={expression(v)}" for k, v in arguments if v is not None)
            return f"{expression(source)} |> {name}({given}) : {type_}"
