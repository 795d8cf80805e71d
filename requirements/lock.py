"""Writes core.txt and dev.txt: the versions installed here of everything that the core, and the core with its tools,
need.

Run by `make lock` with the interpreter of the environment to be written down. Python 3.11; pip reads the files as
they are.
"""

from __future__ import annotations

import tomllib
from importlib.metadata import distribution
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

HERE = Path(__file__).resolve().parent
HEADER = "# Written by `make lock` on Python 3.11: {what}. Exact versions, dependencies included.\n"


def closure(wanted: list[str]) -> dict[str, str]:
    """Name and installed version of every distribution that `wanted` needs. An extra asked for is followed."""
    found: dict[str, str] = {}
    todo = [Requirement(line) for line in wanted]
    seen: set[tuple[str, frozenset[str]]] = set()
    while todo:
        requirement = todo.pop()
        key = (canonicalize_name(requirement.name), frozenset(requirement.extras))
        if key in seen:
            continue
        seen.add(key)
        installed = distribution(requirement.name)
        found[key[0]] = installed.version
        for line in installed.requires or []:
            inner = Requirement(line)
            extras = requirement.extras or {""}
            if inner.marker is None or any(inner.marker.evaluate({"extra": extra}) for extra in extras):
                todo.append(inner)
    return found


def main() -> None:
    project = tomllib.loads((HERE.parent / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    core = list(project["dependencies"])
    dev = core + list(project["optional-dependencies"]["dev"])
    for name, wanted, what in (("core.txt", core, "what ttsc needs"), ("dev.txt", dev, "ttsc and its checks")):
        pins = sorted(closure(wanted).items())
        text = HEADER.format(what=what) + "".join(f"{package}=={version}\n" for package, version in pins)
        (HERE / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
