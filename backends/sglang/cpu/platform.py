"""The two entry points through which SGLang finds the CPU engine.

SGLang loads every installed plugin into every server, a user's own GPU server too. So both functions answer "not
here" unless the launcher has set `TTSC_CPU_ENGINE=1`, and importing this module imports neither torch nor SGLang.
"""

from __future__ import annotations

import os

SWITCH = "TTSC_CPU_ENGINE"
"""Environment variable by which a launch asks for this engine; `arguments.cpu_server_args` sets it."""


def is_wanted() -> bool:
    """Whether this process belongs to an engine that ttsc launched on the CPU."""
    return os.environ.get(SWITCH) == "1"


def activate() -> str | None:
    """Entry point `sglang.srt.platforms`: the platform class to use, or None to leave SGLang's own choice alone."""
    if not is_wanted():
        return None
    return "ttsc.backends.sglang.cpu.device:TtscCpuPlatform"


def register_plugins() -> None:
    """Entry point `sglang.srt.plugins`: registers the attention backend and hooks of this engine, or does nothing."""
    if not is_wanted():
        return
    from ttsc.backends.sglang.cpu import hooks

    hooks.register()
