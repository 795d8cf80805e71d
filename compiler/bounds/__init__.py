"""What a program can cost at most: symbolic in its parameters, concrete once they are given."""

from ttsc.compiler.bounds.prompts import Assumptions
from ttsc.compiler.bounds.worst_case import Bounds, ConcreteBounds, worst_case

__all__ = ["Assumptions", "Bounds", "ConcreteBounds", "worst_case"]
