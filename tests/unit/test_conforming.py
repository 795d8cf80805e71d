"""Random values of a JSON schema, for runs of a program on the scripted engine with random answers."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from ttsc.backends.protocol import GenerateRequest, Sampling, Turn
from ttsc.backends.scripted import ScriptedEngine, conforming, from_schema, table

SCHEMA = json.dumps({"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]})


names = st.sampled_from(["a", "b", "grade", "text"])
scalars = st.one_of(
    st.builds(lambda low, width: {"type": "integer", "minimum": low, "maximum": low + width},
              st.integers(-9, 9), st.integers(0, 20)),
    st.builds(lambda low, width: {"type": "number", "exclusiveMinimum": low, "maximum": low + width},
              st.integers(-9, 9), st.sampled_from([0.01, 1, 30])),
    st.builds(lambda least, more: {"type": "string", "minLength": least, "maxLength": least + more},
              st.integers(0, 9), st.integers(0, 9)),
    st.sampled_from([
        {"type": "boolean"}, {"type": "null"}, {"type": "string"}, {"type": ["integer", "null"]}, True, {},
        {"enum": ["x", 3, None]}, {"const": "k"}, {"type": "integer", "exclusiveMinimum": 3, "multipleOf": 4},
        {"title": "T", "type": "number", "maximum": 3, "default": 1},
    ]),
)  # fmt: skip


def nested(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    lists = st.builds(
        lambda items, least, more: {"type": "array", "items": items, "minItems": least, "maxItems": least + more},
        inner, st.integers(0, 3), st.integers(0, 3),
    )  # fmt: skip
    tuples = st.builds(
        lambda parts: {"type": "array", "prefixItems": parts, "items": False, "minItems": len(parts)},
        st.lists(inner, max_size=3),
    )
    objects = st.builds(
        lambda properties, all_of_them: {
            "type": "object",
            "properties": properties,
            "required": sorted(properties) if all_of_them else sorted(properties)[:1],
            "additionalProperties": False,
        },
        st.dictionaries(names, inner, max_size=3),
        st.booleans(),
    )
    either = st.builds(lambda parts: {"anyOf": parts}, st.lists(inner, min_size=1, max_size=3))
    return st.one_of(lists, tuples, objects, either)


@given(st.recursive(scalars, nested, max_leaves=8), st.integers(0, 2**32))
@settings(max_examples=300, deadline=None)
def test_random_values_conform(schema: Any, seed: int) -> None:
    value = from_schema(schema, seed)
    Draft202012Validator(schema).validate(value)
    assert json.dumps(from_schema(json.dumps(schema), seed)) == json.dumps(value), "equal seeds, equal values"


def test_recursive_schemas_have_finite_values() -> None:
    schema = {
        "$defs": {
            "Tree": {
                "type": "object",
                "properties": {
                    "value": {"type": "integer"},
                    "next": {"anyOf": [{"$ref": "#/$defs/Tree"}, {"type": "null"}]},
                    "children": {"type": "array", "items": {"$ref": "#/$defs/Tree"}},
                },
                "required": ["value", "next", "children"],
                "additionalProperties": False,
            }
        },
        "$ref": "#/$defs/Tree",
    }
    validator = Draft202012Validator(schema)
    for seed in range(200):
        validator.validate(from_schema(schema, seed))


@pytest.mark.parametrize(
    "schema",
    [
        False,
        {"type": "string", "pattern": "a+"},
        {"not": {}},
        {"type": "integer", "minimum": 3, "maximum": 2},
        {"type": "strin"},
        {"allOf": [{}, {}]},
        {"$ref": "other.json"},
        {"type": "array", "minItems": 2, "maxItems": 1},
        {"$defs": {"A": {"$ref": "#/$defs/A"}}, "$ref": "#/$defs/A"},
    ],
)
def test_what_it_cannot_make_is_an_error(schema: Any) -> None:
    with pytest.raises(ValueError):
        from_schema(schema, 0)


async def test_replies_can_conform_or_break() -> None:
    engine = ScriptedEngine(conforming(table({"two": ["four"]}), broken=0.5))
    ids = tuple(engine.tokenizer.chat_ids([Turn("user", "two plus two")]))
    broken = 0
    for seed in range(40):
        sampling = Sampling(max_tokens=500, seed=seed, schema=SCHEMA)
        said = await engine.generate(GenerateRequest(f"r{seed}", ids, sampling))
        text = engine.tokenizer.decode(said.output_ids)
        try:
            Draft202012Validator(json.loads(SCHEMA)).validate(json.loads(text))
        except ValueError:
            broken += 1
    assert 5 < broken < 35
    plain = await engine.generate(GenerateRequest("p", ids, Sampling(max_tokens=9, seed=0)))
    assert engine.tokenizer.decode(plain.output_ids) == "four"
    await engine.close()
