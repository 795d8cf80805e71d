"""Whether what a simulated run gave is right, as the workload has it."""

from __future__ import annotations

from collections.abc import Mapping

from ttsc.backends.simulator.latents import Answers, last_mark
from ttsc.compiler.cost.workload import Workload


def is_right(workload: Workload, input_index: int, value: object) -> bool | None:
    """`value`: a program's result, as data. A text with marks is as right as the candidate it comes from; another text
    or a number if it is the right answer; nothing at all (also of abstaining) is not right. None for what is no answer.
    """
    answers = Answers(workload, input_index % len(workload.questions))
    match value:
        case None | "":
            return False
        case Mapping():
            return is_right(workload, input_index, value["text"]) if "text" in value else None
        case bool():
            return None
        case str() if (found := last_mark(value)) is not None:
            return found[0].right
        case str() | int() | float():
            text = value.strip() if isinstance(value, str) else f"{value:.10g}"
            return text == answers.right if text in answers.texts else None
    return None
