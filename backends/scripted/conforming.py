"""Small random values that conform to a JSON schema, for runs of a program with random answers.

The part of JSON Schema that constrained decoding holds: types, enumerations, alternatives, references, bounds of
numbers, lengths and lists. A keyword beyond it is an error here, not a value that does not conform.
"""

from __future__ import annotations

import json
import math
import random
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ttsc.backends.protocol import Sampling
from ttsc.backends.scripted.script import Reply

_WORDS = ("so", "two", "answer", "x", "then 4", 'a "quoted" word', "line\nbreak", "naïve", "α+β", "back\\slash")
_DEEP = 6
"""Nesting at which optional parts are left out and alternatives that do not nest further are preferred."""
_FEW = 3
"""Items of a list without a bound, beyond its minimum."""
_MEANINGLESS = frozenset({"title", "description", "default", "examples", "$schema", "$id", "$comment", "deprecated"})
_KNOWN: Mapping[str, frozenset[str]] = {
    "object": frozenset({"properties", "required", "additionalProperties", "minProperties", "maxProperties"}),
    "array": frozenset({"items", "prefixItems", "minItems", "maxItems"}),
    "string": frozenset({"minLength", "maxLength"}),
    "integer": frozenset({"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"}),
    "number": frozenset({"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"}),
    "boolean": frozenset(),
    "null": frozenset(),
}


def from_schema(schema: str | Mapping[str, Any] | bool, seed: int) -> Any:
    """A value that conforms to `schema`, equal for equal seeds.

    Raises `ValueError` for a schema that nothing conforms to and for keywords that this does not know.
    """
    parsed = json.loads(schema) if isinstance(schema, str) else schema
    root = parsed if isinstance(parsed, Mapping) else {}
    return _Maker(root, random.Random(seed)).value(parsed, 0)


def conforming(otherwise: Reply, broken: float = 0.0) -> Reply:
    """Replies with a random value of the request's schema, and as `otherwise` where it has none.

    `broken`: share of the seeds whose value breaks off in the middle, as one that max_tokens cut.
    """

    def reply(prompt: str, seed: int, sampling: Sampling) -> str:
        if sampling.schema is None:
            return otherwise(prompt, seed, sampling)
        text = json.dumps(from_schema(sampling.schema, seed), ensure_ascii=False)
        return text[: len(text) // 2] if random.Random(f"broken {seed}").random() < broken else text

    return reply


class _Maker:
    def __init__(self, root: Mapping[str, Any], rng: random.Random) -> None:
        self._root = root
        self._rng = rng
        self._make: Mapping[str, Callable[[Mapping[str, Any], int], Any]] = {
            "object": self._object,
            "array": self._array,
            "string": self._string,
            "integer": self._integer,
            "number": self._number,
            "boolean": lambda schema, depth: rng.random() < 0.5,
            "null": lambda schema, depth: None,
        }

    def value(self, schema: Any, depth: int) -> Any:
        if schema is True:
            schema = {}
        if not isinstance(schema, Mapping):
            raise ValueError(f"nothing conforms to the schema {schema!r}")
        if depth > 40 * _DEEP:
            raise ValueError("the schema has no finite value")
        rest = {key: value for key, value in schema.items() if key not in _MEANINGLESS and key not in ("$defs",)}
        for key in ("const", "enum", "$ref", "anyOf", "oneOf", "allOf"):
            if key in rest:
                return self._named(key, rest, depth)
        kinds = rest.pop("type", None) or _kind_of(rest)
        kind = kinds if isinstance(kinds, str) else self._rng.choice(_shallow(kinds) if depth >= _DEEP else kinds)
        if kind not in self._make:
            raise ValueError(f"{kind!r} is no type of JSON schema")
        known = _KNOWN[kind].union(*(_KNOWN.get(each, ()) for each in ([] if isinstance(kinds, str) else kinds)))
        if unknown := sorted(rest.keys() - known):
            raise ValueError(f"the stub makes no values for {', '.join(unknown)} of {kind}")
        return self._make[kind](rest, depth)

    def _named(self, key: str, schema: Mapping[str, Any], depth: int) -> Any:
        """A value by a keyword that says all. Beside it only the type may be said again."""
        if unknown := sorted(schema.keys() - {key, "type"}):
            raise ValueError(f"the stub makes no values for {', '.join(unknown)} beside {key}")
        said = schema[key]
        match key:
            case "const":
                return said
            case "enum":
                return self._rng.choice(said)
            case "$ref":
                return self.value(self._referred(said), depth + 1)
            case "allOf" if len(said) > 1:
                raise ValueError("the stub makes no values for allOf with several parts")
        options = sorted(said, key=_nests)[:1] if depth >= _DEEP else said
        return self.value(self._rng.choice(options), depth + 1)

    def _referred(self, reference: str) -> Any:
        if not reference.startswith("#"):
            raise ValueError(f"{reference!r} leads out of the schema")
        found: Any = self._root
        for part in reference[1:].split("/")[1:]:
            found = found[part.replace("~1", "/").replace("~0", "~")]
        return found

    def _object(self, schema: Mapping[str, Any], depth: int) -> dict[str, Any]:
        properties: Mapping[str, Any] = schema.get("properties", {})
        required = set(schema.get("required", ()))
        least, most = schema.get("minProperties", 0), schema.get("maxProperties", math.inf)
        made: dict[str, Any] = {}
        for name, inner in properties.items():
            wanted = depth < _DEEP and self._rng.random() < 0.7
            if name in required or len(made) + len(required - made.keys()) < (most if wanted else least):
                made[name] = self.value(inner, depth + 1)
        for name in sorted(required - made.keys()):
            made[name] = self.value(schema.get("additionalProperties", True), depth + 1)
        others = schema.get("additionalProperties", True)
        while len(made) < least:
            made[f"key{len(made)}"] = self.value(others, depth + 1)
        return made

    def _array(self, schema: Mapping[str, Any], depth: int) -> list[Any]:
        first: Sequence[Any] = schema.get("prefixItems", ())
        least = schema.get("minItems", 0)
        most = min(schema.get("maxItems", math.inf), max(least, len(first)) + _FEW)
        if schema.get("items", True) is False:
            most = min(most, len(first))
        if least > most:
            raise ValueError(f"no list has between {least} and {most} items")
        length = least if depth >= _DEEP else self._rng.randint(least, int(most))
        items = schema.get("items", True)
        return [self.value(first[i] if i < len(first) else items, depth + 1) for i in range(length)]

    def _string(self, schema: Mapping[str, Any], depth: int) -> str:
        least = schema.get("minLength", 0)
        most = min(schema.get("maxLength", math.inf), least + 24)
        text = " ".join(self._rng.choice(_WORDS) for _ in range(self._rng.randint(0, 4)))
        while len(text) < least:
            text += self._rng.choice(_WORDS)
        return text[: int(most)]

    def _integer(self, schema: Mapping[str, Any], depth: int) -> int:
        step = schema.get("multipleOf", 1)
        low, high = _interval(schema, 1)
        lowest, highest = math.ceil(low / step), math.floor(high / step)
        if lowest > highest:
            raise ValueError(f"no whole number lies between {low} and {high}")
        return int(self._rng.randint(lowest, highest) * step)

    def _number(self, schema: Mapping[str, Any], depth: int) -> float:
        low, high = _interval(schema, 0)
        value = low + (high - low) * self._rng.uniform(0.05, 0.95)
        return round(value, 3) if low <= round(value, 3) <= high and high - low > 0.1 else value


def _interval(schema: Mapping[str, Any], apart: int) -> tuple[float, float]:
    """The least and the greatest value, `apart` inside of exclusive bounds; 200 wide where a side is open."""
    lows = [schema[key] + gap for key, gap in (("minimum", 0), ("exclusiveMinimum", apart)) if key in schema]
    highs = [schema[key] - gap for key, gap in (("maximum", 0), ("exclusiveMaximum", apart)) if key in schema]
    low = max(lows) if lows else (min(highs) - 200 if highs else -100)
    high = min(highs) if highs else low + 200
    if low > high:
        raise ValueError(f"no number lies between {low} and {high}")
    return low, high


def _kind_of(schema: Mapping[str, Any]) -> str:
    """The type that a schema without one speaks of."""
    return next((kind for kind, known in _KNOWN.items() if schema.keys() & known), "string")


def _shallow(kinds: Sequence[str]) -> list[str]:
    return [kind for kind in kinds if kind not in ("object", "array")] or list(kinds)


def _nests(schema: Any) -> bool:
    """Whether values of it may hold further values."""
    return isinstance(schema, Mapping) and (schema.get("type") in ("object", "array", None) and "enum" not in schema)
