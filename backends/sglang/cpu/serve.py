"""Runs SGLang's own server with the CPU engine: `python -m ttsc.backends.sglang.cpu.serve <arguments of
sglang.launch_server>`.

The wrapper exists for one reason: the stand-ins must be in place before SGLang is imported, in the server and in
each process it spawns. A spawned process imports this module again, as its main module, before anything else; so the
work is at module level.
"""

from __future__ import annotations

import sys

from ttsc.backends.sglang.cpu import platform, standins

if platform.is_wanted():
    standins.install()


def main() -> None:
    """Start the server; returns when it stops."""
    import os

    from sglang.launch_server import run_server
    from sglang.srt.plugins import load_plugins
    from sglang.srt.server_args import prepare_server_args
    from sglang.srt.utils import kill_process_tree

    load_plugins()
    try:
        run_server(prepare_server_args(sys.argv[1:]))
    finally:
        kill_process_tree(os.getpid(), include_parent=False)


if __name__ == "__main__":
    main()
