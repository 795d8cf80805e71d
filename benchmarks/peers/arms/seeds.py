"""The seeds that ttsc gives its requests, computed without it.

A hand-written client that sends the same prompts with the same seeds decodes the same tokens, so that a comparison is
exact: `runtime/run.py` derives each seed from the run's seed, the number of the input, the node of the IR, the rounds
and indices of the regions around it, and the candidate's index. `nodes_of` says which nodes a program has.
"""

from __future__ import annotations

import hashlib
from random import Random


def request_seed(seed: int, number: int, node: str, path: tuple[int, ...], index: int) -> int:
    """The seed of one request, 31 bits. `number`: the input's, from 0, in its run."""
    return int.from_bytes(_digest(seed, number, node, path, str(index), 4), "big") & 0x7FFF_FFFF


def numbers_of(seed: int, number: int, node: str, path: tuple[int, ...]) -> Random:
    """The random numbers of a node that draws."""
    return Random(int.from_bytes(_digest(seed, number, node, path, "draw", 8), "big"))


def _digest(seed: int, number: int, node: str, path: tuple[int, ...], what: str, size: int) -> bytes:
    place = ":".join(map(str, (seed, number, node, *path, what)))
    return hashlib.blake2b(place.encode(), digest_size=size).digest()
