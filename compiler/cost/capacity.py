"""What an engine takes at once, as SGLang 0.5.23 decides it by itself: KV tokens, running sequences, chunks.

Its rules are those of `srt/arg_groups/memory_hook.py` and of its pool's configurator, for a model without draft model,
pipeline or data parallelism, and with the memory's size as the device's whole memory.
"""

from __future__ import annotations

from ttsc.compiler.cost.hardware import GIB, Hardware
from ttsc.compiler.cost.shape import CostError, ModelShape
from ttsc.compiler.cost.steps import Limits

_MIB = 1024**2

# Below so many GiB: prompt tokens of a chunk, how many graphs are captured for chunks up to that, and sequences of the
# largest captured decode batch: with fewer than 4 devices, and with more.
_DEFAULTS = (
    (20, 2048, 42, 8, 8),
    (35, 4096, 50, 48, 160),
    (60, 4096, 50, 32, 160),
    (160, 8192, 58, 256, 512),
    (float("inf"), 16384, 74, 512, 512),
)
_PREFILL_TOKENS = 16384
# ttsc's own engines on a CPU (backends/sglang/cpu/arguments.py).
_CPU_KV_TOKENS = 32768
_CPU_CHUNK_TOKENS = 1024


def limits(shape: ModelShape, hardware: Hardware) -> Limits:
    """What SGLang's defaults make of a model on so many devices; on a CPU, those of the engines that ttsc starts.

    Raises `CostError` if the model doesn't fit.
    """
    tokens = kv_tokens(shape, hardware)
    if hardware.kind == "cpu":
        tokens = min(tokens, _CPU_KV_TOKENS)
    context = min(shape.context_tokens or tokens, tokens)
    return Limits(
        kv_tokens=tokens,
        running=running(tokens, shape.context_tokens or tokens),
        context_tokens=context,
        chunk_tokens=_CPU_CHUNK_TOKENS if hardware.kind == "cpu" else _defaults(hardware)[0],
        prefill_tokens=_PREFILL_TOKENS,
    )


def kv_tokens(shape: ModelShape, hardware: Hardware) -> int:
    """Tokens whose KV fits beside the weights and what the server keeps free."""
    devices = hardware.devices
    left = hardware.capacity - reserve(hardware) - shape.total_bytes / devices
    tokens = int(left / (shape.kv_bytes_per_token / min(devices, shape.kv_heads)))
    if tokens < 1:
        raise CostError(
            f"the model '{shape.name}' needs {shape.total_bytes / GIB:.0f} GiB for its weights:"
            f" more than {devices} x {hardware.name} with {hardware.capacity / GIB:.0f} GiB hold",
            "take more devices (`devices` of a hardware file), a larger one, or a smaller model",
        )
    return tokens


def running(kv: int, context: int) -> int:
    """Sequences that decode at once at most: SGLang's default for so many KV tokens."""
    return max(1, min(max(min(int(kv / context * 512), 4096), 2048), kv // 2))


def reserve(hardware: Hardware) -> float:
    """Bytes of each device that are neither weights nor KV: activations, captured graphs, slack. Of a
    CPU's, which everything shares, an eighth is taken to be gone.
    """
    if hardware.kind == "cpu":
        return hardware.capacity / 8
    chunk, chunk_graphs, sequences = _defaults(hardware)
    mib = 512 + 1.5 * max(chunk, 2048) + hardware.devices / 8 * 1024 + 2 * sequences + 8 * chunk_graphs
    if hardware.capacity > 60 * GIB:
        mib = max(mib, 10 * 1024)
    return mib * _MIB


def _defaults(hardware: Hardware) -> tuple[int, int, int]:
    """Tokens of a chunk, graphs captured for chunks, sequences of the largest captured decode batch."""
    gib = hardware.capacity / GIB
    _, chunk, chunk_graphs, few, many = next(row for row in _DEFAULTS if gib < row[0])
    return chunk, chunk_graphs, few if hardware.devices < 4 else many
