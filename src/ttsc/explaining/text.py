"""An estimate as text, for a terminal of 100 columns."""

from __future__ import annotations

from collections.abc import Sequence

from ttsc.estimates.figures import Estimate, NodeEstimate, RoleEstimate, Spread, Work
from ttsc.explaining.analysis_lines import analysis_lines
from ttsc.explaining.closed_rows import closed_rows
from ttsc.explaining.document import Explanation
from ttsc.explaining.path_lines import critical_lines
from ttsc.explaining.prefix_lines import prefix_lines
from ttsc.explaining.quantities import amount, dollars, flops, inputs, seconds, share, size
from ttsc.explaining.savings_rows import idle_passes, savings_rows
from ttsc.explaining.tables import WIDTH, cut, table, wrapped

_NAME = 31


def text_of(explanation: Explanation) -> str:
    """The whole explanation, ending in a newline. No line is longer than 100 characters."""
    estimate = explanation.estimate
    parts = [
        _head(estimate),
        _totals(estimate),
        analysis_lines(estimate, explanation.analysis),
        _plan(estimate),
        critical_lines(estimate),
        prefix_lines(estimate),
        _savings(estimate),
        _closed(estimate),
        _worst(estimate),
        _notes(estimate),
    ]
    lines = [line for part in parts if part for line in (*part, "")]
    return "\n".join(line.rstrip() for line in lines[:-1]) + "\n"


def _head(estimate: Estimate) -> list[str]:
    lines = [cut(f"{estimate.program}  ({estimate.file}, -O{estimate.level})", WIDTH)]
    given = ", ".join(f"{name}={value}" for name, value in estimate.given)
    at_once = "one at a time" if estimate.concurrency == 1 else f"{estimate.concurrency} at a time"
    rows = [("with", given)] if given else []
    rows.append(("workload", f"{estimate.workload}; {inputs(estimate.inputs)}, {at_once}, seed {estimate.seed}"))
    rows += [(each.role, machine_text(each)) for each in estimate.roles]
    width = max(len(name) for name, _ in rows)
    for name, value in rows:
        lines += wrapped(f"{name.ljust(width)}  {value}", width=WIDTH)[:1]
        rest = wrapped(f"{name.ljust(width)}  {value}", width=WIDTH)[1:]
        lines += [" " * (width + 4) + line.strip() for line in _again(rest, WIDTH - width - 4)]
    return lines


def machine_text(role: RoleEstimate) -> str:
    """`Qwen3-8B on H100 SXM, by its roofline`."""
    source = "by its roofline" if role.source.startswith("roofline") else role.source
    return f"{role.model} on {role.machine}" + (f", {source}" if source else "")


def _again(lines: Sequence[str], width: int) -> list[str]:
    return wrapped(" ".join(line.strip() for line in lines), indent="", width=width) if lines else []


# --- in all ---------------------------------------------------------------------------------------------------------


def _totals(estimate: Estimate) -> list[str]:
    total, work, most = estimate.total, estimate.work, estimate.at_most
    scored = sum(most.scored.values())
    rows: list[tuple[str, str, str, str]] = [("", "expected", "", "at most")]
    rows.append(("requests", _varying(estimate.requests), "", f"{most.calls:,}"))
    externs = [node for node in estimate.nodes if node.kind == "extern"]
    if externs:
        calls = sum(node.requests.mean for node in externs)
        rows.append(("extern calls", amount(calls), "", f"{most.extern_calls:,}"))
    if total.prompt_tokens:
        cached = total.cached_tokens / total.prompt_tokens
        computed = f"{share(cached)} cached, {amount(total.computed_tokens)} computed"
        # What is scored is a prompt, too, but is counted as scored: neither bound alone is one of all prompts.
        rows.append(("prompt tokens", amount(total.prompt_tokens), computed, f"{most.prefill_tokens + scored:,}"))
    first = estimate.colder_first
    if first is not None:
        rows.append(("  first input", amount(first.computed_tokens), "computed: nothing is in the cache yet", ""))
    lost = f"{amount(estimate.lost_tokens)} by requests cut off" if estimate.lost_tokens else ""
    if total.decoded_tokens or most.decode_tokens:
        decoded = sum(node.decoded.mean for node in estimate.nodes)
        rows.append(("decoded tokens", amount(decoded), lost, f"{most.decode_tokens:,}"))
    rows.append(("latency", seconds(estimate.latency.mean), _quantiles(estimate.latency), ""))
    rows += _work_rows(work)
    rows += [row for role in estimate.roles for row in _kv_row(role, several=len(estimate.roles) > 1)]
    if estimate.accuracy is not None:
        error = f"± {100 * estimate.accuracy_error:.1f} points" if estimate.accuracy_error else ""
        rows.append(("right answers", share(estimate.accuracy), error, ""))
    for name, part in (("abstained", estimate.abstained), ("cut by budget", estimate.cut), ("failed", estimate.failed)):
        if part:
            reason = estimate.failure if name == "failed" else ""
            rows.append((name, share(part), cut(reason, 50), ""))
    ordered = [(name, expected, most, more) for name, expected, more, most in rows]
    return [cut(f"  {line}", WIDTH) for line in table(ordered, right="lrrl", gap=3)]


def _varying(spread: Spread) -> str:
    """The mean, with the standard deviation where there is one."""
    mean = amount(spread.mean)
    return mean if spread.sd < 0.005 * max(1.0, spread.mean) else f"{mean} ± {amount(spread.sd)}"


def _quantiles(spread: Spread) -> str:
    return f"p50 {seconds(spread.p50)}, p95 {seconds(spread.p95)}" if spread.sd > 1e-9 else ""


def _work_rows(work: Work) -> list[tuple[str, str, str, str]]:
    rows = []
    if work.flops is not None:
        linear, attention = work.flops_linear or 0.0, work.flops_attention or 0.0
        rows.append(("compute", flops(work.flops), f"{flops(linear)} linear, {flops(attention)} attention", ""))
    if work.bytes is not None:
        weights, kv = work.bytes_weights or 0.0, work.bytes_kv or 0.0
        rows.append(("memory access", size(work.bytes), f"{size(weights)} weights, {size(kv)} KV", ""))
    if work.eflops is not None:
        rows.append(("eFLOPs", flops(work.eflops), "compute, and memory access by the machine's balance", ""))
    if work.binds:
        named = (("compute", work.compute_s), ("memory", work.memory_s), ("overhead", work.overhead_s))
        parts = ", ".join(f"{name} {seconds(value)}" for name, value in named if value is not None)
        rows.append(("binds", work.binds, parts, ""))
    if work.dollars is not None:
        rows.append(("cost", dollars(work.dollars), "", ""))
    return rows


def _kv_row(role: RoleEstimate, *, several: bool) -> list[tuple[str, str, str, str]]:
    if role.kv_peak is None:
        return []
    name = f"KV held, {role.role}" if several else "KV held at most"
    part = share(role.kv_peak / role.kv_tokens) if role.kv_tokens else ""
    return [(name, amount(role.kv_peak), f"tokens, {part} of the {role.kv_tokens:,} that fit", "")]


# --- the plan -------------------------------------------------------------------------------------------------------


def _plan(estimate: Estimate) -> list[str]:
    if not estimate.nodes:
        return ["  nothing is asked of an engine"]
    head = ("plan", "requests", "prompt", "cached", "decoded", "busy", "at once", "binds", "at most")
    rows: list[tuple[str, ...]] = [head]
    before: tuple[str, ...] = ()
    for node in estimate.nodes:
        around = node.place.around
        common = 0
        while common < min(len(before), len(around)) and before[common] == around[common]:
            common += 1
        for depth in range(common, len(around)):
            rows.append((cut("  " * depth + around[depth], _NAME), *[""] * 8))
        before = around
        rows.append(_node_row(node, len(around)))
    return [f"  {line}" for line in table(rows, right="lrrrrrrlr", gap=2)]


def _node_row(node: NodeEstimate, depth: int) -> tuple[str, ...]:
    line = f" :{node.place.line}" if node.place.line else ""
    what = f"{node.op}()" if node.kind == "extern" else node.id
    name = "  " * depth + f"{what}{line}"
    most = f"{node.at_most.requests:,}" if node.at_most is not None else ""
    if node.kind == "extern":
        return (cut(name, _NAME), amount(node.requests.mean), "", "", "", seconds(node.busy_s), "", "", most)
    counts = node.counts
    if not counts.requests:
        return (cut(name, _NAME), "0", "", "", "", "", "", "", most)
    return (
        cut(name, _NAME),
        amount(counts.requests),
        amount(counts.prompt_tokens),
        share(node.cached_share),
        amount(node.decoded.mean) if node.kind == "generate" else "-",
        seconds(node.busy_s),
        amount(node.at_once),
        node.work.binds or "-",
        most,
    )


# --- passes, closed forms, worst case, notes ------------------------------------------------------------------------


def _savings(estimate: Estimate) -> list[str]:
    if not estimate.savings:
        return []
    rows = savings_rows(estimate.savings)
    lines = []
    if rows:
        head = (
            f"what each pass saves ({inputs(estimate.saving_inputs)})",
            "requests",
            "computed",
            "decoded",
            "seconds",
        )
        named = [(f"  {name}", *figures) for name, *figures in rows]
        lines = [f"  {line}" for line in table([head, *named], right="lrrrr")]
    idle = idle_passes(estimate.savings)
    if idle:
        title = "nothing here" if lines else "what each pass saves: nothing here"
        lines += wrapped(f"{title}: {', '.join(idle)}", indent="    " if lines else "  ")
    return lines


def _closed(estimate: Estimate) -> list[str]:
    if not estimate.closed:
        return []
    rows = [("beside a formula", "formula", "simulated")]
    rows += [(f"  {name}", value, simulated) for name, value, simulated, _ in closed_rows(estimate)]
    title, *lines = table(rows, right="lrr")
    return [f"  {title}   {estimate.closed[0].formula}", *(f"  {line}" for line in lines)]


def _worst(estimate: Estimate) -> list[str]:
    text = estimate.at_most_text
    return ["  at most, whatever the models say", *(f"    {line}" for line in text.split("\n"))]


def _notes(estimate: Estimate) -> list[str]:
    return [line for note in estimate.notes for line in wrapped(note)]
