"""From the command line to the answer: parameters, servers, the run, and how it ends."""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ttsc.compiler.values.types import Type
from ttsc.runtime.failures import RunFailed, failed
from ttsc.standalone.support.job import Job
from ttsc.standalone.support.server import Server

Urls = str | Mapping[str, str]
"""A server's address, or one for each model role."""


@dataclass(frozen=True)
class Parameter:
    """A parameter of the program: its type, and which values it may have."""

    name: str
    kind: type | Type
    default: Any = ...
    least: float | None = None
    greatest: float | None = None
    allowed: tuple[Any, ...] = ()

    def takes(self, value: Any) -> bool:
        """Whether a value is within what is allowed."""
        if self.allowed:
            return any(value == each and isinstance(value, bool) == isinstance(each, bool) for each in self.allowed)
        above = self.least is None or value >= self.least
        return above and (self.greatest is None or value <= self.greatest)


async def perform(
    program: Callable[..., Coroutine[Any, Any, Any]],
    arguments: Sequence[Any],
    roles: Sequence[str],
    *,
    url: Urls,
    seed: int = 0,
    tokenizer: str | None = None,
    concurrency: int = 64,
    job: Callable[[Mapping[str, Server], int], Job] = Job,
) -> Any:
    """Run the program on one input. Raises `RunFailed`."""
    urls = dict.fromkeys(roles, url) if isinstance(url, str) else url
    servers = {each: Server(each, tokenizer, concurrency) for each in {urls[role] for role in roles if role in urls}}
    missing = [role for role in roles if role not in urls]
    if missing:
        raise failed("R0520", f"no engine is bound to the model role `{missing[0]}`", f"--url {missing[0]}=URL")
    running = job({role: servers[urls[role]] for role in roles}, seed)
    try:
        await asyncio.gather(*(server.connect() for server in servers.values()))
        return await running.unless_stopped(running.later(program(running, *arguments)))
    finally:
        await running.end()
        await asyncio.gather(*(server.close() for server in servers.values()))


def main(
    run: Callable[..., Coroutine[Any, Any, Any]],
    doc: str | None,
    parameters: Sequence[Parameter],
    *,
    conform: Callable[[Any, Any, str], Any] | None = None,
    options: Mapping[str, tuple[str, str, Callable[[list[str]], Any]]] | None = None,
) -> int:
    """The command line. `options`: by setting its flag, what it means, and how its texts are read.

    The exit code is 0, 1 for a run that failed, 2 for wrong usage, 5 if no engine answers.
    """
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--url", action="append", required=True, metavar="[ROLE=]URL", help="the SGLang server")
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="a parameter", dest="given")
    parser.add_argument("--input", metavar="JSON", default="{}", help="parameters as one JSON object")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true", help="print the result as one JSON object")
    parser.add_argument("--tokenizer", metavar="FOLDER", help="with the model's tokenizer.json, if it is not at hand")
    parser.add_argument("--concurrency", type=int, default=64, help="requests in flight")
    for name, (flag, text, _) in (options or {}).items():
        parser.add_argument(flag, action="append", default=[], dest=name, help=text)
    asked = parser.parse_args()
    try:
        values = read_parameters(parameters, asked.given, json.loads(asked.input), conform or plainly)
        extra = {name: read(getattr(asked, name)) for name, (_, _, read) in (options or {}).items()}
    except (ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    urls = dict(each.split("=", 1) for each in asked.url) if "=" in asked.url[0].split("://")[0] else asked.url[0]
    settings = {"seed": asked.seed, "tokenizer": asked.tokenizer, "concurrency": asked.concurrency}
    try:
        value = asyncio.run(run(**values, url=urls, **settings, **extra))
    except RunFailed as error:
        found = error.failure
        print(f"error[{found.code}]: {found.message}" + (f"\n  {found.hint}" if found.hint else ""), file=sys.stderr)
        return 5 if found.code == "R0401" else 1
    if asked.json:
        print(json.dumps({"value": value, "seed": asked.seed}, ensure_ascii=False))
    else:
        print(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, indent=2))
    return 0


def read_parameters(
    parameters: Sequence[Parameter], given: Sequence[str], input_: Mapping[str, Any], conform: Callable[..., Any]
) -> dict[str, Any]:
    """The parameters' values by name. Raises `ValueError`."""
    known = {parameter.name: parameter for parameter in parameters}
    values = dict(input_)
    for each in given:
        name, _, text = each.partition("=")
        texts = name in known and str(known[name].kind) in ("str", "str?", "Image", str(str))
        values[name] = None if text == "none" and not texts else text if texts else json.loads(text)
    for name in values:
        if name not in known:
            raise ValueError(f"unknown parameter '{name}': the program takes {', '.join(known)}")
    missing = [name for name, each in known.items() if name not in values and each.default is ...]
    if missing:
        raise ValueError(f"missing parameter '{missing[0]}': give it as --set {missing[0]}=…")
    found = {name: conform(value, known[name].kind, name) for name, value in values.items()}
    for name, value in found.items():
        if not known[name].takes(value):
            raise ValueError(f"parameter '{name}' is {value!r}, which the program does not allow")
    return found


def plainly(value: Any, kind: type, name: str) -> Any:
    """A text, a number or a bool of the kind that is wanted. Raises `ValueError`."""
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
        raise ValueError(f"parameter '{name}' must be of type {kind.__name__}, not {value!r}")
    return value
