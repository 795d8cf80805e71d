"""The client's parts that need no server: event streams, metrics, addresses, error texts."""

from __future__ import annotations

import pytest

from ttsc.backends.sglang.answers import error_text, seconds
from ttsc.backends.sglang.connection import base_url
from ttsc.backends.sglang.metrics import parse_metrics, totals
from ttsc.backends.sglang.stream import Decoded, EventParser


def test_events_are_found_whatever_the_chunks() -> None:
    text = b': comment\ndata: {"a": 1}\n\ndata:{"b":\r\ndata: 2}\r\n\r\nevent: x\n\ndata: [DONE]\n\ndata: cut'
    expected = [b'{"a": 1}', b'{"b":\n2}', b"[DONE]"]
    for size in range(1, len(text) + 1):
        parser = EventParser()
        pieces = [text[start : start + size] for start in range(0, len(text), size)]
        assert [event for piece in pieces for event in parser.feed(piece)] == expected


def test_both_ways_of_streaming_give_the_same_ids() -> None:
    ids = [11, 12, 13, 14, 14]
    for chunks in (
        [([11], 1), ([11, 12], 2), (ids, 5)],
        [([11, 12, 13], 1), ([11, 12, 13], 2), (ids, 5)],  # ids run ahead of the count
        [([11], 1), ([12, 13], 3), ([14], 4), ([14], 5)],
        [([11], 1), ([12, 13, 14, 14], 5), ([14], 5)],  # an abort repeats the last id
    ):
        decoded = Decoded()
        fresh = [decoded.add({"output_ids": part, "meta_info": {"completion_tokens": total}}) for part, total in chunks]
        assert decoded.ids == ids
        assert [token for part in fresh for token in part] == ids


def test_metrics_are_parsed() -> None:
    text = (
        "# HELP x y\n"
        'sglang:prefill_effective_tokens_total{mode="input",a="b\\"c"} 10.0\n'
        'sglang:prefill_effective_tokens_total{mode="device_hit"} 5 1700000000\n'
        "sglang:gauge NaN\nnot a sample\nsglang:bad x\n"
    )
    samples = parse_metrics(text)
    assert len(samples) == 3
    assert samples[0].labels == (("mode", "input"), ("a", 'b\\"c'))
    assert totals(samples[:2]) == {"sglang:prefill_effective_tokens_total": 15.0}


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("host:1", "http://host:1"),
        (" http://h:1/ ", "http://h:1"),
        ("https://h/v1", "https://h"),
        ("http://h/v1/", "http://h"),
    ],
)
def test_addresses_are_normalised(given: str, expected: str) -> None:
    assert base_url(given) == expected


def test_retry_after_is_read_in_both_spellings() -> None:
    assert seconds("3") == 3.0
    assert seconds(None) is None
    assert seconds("soon") is None
    assert seconds("Wed, 21 Oct 2015 07:28:00 GMT") == 0.0


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b'{"error": {"message": "m"}}', "m"),
        (b'{"error": "m"}', "m"),
        (b'{"detail": "m"}', "m"),
        (b'{"detail": [{"loc": 1}]}', '[{"loc": 1}]'),
        (b"plain\n", "plain"),
        (b"[1]", "[1]"),
    ],
)
def test_error_texts(body: bytes, expected: str) -> None:
    assert error_text(body) == expected
