"""Names that are in scope inside an expression, over those around it.

A lambda in a long program sees thousands of names and adds one; nothing is copied for it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from ttsc.compiler.semantics import typed

Env = Mapping[str, typed.Symbol]


class Inner(Mapping[str, typed.Symbol]):
    """The names of `symbols`, and those of `outer` that they do not hide."""

    __slots__ = ("_names", "_outer")

    def __init__(self, outer: Env, symbols: Iterable[typed.Symbol]) -> None:
        self._outer = outer
        self._names = {symbol.name: symbol for symbol in symbols}

    def __getitem__(self, name: str) -> typed.Symbol:
        found = self._names.get(name)
        return self._outer[name] if found is None else found

    def __contains__(self, name: object) -> bool:
        return name in self._names or name in self._outer

    def __iter__(self) -> Iterator[str]:
        yield from self._names
        yield from (name for name in self._outer if name not in self._names)

    def __len__(self) -> int:
        return sum(1 for _ in self)
