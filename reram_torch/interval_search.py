"""The best few intervals, each a small plain ADC, on a histogram of bit-line sums."""

from __future__ import annotations

from functools import cache

import numpy as np

from reram_torch.adc import Intervals

MOST_INTERVALS = 4


def optimal_intervals(
    counts: np.ndarray, errors: np.ndarray, price: float, most: int = MOST_INTERVALS
) -> Intervals:
    """The intervals and the detection tree with the least error plus price * comparisons.

    Every cut into at most `most` intervals, every step (a power of two) and number of bits of each,
    and every detection tree is tried, by dynamic programming over the cuts.

    Args:
        counts: conversions by value, (V,); values are indices from 0.
        errors: weight of a squared error, (V,); infinity allows no error at all.
        price: of a comparison.
        most: intervals at most.
    """
    V = len(counts)
    one, how = _single(counts, errors, price)
    made = price * np.concatenate([[0.0], np.cumsum(counts)])
    detect = made[None, 1:] - made[:-1, None]  # [first, last]: one comparison for each
    trees = {1: (one, None)}
    for k in range(2, most + 1):
        best, cut = np.full((V, V), np.inf), np.zeros((V, V, 2), dtype=np.int64)
        # All runs where larger trees need them; at the end, only the whole.
        for left in range(1, k):
            a, b = trees[left][0], trees[k - left][0]
            for s in range(V - 1):
                cost = a[: s + 1, s, None] + b[None, s + 1, s + 1 :]
                part = best[: s + 1, s + 1 :]
                better = cost < part
                part[better] = cost[better]
                cut[: s + 1, s + 1 :][better] = (left, s)
        trees[k] = (best + detect, cut)
    k = min(trees, key=lambda n: trees[n][0][0, V - 1])
    return _assemble(trees, how, k, V)


def _single(counts: np.ndarray, errors: np.ndarray, price: float):
    """Cost of one interval over each run of values [first, last], and its step, bits and offset."""
    V = len(counts)
    exact = np.isinf(errors).any()
    weight = np.where(np.isinf(errors), 1.0, errors)
    values = np.arange(V)
    sums = np.concatenate([[0.0], np.cumsum(counts)])
    inside = sums[None, 1:] - sums[:-1, None]
    best, how = np.full((V, V), np.inf), np.zeros((V, V, 3), dtype=np.int64)
    upper = np.triu(np.ones((V, V), bool))
    for shift in range(max(V - 1, 1).bit_length() + 1):
        step = 1 << shift
        for bits in range(max(V - 1, 1).bit_length() - shift + 1):
            # Levels from the start, or in the middle of the first step.
            for offset in {0, step // 2, step - 1} if bits == 0 else {0, step // 2}:
                away = values[None] - values[:, None] - offset
                code = np.clip((away + step // 2) // step, 0, (1 << bits) - 1)
                square = weight * (away - code * step) ** 2
                error = np.cumsum(np.where(upper, square, 0.0), 1)
                if exact:
                    error = np.where(error > 0, np.inf, 0.0)
                cost = np.where(upper, error + price * bits * inside, np.inf)
                better = cost < best
                best[better] = cost[better]
                how[better] = (step, bits, offset)
    return best, how


def _assemble(trees: dict, how: np.ndarray, k: int, size: int) -> Intervals:
    @cache
    def parts(k: int, a: int, b: int, depth: int) -> tuple:
        if k == 1:
            return ((a, *(int(x) for x in how[a, b]), depth),)
        left, s = (int(x) for x in trees[k][1][a, b])
        return parts(left, a, s, depth + 1) + parts(k - left, s + 1, b, depth + 1)

    starts, steps, bits, offsets, depths = zip(*parts(k, 0, size - 1, 0), strict=True)
    return Intervals(starts, steps, bits, depths, offsets)
