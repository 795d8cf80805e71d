"""The roofline against the reference's own figures, capacity against SGLang's rules, and what a profile may say."""

from __future__ import annotations

from pathlib import Path

import pytest

from ttsc.compiler.cost.capacity import kv_tokens, limits, reserve, running
from ttsc.compiler.cost.counts import request_counts
from ttsc.compiler.cost.hardware import GIB, CostError, builtin_hardware, hardware_file, hardware_names, read_hardware
from ttsc.compiler.cost.roofline import Roofline
from ttsc.compiler.cost.steps import Chunk
from ttsc.compiler.cost.work import Work, work_of
from ttsc.machines import hardware_named, shape_named

H100 = Roofline(shape_named("Qwen3-8B"), hardware_named("h100"))

# device: bf16 TFLOPS, GB/s, GiB, FLOP/byte
TABLE = {
    "h100": (989, 3350, 80, 295),
    "h200": (989, 4800, 141, 206),
    "a100": (312, 2039, 80, 153),
    "l40s": (362, 864, 48, 419),
    "rtx4090": (165.2, 1008, 24, 164),
    "rtx5090": (209.5, 1792, 32, 117),
    "b200": (2250, 7700, 180, 292),
    "mi300x": (1307, 5300, 192, 247),
    "orin": (42.5, 204.8, 64, 208),
}


@pytest.mark.parametrize("name", TABLE)
def test_hardware_is_the_table(name: str) -> None:
    found, (flops, bandwidth, capacity, intensity) = builtin_hardware(name), TABLE[name]
    assert found.flops["bf16"] == flops * 1e12
    assert found.bandwidth == bandwidth * 1e9
    assert found.capacity == capacity * GIB
    assert round(found.intensity("bf16")) == intensity


@pytest.mark.parametrize("name", hardware_names())
def test_every_number_of_a_profile_has_a_source(name: str) -> None:
    text = (Path("compiler/cost/hardware") / f"{name}.toml").read_text(encoding="utf-8")
    found = builtin_hardware(name)
    keys = [line.partition(" = ")[0] for line in text.partition("[flops]")[0].splitlines() if " = " in line]
    assert set(keys) - {"name", "kind", "matches"} <= set(found.sources)
    assert "flops" in found.sources


def test_one_decode_step_of_qwen3_8b_on_an_h100() -> None:
    """The figures of the reference: e_b = .8, e_c = .7, BF16."""
    assert H100.linear_s(1, 1) == pytest.approx(5.65e-3, rel=1e-3)
    context = {(16, 4): 3.6e-3, (64, 4): 14.4e-3, (64, 16): 57.7e-3, (256, 4): 57.7e-3}
    for (rows, thousands), seconds in context.items():
        assert H100.decode_attention_s(rows * thousands * 1024) == pytest.approx(seconds, rel=5e-3)


def test_linear_layers_are_bound_by_memory_up_to_some_batch() -> None:
    assert H100.linear_s(200, 200) == H100.weights_s(200)
    assert H100.linear_s(260, 260) == H100.linear_compute_s(260, 260) > H100.weights_s(260)


def test_a_step_is_linear_in_its_context() -> None:
    step = H100.decode(16)
    whole = H100.linear_s(16, 16) + H100.decode_attention_s(65_536) + H100.overhead_s
    assert step.seconds(65_536) == pytest.approx(whole)


def test_a_long_prompt_computes_and_a_short_one_reads_weights() -> None:
    assert H100.prefill([Chunk(1, 0)]) == pytest.approx(H100.weights_s(1) + H100.overhead_s, rel=0.01)
    tokens = 4096
    linear = 2 * (tokens * H100.shape.layer_parameters + H100.shape.head_parameters) / (989e12 * 0.7)
    attention = 2 * 32 * 128 * 36 * tokens**2 / (989e12 * 0.5)
    assert H100.prefill([Chunk(tokens, 0)]) == pytest.approx(linear + attention + H100.overhead_s)


def test_tokens_that_are_there_already_cost_attention_only() -> None:
    alone, behind = H100.prefill([Chunk(1000, 0)]), H100.prefill([Chunk(1000, 7000)])
    assert alone < behind < H100.prefill([Chunk(8000, 0)])
    assert behind - alone == pytest.approx(2 * 32 * 128 * 36 * (8000**2 - 7000**2 - 1000**2) / (989e12 * 0.5))


def test_several_devices_share_work_and_pay_for_exchange() -> None:
    four = Roofline(H100.shape, hardware_named("4xh100"))
    assert four.weights_s(1) == H100.weights_s(1) / 4
    assert four.exchange_s(1) == pytest.approx(2 * 36 * (10e-6 + 2 * 3 / 4 * 4096 * 2 / 450e9))
    assert H100.exchange_s(1) == 0


def test_kv_heads_are_copied_where_there_are_more_devices_than_heads() -> None:
    sixteen = Roofline(H100.shape, hardware_named("16xh100"))
    assert sixteen.kv_s(1000) == H100.kv_s(1000) / 8


def test_capacity_is_what_weights_and_reserve_leave() -> None:
    shape, h100 = shape_named("Qwen3-8B"), builtin_hardware("h100")
    assert reserve(h100) == (512 + 1.5 * 8192 + 128 + 2 * 256 + 8 * 58) * 1024**2
    assert kv_tokens(shape, h100) == int((80 * GIB - reserve(h100) - shape.total_bytes) / 147_456)
    assert limits(shape, h100).chunk_tokens == 8192
    assert limits(shape, builtin_hardware("l40s")).chunk_tokens == 4096
    assert limits(shape, builtin_hardware("b200")).chunk_tokens == 16_384


def test_sequences_at_once_as_sglang_decides() -> None:
    assert running(372_579, 40_960) == 4096
    assert running(100_000, 40_960) == 2048
    assert running(1000, 40_960) == 500


def test_a_model_that_does_not_fit_is_refused() -> None:
    with pytest.raises(CostError, match="needs 61 GiB"):
        limits(shape_named("Qwen3-32B"), builtin_hardware("l40s"))


def test_decoding_alone_waits_for_memory_and_a_long_prompt_for_arithmetic() -> None:
    decoding, prefill = (work_of(counts, H100) for counts in (request_counts(10, 0, 500), request_counts(8000, 0, 1)))
    assert (decoding.binds, prefill.binds) == ("memory", "compute")
    assert Work().binds == ""
    assert (decoding + prefill).flops == pytest.approx(decoding.flops + prefill.flops)


def test_more_rows_share_the_weights_and_nothing_else() -> None:
    counts = request_counts(100, 0, 101).times(32)
    one, many = work_of(counts, H100, 1), work_of(counts, H100, 32)
    assert many.bytes_weights == pytest.approx(one.bytes_weights / 32)
    assert (many.flops, many.bytes_kv) == (one.flops, one.bytes_kv)


def test_eflops_are_flops_and_bytes_by_the_intensity() -> None:
    work = work_of(request_counts(100, 50, 200), H100, 4)
    assert work.eflops == pytest.approx(work.flops + 989e12 / 3350e9 * work.bytes)


def test_a_profile_of_ones_own(tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    file.write_text('base = "h100"\nname = "ours"\ndollars_per_hour = 2.5\ndevices = 2\n')
    found = hardware_file(file)
    assert (found.name, found.dollars_per_hour, found.devices) == ("ours", 2.5, 2)
    assert found.bandwidth == 3350e9
    assert "mine.toml" in found.sources["dollars_per_hour"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("name = ", "not TOML"),
        ('base = "h9"', "h9"),
        ('name = "x"\nbandwidth = 1e9\n[flops]\nbf16 = 1e12', "capacity_gib"),
        ('base = "h100"\nbandwith = 3', "bandwith"),
        ('base = "h100"\nbandwidth = -3', "bandwidth"),
        ('base = "h100"\nbandwidth = inf', "bandwidth"),
        ('base = "h100"\nbandwidth = nan', "bandwidth"),
        ('base = "h100"\ncompute_share = 70', "at most 1"),
        ('base = "h100"\ndevices = 2.5', "whole number"),
        ('base = "orin"\ndevices = 2', "no link between them"),
        ('base = "h100"\nkind = "tpu"', "gpu, cpu"),
        ('base = "h100"\n[flops]\nint8 = 1e15', "fp32, bf16, fp8"),
        ('base = "h100"\n[dollars_per_million]\nprompt = 1', "decoded"),
        ('base = "h100"\n[dollars_per_million]\nprompt = 1\ndecoded = 1\ncached = 2', "dearer"),
    ],
)
def test_a_wrong_profile_is_refused_with_a_reason(text: str, said: str) -> None:
    with pytest.raises(CostError, match=said) as caught:
        read_hardware(text, "mine.toml")
    assert caught.value.hint
