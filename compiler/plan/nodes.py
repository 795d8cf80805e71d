"""The plan of a program: what the executor runs.

The graph keeps the control structure; a `Request` says, for each `Generate` and each `Score`, everything about its
engine requests that is known before running: the model, the fixed sampling parameters, the prefix they share, whether
tokens must be streamed, and whether losers may be aborted. The prefix tree is the static skeleton of what a radix cache
will hold.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from ttsc.compiler.ir.nodes import Constant, Program

Level = Literal[0, 1, 2]
RequestKind = Literal["generate", "score", "reward", "embed"]


@dataclass(frozen=True, slots=True)
class Prefix:
    """A node of the prefix tree: one turn (or generation) after its parent. `label` is for people; `node` the IR
    node.
    """

    id: int
    parent: int | None
    kind: Literal["turn", "generation", "forced", "cut"]
    node: str
    label: str


@dataclass(frozen=True, slots=True)
class Request:
    """The template of the requests of one `Generate` or `Score` node.

    `kind`: what is asked of the engine: to decode; log-probabilities of given text ("score"); the output of a reward
    model; a vector. `op`: the operation in the source, for a score its kind. `role`: the model role that is asked.
    `fixed`: sampling parameters known now; `dynamic`: parameter name to IR value id for the others. `prefix` is where
    in the prefix tree the requests begin (None if only known at run time).
    """

    node: str
    op: str
    role: str
    fixed: tuple[tuple[str, Constant], ...]
    dynamic: tuple[tuple[str, str], ...]
    prefix: int | None
    stream: bool
    share_prefix: bool
    abortable: bool
    kind: RequestKind = "generate"
    critical: int = 0
    """Tokens that may be decoded one after another from here to the program's end, on the longest path (0: unknown)."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What `ttsc run` executes and `ttsc dump --stage plan` prints. `passes` are the names of those that ran."""

    program: Program
    level: Level
    passes: tuple[str, ...]
    requests: tuple[Request, ...]
    prefixes: tuple[Prefix, ...]
