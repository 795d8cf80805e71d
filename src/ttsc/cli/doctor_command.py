"""`ttsc doctor`: what is installed, which devices there are, what is missing and how to get it."""

from __future__ import annotations

import json
from dataclasses import asdict

import click

from ttsc.cli.exit_codes import DONE, FAILED

_MARKS = {"ok": ("ok", "green"), "warn": ("note", "yellow"), "missing": ("missing", "red")}


@click.command(short_help="Say what is installed, what is missing and how to get it.")
@click.option("--engine", "url", metavar="URL", help="Look at this engine as well; decodes a few tokens on it.")
@click.option("--tokenizer", "tokenizer_path", type=click.Path(exists=True, file_okay=False), metavar="FOLDER",
              help="The tokenizer of the engine's model, where that isn't on this machine.")  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="One JSON object per finding on standard output.")
def doctor(url: str | None, tokenizer_path: str | None, as_json: bool) -> int:
    """Look at this machine: Python packages, devices, models, engines; say what is missing and how to get it.

    Exit codes: 0 nothing is missing, 1 something is.
    """
    from ttsc.backends.sglang.doctor import diagnose

    checks = diagnose(url, tokenizer_path)
    width = max(len(check.name) for check in checks)
    for check in checks:
        if as_json:
            click.echo(json.dumps(asdict(check), ensure_ascii=False))
            continue
        word, color = _MARKS[check.status]
        click.echo(f"{click.style(f'{word:<8}', fg=color)}{check.name:<{width}}  {check.detail}".rstrip())
        if check.fix:
            click.echo(f"{'':<{8 + width}}  -> {check.fix}")
    return FAILED if any(check.status == "missing" for check in checks) else DONE
