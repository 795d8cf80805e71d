"""A profile's file, its curves, and the steps and machine that it gives."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from ttsc.compiler.cost.profile import (
    Curve,
    FittedSteps,
    Profile,
    ProfileUnreadable,
    Residual,
    profile_text,
    read_profile,
)
from ttsc.compiler.cost.steps import Chunk, Limits, Overheads

STEPS = FittedSteps(
    decode_rows=Curve(((1, 0.020), (8, 0.034), (64, 0.146))),
    decode_context=Curve(((1, 1e-6), (64, 2e-6))),
    prefill_tokens=Curve(((0, 0.01), (64, 0.05), (1024, 2.0))),
    prefill_sequence=0.0005,
    prefill_pair=1e-7,
)
PROFILE = Profile(
    name="smollm2-135m on cpu",
    model="smollm2-135m",
    device="cpu",
    engine="sglang 0.5.23",
    date="2026-11-22",
    steps=STEPS,
    overheads=Overheads(request_s=1e-4, token_s=2e-5, round_trip_s=0.003, post_s=0.001, answer_s=2e-4),
    limits=Limits(kv_tokens=32768, running=4096, context_tokens=8192, chunk_tokens=1024, prefill_tokens=16384),
    residuals=(Residual("decode", 21, 0.012, 0.05),),
)


def test_a_curve_is_linear_between_its_points_and_goes_on_with_its_last_slope() -> None:
    curve = Curve(((1.0, 10.0), (3.0, 14.0), (5.0, 24.0)))
    assert [curve.at(x) for x in (0, 1, 2, 3, 4, 5, 7)] == [10, 10, 12, 14, 19, 24, 34]
    assert Curve(((4.0, 2.0),)).at(9) == 2


@pytest.mark.parametrize("points", [(), ((1.0, 2.0), (1.0, 3.0)), ((2.0, 1.0), (1.0, 1.0))])
def test_a_curve_without_order_is_refused(points: tuple[tuple[float, float], ...]) -> None:
    with pytest.raises(ValueError, match="ascending"):
        Curve(points)


def test_steps_add_up_rows_context_and_pairs() -> None:
    step = STEPS.decode(8)
    assert step.fixed_s == 0.034
    assert step.seconds(1000) == pytest.approx(0.034 + 1000 * (1e-6 + 7 / 63 * 1e-6))
    # Two prompts: 32 new tokens after 100 cached ones, and 32 cold ones.
    seconds = STEPS.prefill([Chunk(32, 100), Chunk(32, 0)])
    pairs = 32 * 100 + 2 * 32 * 33 / 2
    assert seconds == pytest.approx(0.05 + 2 * 0.0005 + 1e-7 * pairs)


def test_a_profile_survives_its_file() -> None:
    assert read_profile(profile_text(PROFILE)) == PROFILE
    priced = replace(PROFILE, dollars_per_hour=3.6)
    assert read_profile(profile_text(priced)).to_machine().dollars_per_s == pytest.approx(0.001)


def test_the_file_in_the_documentation_is_one() -> None:
    page = (Path(__file__).parents[2] / "docs" / "profile.md").read_text(encoding="utf-8")
    block = page[page.index("    format = 1") : page.index("Write `dollars_per_hour")]
    profile = read_profile("\n".join(line.removeprefix("    ") for line in block.splitlines()))
    assert profile.limits.running == 4096 and profile.overheads.post_s == 0.0012
    assert len(profile.steps.decode_rows.points) == 3


def test_a_machine_says_where_its_numbers_come_from() -> None:
    machine = PROFILE.to_machine()
    assert machine.source == "profile of 2026-11-22"
    assert machine.steps is STEPS and machine.limits is PROFILE.limits and machine.overheads is PROFILE.overheads
    assert machine.dollars_per_s is None


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("format = 1", "format = 9", "'format' is 9"),
        ("format = 1", "format = ", "not TOML"),
        ('model = "smollm2-135m"', "", "'model' is missing"),
        ("prefill_pair = 1e-07", "prefill_pair = -1", "'steps.prefill_pair' is -1"),
        ("round_trip_s = ", "round_trip = ", "'overheads.round_trip' is unknown"),
        ("kv_tokens = 32768", "", "'limits.kv_tokens' is missing"),
        ('device = "cpu"', "device = 1", "'device' is 1, which is no text"),
    ],
)
def test_what_is_wrong_with_a_file_is_said(old: str, new: str, said: str) -> None:
    text = profile_text(PROFILE)
    assert old in text
    with pytest.raises(ProfileUnreadable) as caught:
        read_profile(text.replace(old, new))
    assert said in caught.value.message


def test_a_curve_in_disorder_is_named() -> None:
    text = profile_text(replace(PROFILE, steps=replace(STEPS, decode_rows=Curve(((1, 0.5),)))))
    begin = text.index("decode_rows")
    end = text.index("decode_context")
    with pytest.raises(ProfileUnreadable, match="steps.decode_rows"):
        read_profile(text[:begin] + "decode_rows = [[2, 0.1], [1, 0.1]]\n" + text[end:])
