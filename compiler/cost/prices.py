"""What one request costs, from what it asks for: FLOPs, eFLOPs and dollars, in whole units.

A price depends on a request's own tokens alone, never on what else runs: so it can be reserved before the request
starts, and the most that it can cost is that of nothing cached and everything decoded. Where a machine's cost is shared
by a batch, the batch is a stated one (`Hardware.batch`), and prompts are computed in full chunks.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from ttsc.compiler.cost.hardware import Hardware, TokenPrices
from ttsc.compiler.cost.shape import ModelShape
from ttsc.compiler.cost.steps import Chunk, Machine
from ttsc.compiler.cost.units import UNITS, TokenUse


@dataclass(frozen=True, slots=True)
class Rates:
    """Per token computed, cached, decoded, scored, and per (token, context token) pair of prefill and of decoding. None
    below 0, and cached tokens no dearer than computed ones: so a price grows with the prompt and with what is decoded,
    and falls with what is cached.
    """

    computed: float = 0.0
    cached: float = 0.0
    decoded: float = 0.0
    scored: float = 0.0
    prefill_pair: float = 0.0
    decode_read: float = 0.0

    def of(self, use: TokenUse) -> float:
        prompt, cached, decoded = use.prompt, use.cached, use.decoded
        return (
            self.computed * (prompt - cached)
            + self.cached * cached
            + self.decoded * decoded
            + self.scored * use.scored
            + self.prefill_pair * ((prompt * (prompt + 1) - cached * (cached + 1)) / 2)
            + self.decode_read * (decoded * prompt + decoded * (decoded + 1) / 2)
        )


@dataclass(frozen=True, slots=True)
class Price:
    """Of one engine: rates by resource, and where they come from. A resource that is missing has no known price."""

    rates: Mapping[str, Rates] = field(default_factory=dict)
    source: str = ""

    def of(self, resource: str, use: TokenUse) -> int:
        """Units of a resource, rounded up. Raises `KeyError` for one without a known price."""
        return math.ceil(self.rates[resource].of(use) / UNITS[resource])


def price_of(machine: Machine, shape: ModelShape | None, hardware: Hardware | None) -> Price:
    """All that is known: FLOPs by the shape, eFLOPs with the hardware's intensity, dollars by the tokens' prices or by
    the time on a machine whose cost is known.
    """
    rates: dict[str, Rates] = {}
    if shape is not None:
        rates["flops"] = flop_rates(shape)
        if hardware is not None:
            rates["eflops"] = eflop_rates(shape, hardware, machine.limits.chunk_tokens)
    tokens = None if hardware is None else hardware.token_prices
    source = machine.source
    if tokens is not None:
        rates["cost"] = token_rates(tokens)
        source = "prices per token"
    elif machine.dollars_per_s is not None:
        batch = min(32 if hardware is None else hardware.batch, machine.limits.running)
        rates["cost"] = dollar_rates(machine, batch)
        source += f", ${machine.dollars_per_s * 3600:.6g} an hour, shared by {batch}"
    return Price(rates, source)


def flop_rates(shape: ModelShape) -> Rates:
    """Each computed or decoded token goes through the layers, each decoded or scored one through the LM head."""
    layers, head = 2.0 * shape.layer_parameters, 2.0 * shape.head_parameters
    pair = 4.0 * shape.query_heads * shape.head_dim * shape.layers
    return Rates(layers, 0.0, layers + head, head, pair, pair)


def eflop_rates(shape: ModelShape, hardware: Hardware, chunk_tokens: int) -> Rates:
    """FLOPs, and reading KV and the request's share of weights by the machine's intensity."""
    flops, intensity = flop_rates(shape), hardware.intensity(shape.compute)
    kv = intensity * shape.kv_bytes_per_token
    step = intensity * shape.weight_bytes_read(hardware.batch) / hardware.batch
    chunk = intensity * shape.weight_bytes_read(chunk_tokens) / chunk_tokens
    return Rates(
        flops.computed + chunk + kv,
        kv,
        flops.decoded + step,
        flops.scored,
        flops.prefill_pair,
        flops.decode_read + kv,
    )


def dollar_rates(machine: Machine, batch: int) -> Rates:
    """The share of a machine's time: a decode step is shared by `batch`, prompts are computed in full chunks.

    The part of a chunk's time that grows with pairs is told apart by one chunk with and one without tokens before it.
    """
    dollars = machine.dollars_per_s
    assert dollars is not None
    steps, chunk = machine.steps, max(1, machine.limits.chunk_tokens)
    alone, behind = steps.prefill([Chunk(chunk, 0)]), steps.prefill([Chunk(chunk, chunk)])
    pair = max(0.0, behind - alone) / (chunk * chunk)
    token = max(0.0, alone - pair * chunk * (chunk + 1) / 2) / chunk
    step = steps.decode(batch)
    serial = machine.overheads
    return Rates(
        computed=dollars * token,
        decoded=dollars * (step.fixed_s / batch + serial.token_s),
        prefill_pair=dollars * pair,
        decode_read=dollars * step.per_context_s,
    )


def token_rates(prices: TokenPrices) -> Rates:
    """Dollars of a provider that charges by the token."""
    return Rates(prices.prompt / 1e6, prices.cached / 1e6, prices.decoded / 1e6)
