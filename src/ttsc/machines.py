"""From names to machines: what `--hardware`, `--model`, `--profile` and a connected engine stand for in the cost model.

A piece of hardware is a built-in profile (`h100`, `4xh100` for four that serve one model together) or a file of a
user's own; a model is a folder with a config.json, a name that `compiler/cost/models.toml` knows, or a hub's id of one.
"""

from __future__ import annotations

import json
import os
import re
import tomllib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ttsc.backends.protocol import EngineInfo
from ttsc.compiler.cost.capacity import limits
from ttsc.compiler.cost.hardware import (
    Hardware,
    builtin_hardware,
    hardware_file,
    hardware_names,
    hardware_of_device,
)
from ttsc.compiler.cost.roofline import Roofline
from ttsc.compiler.cost.shape import CostError, ModelShape, from_config
from ttsc.compiler.cost.steps import Limits, Machine, Overheads
from ttsc.errors import Problem, UsageError, did_you_mean

if TYPE_CHECKING:
    from ttsc.compiler.cost.profile import Profile

DEFAULT_HARDWARE = "h100"
DEFAULT_MODEL = "Qwen3-8B"

# Of SGLang on a GPU by its documentation's order of magnitude, until an engine is measured.
_GPU_OVERHEADS = Overheads(request_s=0.0005, token_s=0.0, round_trip_s=0.005)
_CPU_OVERHEADS = Overheads(request_s=0.002, token_s=0.0, round_trip_s=0.01)


@dataclass(frozen=True, slots=True)
class Costs:
    """All that is known of a machine: seconds by `machine`, and what work takes by `shape` and `hardware`, each None
    where only a measured profile stands behind it.
    """

    machine: Machine
    shape: ModelShape | None
    hardware: Hardware | None


def machine_for(hardware: str | None = None, model: str | None = None, profile: Path | None = None) -> Machine:
    """The machine that these names stand for; without a profile Qwen3-8B on an H100 where they say nothing.

    Raises `UsageError`: E0530 for hardware, E0531 for a model, E0532 for one that doesn't fit on the hardware,
    E0533 for a profile.
    """
    return costs_for(hardware, model, profile).machine


def costs_for(hardware: str | None = None, model: str | None = None, profile: Path | None = None) -> Costs:
    """The machine with its shape and hardware. With a profile, which has both times and limits, shape and hardware are
    known only as far as they are named, there or here. Raises `UsageError` as `machine_for`.
    """
    if profile is not None:
        return _profiled(profile, hardware, model)
    device = hardware_named(hardware or DEFAULT_HARDWARE)
    shape = shape_named(model or DEFAULT_MODEL, device.dtype)
    with _as_usage("E0532"):
        return roofline_costs(shape, device, limits(shape, device))


def roofline_costs(shape: ModelShape, hardware: Hardware, limits: Limits) -> Costs:
    """A machine of which nothing is measured."""
    where = f"{hardware.devices} x {hardware.name}" if hardware.devices > 1 else hardware.name
    dollars = hardware.dollars_per_hour
    machine = Machine(
        name=where,
        model=shape.name,
        steps=Roofline(shape, hardware),
        limits=limits,
        overheads=_CPU_OVERHEADS if hardware.kind == "cpu" else _GPU_OVERHEADS,
        dollars_per_s=None if dollars is None else hardware.devices * dollars / 3600,
        source=f"roofline of {shape.name} on {where}",
    )
    return Costs(machine, shape, hardware)


def costs_of_machine(machine: Machine) -> Costs:
    """A machine with what its step times tell of its shape and hardware: both of a roofline, nothing of a profile."""
    steps = machine.steps
    if isinstance(steps, Roofline):
        return Costs(machine, steps.shape, steps.hardware)
    return Costs(machine, None, None)


def costs_of_engine(info: EngineInfo, hardware: str | None = None, model: str | None = None) -> Costs | None:
    """What a connected engine's requests cost: its model's shape, on the hardware that is named or that it says it runs
    on, with its own limits. `model`: named where the engine's own name for it says nothing here. None if either is
    unknown. Raises `UsageError` for names that stand for nothing.
    """
    device = hardware_named(hardware) if hardware is not None else _device_of(info)
    shape = shape_of_engine(info, model)
    if device is None or shape is None:
        return None
    if shape.compute not in device.flops and shape.compute != "fp8":
        shape = shape.in_format(device.dtype)
    if info.details.get("tp_size", "1") != "1" and device.devices == 1:
        if not device.link_bandwidth:
            return None
        device = device.times(int(info.details["tp_size"]))
    known = Limits(
        kv_tokens=info.kv_tokens or info.context_tokens,
        running=info.max_running or 1,
        context_tokens=info.context_tokens,
        chunk_tokens=int(info.details.get("chunked_prefill_size", 8192)),
        page_tokens=info.page_tokens,
    )
    return roofline_costs(shape, device, known)


def shape_of_engine(info: EngineInfo, model: str | None = None) -> ModelShape | None:
    """The shape of the model that an engine serves; None if its config.json is not at hand and its name unknown, nor
    `model`'s. Raises `UsageError` (E0531) if that names nothing.
    """
    dtype = info.details.get("dtype", "").removeprefix("torch.")
    served = dtype if dtype in _SERVED else None
    try:
        return _shape(info.model, served)
    except CostError:
        return None if model is None else shape_named(model, served)


_SERVED = ("float32", "float16", "bfloat16")


def _device_of(info: EngineInfo) -> Hardware | None:
    """The hardware by the name that the engine gives it; "cuda" on this machine by what its driver says."""
    if info.device == "cuda" and re.search(r"//(127\.|localhost|\[::1\])", info.details.get("url", "")):
        from ttsc.backends.sglang.server_command import cuda_devices

        names = cuda_devices()
        return hardware_of_device(names[0]) if names else None
    return hardware_of_device(info.device) if info.device else None


def hardware_named(name: str) -> Hardware:
    """A built-in profile, by its name or the device's; `4xh100` for four of them; else a file. With `@2.50` behind it
    each device costs so many dollars an hour. Raises `UsageError` (E0530).
    """
    with _as_usage("E0530"):
        plain, at, price = name.rpartition("@")
        if at:
            return replace(_hardware(plain), dollars_per_hour=_dollars(price, name))
        return _hardware(name)


def _dollars(text: str, name: str) -> float:
    try:
        dollars = float(text.removeprefix("$"))
    except ValueError:
        dollars = 0.0
    if not 0 < dollars < float("inf"):
        raise CostError(f"'{name}' does not say what an hour costs", "write dollars behind the @, as in h100@2.50")
    return dollars


def _hardware(name: str) -> Hardware:
    if name.endswith(".toml"):
        try:
            return hardware_file(Path(name))
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror or error if isinstance(error, OSError) else error
            raise CostError(f"the hardware profile '{name}' can't be read: {reason}", _HARDWARE_HINT) from None
    many = re.fullmatch(r"(\d+)\s*x\s*(.+)", name)
    devices, plain = (int(many[1]), many[2]) if many else (1, name)
    key = plain.lower().replace(" ", "").replace("-", "").replace("_", "")
    keys = {each.replace("_", ""): each for each in hardware_names()}
    found = builtin_hardware(keys[key]) if key in keys else hardware_of_device(plain)
    if found is None or devices < 1:
        hint = did_you_mean(plain.lower(), hardware_names(), _HARDWARE_HINT)
        raise CostError(f"no hardware is known as '{name}'", hint)
    return found.times(devices) if many else found


_HARDWARE_HINT = f"known are {', '.join(hardware_names())}; or give a .toml file (docs/cost-model.md)"


def shape_named(name: str, dtype: str | None = None) -> ModelShape:
    """A model by its folder, its name or its id. `dtype`: what it is served in, None for 16 bits. Raises `UsageError`
    (E0531).
    """
    with _as_usage("E0531"):
        return _shape(name, dtype)


def _shape(name: str, dtype: str | None) -> ModelShape:
    for folder in (Path(name).expanduser(), *_hub_folders(name)):
        if (folder / "config.json").is_file():
            plain = folder.resolve().name if folder == Path(name).expanduser() else name
            return from_config(_config(folder / "config.json"), plain, dtype)
    by_name = {each.lower(): each for each in known_models()}
    found = by_name.get(name.rsplit("/", 1)[-1].lower())
    if found is None:
        hint = did_you_mean(name, known_models(), "")
        others = f"give a folder with its config.json, or one of {', '.join(known_models())}"
        raise CostError(f"the shape of the model '{name}' is not known", hint or others)
    return from_config(known_models()[found], found, dtype)


@cache
def known_models() -> Mapping[str, Mapping[str, Any]]:
    """The models whose shapes come with ttsc: what a config.json says of them, by name."""
    text = files("ttsc.compiler.cost").joinpath("models.toml").read_text(encoding="utf-8")
    return tomllib.loads(text)


def _hub_folders(name: str) -> Iterator[Path]:
    """Where a hub's model lies on this machine, if it was fetched."""
    owner, slash, model = name.partition("/")
    if not slash or not owner or "/" in model or owner in (".", "..", "~"):
        return
    home = Path(os.environ.get("HF_HOME") or Path.home() / ".cache" / "huggingface")
    snapshots = Path(os.environ.get("HF_HUB_CACHE") or home / "hub") / f"models--{owner}--{model}" / "snapshots"
    if snapshots.is_dir():
        yield from sorted(snapshots.iterdir())


def _config(path: Path) -> Mapping[str, Any]:
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise CostError(f"{path} can't be read: {error}", "it is part of a model as the hub has it") from None
    if not isinstance(config, dict):
        raise CostError(f"{path} describes no model", "it is part of a model as the hub has it")
    return config


def _profiled(profile: Path, hardware: str | None, model: str | None) -> Costs:
    machine = _read(profile).to_machine()
    device = hardware_named(hardware) if hardware is not None else None
    shape: ModelShape | None
    try:
        shape = _shape(model or machine.model, device.dtype if device is not None else None)
    except CostError:
        shape = None
    if shape is None and model is not None:
        shape = shape_named(model)
    if machine.dollars_per_s is None and device is not None and device.dollars_per_hour is not None:
        machine = replace(machine, dollars_per_s=device.devices * device.dollars_per_hour / 3600)
    return Costs(machine, shape, device)


def _read(path: Path) -> Profile:
    from ttsc.compiler.cost.profile import ProfileUnreadable, read_profile

    try:
        return read_profile(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror or error if isinstance(error, OSError) else error
        message = f"the profile '{path}' can't be read: {reason}"
    except ProfileUnreadable as error:
        message = f"'{path}' is no profile that can be used: {error.message}"
    raise UsageError(Problem("E0533", message, "`ttsc engine profile -o profile.toml` measures and writes one"))


@contextmanager
def _as_usage(code: str) -> Iterator[None]:
    try:
        yield
    except CostError as error:
        raise UsageError(Problem(code, error.message, error.hint)) from None
