"""JSON of simulated models: a value that conforms to a request's schema and fits what it is about.

Fields named like an answer hold one, fields named like a verdict the verdict, the other texts filler, so that the whole
is as long as it should be. Schemas are those that the compiler makes of types (`compiler/values/schema.py`).
"""

from __future__ import annotations

import json
import math
import random
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ttsc.backends.simulator.latents import Latent
from ttsc.backends.simulator.tokenizer import decoded, mark_text, spelled
from ttsc.backends.simulator.writing import filler

_ANSWER = re.compile(r"answer|result|solution|final", re.IGNORECASE)
_VERDICT = re.compile(r"right|correct|valid|pass|accept|good|true|ok", re.IGNORECASE)
_WORD_CHARACTERS = 6
"""Of a filler word with its space, at most."""
_FEW = 3
"""Items of a list of unknown length, at most."""


@dataclass(frozen=True, slots=True)
class About:
    """What the JSON is about: the answer it gives, as text and as a mark, and its verdict on a candidate."""

    answer: str
    latent: Latent
    accepts: bool


@dataclass(slots=True)
class _Text:
    """A text to be filled. `most`: characters."""

    most: float
    text: str = ""


@dataclass(slots=True)
class _Made:
    texts: list[_Text] = field(default_factory=list)


def instance(schema: str, chance: random.Random, about: About, tokens: int) -> str:
    """JSON of about so many tokens, more if the schema asks for more."""
    made = _Made()
    value = _value(json.loads(schema), chance, about, made, "")
    marked = next((each for each in made.texts if each.most >= 4), None)
    if marked is not None:
        marked.text = mark_text(about.latent.mark())
    free = tokens - len(spelled(json.dumps(value, default=_shown, ensure_ascii=False)))
    for place, each in enumerate(made.texts):
        share = free * (place + 1) // len(made.texts) - free * place // len(made.texts)
        room = (each.most - len(each.text)) // _WORD_CHARACTERS
        each.text += decoded(filler(about.latent.chance + place, int(max(0, min(share, room)))))
    return json.dumps(value, default=_shown, ensure_ascii=False)


def _shown(text: object) -> str:
    assert isinstance(text, _Text)
    return text.text


def _value(schema: Mapping[str, Any], chance: random.Random, about: About, made: _Made, name: str) -> Any:
    if "enum" in schema:
        return chance.choice(schema["enum"])
    if "const" in schema:
        return schema["const"]
    if "anyOf" in schema:
        return _value(chance.choice(schema["anyOf"]), chance, about, made, name)
    match schema.get("type"):
        case "object":
            properties: Mapping[str, Any] = schema.get("properties", {})
            return {key: _value(each, chance, about, made, key) for key, each in properties.items()}
        case "array":
            least, most = schema.get("minItems", 0), schema.get("maxItems", _FEW)
            count = chance.randint(least, max(least, min(most, _FEW)))
            return [_value(schema.get("items", {}), chance, about, made, name) for _ in range(count)]
        case "integer":
            low, high = _range(schema, 0, 9)
            if _ANSWER.search(name) and re.fullmatch(r"-?\d+", about.answer) and low <= int(about.answer) <= high:
                return int(about.answer)
            return chance.randint(math.ceil(low), math.floor(high))
        case "number":
            low, high = _range(schema, 0.0, 1.0)
            middle = (low + high) / 2
            return round(chance.uniform(middle, high) if about.accepts else chance.uniform(low, middle), 3)
        case "boolean":
            return about.accepts if _VERDICT.search(name) else chance.random() < 0.5
        case "null":
            return None
    most_characters = schema.get("maxLength", math.inf)
    if _ANSWER.search(name) and len(about.answer) <= most_characters:
        return about.answer
    made.texts.append(_Text(most_characters))
    return made.texts[-1]


def _range(schema: Mapping[str, Any], low: float, high: float) -> tuple[float, float]:
    """Its bounds; where a side is open the usual one, if that leaves anything."""
    least, most = schema.get("minimum"), schema.get("maximum")
    width = high - low
    if least is None:
        least = low if most is None else min(low, most - width)
    if most is None:
        most = max(high, least + width)
    return least, most
