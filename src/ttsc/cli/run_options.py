"""What `ttsc run` may be asked for: its options, and the values they were given."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import click

from ttsc.cli.engine_options import ENGINE_HELP
from ttsc.cli.options import (
    disable_option,
    enable_option,
    externs_option,
    input_option,
    level_option,
    program_option,
    settings_option,
    task_option,
    tokenizer_option,
    with_options,
)


@dataclass(frozen=True)
class Asked:
    """The command line of `ttsc run`, by the names of its options below."""

    file: str
    program: str | None
    task: str | None
    settings: tuple[str, ...]
    input_json: str | None
    inputs_file: str | None
    engines: tuple[str, ...]
    tokenizer_path: str | None
    models: tuple[str, ...]
    hardware: tuple[str, ...]
    profiles: tuple[str, ...]
    workload: Path | None
    replicas: int | None
    externs_file: Path | None
    stores: tuple[str, ...]
    budget: str | None
    artifacts: Path | None
    refresh_offline: bool
    evaluation: bool
    seed: int
    level: int
    disabled: tuple[str, ...]
    enabled: tuple[str, ...]
    concurrency: int
    engine_wait: float
    hedge: float | None
    as_json: bool
    out: Path | None
    trace: Path | None
    journal: Path | None
    force: bool = False


run_options = with_options(
    click.argument("file", metavar="FILE"),
    program_option,
    task_option,
    settings_option("A parameter. May be given several times."),
    input_option,
    click.option(
        "--inputs", "inputs_file", metavar="FILE.jsonl", help="Many inputs, one JSON object per line; - is stdin."
    ),
    click.option(
        "--engine",
        "engines",
        multiple=True,
        metavar="URL",
        help=f"{ENGINE_HELP} `simulator`: none, in virtual time (docs/simulator.md).",
    ),
    tokenizer_option,
    click.option("--model", "models", multiple=True, metavar="[ROLE=]NAME", help="The model of every role, or of one."),
    click.option(
        "--hardware",
        multiple=True,
        metavar="[ROLE=]NAME",
        help="What an engine runs on (h100, 4xh100, a .toml file), where it does not say; a simulated one:  [h100]",
    ),
    click.option(
        "--profile",
        "profiles",
        multiple=True,
        metavar="[ROLE=]FILE",
        help="With --engine simulator: what `ttsc engine profile` measured, in place of --hardware and --model.",
    ),
    click.option(
        "--workload",
        type=click.Path(path_type=Path, dir_okay=False),
        metavar="FILE.toml",
        help="With --engine simulator: what models say (docs/workloads.md).  [default: a built-in one]",
    ),
    click.option(
        "--replicas",
        type=click.IntRange(1),
        metavar="N",
        help="With --engine simulator: servers behind a router.  [default: 1]",
    ),
    externs_option("Run this Python file and take the functions it marks with @ttsc.extern."),
    click.option(
        "--store",
        "stores",
        multiple=True,
        metavar="NAME=FILE.jsonl",
        help="Where a store of the program is kept. May be given several times.",
    ),
    click.option("--budget", metavar="CLAUSES", help='"tokens<=20k, latency<=30s, cost<=$0.05", in place of its own.'),
    click.option(
        "--artifacts",
        type=click.Path(path_type=Path, file_okay=False),
        metavar="FOLDER",
        help="Where offline values are kept.  [default: the user's data folder]",
    ),
    click.option("--refresh-offline", is_flag=True, help="Compute offline values again."),
    click.option(
        "--force", is_flag=True, help="Run a plan though its program, model, hardware or workload has changed."
    ),
    click.option("--evaluation", is_flag=True, help="Let the program's oracles know the answers."),
    click.option("--seed", type=int, default=0, show_default=True, help="Every candidate's seed derives from it."),
    level_option,
    disable_option,
    enable_option,
    click.option(
        "--concurrency", type=click.IntRange(1), default=16, show_default=True, help="Inputs in flight at once."
    ),
    click.option(
        "--engine-wait",
        type=click.FloatRange(0),
        default=30.0,
        show_default=True,
        metavar="SECONDS",
        help="How long to wait for an engine that went away.",
    ),
    click.option(
        "--hedge",
        type=click.FloatRange(1, min_open=True),
        metavar="FACTOR",
        help="Send a request again that takes FACTOR times as long as others of its kind.",
    ),
    click.option("--json", "as_json", is_flag=True, help="One JSON object per input on standard output."),
    click.option(
        "--out",
        type=click.Path(path_type=Path, dir_okay=False),
        metavar="FILE",
        help="Write the same objects to this file as results come.",
    ),
    click.option(
        "--trace",
        type=click.Path(path_type=Path, dir_okay=False),
        metavar="FILE",
        help="Write every request with its parent, timing, tokens and end, as JSON lines.",
    ),
    click.option(
        "--journal",
        type=click.Path(path_type=Path, dir_okay=False),
        metavar="FILE",
        help="Keep what is done in this file; if it is there, go on from it.",
    ),
)
"""The options of `ttsc run`; the function takes them by name, which `Asked` lists."""
