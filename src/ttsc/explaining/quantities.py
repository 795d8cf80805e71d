"""Numbers for people: three digits that matter, and a unit."""

from __future__ import annotations

_FLOPS = ((1e18, "EFLOP"), (1e15, "PFLOP"), (1e12, "TFLOP"), (1e9, "GFLOP"), (1e6, "MFLOP"))
_BYTES = ((1e15, "PB"), (1e12, "TB"), (1e9, "GB"), (1e6, "MB"), (1e3, "kB"))


def amount(value: float) -> str:
    """A mean of counts: `8`, `5.3`, `1,204`."""
    if value == 0:
        return "0"
    if abs(value) < 0.05:
        return f"{value:.0e}".replace("e-0", "e-")
    if abs(value - round(value)) < 0.005 or abs(value) >= 100:
        return f"{round(value):,}"
    return f"{value:.1f}"


def inputs(count: int) -> str:
    """`1 input`, `64 inputs`."""
    return "1 input" if count == 1 else f"{count:,} inputs"


def seconds(value: float) -> str:
    """`12 ms`, `0.91 s`, `34.2 s`, `3 min 20 s`, `2 h 5 min`."""
    sign, value = ("-", -value) if value < 0 else ("", value)
    if value == 0:
        return "0 s"
    if value < 0.9995e-3:
        return f"{sign}{value * 1e6:.3g} µs"
    if value < 0.0995:
        return f"{sign}{value * 1e3:.3g} ms"
    if value < 9.995:
        return f"{sign}{value:.2f} s"
    if value < 99.95:
        return f"{sign}{value:.1f} s"
    whole = round(value)
    if whole < 600:
        return f"{sign}{whole // 60} min {whole % 60} s" if whole >= 120 else f"{sign}{whole} s"
    if whole < 3600:
        return f"{sign}{round(value / 60)} min"
    hours, minutes = divmod(round(value / 60), 60)
    return f"{sign}{hours:,} h {minutes} min"


def share(value: float) -> str:
    """`97%`; what is more than nothing is never 0%, what is less than all never 100%."""
    if 0 < value < 0.005:
        return "<1%"
    if 0.995 <= value < 1:
        return ">99%"
    return f"{100 * value:.0f}%"


def flops(value: float) -> str:
    return _scaled(value, _FLOPS, "FLOP")


def size(value: float) -> str:
    return _scaled(value, _BYTES, "B")


def dollars(value: float) -> str:
    """`$0.0012`, `$3.20`."""
    if value == 0:
        return "$0"
    return f"${value:,.2f}" if value >= 1 else f"${value:.2g}"


def _scaled(value: float, units: tuple[tuple[float, str], ...], least: str) -> str:
    for unit, name in units:
        if value >= unit:
            return f"{value / unit:.3g} {name}"
    return f"{value:.3g} {least}"
