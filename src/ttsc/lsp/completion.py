"""What could be written at the cursor, the likeliest first.

After `|>` those operators and functions come first that take the value piped in; in a call, the names of its arguments;
after `name=`, the words of a choice or the model roles; after `.`, the fields of the value; and so on by place.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, get_args

from lsprotocol import types

from ttsc import keywords
from ttsc.compiler.semantics.constraints import Resource
from ttsc.compiler.semantics.elements import fields_of
from ttsc.compiler.semantics.functions import FUNCTIONS
from ttsc.compiler.semantics.operators import OPERATORS
from ttsc.compiler.semantics.operators.spec import Choice, ModelRoleParameter, ParameterSpec, RecordParameter
from ttsc.compiler.semantics.test_blocks import MEASURES
from ttsc.compiler.values.types import CANDIDATE_FIELDS, NEVER, OptionalOf, Type
from ttsc.grammar import ast
from ttsc.grammar.build import ROLES
from ttsc.grammar.source import Source
from ttsc.lsp import signatures
from ttsc.lsp.analysis import Analysis, analyze
from ttsc.lsp.completion_place import MARK, Place, place_at
from ttsc.lsp.documents import Document
from ttsc.lsp.fits import declared_takes, function_takes
from ttsc.lsp.hover import TYPES
from ttsc.lsp.template_parameters import template_parameters
from ttsc.lsp.walk import walk

Item = types.CompletionItem
Sort = types.CompletionItemKind

_DECLARATION_KINDS = {
    ast.Prompt: Sort.Constructor,
    ast.Record: Sort.Struct,
    ast.Extern: Sort.Interface,
    ast.Function: Sort.Function,
    ast.Program: Sort.Module,
    ast.Model: Sort.Constant,
    ast.Store: Sort.Variable,
}
_TEST_ITEMS = ("expect", "extern", "let", "model", "store")
_MODEL_FIELDS = {"perplexity": "how surprising a text is to it", "logprob": "log-probability that it gives to a text"}


def complete(document: Document, offset: int) -> list[Item]:
    """The completions at an offset."""
    in_template = template_parameters(document.source.text, document.analysis.tokens, offset)
    if in_template is not None:
        return [_item(name, Sort.Variable, written) for name, written in in_template.items()]
    place = place_at(document.source.text, offset)
    if place.kind == "nothing":
        return []
    items = _Completer(document, place).items()
    edit = document.lines.range(place.start, place.end)
    return [
        _with_edit(item, types.TextEdit(edit, item.insert_text if item.insert_text is not None else item.label))
        for item in items
    ]


class _Completer:
    def __init__(self, document: Document, place: Place) -> None:
        self._document = document
        self._place = place
        self._analysis, self._marked = self._read()
        module = self._analysis.index.module
        self._scope: dict[str, Any] = {}
        if module is not None:
            self._scope = {name: d for name, (d, _) in module.scope.items() if name != MARK}

    def _read(self) -> tuple[Analysis, Any]:
        """The marked text and the mark's node in its tree, from the first reading that has what the place needs."""
        needed = self._place.kind in {"stage", "member"}
        analysis: Analysis | None = None
        for text in dict.fromkeys(self._place.attempts):
            tried = analyze(Source(self._document.source.path, text), self._document.library)
            if tried.tree is None:
                continue
            found = next((node for node in walk(tried.tree) if _is_marked(node)), None) if needed else None
            if found is not None or not needed:
                return tried, found
            analysis = analysis or tried
        return analysis or self._document.analysis, None

    def items(self) -> list[Item]:
        place = self._place
        match place.kind:
            case "declaration":
                return _words(keywords.DECLARATIONS)
            case "statement":
                variables = [item for item in self._values() if item.kind == Sort.Variable]
                return [*_words(sorted({*keywords.STATEMENTS, "offline"} - {"expect"})), *variables]
            case "test item":
                return _words(_TEST_ITEMS)
            case "turn":
                return [_item(role, Sort.Keyword, "a turn of the conversation") for role in ROLES]
            case "stage":
                return self._stages()
            case "member":
                return self._members()
            case "argument":
                return [*self._arguments(), *self._values(start=1)]
            case "value":
                return self._value()
            case "type":
                return self._types()
            case "use path":
                return self._paths()
            case "use names":
                return self._exports()
            case "parameter":
                return _words(["oracle"])
            case "budget":
                return [_item(name, Sort.Unit, "<= …") for name in get_args(Resource)]
            case "test expression":
                measures = [_item(name, Sort.Unit, "int", about) for name, about in MEASURES.items()]
                return [*measures, *self._values(start=1)]
            case _:
                return self._values()

    # --- values

    def _values(self, start: int = 0) -> list[Item]:
        """Everything an expression may begin with: variables, then what the file declares, then the language's."""
        items: list[Item] = []
        for d in reversed(self._analysis.names.visible(self._place.at)):
            symbol = self._analysis.index.symbol(d.span)
            detail = str(symbol.type) if symbol else signatures.one_line(d.node.span) if d.kind == "parameter" else ""
            items.append(_item(d.name, Sort.Variable, detail, rank=start))
        items.extend(self._declared(rank=start + 1))
        items.extend(_words(keywords.VALUES, rank=start + 2))
        items.extend(_function(name, rank=start + 2) for name in FUNCTIONS)
        items.extend(_operator(name, rank=start + 3) for name in OPERATORS)
        return items

    def _declared(self, rank: int) -> list[Item]:
        return [_declaration(name, d, rank) for name, d in self._scope.items()]

    def _types(self) -> list[Item]:
        records = [_declaration(name, d, 0) for name, d in self._scope.items() if isinstance(d, ast.Record)]
        own = [_item(name, Sort.Class, "type", TYPES[name]) for name in keywords.TYPES]
        return [*records, *own]

    # --- after |> and .

    def _type_before(self) -> Type | None:
        node = self._marked
        return None if node is None else self._analysis.index.type_of(node.value.span)

    def _stages(self) -> list[Item]:
        given = self._type_before() if isinstance(self._marked, ast.Pipe) else None
        items: list[Item] = []
        for name, spec in OPERATORS.items():
            items.append(_operator(name, _rank(given in (None, NEVER) or spec.takes(given) is not None, 0)))
        for name, signature in FUNCTIONS.items():
            items.append(_function(name, _rank(given is None or function_takes(signature, given), 1)))
        for name, d in self._scope.items():
            if not isinstance(d, ast.Model | ast.Record | ast.Store):
                items.append(_declaration(name, d, _rank(given is None or declared_takes(d, given), 1)))
        return items

    def _members(self) -> list[Item]:
        if not isinstance(self._marked, ast.Attribute):
            return []
        value = self._marked.value
        if isinstance(value, ast.Name) and isinstance(self._scope.get(value.id), ast.Model):
            return [_item(name, Sort.Field, "of a model", doc) for name, doc in _MODEL_FIELDS.items()]
        type_ = self._type_before()
        return [_item(name, Sort.Field, str(t)) for name, t in _fields(type_).items()]

    # --- in a call

    def _arguments(self) -> list[Item]:
        place = self._place
        spec = OPERATORS.get(place.callee)
        if spec is not None:
            return [_argument(p) for p in spec.parameters if p.name not in place.given]
        declared = self._scope.get(place.callee)
        if isinstance(declared, ast.Record):
            parts = [(f.name.id, f.span) for f in declared.fields]
        else:
            parts = [(p.name.id, p.span) for p in getattr(declared, "parameters", ())]
        return [
            Item(
                label=f"{name}=",
                kind=Sort.Property,
                detail=signatures.one_line(span),
                filter_text=name,
                sort_text=f"0{name}",
            )
            for name, span in parts
            if name not in place.given
        ]

    def _value(self) -> list[Item]:
        """What may follow `name=`."""
        spec = OPERATORS.get(self._place.callee)
        parameter = next((p for p in spec.parameters if p.name == self._place.name), None) if spec else None
        if parameter is None:
            return self._values()
        match parameter.kind:
            case Choice(words):
                default = parameter.default
                return [
                    _item(word, Sort.EnumMember, "default" if word == default else "", parameter.doc) for word in words
                ]
            case ModelRoleParameter():
                return [_declaration(name, d, 0) for name, d in self._scope.items() if isinstance(d, ast.Model)]
            case RecordParameter():
                return [_declaration(name, d, 0) for name, d in self._scope.items() if isinstance(d, ast.Record)]
        fields = [_item(name, Sort.Field, f"{t}: of each candidate", rank=1) for name, t in CANDIDATE_FIELDS.items()]
        element_wise = hasattr(parameter.kind, "gives")
        return [*self._values(), *(fields if element_wise else [])]

    # --- use

    def _paths(self) -> list[Item]:
        """The next part of a path; the paths that exist are those the library names."""
        prefix = tuple(part for part in self._place.path if part != MARK)
        found: dict[str, str] = {}
        for name in self._document.library.names():
            parts = tuple(name.split("."))
            if parts[: len(prefix)] == prefix and len(parts) > len(prefix):
                found.setdefault(parts[len(prefix)], name)
        return [_item(part, Sort.Module, name) for part, name in found.items()]

    def _exports(self) -> list[Item]:
        """What the named file declares."""
        source = self._document.library.find(self._place.path, self._document.source)
        if source is None:
            return []
        tree = analyze(source, self._document.library).tree
        return [
            _declaration(d.name.id, d, 0)
            for d in (tree.declarations if tree else ())
            if not isinstance(d, ast.Use | ast.Test) and d.name.id not in self._place.given
        ]


def _is_marked(node: Any) -> bool:
    match node:
        case ast.Attribute(name=name):
            return bool(name == MARK)
        case ast.Pipe(stage=ast.Name(id=name)) | ast.Pipe(stage=ast.Call(callee=ast.Name(id=name))):
            return bool(name == MARK)
    return False


def _fields(type_: Type | None) -> Mapping[str, Type]:
    if type_ is None:
        return {}
    return fields_of(type_.item if isinstance(type_, OptionalOf) else type_)


# --- items


def _with_edit(item: Item, edit: types.TextEdit) -> Item:
    """The item with the text that it replaces, so that editors agree on what a word is."""
    item.text_edit = edit
    item.insert_text = None
    return item


def _rank(fits: bool, rank: int) -> int:
    return rank if fits else rank + 5


def _item(label: str, kind: types.CompletionItemKind, detail: str = "", doc: str = "", rank: int = 0) -> Item:
    documentation = types.MarkupContent(types.MarkupKind.Markdown, doc) if doc else None
    return Item(label=label, kind=kind, detail=detail or None, documentation=documentation, sort_text=f"{rank}{label}")


def _words(words: Any, rank: int = 0) -> list[Item]:
    return [_item(word, Sort.Keyword, rank=rank) for word in words]


def _operator(name: str, rank: int) -> Item:
    spec = OPERATORS[name]
    return _item(name, Sort.Method, signatures.operator(spec), signatures.operator_doc(spec), rank)


def _function(name: str, rank: int) -> Item:
    signature = FUNCTIONS[name]
    return _item(name, Sort.Function, signatures.function(name, signature), signatures.function_doc(signature), rank)


def _declaration(name: str, d: Any, rank: int) -> Item:
    return _item(name, _DECLARATION_KINDS[type(d)], signatures.declaration(d), signatures.doc(d), rank)


def _argument(p: ParameterSpec) -> Item:
    item = _item(f"{p.name}=", Sort.Property, signatures.argument(p), p.doc)
    item.filter_text = p.name
    return item
