"""Blocks that were started before it is known whether they are needed.

What a condition depends on may take long, and what a branch asks for may not depend on it. The pass `speculate` marks
such branches and loops; the executor then starts the block ahead of its condition. Until the condition has confirmed
it, the block's requests are speculative flights, which go only where an engine has room, and its calls of host
functions and its offline regions wait. If the condition decides otherwise, the block's yields are released, and
everything in it ends as whatever nobody needs does. Nothing is ahead under a budget.
"""

from __future__ import annotations

from collections.abc import Callable

from ttsc.runtime.leases import Promise


class Ahead:
    """Whether a block is needed for certain. `outer`: the block ahead that it is in, which has to be needed as well."""

    __slots__ = ("_outer", "certain")

    def __init__(self, outer: Ahead | None) -> None:
        self._outer = outer
        self.certain = Promise()

    def confirm(self) -> None:
        """The condition has decided for this block."""
        when_certain(self._outer, self._resolve)

    def _resolve(self) -> None:
        self.certain.resolve(None)


def when_certain(ahead: Ahead | None, act: Callable[[], None]) -> None:
    """Do it once the block is needed for certain: now, if it is."""
    if ahead is None:
        act()
    else:
        ahead.certain.on_done(lambda _: act())
