"""eFLOPs against the paper's closed form, and the known defects of its code, none of which is reproduced."""

from __future__ import annotations

import pytest

from ttsc.compiler.cost.counts import request_counts
from ttsc.compiler.cost.distributions import Lengths
from ttsc.compiler.cost.kinetics import (
    PUBLISHED_INTENSITY,
    PUBLISHED_PARAMETERS,
    Attention,
    block_sparse,
    dense,
    expected,
    kept_reads,
    top_k,
)
from ttsc.compiler.cost.roofline import Roofline
from ttsc.compiler.cost.work import work_of
from ttsc.machines import costs_for, hardware_named, shape_named


def published(name: str) -> Attention:
    shape = shape_named(name)
    return Attention(PUBLISHED_PARAMETERS[name], shape.group, shape.kv_elements, PUBLISHED_INTENSITY)


@pytest.mark.parametrize("name", PUBLISHED_PARAMETERS)
@pytest.mark.parametrize("samples", [1, 8, 32])
def test_dense_is_the_closed_form_of_the_paper(name: str, samples: int) -> None:
    of, c, g = published(name), 512, 8192
    p, r, d, i = of.parameters, of.group, of.kv_elements, 562.5
    got = dense(of, c, g, samples)
    assert got.compute == pytest.approx(2 * samples * p * g + 2 * r * samples * c * d * g + r * samples * d * g**2)
    assert got.access == pytest.approx(2 * i * c * d * g + i * samples * d * g**2)


@pytest.mark.parametrize("name", PUBLISHED_PARAMETERS)
def test_the_paper_writes_heads_where_its_formula_has_groups(name: str) -> None:
    """Its code has 2(2C+G) G H d L FLOPs of attention, H query heads: that is the formula's, since 2 H d L = r D."""
    shape, of, c, g, n = shape_named(name), published(name), 100, 4096, 4
    wide = shape.head_dim * shape.layers
    by_heads = n * (2 * of.parameters * g + 2 * (2 * c + g) * g * shape.query_heads * wide)
    access = PUBLISHED_INTENSITY * 2 * (2 * c + g * n) * g * shape.kv_heads * wide
    got = dense(of, c, g, n)
    assert (got.compute, got.access) == (pytest.approx(by_heads), pytest.approx(access))


# L* by the paper's sizes at I = 562.5, 295 and 153, and by P_lin
CROSSINGS = {
    "Qwen3-0.6B": (46, 88, 169, 37, 70, 134),
    "Qwen3-1.7B": (125, 238, 457, 106, 202, 387),
    "Qwen3-4B": (192, 364, 695, 193, 365, 695),
    "Qwen3-8B": (392, 742, 1415, 362, 687, 1308),
    "Qwen3-14B": (635, 1201, 2282, 602, 1139, 2162),
    "Qwen3-32B": (876, 1649, 3105, 856, 1611, 3031),
}


@pytest.mark.parametrize("name", CROSSINGS)
def test_where_attention_overtakes_linear_work(name: str) -> None:
    shape = shape_named(name)
    sizes = (PUBLISHED_PARAMETERS[name], shape.linear_parameters)
    got = [Attention(p, shape.group, shape.kv_elements, i).crossing for p in sizes for i in (562.5, 295, 153)]
    assert got == pytest.approx(CROSSINGS[name], rel=2e-3, abs=0.5)


@pytest.mark.parametrize("name", CROSSINGS)
def test_at_the_crossing_attention_costs_what_linear_layers_do(name: str) -> None:
    of = published(name)
    got = dense(of, 0, of.crossing)
    assert got.total == pytest.approx(2 * (2 * of.parameters * of.crossing))


def test_the_mean_length_alone_says_too_little() -> None:
    of, lengths = published("Qwen3-8B"), Lengths((100, 100, 100, 15_000))
    by_length = [dense(of, 200, each, 4) for each in lengths.values]
    got = expected(of, 200, lengths, 4)
    assert got.total == pytest.approx(sum(each.total for each in by_length) / 4)
    assert got.total > 1.5 * dense(of, 200, lengths.mean, 4).total


def test_sparse_attention_with_room_for_everything_is_dense_attention() -> None:
    of = published("Qwen3-4B")
    assert top_k(of, 10_000, 500, 4000).total == pytest.approx(dense(of, 500, 4000).total)


def test_searching_blocks_costs_more_the_smaller_they_are() -> None:
    of = published("Qwen3-4B")
    kept = top_k(of, 1024, 500, 8000, 8).total
    small, large = (block_sparse(of, size, 1024 // size, 500, 8000, 8).total for size in (16, 64))
    assert kept < large < small
    assert small - kept == pytest.approx(4 * (large - kept))


# --- defects of the published code ---


def test_defect_1_sign_of_the_sparse_term_is_not_reproduced() -> None:
    exact = sum(min(1024, 100 + step) for step in range(2000))
    assert exact == 1_620_650
    assert kept_reads(1024, 100, 2000) == 1_621_112
    wrong = 1024 * 2000 + 0.5 * (1024 - 100) ** 2
    assert wrong == 2_474_888
    assert kept_reads(1024, 100, 2000) == pytest.approx(exact, rel=1e-3)


@pytest.mark.parametrize(("name", "billions"), [("Qwen3-0.6B", 0.596), ("Qwen3-1.7B", 1.720)])
def test_defect_2_tied_embeddings_are_not_counted_twice(name: str, billions: float) -> None:
    shape = shape_named(name)
    assert shape.tied
    assert round(shape.total_parameters / 1e9, 3) == billions
    assert PUBLISHED_PARAMETERS[name] - shape.total_parameters == pytest.approx(shape.head_parameters, rel=0.01)


def test_defect_3_the_intensity_is_that_of_the_formats_in_use() -> None:
    b200 = hardware_named("b200")
    assert b200.intensity("bf16") == pytest.approx(PUBLISHED_INTENSITY / 2, rel=0.04)
    assert b200.intensity("fp8") == 2 * b200.intensity("bf16")
    assert round(hardware_named("h100").intensity("bf16")) == 295


def test_defect_4_prefill_and_weights_are_counted() -> None:
    costs = costs_for("h100", "Qwen3-8B")
    assert isinstance(costs.machine.steps, Roofline)
    short, long = (work_of(request_counts(size, 0, 100), costs.machine.steps) for size in (10, 10_000))
    assert long.flops_linear - short.flops_linear == pytest.approx(
        2 * 9990 * costs.machine.steps.shape.layer_parameters
    )
    assert short.bytes_weights == pytest.approx(100 * costs.machine.steps.shape.weight_bytes_read(1))
    assert short.bytes_weights > 100 * short.bytes_kv


def test_defect_5_a_shared_prompt_is_read_once_for_each_sequence_unless_the_kernel_cascades() -> None:
    shape, hardware = shape_named("Qwen3-8B"), hardware_named("h100")
    samples, prompt, decoded = 16, 4000, 101
    counts = request_counts(prompt, prompt - 1, decoded).times(samples)
    shared = (samples - 1) * prompt * (decoded - 1)
    stock, cascade = (work_of(counts, Roofline(shape, hardware, how), samples, shared) for how in ("stock", "cascade"))
    assert stock.bytes_kv - cascade.bytes_kv == shape.kv_bytes_per_token * shared
    assert stock.flops == cascade.flops
