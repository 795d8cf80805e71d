"""The virtual environment of the router before the workers: `python tests/faults/router_environment.py`.

sglang-router is no requirement of ttsc's: it has an environment of its own, in the user's cache folder. What is missing
is made (a minute, and the network), what is there is found again; the path of its interpreter is printed. Tests look
with `installed`, and make nothing.
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
import venv
from pathlib import Path

import platformdirs

REQUIREMENTS = Path(__file__).with_name("router_requirements.txt")

# Written when everything is installed: a folder without it is what an interrupted installation left.
_COMPLETE = "complete"


def folder() -> Path:
    """Where the environment is, or would be: named by its list of requirements, so a changed list makes a new one."""
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    digest = hashlib.sha256(REQUIREMENTS.read_bytes() + version.encode()).hexdigest()[:10]
    return platformdirs.user_cache_path("ttsc") / "router" / digest


def installed() -> Path | None:
    """The environment's interpreter, None if it has not been made."""
    return folder() / "bin" / "python" if (folder() / _COMPLETE).exists() else None


def install() -> Path:
    """Make the environment, in place of what may be there; its interpreter. Raises `CalledProcessError`."""
    shutil.rmtree(folder(), ignore_errors=True)
    venv.create(folder(), with_pip=True)
    python = folder() / "bin" / "python"
    command = [python, "-m", "pip", "install", "--quiet", "--no-deps", "-r", REQUIREMENTS]
    subprocess.run(command, check=True)
    (folder() / _COMPLETE).touch()
    return python


if __name__ == "__main__":
    print(installed() or install())
