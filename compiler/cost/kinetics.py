"""eFLOPs of long generations as Kinetics has them (arXiv 2506.05333): computing, and reading keys and values, added up.

Reading is counted in FLOPs by the machine's intensity I = peak FLOP/s over bytes/s. The closed form leaves prefill and
the reading of weights out (a large batch is assumed), and reads the prompt's KV once for all samples, which takes a
cascade kernel. It is here to compare with published results; what ttsc itself counts is in `work.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from ttsc.compiler.cost.distributions import Lengths

PUBLISHED_INTENSITY = 562.5
"""Of a B200: FP8 FLOPs over the bandwidth that serves a BF16 cache; in BF16 alone it is 281."""

PUBLISHED_PARAMETERS: Mapping[str, float] = MappingProxyType(
    {
        "Qwen3-0.6B": 0.752e9,
        "Qwen3-1.7B": 2.03e9,
        "Qwen3-4B": 4.02e9,
        "Qwen3-8B": 8.19e9,
        "Qwen3-14B": 14.77e9,
        "Qwen3-32B": 32.76e9,
    }
)
"""The paper's model sizes, for its own figures only: of the two smallest they count the embedding twice."""


@dataclass(frozen=True, slots=True)
class Eflops:
    """`compute`: FLOPs. `access`: bytes of KV read, times the intensity."""

    compute: float
    access: float

    @property
    def total(self) -> float:
        return self.compute + self.access


@dataclass(frozen=True, slots=True)
class Attention:
    """What the closed forms need of a model and a machine: P, parameters a token goes through; r, query heads per KV
    head; D, elements of the KV cache per token (of 2 bytes); I.
    """

    parameters: float
    group: float
    kv_elements: float
    intensity: float

    @property
    def crossing(self) -> float:
        """L*: tokens (without a prompt) at which attention costs as much as the linear layers, 2P / ((r + I) D)."""
        return 2 * self.parameters / ((self.group + self.intensity) * self.kv_elements)


def dense(of: Attention, prompt: float, generated: float, samples: float = 1) -> Eflops:
    """`samples` generations of `generated` tokens each, after one prompt:

    2NPG + 2rNCDG + rNDG²  and  2ICDG + INDG².
    """
    width = of.kv_elements * generated
    compute = 2 * samples * of.parameters * generated + of.group * samples * width * (2 * prompt + generated)
    return Eflops(compute, of.intensity * width * (2 * prompt + samples * generated))


def expected(of: Attention, prompt: float, lengths: Lengths, samples: float = 1) -> Eflops:
    """The mean of `dense` over lengths: it depends on E[G²], so the mean length alone says too little."""
    mean, square = lengths.mean, lengths.second_moment
    grown = of.kv_elements * (2 * prompt * mean + samples * square)
    compute = samples * (2 * of.parameters * mean + of.group * of.kv_elements * (2 * prompt * mean + square))
    return Eflops(compute, of.intensity * grown)


def kept_reads(budget: float, prompt: float, generated: float) -> float:
    """The sum over steps t of min(budget, prompt + t), continuous: what a sparse attention reads that keeps at most
    `budget` tokens. While the context is below the budget all of it is read.
    """
    grown = prompt + generated
    if grown <= budget:
        return generated * prompt + generated**2 / 2
    return budget * generated - max(0.0, budget - prompt) ** 2 / 2


def top_k(of: Attention, budget: float, prompt: float, generated: float, samples: float = 1) -> Eflops:
    """Attention to the best `budget` tokens, the search for them left out. Each sample reads its own."""
    reads = samples * kept_reads(budget, prompt, generated) * of.kv_elements
    return Eflops(2 * samples * of.parameters * generated + 2 * of.group * reads, 2 * of.intensity * reads)


def block_sparse(
    of: Attention, block: int, blocks: int, prompt: float, generated: float, samples: float = 1, local: int = 0
) -> Eflops:
    """Attention to the best `blocks` blocks of `block` tokens and to the last `local` tokens. The search reads one key
    and value for each block, the prompt's once for all samples.
    """
    kept = top_k(of, local + block * blocks, prompt, generated, samples)
    width = of.kv_elements * generated
    search = of.group * samples * width * (2 * prompt + generated) / block / 2
    access = of.intensity * width * (2 * prompt + samples * generated) / block / 2
    return Eflops(kept.compute + search, kept.access + access)
