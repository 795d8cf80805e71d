"""The event loop of commands that talk to engines."""

from __future__ import annotations

import asyncio
import importlib
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


def run_on_fastest(work: Coroutine[Any, Any, T]) -> T:
    """As `asyncio.run`; on uvloop where it is installed, as it is wherever SGLang is: with thousands of requests in
    flight it takes a part of the processor time.
    """
    try:
        loop_factory = importlib.import_module("uvloop").new_event_loop
    except ImportError:
        return asyncio.run(work)
    with asyncio.Runner(loop_factory=loop_factory) as runner:
        return runner.run(work)
