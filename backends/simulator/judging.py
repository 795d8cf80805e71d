"""Whether what a simulated run gave is right, as the workload has it."""

from __future__ import annotations

from collections.abc import Mapping

from ttsc.backends.simulator.latents import Answers, last_mark
from ttsc.compiler.cost.workload import Workload


def is_right(workload: Workload, input_index: int, value: object) -> bool | None:
    """`value`: a program's result, as data. A text with marks is as right as the candidate it comes from; another text
    or a number is right if it is the answer, and None (also of abstaining) is not. None for what is neither.
    """
    answers = Answers(workload, input_index % len(workload.questions))
    match value:
        case None:
            return False
        case Mapping():
            text = value.get("text")
            return None if text is None else is_right(workload, input_index, text)
        case str():
            found = last_mark(value)
            return found[0].right if found is not None else value.strip() == answers.right
        case bool():
            return None
        case int() | float():
            return f"{value:.10g}" == answers.right
    return None
