"""A plan as one Python file: what it says at the top, the prompts, the program, the support it needs."""

from __future__ import annotations

import sys

from ttsc.compiler.ir.nodes import Offline, Parameter, Program, Pure
from ttsc.compiler.ir.rewrite import walk
from ttsc.compiler.plan.nodes import Plan
from ttsc.compiler.values.pure import OPERATIONS
from ttsc.compiler.values.types import (
    CONTEXT,
    Interval,
    ListOf,
    OptionalOf,
    PairOf,
    RecordType,
    Scalar,
    Type,
)
from ttsc.standalone.calls import _holds_image
from ttsc.standalone.layout import WIDTH, Names, call, identifier, literal, quoted, wrapped
from ttsc.standalone.modules import External
from ttsc.standalone.needed import Needed
from ttsc.standalone.writer import Writer

_PLAIN = {"str": "str", "int": "int", "float": "float", "bool": "bool"}
_SETTINGS = ("url", "seed", "tokenizer", "concurrency", "externs", "stores", "artifacts", "job")
_OWN = ("run", "job", "at", *_SETTINGS)
_CALLED = (
    "whole arrived vote best keep stop_first leading quantified logprobs choices rewards vector consult act offline"
    " resample select_nodes shuffle random_number shown jinja plain result_of frozen perform"
).split()
"""Functions that the program part calls: no variable may have such a name."""
_RULE = "# " + "-" * 118
SUPPORT = (
    f"{_RULE}\n# Support: what the program above needs of ttsc's executor, its values and its SGLang client.\n{_RULE}"
)
"""What divides a program from the parts of ttsc that it needs."""


def standalone(plan: Plan, source: str, source_hash: str) -> str:
    """The file's text. `source`: the program's file, as the reader knows it; `source_hash`: SHA-256 of its text."""
    return _File(plan, source, source_hash).text()


class _File:
    def __init__(self, plan: Plan, source: str, source_hash: str) -> None:
        self._plan = plan
        self._program: Program = plan.program
        self._source = source
        self._hash = source_hash
        operations = {node.op for node in walk(plan.program.body) if isinstance(node, Pure)}
        self._needed = Needed(_OWN, operations)
        self._name = Names((*_OWN, *_SETTINGS)).fresh(plan.program.name)

    def text(self) -> str:
        needed = self._needed
        program = self._body()
        entry = self._entry()
        bottom = self._bottom()
        needed.bundle.uses({*needed.words, "end", "unless_stopped", "close", "connect"})
        support = needed.bundle.text()
        operations = "\n".join(sorted(needed.operations.values(), key=lambda each: each.startswith("\n")))
        records = "\n".join(f"{name} = {text}" for name, text in needed.records.items())
        prompts = [f"{name} = {text}" for name, text in needed.constants.items()]
        sections = [
            "\n\n".join([self._head(), self._imports(), *(["\n".join(prompts)] if prompts else [])]),
            "\n\n".join(needed.functions),
            program,
            entry,
            SUPPORT,
            support,
            operations,
            records,
            bottom,
        ]
        return "\n\n\n".join(section.strip("\n") for section in sections if section.strip()) + "\n"

    # --- the top ---

    def _head(self) -> str:
        program = self._program
        settings = " ".join(f"--set {each.name}=…" for each in program.parameters if each.required and not each.known)
        doc = _documentation(program.doc).strip()
        about = f"{doc.splitlines()[0]}\n\n" if doc else ""
        lines = [
            f'"""{about}Made by `ttsc build` at -O{self._plan.level} from {self._source}, program `{program.name}`',
            f"(SHA-256 of its text: {self._hash}).",
            "",
            "It runs without ttsc, and gives the same value under the same seed on the same engine:",
            "",
            f"    python {self._program.name}.py --url http://127.0.0.1:30000 {settings} --seed 0 [--json]",
            "",
            "or from Python: `await run(…, url=…, seed=0)`.",
            '"""',
            "",
            "# ruff: noqa: E501",
            "",
            "from __future__ import annotations",
        ]
        return "\n".join(lines)

    def _imports(self) -> str:
        """Python's library, then other packages, in the order that tools keep."""
        found = [*self._needed.bundle.imports(), External("sys", None, "sys")]
        groups = []
        for library in (True, False):
            part = [each for each in found if (each.module.partition(".")[0] in sys.stdlib_module_names) is library]
            named: dict[str, list[str]] = {}
            for each in part:
                if each.name is not None and each.alias == each.name:
                    named.setdefault(each.module, []).append(each.name)
            others = sorted(
                f"from {each.module} import {each.name} as {each.alias}"
                for each in part
                if each.name not in (None, each.alias)
            )
            lines = sorted(
                f"import {each.module}" + ("" if each.alias == each.module.partition(".")[0] else f" as {each.alias}")
                for each in set(part)
                if each.name is None
            )
            whole = [_from(module, sorted(names, key=_import_order)) for module, names in sorted(named.items())]
            lines += sorted([*whole, *others], key=lambda line: line.split()[1])
            groups += ["\n".join(lines)] if lines else []
        return "\n\n".join(groups)

    # --- the program ---

    def _body(self) -> str:
        program, needed = self._program, self._needed
        taken = {*_OWN, *OPERATIONS, *_CALLED, "Any"}
        writer = Writer(self._plan, needed, taken)
        job = needed.support("job", "Job")
        parameters = [f"job: {job}"]
        needed.external("typing", "Any")
        for value in program.body.params:
            name = writer.fresh(value.id)
            writer.define(value, name)
            parameters.append(f"{name}: Any")
        head = wrapped(f"async def {self._name}({', '.join(parameters)}) -> Any:", 0)
        doc = _documentation(program.doc)
        if doc:
            body = "\n    ".join(line.rstrip() for line in doc.splitlines()).replace("\n    \n", "\n\n")
            end = '\n    """' if "\n" in doc else '"""'
            writer.line(f'"""{body}{end}')
        writer.block(program.body, [value.id for value in program.body.yields])
        yields = program.body.yields
        for value in yields[1 + len(program.stores) :]:
            writer.line(writer.whole(value))
        values = [self._result(writer.whole(value), value.type) for value in yields[: 1 + len(program.stores)]]
        writer.line(f"return {values[0]}" if len(values) == 1 else f"return [{', '.join(values)}]")
        return "\n".join([head, *writer.lines])

    def _result(self, text: str, type_: Type) -> str:
        """A result as data."""
        if isinstance(type_, Scalar) and type_.name in _PLAIN:
            return text
        if _has_conversation(type_):
            return f"{self._needed.own('ttsc.runtime.results', 'result_of')}({text}, {self._needed.type(type_)})"
        return f"{self._needed.own('ttsc.runtime.values', 'plain')}({text})"

    # --- how it is run ---

    @property
    def _open(self) -> list[Parameter]:
        return [each for each in self._program.parameters if not each.known]

    def _entry(self) -> str:
        program, needed = self._program, self._needed
        perform = needed.support("running", "perform")
        urls = needed.support("running", "Urls")
        names = Names(_SETTINGS)
        given: list[str] = []
        arguments: list[str] = []
        ordered = sorted(self._open, key=lambda each: not each.required)
        called = {each.name: names.fresh(each.name) for each in ordered}
        for each in ordered:
            default = "" if each.required else f" = {self._default(each)}"
            given.append(f"{called[each.name]}: {_annotation(each.value.type)}{default}")
        for each in program.parameters:
            arguments.append(called[each.name] if not each.known else self._default(each))
        arguments = [self._given(each, text) for each, text in zip(program.parameters, arguments, strict=True)]
        settings = ["*", f"url: {urls}", "seed: int = 0", "tokenizer: str | None = None", "concurrency: int = 64"]
        extras = self._extras()
        settings += [f"{name}: {kind}" for name, kind, _, _ in extras]
        lines = [wrapped(f"async def run({', '.join([*given, *settings])}) -> Any:", 0)]
        lines.append(
            '    """The value of the program. `url`: the server, or one for each model role. Raises `RunFailed`."""'
        )
        lines += [line for _, _, before, _ in extras for line in before]
        stores = [identifier(f"held_{slot.name}") for slot in program.stores]
        passed = [
            f"[{', '.join([*arguments, *stores])}]",
            f"[{', '.join(quoted(role.name) for role in program.models)}]",
        ]
        passed += ["url=url", "seed=seed", "tokenizer=tokenizer", "concurrency=concurrency"]
        make = self._make()
        passed += [f"job={make}"] if make else []
        target = "return await" if not program.stores else f"value, {', '.join(f'grown_{n}' for n in stores)} = await"
        lines.append("    " + wrapped(call(f"{target} {perform}", [self._name, *passed]), 4))
        if program.stores:
            append = needed.support("stores", "append_to_store")
            for slot, name in zip(program.stores, stores, strict=True):
                lines.append(f"    {append}((stores or {{}}).get({quoted(slot.name)}), grown_{name}[len({name}) :])")
            lines.append("    return value")
        return "\n".join(lines)

    def _given(self, parameter: Parameter, text: str) -> str:
        """A parameter's value as the program has it: lists as tuples, pictures read."""
        type_ = parameter.value.type
        if parameter.known or (isinstance(type_, Scalar) and type_.name in _PLAIN):
            return text
        if _holds_image(type_):
            read = self._needed.support("data", "conforming_with_images")
            return call(read, [text, self._needed.type(type_), quoted(parameter.name)])
        return call(self._needed.own("ttsc.runtime.values", "frozen"), [text])

    def _default(self, parameter: Parameter) -> str:
        return literal(parameter.default)

    def _make(self) -> str:
        program, needed = self._program, self._needed
        given: list[str] = []
        if program.externs:
            given.append("externs=externs or {}")
        if self._has_offline:
            given.append("artifacts=artifacts")
        if program.budget:
            limit = needed.own("ttsc.compiler.ir.nodes", "Limit")
            clauses = ", ".join(f'{limit}("{each.resource}", {each.amount!r})' for each in program.budget)
            kind = needed.support("budget", "BudgetedJob")
            given.insert(0, f"limits=[{clauses}]")
        else:
            kind = needed.support("job", "Job")
        return call(needed.external("functools", "partial"), [kind, *given]) if given else ""

    @property
    def _has_offline(self) -> bool:
        return any(isinstance(node, Offline) for node in walk(self._program.body))

    def _extras(self) -> list[tuple[str, str, list[str], str]]:
        """Settings that only some programs have: name, parameter, lines that read it, how the command line reads it."""
        program, needed = self._program, self._needed
        found: list[tuple[str, str, list[str], str]] = []
        if program.externs:
            check = needed.support("externs", "all_there")
            load = needed.support("externs", "load_functions")
            needed.external("collections.abc", "Callable")
            names = ", ".join(quoted(each.name) for each in program.externs)
            kind = "dict[str, Callable[..., Any]] | None = None"
            found.append(
                (
                    "externs",
                    kind,
                    [f"    {check}(externs, [{names}])"],
                    f'("--externs", "a Python file with the functions {names.replace(chr(34), "")}", {load})',
                )
            )
        if program.stores:
            read = needed.support("stores", "read_store")
            named = needed.support("stores", "named_files")
            lines = [
                f"    {identifier(f'held_{slot.name}')} = {read}((stores or {{}}).get({quoted(slot.name)}), "
                f"{needed.type(_item(slot.value.type))}, {quoted(slot.name)})"
                for slot in program.stores
            ]
            found.append(
                ("stores", "dict[str, str] | None = None", lines, f'("--store", "NAME=FILE.jsonl of a store", {named})')
            )
        if self._has_offline:
            folder = needed.support("offline", "folder_of")
            found.append(
                (
                    "artifacts",
                    "str | None = None",
                    [],
                    f'("--artifacts", "a folder in which offline values are kept", {folder})',
                )
            )
        return found

    def _bottom(self) -> str:
        needed = self._needed
        main = needed.support("running", "main")
        parameter = needed.support("running", "Parameter")
        rows: list[str] = []
        shaped = False
        for each in self._open:
            type_ = each.value.type
            arguments = [quoted(each.name)]
            if isinstance(type_, Scalar) and type_.name in _PLAIN:
                arguments.append(_PLAIN[type_.name])
            else:
                shaped = True
                arguments.append(needed.type(type_))
            if not each.required:
                arguments.append(f"default={self._default(each)}")
            if isinstance(each.tunable, Interval):
                arguments.append(f"least={each.tunable.low!r}, greatest={each.tunable.high!r}")
            elif each.tunable is not None:
                arguments.append(f"allowed={literal(each.tunable)}")
            rows.append(f"{parameter}({', '.join(arguments)})")
        passed = ["run", "__doc__", "PARAMETERS"]
        if shaped:
            images = any(_holds_image(each.value.type) for each in self._open)
            passed.append(f"conform={needed.support('data', 'conforming_with_images' if images else 'conforming')}")
        extras = self._extras()
        if extras:
            passed.append("options={" + ", ".join(f'"{name}": {text}' for name, _, _, text in extras) + "}")
        table = "".join(f"    {row},\n" for row in rows)
        return f'PARAMETERS = [\n{table}]\n\n\nif __name__ == "__main__":\n    ' + wrapped(
            f"sys.exit({call(main, passed)})", 4
        )


def _from(module: str, names: list[str]) -> str:
    line = f"from {module} import {', '.join(names)}"
    if len(line) <= WIDTH:
        return line
    return f"from {module} import (\n" + "".join(f"    {name},\n" for name in names) + ")"


def _import_order(name: str) -> tuple[int, str]:
    """Constants, then classes, then the others."""
    return (0 if name.isupper() and len(name) > 1 else 1 if name[:1].isupper() else 2), name


def _item(type_: Type) -> Type:
    assert isinstance(type_, ListOf)
    return type_.item


def _annotation(type_: Type) -> str:
    match type_:
        case Scalar(name) if name in _PLAIN:
            return _PLAIN[name]
        case OptionalOf(Scalar(name)) if name in _PLAIN:
            return f"{_PLAIN[name]} | None"
        case ListOf(Scalar(name)) if name in _PLAIN:
            return f"list[{_PLAIN[name]}]"
    return "Any"


def _has_conversation(type_: Type) -> bool:
    """Whether data must be made of it in a way that its type says."""
    match type_:
        case ListOf(item) | OptionalOf(item):
            return _has_conversation(item)
        case PairOf():
            return True
        case RecordType(fields=fields):
            return any(_has_conversation(kind) for _, kind in fields)
    return type_ == CONTEXT


def _documentation(text: str) -> str:
    """A program's text about itself as the inside of a Python docstring."""
    safe = text.rstrip().replace("\\", "\\\\").replace('"""', "'''")
    safe = "".join(each if each.isprintable() or each == "\n" else ascii(each)[1:-1] for each in safe)
    return f'{safe[:-1]}\\"' if safe.endswith('"') else safe
