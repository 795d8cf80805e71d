"""`--engine` and `--model`, for all roles or for one, as several commands take them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from ttsc.engines import Engines

ENGINE_HELP = (
    "A running SGLang; ROLE=URL for one model role; `testbed`: the kept engine of the model of each role's name."
)
"""Of `--engine`, where programs run on real engines."""


def engines_given(
    given: tuple[str, ...],
    tokenizer_path: str | None,
    roles: Iterable[str] = (),
    models: Mapping[str, str] | None = None,
) -> Engines:
    """`--engine URL` for all roles, or `--engine ROLE=URL` for each; `--engine testbed` for those of `roles` that have
    no URL, with the models that they were given.
    """
    from ttsc.engine_groups import group_engines, is_group, is_kept_name, kept_engine
    from ttsc.engines import EngineLike, connect

    if not given:
        return None
    groups = [each for each in given if "=" not in each and is_group(each)]
    if len(groups) == 1:
        given = tuple(each for each in given if each != groups[0])
        if not given:
            return groups[0]
    named = {role: url for role, equals, url in (item.partition("=") for item in given) if equals and "/" not in role}

    def opened(engine: str) -> EngineLike:
        return kept_engine(engine) if is_kept_name(engine) else connect(engine, tokenizer_path=tokenizer_path)

    if not named and len(given) == 1 and not groups:
        return opened(given[0])
    if len(named) != len(given) or len(groups) > 1:
        raise click.UsageError("give --engine once as URL or `testbed`, and per model role as ROLE=URL")
    handles = {url: opened(url) for url in named.values()}
    chosen = {role: handles[url] for role, url in named.items()}
    if not groups:
        return chosen
    return {**group_engines(groups[0], [role for role in roles if role not in named], models or {}), **chosen}


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
