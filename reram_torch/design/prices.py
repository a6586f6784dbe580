"""The price of a comparison at which a budget is met."""

from __future__ import annotations

import math
from collections.abc import Callable

LOWEST, HIGHEST = -40.0, 30.0  # log2 of the price of all comparisons of the baseline
START = -3.0


def crossing(
    excess: Callable[[float], float],
    start: float = START,
    close: float = 0.0,
    trials: int = 40,
    step: float = 1.0,
    width: float = 0.01,
) -> tuple[float | None, float | None]:
    """Where a rising function of the price passes 0.

    Steps out from the start until 0 lies between two prices, then halves and interpolates in turns:
    few layers or coarse designs make steps, on which interpolation alone stalls.

    Args:
        excess: of the log2 of the price.
        start: the first price.
        close: ends the search at 0 <= excess < close.
        trials: of a price at most.
        step: out from the start at first, then twice as far each time; as log2.
        width: prices closer than this are one, as log2.

    Returns:
        The highest price found below 0 and the lowest at or above it, as log2; None where there is
        none between the lowest and the highest price.
    """
    below: tuple[float, float] | None = None
    above: tuple[float, float] | None = None
    price = start
    for trial in range(trials):
        found = excess(price)
        if found < 0:
            below = price, found
        else:
            above = price, found
        if 0 <= found < close:
            break
        if below is None:
            following, step = max(price - step, LOWEST), 2 * step
        elif above is None:
            following, step = min(price + step, HIGHEST), 2 * step
        else:
            between = above[0] - below[0]
            if between < width:
                break
            share = 0.5
            if trial % 3 and math.isfinite(above[1]):
                aim = close / 2 - below[1]
                share = min(max(aim / (above[1] - below[1]), 0.02), 0.98)
            following = below[0] + between * share
        if following == price:  # nothing further out
            break
        price = following
    return below and below[0], above and above[0]
