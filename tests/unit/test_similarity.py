"""Nearest elements by words and by vectors."""

from __future__ import annotations

import pytest

from ttsc.compiler.values.pure import EvaluationFailed, evaluate

NOTES = ("the cat sat", "the dog sat", "the dog barked at the dog", "nothing else")


def nearest(query: str, k: int, texts: tuple[str, ...] = NOTES) -> object:
    return evaluate("nearest_words", "", (tuple(range(len(texts))), texts, query, k))


def test_words() -> None:
    assert nearest("Dog!", 2) == (2, 1)
    assert nearest("cat", 1) == (0,)
    assert nearest("a cat and a dog", 3) == (0, 2, 1)
    assert nearest("dog", 9) == (2, 1, 0, 3)


def test_a_rare_word_weighs_more_than_a_frequent_one() -> None:
    """By counts alone the first two would be as near: each shares one word of three with the query."""
    texts = ("one two the", "one two barked", "the six", "the seven")
    assert nearest("the barked", 1, texts) == (1,)


def test_ties_by_index_and_no_shared_word() -> None:
    assert nearest("zebra", 2) == (0, 1)
    assert nearest("", 1) == (0,)
    assert nearest("x", 3, ("x y", "y x", "x")) == (2, 0, 1)


def test_vectors() -> None:
    vectors = ((1.0, 0.0), (0.0, 1.0), (2.0, 2.0), (0.0, 0.0))
    items = ("east", "north", "between", "nowhere")
    assert evaluate("nearest_vectors", "", (items, vectors, (0.1, 1.0), 4)) == ("north", "between", "east", "nowhere")
    assert evaluate("nearest_vectors", "", (items, vectors, (1.0, 1.0), 3)) == ("between", "east", "north")
    assert evaluate("nearest_vectors", "", ((), (), (1.0,), 3)) == ()


@pytest.mark.parametrize(
    ("op", "args", "words"),
    [
        ("nearest_words", ((1,), (), "q", 1), "0 texts for 1 elements"),
        ("nearest_words", ((1,), ("a",), "q", -1), "`nearest` of a negative length"),
        ("nearest_vectors", ((1,), ((1.0,),), (1.0, 2.0), 1), "different lengths: 1, 2"),
        ("nearest_vectors", ((1,), (1.0,), (1.0, 2.0), 1), "no result"),
    ],
)
def test_failures(op: str, args: tuple[object, ...], words: str) -> None:
    with pytest.raises(EvaluationFailed) as caught:
        evaluate(op, "", args)
    assert words in caught.value.message
