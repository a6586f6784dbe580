"""The best few intervals, each a small plain ADC, on a histogram of bit-line sums."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import TypeAlias

import numpy as np

from reram_torch.adc import Intervals

MOST_INTERVALS = 4
_Pair: TypeAlias = tuple[int, np.ndarray, np.ndarray]  # intervals on the left; costs of the sides


@dataclass(frozen=True)
class Runs:
    """The least error of one interval over each run of values, for each number of bits.

    Attributes:
        error: (bits + 1, V, V) by bits, first and last value; infinity where last < first.
        step: log2 of the best step, likewise.
        offset: of the first level, likewise.
    """

    error: np.ndarray
    step: np.ndarray
    offset: np.ndarray


def run_errors(errors: np.ndarray) -> Runs:
    """Tries every step (a power of two) and offset of a small plain ADC on every run of values.

    Args:
        errors: weight of a squared error, (V,); infinity allows no error at all.
    """
    V = len(errors)
    exact = np.isinf(errors).any()
    weight = np.where(np.isinf(errors), 1.0, errors)
    values, most = np.arange(V), max(V - 1, 1).bit_length()
    upper = np.triu(np.ones((V, V), bool))
    best = np.full((most + 1, V, V), np.inf)
    steps, offsets = np.zeros(best.shape, np.int8), np.zeros(best.shape, np.int16)
    for shift in range(most + 1):
        step = 1 << shift
        for bits in range(most - shift + 1):
            # Levels from the start, or in the middle of the first step.
            for offset in {0, step // 2, step - 1} if bits == 0 else {0, step // 2}:
                away = values[None] - values[:, None] - offset
                code = np.clip((away + step // 2) // step, 0, (1 << bits) - 1)
                square = weight * (away - code * step) ** 2
                error = np.cumsum(np.where(upper, square, 0.0), 1)
                if exact:
                    error = np.where(error > 0, np.inf, 0.0)
                better = upper & (error < best[bits])
                best[bits][better] = error[better]
                steps[bits][better] = shift
                offsets[bits][better] = offset
    return Runs(best, steps, offsets)


def optimal_intervals(
    counts: np.ndarray, runs: Runs, price: float, most: int = MOST_INTERVALS
) -> Intervals:
    """The intervals and the detection tree with the least error plus price * comparisons.

    Every cut into at most `most` intervals, every step and number of bits of each, and every
    detection tree is tried, by dynamic programming over the cuts.

    Args:
        counts: conversions by value, (V,); values are indices from 0.
        runs: of the weights of their errors.
        price: of a comparison.
        most: intervals at most.
    """
    V = len(counts)
    made = price * np.concatenate([[0.0], np.cumsum(counts)])
    detect = made[None, 1:] - made[:-1, None]  # [first, last]: one comparison for each
    costs = [error + bits * detect for bits, error in enumerate(runs.error)]
    bits = np.argmin(costs, 0)
    trees = {1: np.take_along_axis(np.stack(costs), bits[None], 0)[0]}  # cost, by intervals
    cuts: dict[int, np.ndarray] = {}
    for k in range(2, most + 1):
        joined = _joined if k < most - 1 else _joined_at_the_ends
        cost, cuts[k] = joined([(j, trees[j], trees[k - j]) for j in range(1, k)], V)
        trees[k] = cost + detect
    k = min(trees, key=lambda n: trees[n][0, V - 1])
    return _assemble(cuts, runs, bits, k)


def _joined(pairs: list[_Pair], size: int) -> tuple[np.ndarray, np.ndarray]:
    """The cheapest cut of every run in two, and where: (intervals left of it, its last value)."""
    best, cut = np.full((size, size), np.inf), np.zeros((size, size, 2), dtype=np.int16)
    for left, a, b in pairs:
        for s in range(size - 1):
            cost = a[: s + 1, s, None] + b[None, s + 1, s + 1 :]
            part = best[: s + 1, s + 1 :]
            better = cost < part
            part[better] = cost[better]
            cut[: s + 1, s + 1 :][better] = (left, s)
    return best, cut


def _joined_at_the_ends(pairs: list[_Pair], size: int) -> tuple[np.ndarray, np.ndarray]:
    """The same of runs from the first or to the last value, which is all that the root needs."""
    best, cut = np.full((size, size), np.inf), np.zeros((size, size, 2), dtype=np.int16)
    ends = [(0, last) for last in range(1, size)] + [
        (first, size - 1) for first in range(1, size - 1)
    ]
    for left, a, b in pairs:
        for first, last in ends:
            cost = a[first, first:last] + b[first + 1 : last + 1, last]
            s = int(cost.argmin())
            if cost[s] < best[first, last]:
                best[first, last], cut[first, last] = cost[s], (left, first + s)
    return best, cut


def _assemble(cuts: dict[int, np.ndarray], runs: Runs, bits: np.ndarray, k: int) -> Intervals:
    @cache
    def parts(k: int, a: int, b: int, depth: int) -> tuple[tuple[int, ...], ...]:
        if k == 1:
            n = bits[a, b]
            step, offset = 1 << int(runs.step[n, a, b]), int(runs.offset[n, a, b])
            return ((a, step, int(n), offset, depth),)
        left, s = (int(x) for x in cuts[k][a, b])
        return parts(left, a, s, depth + 1) + parts(k - left, s + 1, b, depth + 1)

    whole = parts(k, 0, len(bits) - 1, 0)
    starts, steps, payloads, offsets, depths = zip(*whole, strict=True)
    return Intervals(starts, steps, payloads, depths, offsets)
