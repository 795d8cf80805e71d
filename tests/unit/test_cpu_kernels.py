"""The CPU engine's kernels against plain PyTorch, and the property that a row does not depend on its neighbours."""

from __future__ import annotations

import ctypes
from typing import Any

import pytest

torch: Any = pytest.importorskip("torch")
kernels: Any = pytest.importorskip("ttsc.backends.sglang.cpu.kernels")

VOCABULARY = 1003  # not a multiple of a vector's width


@pytest.fixture(scope="module")
def lib() -> Any:
    """The compiled kernels, with their threads running."""
    built = kernels.library()
    if built is None:
        pytest.skip("this machine has no compiler or no AVX2")
    kernels.start_threads(built)
    torch.manual_seed(0)
    return built


@pytest.mark.parametrize("rows", [1, 2, 3, 5, 9, 17, 33, 70])
@pytest.mark.parametrize(("outputs", "depth"), [(50, 40), (96, 576), (7, 201)])
def test_linear_is_right_and_each_row_is_its_own(lib: Any, rows: int, outputs: int, depth: int) -> None:
    weight, bias, x = torch.randn(outputs, depth), torch.randn(outputs), torch.randn(rows, depth)
    packed = kernels.PackedWeight(weight, lib)
    got = packed.apply(x, bias)
    torch.testing.assert_close(got, x @ weight.T + bias, rtol=1e-4, atol=1e-4)
    alone = torch.cat([packed.apply(x[row : row + 1], bias) for row in range(rows)])
    assert torch.equal(got, alone)


@pytest.mark.parametrize("spread", [0.1, 3.0, 30.0])
def test_sampling_finds_the_winner_of_the_exact_formula(lib: Any, spread: float) -> None:
    rows = 40
    logits = torch.randn(rows, VOCABULARY) * spread
    temperatures = torch.rand(rows) + 0.2
    seeds, positions = torch.randint(0, 2**62, (rows,)), torch.randint(0, 9999, (rows,))
    hashes = torch.empty(rows, VOCABULARY, dtype=torch.int32)
    at = kernels.address
    lib.ttsc_murmur(at(seeds), at(positions), ctypes.c_int64(rows), ctypes.c_int64(VOCABULARY), at(hashes))
    u = (hashes.to(torch.int64) & 0xFFFFFFFF).double() / 4294967295.0
    gumbel = -(-u.log().clamp(max=-(2.0**-32))).log()
    wanted = (logits.double() / temperatures.double()[:, None] + gumbel).argmax(1)
    assert torch.equal(kernels.sample(logits, temperatures, seeds, positions).long(), wanted)


def test_a_slice_of_a_padded_vocabulary_is_sampled_from_like_any(lib: Any) -> None:
    from ttsc.backends.sglang.cpu import sampler

    padded = torch.rand(5, 64)
    probs = padded[:, :32]
    seeds, positions = torch.arange(5), torch.zeros(5, dtype=torch.int64)
    assert not probs.is_contiguous()
    got = sampler._sample(None, probs, seeds, positions)
    assert torch.equal(got, sampler._sample(None, probs.clone(), seeds, positions))
    none, ones = torch.full((5,), 64, dtype=torch.int32), torch.ones(5)
    filtered = sampler._sample_filtered(None, probs, none, ones, torch.zeros(5), False, seeds, positions)
    assert torch.equal(filtered, got)


def test_filters_keep_what_they_name(lib: Any) -> None:
    rows = 60
    logits = (torch.randn(1, VOCABULARY) * 3).repeat(rows, 1)
    ones, zeros = torch.ones(rows), torch.zeros(rows)
    seeds, positions = torch.arange(rows), torch.zeros(rows, dtype=torch.int64)

    def draw(top_k: int = VOCABULARY, top_p: float = 1.0, min_p: float = 0.0) -> set[int]:
        limits = (torch.full((rows,), top_k, dtype=torch.int32), ones * top_p, zeros + min_p)
        return {int(token) for token in kernels.sample(logits, ones, seeds, positions, filters=limits)}

    order = logits[0].argsort(descending=True).tolist()
    probs = logits[0].softmax(0)
    nucleus = int((probs.sort(descending=True).values.cumsum(0) <= 0.5).sum()) + 1
    assert draw(top_k=1) == {order[0]}
    assert draw(top_k=5) <= set(order[:5])
    assert draw(top_p=0.5) <= set(order[:nucleus])
    assert all(probs[token] >= 0.3 * probs.max() for token in draw(min_p=0.3))
    assert draw() == {int(token) for token in kernels.sample(logits, ones, seeds, positions)}


def test_argmax_takes_the_first_of_equal_entries(lib: Any) -> None:
    logits = torch.zeros(2, VOCABULARY)
    logits[1, [40, 900]] = 2.0
    assert kernels.argmax(logits).tolist() == [0, 40]
