"""The nearest elements of a list to a query: by their words, or by vectors.

By words: the cosine of word counts, each weighted by the word's inverse document frequency among the elements,
ln((1 + n) / (1 + elements with the word)) + 1 (smoothed, so a word of all elements still counts). A word is a run of
letters, digits and underscores in lower case. Nearest first; ties by the lower index. An element that shares no word
with the query is as far as can be, but it is there if there is room.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Sequence
from operator import mul

from ttsc.compiler.values.evaluation import EvaluationFailed, Operation, items, length_of, numbers, paired, text

_WORD = re.compile(r"\w+")


def unit_vectors(values: object) -> list[list[float]]:
    """Vectors of one dimension, scaled to length 1; a zero vector stays as it is."""
    vectors = [[float(each) for each in numbers(vector)] for vector in items(values)]
    dimensions = {len(vector) for vector in vectors}
    if len(dimensions) > 1:
        raise EvaluationFailed(f"vectors of different lengths: {', '.join(map(str, sorted(dimensions)))}")
    return [_scaled(vector) for vector in vectors]


def _scaled(vector: list[float]) -> list[float]:
    length = math.hypot(*vector)
    return [each / length for each in vector] if length else vector


def cosine_distance(a: Sequence[float], b: Sequence[float]) -> float:
    """1 - cosine of two unit vectors, from 0 to 2; 1 if either is zero."""
    product: float = sum(map(mul, a, b))
    return min(2.0, max(0.0, 1 - product))


def _nearest_words(values: object, texts: object, query: object, k: object) -> list[object]:
    found, given = paired(values, texts, "nearest", "texts")
    documents = [Counter(_words(each)) for each in given]
    holding = Counter(word for document in documents for word in document)
    rarity = {word: math.log((1 + len(documents)) / (1 + count)) + 1 for word, count in holding.items()}
    wanted = {word: count * rarity.get(word, 0.0) for word, count in Counter(_words(query)).items()}
    closeness = [_closeness(document, rarity, wanted) for document in documents]
    return _top(found, closeness, k)


def _closeness(document: Counter[str], rarity: dict[str, float], wanted: dict[str, float]) -> float:
    """The cosine times the length of the query's vector, which is the same for all documents."""
    length = math.sqrt(math.fsum((count * rarity[word]) ** 2 for word, count in document.items()))
    shared = math.fsum(document[word] * rarity[word] * wanted[word] for word in wanted if word in document)
    return shared / length if length else 0.0


def _nearest_vectors(values: object, vectors: object, query: object, k: object) -> list[object]:
    found, given = paired(values, vectors, "nearest", "vectors")
    wanted, *rows = unit_vectors((query, *given))
    return _top(found, [-cosine_distance(row, wanted) for row in rows], k)


def _words(value: object) -> list[str]:
    return _WORD.findall(text(value).lower())


def _top(elements: Sequence[object], closeness: Sequence[float], k: object) -> list[object]:
    order = sorted(range(len(elements)), key=lambda i: (-closeness[i], i))
    return [elements[i] for i in order[: length_of(k, "nearest")]]


SIMILARITY = (
    Operation("nearest_words", _nearest_words, 4, 4, None),
    Operation("nearest_vectors", _nearest_vectors, 4, 4, None),
)
