"""`ttsc engine`: an engine that stays for repeated runs."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ttsc.cli.exit_codes import DONE, ENGINE_UNAVAILABLE, report, say
from ttsc.cli.progress import EngineProgress

if TYPE_CHECKING:
    from ttsc.backends.sglang.state import EngineRecord


@click.group(short_help="Start, look at and stop a kept engine.")
def engine() -> None:
    """Keep an engine running between runs. `ttsc run` finds it by its model.

    Without a kept engine each `ttsc run` starts one and stops it when done, which takes most of its time.
    """


@engine.command()
@click.argument("given", nargs=-1, metavar="[MODEL…] [-- SGLANG-OPTION…]")
@click.option("--port", type=click.IntRange(1, 65535), help="Where to listen on 127.0.0.1 (default: a free port).")
@click.option(
    "--deterministic/--no-deterministic",
    default=None,
    help="Honour seeds: equal seeds give equal tokens. Default: on for a CPU, off for a GPU.",
)
@click.option("--timeout", "timeout_s", type=float, default=600.0, show_default=True, metavar="SECONDS")
def start(given: tuple[str, ...], port: int | None, deterministic: bool | None, timeout_s: float) -> int:
    """Start an engine for each MODEL and leave it running. Does nothing if one runs already.

    MODEL is a Hugging Face folder or id, or the built-in smollm2-135m, which is also what is started without one. A
    folder whose subfolders are models stands for all of them, `testbed` for the models of the test bed, `testbed/NAME`
    for one. Options behind `--` go to SGLang as they are.
    """
    from ttsc.backends.sglang.kept import start_daemon
    from ttsc.engines import BUILTIN_MODEL

    named, server_args = _divided(given)
    models = _members(named or (BUILTIN_MODEL,))
    if len(models) == 1:
        with EngineProgress() as progress:
            record = start_daemon(
                models[0],
                deterministic=deterministic,
                port=port,
                on_progress=progress.update,
                timeout_s=timeout_s,
                extra_args=server_args,
            )
        _say_started(record)
        return DONE
    if port is not None:
        raise click.UsageError(f"--port is for one engine, and these are {len(models)}")
    return _start_several(models, deterministic, timeout_s, server_args)


def _divided(given: tuple[str, ...]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The models, and behind them what goes to SGLang: from the first option on."""
    count = next((number for number, each in enumerate(given) if each.startswith("-")), len(given))
    return given[:count], given[count:]


def _members(named: tuple[str, ...]) -> list[str]:
    """The models, with those of a group in its place; each once."""
    from ttsc.backends.sglang.groups import group_folder, models_in

    found: dict[str, None] = {}
    for name in named:
        folder = group_folder(name)
        found |= {name: None} if folder is None else {str(each): None for each in models_in(folder).values()}
    return list(found)


def _start_several(
    models: list[str], deterministic: bool | None, timeout_s: float, server_args: tuple[str, ...]
) -> int:
    from ttsc.backends.protocol import EngineError
    from ttsc.backends.sglang.start_all import start_all

    failed: list[EngineError] = []
    with EngineProgress() as progress:

        def ended(model: str, found: EngineRecord | EngineError) -> None:
            progress.done()
            if isinstance(found, EngineError):
                failed.append(found)
                report(found)
            else:
                _say_started(found)

        start_all(
            models,
            deterministic=deterministic,
            on_progress=lambda model, message: progress.update(f"{Path(model).name}: {message}"),
            on_end=ended,
            timeout_s=timeout_s,
            extra_args=server_args,
        )
    return ENGINE_UNAVAILABLE if failed else DONE


def _say_started(record: EngineRecord) -> None:
    say(f"{record.name} serves {record.model} on the {record.device}; stop it with `ttsc engine stop {record.name}`")
    click.echo(record.url)


@engine.command()
@click.argument("name", required=False)
@click.option("--json", "as_json", is_flag=True, help="One JSON object per engine on standard output.")
def status(name: str | None, as_json: bool) -> int:
    """Show every kept engine, or those of NAME (a name, model, URL or group). Exit code 5 if none is ready."""
    from ttsc.backends.sglang.kept import status as kept_status

    found = kept_status(name)
    for item in found:
        record = item.record
        if as_json:
            click.echo(
                json.dumps(
                    {
                        "condition": item.condition,
                        "uptime_s": round(item.uptime_s, 1),
                        "memory_bytes": item.memory_bytes,
                        **asdict(record),
                    }
                )
            )
            continue
        device = f"{record.device}, seeds {'honoured' if record.deterministic else 'not honoured'}"
        memory = f"{item.memory_bytes / 2**30:.1f} GiB"
        facts = (
            record.name,
            item.condition,
            record.url,
            device,
            memory,
            f"up {_span(item.uptime_s)}",
        )
        click.echo("  ".join(facts))
        if item.end is not None:
            click.echo(f"  {item.end.summary}\n  -> {item.end.way_out}\n  log: {item.end.log_path}")
    if not found and not as_json:
        say("no engine is kept; start one with `ttsc engine start`")
    return DONE if any(item.condition == "ready" for item in found) else ENGINE_UNAVAILABLE


@engine.command()
@click.argument("name", required=False)
def stop(name: str | None) -> None:
    """Stop the kept engine NAME (a name, model or URL), those of a group as `testbed`, or all of them."""
    from ttsc.backends.sglang.kept import stop as kept_stop

    stopped = kept_stop(name)
    for record in stopped:
        say(f"stopped {record.name}")
    if not stopped:
        say("no engine is kept")


@engine.command()
@click.argument("name", required=False)
@click.option(
    "-n", "--lines", type=click.IntRange(1), default=50, show_default=True, help="How many of the last lines."
)
def logs(name: str | None, lines: int) -> None:
    """Print the end of a kept engine's log; of the one started last without NAME."""
    from ttsc.backends.sglang.kept import logs as kept_logs

    path, text = kept_logs(name, lines)
    say(str(path))
    click.echo(text)


@engine.command()
@click.argument("name", required=False, metavar="[URL|NAME]")
@click.option("-o", "--output", "path", type=click.Path(dir_okay=False, path_type=Path), metavar="FILE",
              help="Write the profile here (TOML), for `--profile FILE`.")  # fmt: skip
@click.option("--quick", is_flag=True, help="Fewer repeats and smaller batches: less exact.")
@click.option("--tokenizer", "tokenizer_path", type=click.Path(exists=True, file_okay=False), metavar="FOLDER",
              help="The tokenizer of the engine's model, where that isn't on this machine.")  # fmt: skip
def profile(name: str | None, path: Path | None, quick: bool, tokenizer_path: str | None) -> None:
    """Measure how fast an engine is: a URL, or a kept engine by its name or model (the only one without NAME).

    Prefill over length, decode steps over batch and context, what a request costs beside. Takes from half a minute
    for a small model to some minutes; nothing else should use the engine or its machine meanwhile.
    """
    import asyncio

    from ttsc.profiling.profiling import address_of, profile_engine, report, save_profile

    url, folder = address_of(name)
    with EngineProgress() as progress:
        work = profile_engine(url, quick=quick, tokenizer_path=tokenizer_path or folder, say=progress.update)
        found = asyncio.run(work)
    if path is not None:
        save_profile(path, found)
    for line in report(found):
        click.echo(line)
    if path is not None:
        say(f"written to {path}; `ttsc explain FILE --profile {path}` uses it")


def _span(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s" if minutes else f"{rest} s"
