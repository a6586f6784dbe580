"""How far the thresholds of a layer's searches reach: full scale and step of its ADCs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Reach:
    """Thresholds that searches may have, as a plain ADC makes them.

    Attributes:
        full: log2 of the full scale, in sums.
        fine: log2 of the step.
    """

    full: int
    fine: int = 0

    @property
    def bits(self) -> int:
        """Of the ADC."""
        return self.full - self.fine

    @property
    def step(self) -> int:
        """Distance of thresholds."""
        return 1 << self.fine

    def ends(self, lowest: int) -> tuple[int, int]:
        """The lowest and the highest threshold, for sums from `lowest`."""
        if lowest < 0:
            half = 1 << self.full >> 1
            return 1 - half, half - 1
        return 1, (1 << self.full) - 1

    def allows(self, windows: np.ndarray, lowest: int) -> np.ndarray:
        """Whether searches keep to it, (K,).

        Args:
            windows: first and last threshold and step of each, as `Window` has them, (K, 3); zeros
                for one that makes no comparison.
            lowest: the smallest sum.
        """
        first, last = self.ends(lowest)
        nothing = ~windows.any(1)
        inside = (windows[:, 0] >= first) & (windows[:, 1] <= last)
        found: np.ndarray = nothing | (inside & (windows[:, 2] % self.step == 0))
        return found


# What is tried from the best so far: half and twice the full scale, twice and half the step.
_MOVES = ((-1, 0), (1, 0), (0, 1), (0, -1))


def climbed(start: Reach, most: int, cost: Callable[[Reach], float]) -> Reach:
    """The reach of least cost near a given one: no single move is better.

    Args:
        start: to begin with.
        most: of `full`.
        cost: of a reach.
    """
    best, least, came = start, cost(start), (0, 0)
    moves = list(_MOVES)
    while moves:
        move = moves.pop(0)
        tried = Reach(best.full + move[0], best.fine + move[1])
        if not 0 <= tried.fine < tried.full <= most or move == (-came[0], -came[1]):
            continue
        found = cost(tried)
        if found < least:
            best, least, came = tried, found, move
            moves = [move, *(m for m in _MOVES if m != move)]
    return best
