"""The solver of `prune` prints nothing on the program's standard output."""

from __future__ import annotations

import ctypes
from typing import Any

from ttsc.compiler.values import pruning


def test_c_code_is_silent_and_python_is_not(capfd: Any) -> None:
    libc = ctypes.CDLL(None)
    with pruning._silenced():
        libc.puts(b"from C, inside")
        print("from Python", flush=True)
    libc.puts(b"from C, after")
    libc.fflush(None)
    assert capfd.readouterr().out.splitlines() == ["from Python", "from C, after"]


def test_a_failure_inside_does_not_stay_silent(capfd: Any) -> None:
    libc = ctypes.CDLL(None)
    try:
        with pruning._silenced():
            raise ZeroDivisionError
    except ZeroDivisionError:
        pass
    libc.puts(b"after")
    libc.fflush(None)
    assert capfd.readouterr().out == "after\n"
