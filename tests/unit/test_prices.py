"""Prices of single requests: bounds that a reservation may rely on, and where the numbers come from."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ttsc.compiler.cost.counts import request_counts
from ttsc.compiler.cost.hardware import TokenPrices
from ttsc.compiler.cost.prices import Price, price_of
from ttsc.compiler.cost.roofline import Roofline
from ttsc.compiler.cost.steps import Chunk
from ttsc.compiler.cost.units import TokenUse
from ttsc.compiler.cost.work import work_of
from ttsc.machines import costs_for

PAID = replace(costs_for("h100", "Qwen3-8B").machine, dollars_per_s=2 / 3600)
COSTS = costs_for("h100", "Qwen3-8B")
PRICE = price_of(PAID, COSTS.shape, COSTS.hardware)
RESOURCES = ("flops", "eflops", "cost")


@given(st.integers(1, 50_000), st.integers(0, 50_000), st.integers(0, 20_000), st.integers(0, 20_000))
def test_what_was_reserved_is_never_less_than_what_is_settled(prompt: int, cached: int, decoded: int, cut: int) -> None:
    asked = TokenUse(prompt, 0, decoded)
    used = TokenUse(prompt, min(cached, prompt), min(cut, decoded))
    for resource in RESOURCES:
        assert 0 <= PRICE.of(resource, used) <= PRICE.of(resource, asked)


@given(st.integers(1, 50_000), st.integers(0, 20_000))
def test_a_price_grows_with_prompt_and_answer(prompt: int, decoded: int) -> None:
    for resource in RESOURCES:
        of = PRICE.of(resource, TokenUse(prompt, 0, decoded))
        assert of < PRICE.of(resource, TokenUse(prompt + 1, 0, decoded))
        assert of < PRICE.of(resource, TokenUse(prompt, 0, decoded + 1))


def test_flops_are_those_of_the_work_but_for_the_last_token() -> None:
    assert isinstance(COSTS.machine.steps, Roofline)
    work = work_of(request_counts(500, 200, 1000), COSTS.machine.steps)
    priced = PRICE.of("flops", TokenUse(500, 200, 1000))
    assert work.flops < priced < work.flops * 1.002


def test_eflops_are_those_of_the_work_at_the_batch_that_is_stated() -> None:
    assert isinstance(COSTS.machine.steps, Roofline) and COSTS.hardware is not None
    many = work_of(request_counts(500, 0, 1000).times(32), COSTS.machine.steps, COSTS.hardware.batch)
    assert PRICE.of("eflops", TokenUse(500, 0, 1000)) == pytest.approx(many.eflops / 32, rel=0.02)


def test_dollars_are_the_share_of_a_machines_time() -> None:
    """32 requests that decode together, after prompts computed in one chunk, take the machine that long."""
    steps = COSTS.machine.steps
    seconds = steps.prefill([Chunk(8192, 0)]) + steps.decode(32).span(32, 32 * 256, 1000)
    paid = 32 * PRICE.of("cost", TokenUse(256, 0, 1000)) * 1e-12
    assert paid == pytest.approx(seconds * 2 / 3600, rel=0.02)


def test_token_prices_take_the_place_of_time() -> None:
    assert COSTS.hardware is not None
    sold = replace(COSTS.hardware, token_prices=TokenPrices(prompt=3.0, decoded=15.0, cached=0.3))
    price = price_of(PAID, COSTS.shape, sold)
    assert price.of("cost", TokenUse(1000, 400, 100)) * 1e-12 == pytest.approx((600 * 3 + 400 * 0.3 + 100 * 15) / 1e6)
    assert price.source == "prices per token"


def test_what_is_unknown_has_no_price() -> None:
    assert set(price_of(COSTS.machine, None, None).rates) == set()
    assert set(price_of(COSTS.machine, COSTS.shape, None).rates) == {"flops"}
    assert set(price_of(PAID, None, None).rates) == {"cost"}
    with pytest.raises(KeyError):
        Price().of("cost", TokenUse(1))


def test_scored_tokens_go_through_the_head() -> None:
    scored, plain = PRICE.of("flops", TokenUse(100, 0, 0, 10)), PRICE.of("flops", TokenUse(100))
    assert COSTS.shape is not None
    assert scored - plain == 10 * 2 * COSTS.shape.head_parameters
