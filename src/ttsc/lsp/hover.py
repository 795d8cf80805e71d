"""What is said about the name under the cursor: what it is, its type, what its author or the reference says."""

from __future__ import annotations

from ttsc.compiler.semantics.functions import Signature
from ttsc.compiler.semantics.operators import ParameterSpec, Spec
from ttsc.compiler.values.types import Type
from ttsc.grammar import ast
from ttsc.grammar.source import Span
from ttsc.lsp import signatures
from ttsc.lsp.analysis import Analysis
from ttsc.lsp.names import Builtin, Definition, File, Occurrence
from ttsc.lsp.program_facts import program_facts

TYPES = {
    "str": "a text",
    "int": "a whole number",
    "float": "a number",
    "bool": "`true` or `false`",
    "list": "a list: `list[str]`, or `list[str, 8]` of at most 8",
    "Context": "a conversation that a model may continue: what a prompt gives",
    "Candidate": "a context and what was generated after it",
    "Tree": "a search tree of candidates",
    "Node": "a node of a search tree",
    "Image": "an image that a prompt shows",
}


def hover(analysis: Analysis, offset: int) -> tuple[str, Span] | None:
    """Markdown about the name at an offset, and the name's place."""
    occurrence = analysis.names.at(offset)
    if occurrence is None:
        return None
    return "\n\n".join(part for part in _parts(occurrence, analysis) if part), occurrence.span


def _parts(occurrence: Occurrence, analysis: Analysis) -> list[str]:
    type_ = None if occurrence.value is None else analysis.index.type_of(occurrence.value.span)
    gives = f"Here it gives `{type_}`." if type_ is not None else ""
    match occurrence.target:
        case File(source):
            tree_doc = next((m.tree.doc for m in analysis.index.modules() if m.source.path == source.path), None)
            return [f"`{source.path}`", (tree_doc or "").strip()]
        case Builtin(name, "operator", Spec() as spec):
            return [signatures.code(signatures.operator(spec)), signatures.operator_doc(spec), gives]
        case Builtin(name, "function", Signature() as signature):
            return [signatures.code(signatures.function(name, signature)), signatures.function_doc(signature), gives]
        case Builtin(_, "argument", Spec() as spec, ParameterSpec() as parameter):
            return [signatures.code(signatures.argument(parameter)), f"Argument of `{spec.name}`: {parameter.doc}"]
        case Builtin(name, "word", ParameterSpec() as parameter):
            return [f"`{parameter.name}={name}`", signatures.code(signatures.argument(parameter)), parameter.doc]
        case Builtin(name, "field", of):
            return [signatures.code(f"{name}: {type_}" if type_ else name), f"Field of a {of}."]
        case Builtin(name):
            return [signatures.code(name), TYPES.get(name, "")]
        case Definition() as definition:
            return [*about(definition, analysis, type_), gives if definition.kind in _CALLED else ""]


_CALLED = frozenset({"prompt", "extern", "function", "program"})


def about(d: Definition, analysis: Analysis, here: Type | None = None) -> list[str]:
    """What a defined name is: head or type, origin, docstring. `here`: its type where it is read."""
    origin = "" if d.span.source.path == analysis.source.path else f"From `{d.span.source.path}`."
    match d.kind:
        case "parameter":
            oracle = "Known in evaluation only." if getattr(d.node, "oracle", False) else ""
            return [signatures.code(f"{signatures.one_line(d.node.span)}"), _owner(d), oracle]
        case "field":
            return [signatures.code(signatures.one_line(d.node.span)), f"Field of `{d.owner.name.id}`.", origin]
        case "let" | "var" | "element":
            symbol = analysis.index.symbol(d.span)
            type_ = f": {here or (symbol.type if symbol is not None else '…')}"
            word = "" if d.kind == "element" else f"{d.kind} "
            offline = "offline " if getattr(d.node, "offline", False) else ""
            return [signatures.code(f"{offline}{word}{d.name}{type_}")]
        case "program":
            facts = program_facts(analysis, d.node) if isinstance(d.node, ast.Program) else ""
            return [signatures.code(signatures.declaration(d.node)), signatures.doc(d.node), facts, origin]
        case _:
            return [signatures.code(signatures.declaration(d.node)), signatures.doc(d.node), origin]


def _owner(d: Definition) -> str:
    name = getattr(getattr(d.owner, "name", None), "id", "")
    return f"Parameter of `{name}`." if name else ""
