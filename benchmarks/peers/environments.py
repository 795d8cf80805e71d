"""The virtual environments that the peers run in: `python benchmarks/peers/environments.py [its-hub] [optillm]`.

Each peer has its own, in the user's cache folder, so that neither its requirements nor its imports touch ttsc's.
What is missing is made (minutes, and the network), what is there is found again; the path of each interpreter is
printed. An environment's folder is named by its list of requirements, so a changed list makes a new one. The lists
are complete and pinned, and are installed without resolving.

SGLang's frontend language needs none: it comes with the engine, in the environment that runs this.
"""

from __future__ import annotations

import argparse
import fcntl
import hashlib
import shutil
import subprocess
import sys
import venv
from pathlib import Path

import platformdirs

REQUIREMENTS = Path(__file__).parent / "requirements"
PEERS = tuple(sorted(path.stem for path in REQUIREMENTS.glob("*.txt")))

# Written when everything is installed: a folder without it is what an interrupted installation left.
_COMPLETE = "complete"
_PYTHON = Path("bin", "python")


class InstallationFailed(Exception):
    """pip could not install a peer's requirements; its last lines say why."""


def interpreter(peer: str) -> Path:
    """The Python of a peer's environment, which is made first if it is missing. `peer` is one of `PEERS`.

    Raises `InstallationFailed`.
    """
    folder = _folder(peer)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with folder.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not is_made(peer):
            _install(folder, folder / _PYTHON, REQUIREMENTS / f"{peer}.txt")
    return folder / _PYTHON


def is_made(peer: str) -> bool:
    """Whether a peer's environment is there, so that `interpreter` returns at once."""
    return (_folder(peer) / _COMPLETE).exists()


def _folder(peer: str) -> Path:
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    listed = (REQUIREMENTS / f"{peer}.txt").read_bytes()
    digest = hashlib.sha256(listed + version.encode()).hexdigest()[:10]
    return platformdirs.user_cache_path("ttsc") / "peers" / f"{peer}-{digest}"


def _install(folder: Path, python: Path, requirements: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    print(f"making {folder}", file=sys.stderr)
    venv.create(folder, with_pip=True)
    # Without dependencies: the list is complete, and a peer's own list may bring far more than its arm imports.
    command = [python, "-m", "pip", "install", "--quiet", "--no-deps", "-r", requirements]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode:
        raise InstallationFailed(f"{requirements.stem}: {''.join(done.stdout.splitlines(keepends=True)[-20:])}")
    (folder / _COMPLETE).touch()


def main() -> None:
    parser = argparse.ArgumentParser(description="Make the peers' virtual environments and print their interpreters.")
    parser.add_argument("peers", nargs="*", metavar="PEER", help=f"one of {', '.join(PEERS)} (default: all)")
    peers = parser.parse_args().peers or list(PEERS)
    if unknown := [peer for peer in peers if peer not in PEERS]:
        parser.error(f"no such peer: {', '.join(unknown)}; there are {', '.join(PEERS)}")
    for peer in peers:
        try:
            print(f"{peer}\t{interpreter(peer)}", flush=True)
        except InstallationFailed as failed:
            sys.exit(f"{failed}")


if __name__ == "__main__":
    main()
