"""What a piece of hardware can do: peaks, the share of them that is reached, memory, prices.

The profiles lie as TOML files in `hardware/`, with a source for each number; a user's own file has the same form, or
begins with `base = "h100"` and says only what differs.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any, get_args

from ttsc.compiler.cost.shape import CostError, Format

GIB = 1024**3


@dataclass(frozen=True, slots=True)
class TokenPrices:
    """What a provider charges, in dollars per million tokens: of prompts computed and found in the cache, decoded."""

    prompt: float
    decoded: float
    cached: float


@dataclass(frozen=True, slots=True)
class Hardware:
    """One device, and how many of them serve a model together.

    flops: dense peak FLOP/s by format; one that is missing is computed in 16 bits. bandwidth: of memory, bytes/s.
    capacity: of memory, bytes. link_bandwidth: between two devices, bytes/s each way; 0 where there is none.
    compute_share (e_c), bandwidth_share (e_b), attention_share (e_a): of the peaks that linear layers, memory access
    and attention reach. step_s (c0) and layer_s (c1): of a forward pass, beside the work, for the pass and for each
    layer. all_reduce_s: start of one exchange between devices. dollars_per_hour: of one device, None if unknown.
    batch: sequences that share a decode step where a request's share of it is priced. sources: by number, where it
    comes from; "assumed" for what no source stands behind.
    """

    name: str
    kind: str
    flops: Mapping[Format, float]
    bandwidth: float
    capacity: float
    link_bandwidth: float = 0.0
    compute_share: float = 0.7
    bandwidth_share: float = 0.8
    attention_share: float = 0.5
    step_s: float = 0.0
    layer_s: float = 0.0
    all_reduce_s: float = 10e-6
    devices: int = 1
    dollars_per_hour: float | None = None
    token_prices: TokenPrices | None = None
    batch: int = 32
    matches: tuple[str, ...] = ()
    sources: Mapping[str, str] = field(default_factory=dict)

    def peak(self, compute: Format) -> float:
        """FLOP/s of one device in a format. Raises `CostError` if it has neither that nor a 16-bit one."""
        found = self.flops.get(compute)
        if found is None and compute == "fp8":
            found = self.flops.get("bf16")
        if found is None:
            known = ", ".join(self.flops)
            raise CostError(f"nothing is known of {compute} arithmetic on {self.name}", f"known there: {known}")
        return found

    def intensity(self, compute: Format) -> float:
        """I: the machine's balance, peak FLOP/s over bytes/s."""
        return self.peak(compute) / self.bandwidth

    def times(self, devices: int) -> Hardware:
        """So many of them together. Raises `CostError` where nothing is known to connect them."""
        if devices > 1 and not self.link_bandwidth:
            raise CostError(
                f"{devices} x {self.name} can't serve a model together: no link between them is known",
                "take one, or give a hardware file with `link_bandwidth`, in bytes/s each way",
            )
        return replace(self, devices=devices)

    @property
    def dtype(self) -> str:
        """What an unquantized model is served in: ttsc's CPU engines honour seeds, for which they need float32."""
        return "float32" if self.kind == "cpu" else "bfloat16"


def hardware_names() -> tuple[str, ...]:
    """The built-in profiles."""
    return tuple(sorted(each.name.removesuffix(".toml") for each in _folder().iterdir() if each.name.endswith(".toml")))


@cache
def builtin_hardware(name: str) -> Hardware:
    """A profile by its file's name. Raises `CostError` for none."""
    if name not in hardware_names():
        raise CostError(f"there is no hardware profile '{name}'", f"there are {', '.join(hardware_names())}")
    return read_hardware(_folder().joinpath(f"{name}.toml").read_text(encoding="utf-8"), name)


def hardware_of_device(device: str) -> Hardware | None:
    """The profile of a device by the name that its driver gives it ("NVIDIA H100 80GB HBM3"); None for an unknown."""
    for name in hardware_names():
        found = builtin_hardware(name)
        if any(_named(mark, device) for mark in found.matches):
            return found
    return None


def _named(mark: str, device: str) -> bool:
    """Whether a device's name has these words: a GH200 is no H200."""
    return re.search(rf"(?<![a-z0-9]){re.escape(mark.lower())}(?![a-z0-9])", device.lower()) is not None


def hardware_file(path: Path) -> Hardware:
    """A user's profile. Raises `CostError` for what is wrong with it, `OSError` if it can't be read."""
    return read_hardware(path.read_text(encoding="utf-8"), str(path))


def read_hardware(text: str, where: str) -> Hardware:
    """A profile from its TOML text. `where`: for messages. Raises `CostError`."""
    try:
        table = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise CostError(f"{where} is not TOML: {error}", _FORM) from None
    known: dict[str, Any] = {}
    base = table.pop("base", None)
    if base is not None:
        start = builtin_hardware(str(base))
        known = {name: getattr(start, name) for name in Hardware.__dataclass_fields__}
    given = _fields(table, where)
    if known:
        told = {key: f"given in {where}" for key in table if key not in ("sources", "name", "kind", "matches")}
        given["sources"] = {**known["sources"], **told, **given.get("sources", {})}
    known |= given
    missing = [name for name in ("name", "flops", "bandwidth", "capacity") if name not in known]
    if missing:
        raise CostError(f"{where} says nothing on {', '.join(_KEYS.get(name, name) for name in missing)}", _FORM)
    known.setdefault("kind", "gpu")
    found = Hardware(**known)
    return found.times(found.devices)


_FORM = 'docs/cost-model.md shows such a file; `base = "h100"` in its first line leaves to say only what differs'
_KEYS = {"capacity": "capacity_gib"}
_NUMBERS = (
    "bandwidth",
    "link_bandwidth",
    "compute_share",
    "bandwidth_share",
    "attention_share",
    "step_s",
    "layer_s",
    "all_reduce_s",
    "dollars_per_hour",
)


def _fields(table: Mapping[str, Any], where: str) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in table.items():
        if key == "name" and isinstance(value, str):
            found[key] = value
        elif key == "kind":
            found[key] = _one_of(value, ("gpu", "cpu"), key, where)
        elif key in _NUMBERS:
            found[key] = _positive(value, key, where, zero=key.endswith("_s") or key == "link_bandwidth")
            if key.endswith("_share") and found[key] > 1:
                raise CostError(f"{where}: `{key}` is {value}: a share of a peak is at most 1", _FORM)
        elif key == "capacity_gib":
            found["capacity"] = _positive(value, key, where) * GIB
        elif key in ("devices", "batch"):
            found[key] = int(_positive(value, key, where))
            if found[key] != value:
                raise CostError(f"{where}: `{key}` is {value}: it is a whole number", _FORM)
        elif key == "flops" and isinstance(value, Mapping):
            found[key] = {
                _one_of(each, get_args(Format), "flops", where): _positive(peak, f"flops.{each}", where)
                for each, peak in value.items()
            }
        elif key == "dollars_per_million" and isinstance(value, Mapping):
            found["token_prices"] = _token_prices(value, where)
        elif key == "matches" and isinstance(value, list):
            found[key] = tuple(str(each) for each in value)
        elif key == "sources" and isinstance(value, Mapping):
            found[key] = {str(each): str(source) for each, source in value.items()}
        else:
            raise CostError(f"{where}: a hardware profile has no such `{key}`", _FORM)
    return found


def _token_prices(table: Mapping[str, Any], where: str) -> TokenPrices:
    unknown = sorted(set(table) - {"prompt", "decoded", "cached"})
    missing = [each for each in ("prompt", "decoded") if each not in table]
    if unknown or missing:
        raise CostError(f"{where}: `dollars_per_million` has prompt, decoded and (where cheaper) cached", _FORM)
    prices = {key: _positive(value, f"dollars_per_million.{key}", where, zero=True) for key, value in table.items()}
    prices.setdefault("cached", prices["prompt"])
    if prices["cached"] > prices["prompt"]:
        raise CostError(f"{where}: cached tokens can't be dearer than computed ones", _FORM)
    return TokenPrices(**prices)


def _one_of(value: object, known: Sequence[str], key: str, where: str) -> str:
    if value not in known:
        raise CostError(f"{where}: `{key}` has {value!r}; it knows {', '.join(known)}", _FORM)
    return str(value)


def _positive(value: object, key: str, where: str, *, zero: bool = False) -> float:
    if isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < float("inf") and (value or zero):
        return float(value)
    raise CostError(f"{where}: `{key}` is no number above 0", _FORM)


def _folder() -> Any:
    return files(__package__).joinpath("hardware")
