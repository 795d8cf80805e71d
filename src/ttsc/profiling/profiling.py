"""`ttsc engine profile`: measure an engine, fit, and say how well it fits."""

from __future__ import annotations

import datetime
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import cast

from ttsc.backends.protocol import EngineInfo, EngineUnavailable
from ttsc.compiler.cost.profile import Profile, profile_text
from ttsc.compiler.cost.steps import Limits
from ttsc.errors import Problem, UsageError
from ttsc.profiling.bursts import SaysNoTimes, WatchedEngine
from ttsc.profiling.fitting import fit_overheads, fit_steps
from ttsc.profiling.measuring import Measuring, Say


def address_of(name: str | None) -> tuple[str, str | None]:
    """Where an engine is that is called by its URL, or a kept one's name or model, and the folder with its tokenizer
    if that is known; without a name the only one that is kept. Raises `EngineUnavailable`; `UsageError` (E0510) for a
    choice among several.
    """
    from ttsc.backends.sglang.kept import find_running, status

    if name is not None and "://" in name:
        return name, None
    if name is not None:
        record = find_running(name)
        if record is None:
            raise EngineUnavailable(f"no kept engine is called '{name}'", "`ttsc engine status` shows those that run")
        return record.url, record.model_path
    ready = [each.record for each in status() if each.condition == "ready"]
    if not ready:
        raise EngineUnavailable("no engine is kept", "start one with `ttsc engine start MODEL`, or name a URL")
    if len(ready) > 1:
        names = ", ".join(record.name for record in ready)
        raise UsageError(Problem("E0510", "several engines are kept", f"name one: {names}"))
    return ready[0].url, ready[0].model_path


async def profile_engine(
    url: str, *, quick: bool = False, tokenizer_path: str | None = None, say: Say = lambda message: None
) -> Profile:
    """The profile of the server at `url`; nothing else should use it meanwhile. `quick`: fewer repeats and smaller
    batches. Raises `EngineError`; `UsageError` (E0570) for an engine that can't be measured.
    """
    engine = cast(WatchedEngine, await WatchedEngine.connect(url, tokenizer_path=tokenizer_path))
    try:
        if "generate" not in engine.info.abilities:
            raise UsageError(
                Problem(
                    "E0570",
                    f"the engine at {url} generates nothing, so that its decode steps can't be measured",
                    "profile a server that generates; rewards and embeddings are one prefill",
                )
            )
        measured = await Measuring(engine, quick=quick, say=say).run()
        server = await engine.server_info()
    except SaysNoTimes:
        raise UsageError(
            Problem(
                "E0570",
                f"the answers of the engine at {url} do not say when it did what",
                "start it with --enable-metrics, as `ttsc engine start` does",
            )
        ) from None
    finally:
        await engine.close()
    steps, of_steps = fit_steps(measured)
    overheads, of_overheads = fit_overheads(measured)
    info = engine.info
    return Profile(
        name=f"{PurePosixPath(info.model).name} on {info.device or 'an unnamed device'}",
        model=info.model,
        device=info.device,
        engine=f"{info.name} {info.details.get('sglang', '')}".strip(),
        date=datetime.date.today().isoformat(),
        steps=steps,
        overheads=overheads,
        limits=_limits(info, int(server.get("max_prefill_tokens") or 16384)),
        residuals=(*of_steps, *of_overheads),
    )


def _limits(info: EngineInfo, prefill_tokens: int) -> Limits:
    chunk = int(info.details.get("chunked_prefill_size", prefill_tokens))
    return Limits(
        kv_tokens=info.kv_tokens or info.context_tokens,
        running=info.max_running or 1,
        context_tokens=info.context_tokens,
        chunk_tokens=chunk,
        prefill_tokens=prefill_tokens,
        page_tokens=info.page_tokens,
    )


def save_profile(path: Path, profile: Profile) -> None:
    """Write it. Raises `UsageError` (E0509) where it can't."""
    try:
        path.write_text(profile_text(profile), encoding="utf-8", newline="\n")
    except OSError as error:
        raise UsageError(Problem("E0509", f"cannot write {path}: {error.strerror}", "choose another file")) from error


def report(profile: Profile) -> Iterator[str]:
    """The profile in lines of at most 100 columns."""
    steps, overheads = profile.steps, profile.overheads
    yield f"{profile.name}, {profile.engine}, {profile.date}"
    yield ""
    yield "decode step, by sequences (ms)"
    rows = [x for x, _y in steps.decode_rows.points]
    yield "  sequences      " + "".join(f"{row:>9.0f}" for row in rows)
    yield "  beside context " + "".join(f"{1000 * steps.decode_rows.at(row):>9.3g}" for row in rows)
    yield "  at 512 each    " + "".join(f"{1000 * steps.decode(int(row)).seconds(512 * row):>9.3g}" for row in rows)
    yield "prefill batch, by new tokens (ms)"
    tokens = [x for x, _y in steps.prefill_tokens.points]
    yield "  new tokens     " + "".join(f"{each:>9.0f}" for each in tokens)
    yield "  milliseconds   " + "".join(f"{1000 * steps.prefill_tokens.at(each):>9.3g}" for each in tokens)
    yield f"  for each prompt {1000 * steps.prefill_sequence:.3g} ms, for each pair {1e9 * steps.prefill_pair:.3g} ns"
    yield "requests (ms)"
    yield (
        f"  round trip {1000 * overheads.round_trip_s:.3g}, message {1000 * overheads.post_s:.3g}, "
        f"request {1000 * overheads.request_s:.3g}, answer {1000 * overheads.answer_s:.3g}, "
        f"reported token {1000 * overheads.token_s:.3g}"
    )
    yield "the fit misses what was measured by"
    for each in profile.residuals:
        yield (
            f"  {each.part:<13} median {100 * each.median:5.1f} %   worst {100 * each.worst:5.1f} %"
            f"   ({each.observations} measurements)"
        )
