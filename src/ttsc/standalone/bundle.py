"""What a standalone file needs of ttsc's own modules, taken from their sources as they stand.

From the wanted definitions everything they refer to is found, definition by definition; a class brings only those of
its methods whose names are used somewhere. Names that meet are told apart, imports within ttsc vanish, annotations
that name what was left out become `Any`. So the file computes exactly what ttsc's executor computes.
"""

from __future__ import annotations

import ast
import builtins
import keyword
from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from ttsc.standalone.modules import External, Symbol, module_named, origin
from ttsc.standalone.scopes import Reading, read

Definition = ast.FunctionDef | ast.AsyncFunctionDef
_BUILTINS = frozenset(dir(builtins)) | frozenset(keyword.kwlist)


@dataclass(slots=True)
class Part:
    """One definition of the bundle. `methods`: those of a class that wait until something uses their name."""

    symbol: Symbol
    node: ast.stmt
    reading: Reading
    methods: dict[str, list[Definition]] = field(default_factory=dict)
    taken: set[str] = field(default_factory=set)


class Bundle:
    """Definitions and what they need. Add what is wanted, then take `text`."""

    def __init__(self, reserved: Iterable[str] = ()) -> None:
        """`reserved`: global names that are the file's own."""
        self._parts: dict[Symbol, Part] = {}
        self._names: dict[Symbol, str] = {}
        self._taken = set(reserved)
        self._attributes: set[str] = set()
        self._externals: dict[External, str] = {}

    # --- finding ---

    def add(self, module: str, name: str) -> str:
        """Want a definition; the name it has in the file."""
        found = origin(Symbol(module, name))
        assert isinstance(found, Symbol), (module, name)
        self._want(found)
        return self._names[found]

    def expression(self, module: str, node: ast.expr) -> str:
        """Want what an expression of a module refers to; the expression as it reads in the file."""
        reading = read(node)
        self._refer(module, reading)
        return self._edited(module, node, reading)

    def uses(self, words: Iterable[str]) -> None:
        """Attributes that the file's own code uses."""
        self._attributes |= set(words)
        self._grow()

    def _want(self, symbol: Symbol) -> None:
        if symbol in self._parts:
            return
        node = module_named(symbol.module).definitions[symbol.name]
        methods: dict[str, list[Definition]] = {}
        if isinstance(node, ast.ClassDef) and not self._is_foreign(symbol, node):
            for each in node.body:
                if isinstance(each, Definition) and not each.name.startswith("__"):
                    methods.setdefault(each.name, []).append(each)
        held = frozenset(each for group in methods.values() for each in group)
        self._names[symbol] = self._free_name(symbol)
        part = self._parts[symbol] = Part(symbol, node, read(node, held), methods)
        self._refer(symbol.module, part.reading)
        self._grow()

    def _is_foreign(self, symbol: Symbol, node: ast.ClassDef) -> bool:
        """Whether a class stands in for one of another package, which may call any of its methods."""
        module = module_named(symbol.module)
        foreign = [origin(module.meaning(base.id)) for base in node.bases if isinstance(base, ast.Name)]
        return any(isinstance(base, External) and base.module not in ("abc", "typing") for base in foreign)

    def _refer(self, module: str, reading: Reading) -> None:
        known = module_named(module)
        self._attributes |= reading.attributes
        wanted: list[Symbol | External | None] = [origin(known.meaning(name.id)) for name in reading.names]
        wanted += [origin(found) for _, names in reading.local_imports for found in names.values()]
        for annotation in reading.annotations:
            for each in ast.walk(annotation):
                if isinstance(each, ast.Name) and each.id not in known.typing_only:
                    found = known.meaning(each.id)
                    wanted += [found] if isinstance(found, External) else []
        for found in wanted:
            if isinstance(found, Symbol):
                self._want(found)
            elif found is not None:
                self._import(found)

    def _import(self, wanted: External) -> str:
        """The name under which the file imports something: its own, unless that is taken."""
        if wanted not in self._externals:
            name = wanted.alias
            while name in self._taken:
                name += "_"
            self._taken.add(name)
            self._externals[wanted] = name
        return self._externals[wanted]

    def _grow(self) -> None:
        """Take the methods whose names are used by now."""
        grown = True
        while grown:
            grown = False
            for part in list(self._parts.values()):
                for name in sorted(set(part.methods) & self._attributes - part.taken):
                    part.taken.add(name)
                    grown = True
                    for method in part.methods[name]:
                        more = read(method)
                        part.reading.names += more.names
                        part.reading.annotations += more.annotations
                        part.reading.local_imports += more.local_imports
                        self._refer(part.symbol.module, more)

    def _free_name(self, symbol: Symbol) -> str:
        name = symbol.name
        if name in self._taken or name in _BUILTINS:
            name = f"{symbol.module.rpartition('.')[2]}_{symbol.name.strip('_')}"
        while name in self._taken or name in _BUILTINS:
            name += "_"
        self._taken.add(name)
        return name

    # --- writing ---

    @property
    def names(self) -> frozenset[str]:
        """Every global name of the bundle."""
        return frozenset(self._names.values()) | frozenset(self._externals.values())

    def imports(self) -> list[External]:
        """What it takes from other packages and from Python's library."""
        return [replace(found, alias=name) for found, name in self._externals.items()]

    def external(self, module: str, name: str) -> str:
        """Want a name of another package; what it is called in the file."""
        return self._import(External(module, name, name))

    def text(self) -> str:
        """The definitions, each after those that must be there when it is made."""
        text, flat = "", False
        for part in self._ordered():
            now_flat = isinstance(part.node, ast.Assign | ast.AnnAssign)
            text += ("" if not text else "\n" if flat and now_flat else "\n\n\n") + self._text(part)
            flat = now_flat
        return text

    def _ordered(self) -> list[Part]:
        done: dict[Symbol, Part] = {}
        waiting: set[Symbol] = set()

        def place(symbol: Symbol, deep: bool) -> None:
            if symbol in done or symbol in waiting:
                return
            part = self._parts[symbol]
            waiting.add(symbol)
            whole = deep or isinstance(part.node, ast.Assign | ast.AnnAssign)
            for other in self._needed(part, whole):
                place(other, whole)
            waiting.discard(symbol)
            done[symbol] = part
            for other in self._needed(part, True):
                place(other, False)

        for symbol in self._parts:
            place(symbol, False)
        return list(done.values())

    def _needed(self, part: Part, whole: bool) -> list[Symbol]:
        """The definitions that a part refers to: all of them, or those that must be there when it is made."""
        names = [name.id for name in (part.reading.names if whole else _when_made(part.node))]
        if whole:
            names += [name for _, bound in part.reading.local_imports for name in bound]
        module = module_named(part.symbol.module)
        local = {name: found for _, bound in part.reading.local_imports for name, found in bound.items()}
        found = [origin(local.get(name) or module.meaning(name)) for name in names]
        return list(dict.fromkeys(each for each in found if isinstance(each, Symbol) and each != part.symbol))

    def _text(self, part: Part) -> str:
        dropped = [each for name, group in part.methods.items() if name not in part.taken for each in group]
        text = self._edited(part.symbol.module, part.node, part.reading, dropped)
        last = module_named(part.symbol.module).lines[(part.node.end_lineno or 1) - 1].encode()
        behind = last[part.node.end_col_offset or 0 :].decode().strip()
        text += f"  {behind}" if behind.startswith("# fmt") else ""
        comment = module_named(part.symbol.module).comments.get(part.symbol.name)
        if comment is not None:
            text += "\n" + self._edited(part.symbol.module, comment, Reading())
        return text

    def _edited(
        self, module: str, node: ast.stmt | ast.expr, reading: Reading, dropped: Iterable[Definition] = ()
    ) -> str:
        """A node's source under the names of this file, without dropped methods and imports of our own."""
        known = module_named(module)
        local = {name: found for _, bound in reading.local_imports for name, found in bound.items()}
        lines = known.lines
        first, column = _beginning(node)
        last, end = node.end_lineno or first, node.end_col_offset or 0
        edits: list[tuple[int, int, int, int, str]] = []
        gone = [_span_of(each, lines) for each in (*dropped, *(each for each, _ in reading.local_imports))]
        for begin, stop in gone:
            edits.append((begin, 0, stop + 1, 0, ""))
        for name in reading.names:
            found = origin(local.get(name.id) or known.meaning(name.id))
            new = name.id
            if isinstance(found, Symbol):
                new = self._names.get(found, new)
            elif found is not None:
                new = self._externals.get(found, new)
            if new != name.id:
                edits.append(_replaced(name, new))
        own = self._names.get(Symbol(module, getattr(node, "name", "")))
        if isinstance(node, Definition | ast.ClassDef) and own not in (None, node.name):
            line = lines[node.lineno - 1]
            start = line.index(node.name, node.col_offset)
            edits.append((node.lineno, start, node.lineno, start + len(node.name), own or ""))
        for annotation in reading.annotations:
            if not all(self._is_known(known.meaning(each), each) for each in _words(annotation)):
                edits.append(_replaced(annotation, self.external("typing", "Any")))
        return _apply(lines, (first, column, last, end), edits)

    def _is_known(self, found: Symbol | External | None, word: str) -> bool:
        """Whether a name in an annotation means in the file what it means in its module."""
        if found is None:
            return word in _BUILTINS
        found = origin(found)
        if isinstance(found, Symbol):
            return self._names.get(found) == word
        return found is not None and self._externals.get(found) == word


def _when_made(node: ast.stmt) -> list[ast.Name]:
    """Names that are looked up when a definition is made, not when it is called."""
    match node:
        case ast.FunctionDef() | ast.AsyncFunctionDef():
            parts: list[ast.AST] = [*node.decorator_list, *node.args.defaults]
            parts += [each for each in node.args.kw_defaults if each is not None]
        case ast.ClassDef():
            parts = [*node.decorator_list, *node.bases]
            for each in node.body:
                parts += _when_made(each) if isinstance(each, Definition) else [each]
        case _:
            parts = [node]
    return [name for part in parts for name in read(part).names]


def _words(annotation: ast.expr) -> list[str]:
    return [each.id for each in ast.walk(annotation) if isinstance(each, ast.Name)]


def _beginning(node: ast.stmt | ast.expr) -> tuple[int, int]:
    decorators = getattr(node, "decorator_list", [])
    return (decorators[0].lineno, 0) if decorators else (node.lineno, node.col_offset)


def _span_of(node: ast.stmt, lines: list[str]) -> tuple[int, int]:
    """The lines of a statement that goes, with the empty lines before it."""
    first = _beginning(node)[0]
    while isinstance(node, Definition) and not lines[first - 2].strip():
        first -= 1
    return first, node.end_lineno or node.lineno


def _replaced(node: ast.expr, text: str) -> tuple[int, int, int, int, str]:
    return node.lineno, node.col_offset, node.end_lineno or 0, node.end_col_offset or 0, text


def _apply(lines: list[str], span: tuple[int, int, int, int], edits: list[tuple[int, int, int, int, str]]) -> str:
    """The text of a span with some of its parts replaced; columns are of UTF-8 bytes, as Python's parser has them."""
    data = [line.encode() for line in lines]
    starts = [0]
    for line in data:
        starts.append(starts[-1] + len(line) + 1)
    whole = b"\n".join(data)

    def at(line: int, column: int) -> int:
        return starts[line - 1] + column

    position, last = at(*span[:2]), at(*span[2:])
    pieces: list[bytes] = []
    for begin_line, begin, end_line, end, text in sorted(set(edits)):
        start, stop = at(begin_line, begin), at(end_line, end)
        if start < position:
            continue  # inside of what is gone already
        pieces += [whole[position:start], text.encode()]
        position = stop
    if position < last:
        pieces.append(whole[position:last])
    return b"".join(pieces).decode().rstrip()
