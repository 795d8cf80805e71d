"""Log-probabilities and confidences are asked of the engine where a program reads them.

A candidate's `logprob` or `confidences` may be read far from where it was generated, so it is all or nothing: if any
node of a program reads one, all its generations ask for them. A confidence is asked for, too, where it stops a
candidate.
"""

from __future__ import annotations

from dataclasses import replace

from ttsc.compiler.ir import nodes as ir
from ttsc.compiler.ir.rewrite import rewrite, walk

_LOGPROBS = frozenset({"logprob", "logprobs"})
_CONFIDENCES = frozenset({"confidences"})


def with_logprobs(program: ir.Program) -> ir.Program:
    """The program whose candidates know what it reads of them; the program itself if it reads no such figure."""
    read = {n.attr for n in walk(program.body) if isinstance(n, ir.Pure) and n.op == "field"}
    logprobs, confidences = bool(read & _LOGPROBS), bool(read & _CONFIDENCES)

    def asking(node: ir.Node) -> tuple[ir.Node, ...] | None:
        if not isinstance(node, ir.Generate):
            return None
        names = {name for name, _ in node.options}
        sure = "stop_below" in names or (confidences and node.op != "judge")
        if not (logprobs or sure or "top_logprobs" in names):
            return None
        options = node.options if sure else tuple(each for each in node.options if each[0] != "top_logprobs")
        return (replace(node, options=options, logprobs=logprobs, confidences=sure),)

    return replace(program, body=rewrite(program.body, asking))
