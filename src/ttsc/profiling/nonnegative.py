"""Least squares whose unknowns are not negative: times that are added up never are."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from numpy.typing import NDArray

_TOLERANCE = 1e-10


def nonnegative_least_squares(matrix: NDArray, values: NDArray) -> NDArray:
    """The x >= 0 that minimises |matrix x - values|. Columns of any scale; one that is all 0 gets 0.

    The active-set method of Lawson and Hanson, "Solving Least Squares Problems" (1974), chapter 23: unknowns enter one
    by one, the one with the steepest descent first, and leave again where the unconstrained solution would be negative.
    """
    import numpy as np

    scales = np.linalg.norm(matrix, axis=0)
    scales[scales == 0] = 1.0
    scaled = matrix / scales
    count = scaled.shape[1]
    found = np.zeros(count)
    free = np.zeros(count, dtype=bool)
    limit = _TOLERANCE * max(1.0, float(np.linalg.norm(values)))
    for _round in range(10 * count + 10):
        gradient = scaled.T @ (values - scaled @ found)
        gradient[free] = -np.inf
        if free.all() or gradient.max() <= limit:
            break
        free[int(gradient.argmax())] = True
        while free.any():
            trial = np.zeros(count)
            trial[free] = np.linalg.lstsq(scaled[:, free], values, rcond=None)[0]
            negative = free & (trial <= 0)
            if not negative.any():
                found = trial
                break
            # As far towards the trial as nothing becomes negative; what reaches 0 leaves.
            steps = found[negative] / np.maximum(found[negative] - trial[negative], _TOLERANCE**2)
            found = found + min(1.0, float(steps.min())) * (trial - found)
            free &= found > limit
            found[~free] = 0.0
    return found / scales
