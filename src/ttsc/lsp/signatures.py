"""Declarations, operators and functions as text for hovers and completions: what they take, give and mean."""

from __future__ import annotations

from typing import Any

from ttsc.compiler.semantics.functions import Signature
from ttsc.compiler.semantics.operators.spec import (
    Choice,
    DependencyFunction,
    Either,
    ElementFunction,
    EngineOptions,
    Grid,
    Kind,
    ModelRoleParameter,
    PairFunction,
    ParameterSpec,
    RecordParameter,
    SameAsElement,
    SameAsRecord,
    Scorer,
    Spec,
    TextFunction,
)
from ttsc.grammar import ast
from ttsc.grammar.source import Span

_CONSTANTS = {None: "none", True: "true", False: "false"}


def one_line(span: Span) -> str:
    """The text of a place, on one line."""
    return " ".join(span.text.split())


def declaration(d: Any) -> str:
    """The head of a declaration, as it is written."""
    match d:
        case ast.Program():
            budget = f" budget {', '.join(one_line(limit.span) for limit in d.budget)}" if d.budget else ""
            return f"program {d.name.id}({_parameters(d.parameters)}) -> {one_line(d.returns.span)}{budget}"
        case ast.Function():
            return f"function {d.name.id}({_parameters(d.parameters)}) -> {one_line(d.returns.span)}"
        case ast.Extern():
            modifier = f"{d.modifier} " if d.modifier else ""
            return f"{modifier}extern {d.name.id}({_parameters(d.parameters)}) -> {one_line(d.returns.span)}"
        case ast.Prompt():
            return f"prompt {d.name.id}({_parameters(d.parameters)}) -> Context"
        case ast.Record():
            return f"record {d.name.id} {{ {', '.join(one_line(field.span) for field in d.fields)} }}"
        case ast.Model():
            return f"model {d.name.id}" + (f' = "{d.default}"' if d.default is not None else "")
        case ast.Store():
            return f"store {d.name.id}: {one_line(d.item.span)}"
    return one_line(d.span)


def _parameters(parameters: tuple[ast.Parameter, ...]) -> str:
    return ", ".join(one_line(p.span) for p in parameters)


def doc(d: Any) -> str:
    """The docstring of a declaration, or ""."""
    return (getattr(d, "doc", None) or "").strip()


def operator(spec: Spec) -> str:
    """`sample(n, [temperature=0.7], …)`: what is in brackets may be left out."""
    parts = [p.name if p.default is None else f"{p.name}={constant(p.default)}" for p in spec.parameters]
    shown = [part if p.required else f"[{part}]" for part, p in zip(parts, spec.parameters, strict=True)]
    return f"{spec.name}({', '.join(shown)})"


def operator_doc(spec: Spec) -> str:
    """What it is for, what is piped in, and each argument."""
    lines = [f"{_sentence(spec.doc)} Takes {spec.source}.", ""]
    lines.extend(f"- `{argument(p)}`{' ' + p.doc if p.doc else ''}" for p in spec.parameters)
    return "\n".join(lines).strip()


def argument(p: ParameterSpec) -> str:
    """`name: what = default`"""
    text = f"{p.name}: {kind(p.kind)}"
    if p.required:
        return text
    return f"{text} = {constant(p.default)}" if p.default is not None else f"[{text}]"


def kind(k: Kind) -> str:
    """What an argument may be, in a few words."""
    match k:
        case Choice(words):
            return " | ".join(words)
        case ElementFunction(gives):
            return f"x => {gives}"
        case PairFunction(gives):
            return f"(a, b) => {gives}"
        case DependencyFunction(gives):
            return f"(x, found) => {gives}"
        case TextFunction(gives):
            return f"text => {gives}"
        case Scorer(gives):
            return f"x => {gives} | model"
        case ModelRoleParameter():
            return "model"
        case RecordParameter():
            return "record"
        case SameAsElement():
            return "an element"
        case SameAsRecord():
            return "such a record | none"
        case Grid(of):
            return f"{of} | list[{of}]"
        case Either(types):
            return " | ".join(map(str, types))
        case EngineOptions():
            return "a record of options"
        case _:
            return str(k)


def constant(value: object) -> str:
    """A default, as one would write it; the word of a choice stays bare."""
    if value is None or isinstance(value, bool):
        return _CONSTANTS[value]
    return '""' if value == "" else str(value)


def function(name: str, signature: Signature) -> str:
    """`head(str, int) -> str`; what depends on the arguments is left open."""
    least = len(signature.parameters) - signature.optional
    parts = ["any" if p is None else str(p) for p in signature.parameters]
    parts = [part if i < least else f"[{part}]" for i, part in enumerate(parts)]
    result = "" if callable(signature.result) else f" -> {signature.result}"
    return f"{name}({', '.join(parts)}){result}"


def function_doc(signature: Signature) -> str:
    """What it computes, and what it takes where its parameters alone don't say."""
    takes = f" Takes {signature.expects}." if signature.expects else ""
    return _sentence(signature.doc) + takes


def code(text: str) -> str:
    """A block of the language in Markdown."""
    return f"```tts\n{text}\n```"


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}." if text else ""
