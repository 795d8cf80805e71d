"""Runs SGLang's own server with the CPU engine: `python -m ttsc.backends.sglang.cpu.serve <arguments of
sglang.launch_server>`.

The stand-ins must be in place before SGLang is imported, in the server and in each process it may spawn. A spawned
process imports this module again, as its main module, before anything else; so that is at module level. (With the
hooks in place the processes are forks, and what is imported here is imported once.)
"""

from __future__ import annotations

import sys

from ttsc.backends.sglang.cpu import platform, standins

if platform.is_wanted():
    standins.install()


def main() -> None:
    """Start the server; returns when it stops."""
    import gc
    import os

    # Imports make millions of objects that live for good; collecting in between only walks over them.
    gc.disable()
    import sglang.srt.entrypoints.http_server
    import sglang.srt.managers.scheduler  # noqa: F401
    from sglang.launch_server import run_server
    from sglang.srt.plugins import load_plugins
    from sglang.srt.server_args import prepare_server_args
    from sglang.srt.utils import kill_process_tree

    load_plugins()
    gc.enable()
    try:
        run_server(prepare_server_args(sys.argv[1:]))
    finally:
        kill_process_tree(os.getpid(), include_parent=False)


if __name__ == "__main__":
    main()
