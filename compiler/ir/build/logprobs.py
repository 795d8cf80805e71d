"""Log-probabilities are asked of the engine where a program reads them.

A candidate's `logprob` may be read far from where it was generated, so it is all or nothing: if any node of a program
reads one, all its generations ask for them.
"""

from __future__ import annotations

from dataclasses import replace

from ttsc.compiler.ir import nodes as ir
from ttsc.compiler.ir.rewrite import rewrite, walk

_FIELDS = ("logprob", "logprobs")


def with_logprobs(program: ir.Program) -> ir.Program:
    """The program whose candidates know what it reads of them; the program itself if it reads no log-probability."""
    if not any(isinstance(n, ir.Pure) and n.op == "field" and n.attr in _FIELDS for n in walk(program.body)):
        return program
    return replace(program, body=rewrite(program.body, _asking))


def _asking(node: ir.Node) -> tuple[ir.Node, ...] | None:
    return (replace(node, logprobs=True),) if isinstance(node, ir.Generate) else None
