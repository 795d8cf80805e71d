"""`--engine` and `--model`, for all roles or for one, as several commands take them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from ttsc.engines import Engines


def engines_given(given: tuple[str, ...], tokenizer_path: str | None) -> Engines:
    """`--engine URL` for all roles, or `--engine ROLE=URL` for each."""
    from ttsc.engines import connect

    if not given:
        return None
    named = {role: url for role, equals, url in (item.partition("=") for item in given) if equals and "/" not in role}
    if not named and len(given) == 1:
        return connect(given[0], tokenizer_path=tokenizer_path)
    if len(named) != len(given):
        raise click.UsageError("give --engine once as URL, or once per model role as ROLE=URL")
    handles = {url: connect(url, tokenizer_path=tokenizer_path) for url in named.values()}
    return {role: handles[url] for role, url in named.items()}


def models_given(roles: Iterable[str], given: tuple[str, ...]) -> dict[str, str]:
    """`--model NAME` for all roles, `--model ROLE=NAME` for one."""
    chosen: dict[str, str] = {}
    for item in given:
        role, equals, name = item.partition("=")
        if equals:
            chosen[role] = name
        else:
            chosen = {**dict.fromkeys(roles, item), **chosen}
    return chosen
