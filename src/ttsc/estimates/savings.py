"""What each pass saves: the same inputs and seeds with a plan that is made without it.

Passes build on each other, so the savings of one are those of leaving out it alone, and they don't add up.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from ttsc.compiler.ir.printer import print_program
from ttsc.driver import without_pass
from ttsc.estimates.assembling import Means
from ttsc.estimates.collector import InputRecord
from ttsc.estimates.figures import Saving

if TYPE_CHECKING:
    from ttsc.program import CompiledProgram


def savings_of(
    program: CompiledProgram,
    means: Means,
    run: Callable[[CompiledProgram], Sequence[InputRecord]],
    whole: Sequence[InputRecord] | None,
) -> tuple[Saving, ...]:
    """One for each pass of the plan, in the order in which they run. `run` simulates a plan on as many inputs as
    `means` has weights; `whole`: these inputs with the plan as it is, if they ran already.
    """
    printed = print_program(program.ir)
    found = []
    for name in program.plan.passes:
        other = type(program)(without_pass(program.compiled, name))
        if print_program(other.ir) == printed:
            found.append(Saving(name, same=True))
            continue
        whole = run(program) if whole is None else whole
        without = run(other)
        before, after = [record.counts() for record in without], [record.counts() for record in whole]
        more, less = means.counts(before), means.counts(after)
        found.append(
            Saving(
                name,
                same=False,
                requests=more.requests - less.requests,
                computed_tokens=more.computed_tokens - less.computed_tokens,
                decoded_tokens=more.decoded_tokens - less.decoded_tokens,
                seconds=means.of([record.seconds for record in without])
                - means.of([record.seconds for record in whole]),
            )
        )
    return tuple(found)
