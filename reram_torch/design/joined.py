"""Which neighbouring values of a large table no threshold may part.

A table of a tall array of multi-bit cells has thousands of values, of which those near zero occur.
Joining neighbours costs what telling them apart would have saved. With E the squared error that a
level of its own would leave within each group, summed over the groups, and e the error of the best
search of all, where conversions weigh alike in counts and in errors the best search of groups costs
at most 2 E + 2 sqrt(e E) more: let one value of each group, drawn by weight, decide for all of it,
which changes neither comparisons nor, but for that much, errors on average; one draw is no worse.
"""

from __future__ import annotations

import numpy as np

_NEVER = 1e-3  # of the least weight there is, for all values together: breaks ties and no more


def joined(cuts: np.ndarray, weights: np.ndarray, most: int, lowest: int) -> np.ndarray:
    """The cuts that stay: groups of values from one to the next, at most so many.

    Neighbours are joined where that adds least to E (Ward, 1963), many pairs at once. Values that
    weigh nothing are joined before any that do, so that nothing is lost where at most `most` values
    weigh something. Cuts then move, as far as the heaviest value of the groups on both sides, to
    the roundest sum, where runs that are aligned may begin.

    Args:
        cuts: the first value, possible thresholds and the end of all, (n + 1,).
        weights: of a squared error, by value, (V,).
        most: groups.
        lowest: the sum of the first value.
    """
    values = np.arange(cuts[0], cuts[-1])
    weights = weights[cuts[0] : cuts[-1]]
    weighing = weights[weights > 0]
    least = weighing.min() if len(weighing) else 1.0
    # (Within 2^-40 of all weight, a squared distance is lost in the sums.)
    least = max(least, weights.sum() * 2.0**-40)
    weight = weights + _NEVER * least / float(len(values)) ** 3
    first = cuts[:-1]
    away = values - float(values[weights.argmax()])
    groups = np.stack([np.add.reduceat(weight * away**k, first - cuts[0]) for k in range(2)])
    while len(first) > most:
        zero, mean = groups[0], groups[1] / groups[0]
        added = zero[:-1] * zero[1:] / (zero[:-1] + zero[1:]) * np.diff(mean) ** 2
        excess = len(first) - most
        near = np.partition(added, excess // 2)[excess // 2]
        # Every other of neighbouring pairs that are near.
        at = np.flatnonzero(added <= near)
        run = np.maximum.accumulate(np.where(np.diff(at, prepend=-2) > 1, np.arange(len(at)), 0))
        at = at[(np.arange(len(at)) - run) % 2 == 0]
        at = np.sort(at[np.argsort(added[at], kind="stable")[:excess]])
        groups[:, at] += groups[:, at + 1]
        groups, first = np.delete(groups, at + 1, axis=1), np.delete(first, at + 1)
    return _rounded(np.append(first, cuts[-1]), cuts, weights, lowest)


def _rounded(kept: np.ndarray, cuts: np.ndarray, weights: np.ndarray, lowest: int) -> np.ndarray:
    """Cuts at the roundest sums between the heaviest values of their groups."""
    starts = kept[:-1] - cuts[0]
    most = np.repeat(np.maximum.reduceat(weights, starts), np.diff(kept))
    heaviest = np.flatnonzero(weights == most)
    heaviest = heaviest[np.searchsorted(heaviest, starts)] + cuts[0]
    base = lowest + (1 << 20)  # sums from here on are positive, and as round
    low, high = heaviest[:-1] + 1 + base, heaviest[1:] + base
    # All multiples of 2^k within the last run that has any have k at least the highest bit in which
    # its ends differ.
    shift = np.frexp(((low - 1) ^ high).astype(float))[1] - 1
    rounded = (high >> shift << shift) - base
    allowed = np.isin(rounded, cuts)
    return np.concatenate([kept[:1], np.where(allowed, rounded, kept[1:-1]), kept[-1:]])


def aligned(cuts: np.ndarray, lowest: int) -> np.ndarray:
    """The cuts, and more where a group does not begin at a multiple of its width.

    Its width is the next power of two: a group that begins at a multiple of it is told apart by an
    aligned run.

    Args:
        cuts: the first value, cuts and the end of all.
        lowest: the sum of the first value.
    """
    found = []
    base = lowest + (1 << 20)  # sums from here on are positive, and as round
    for first, end in zip(cuts[:-1].tolist(), cuts[1:].tolist(), strict=True):
        at = first
        while at < end:
            found.append(at)
            if not (at + base) & ((1 << (end - at - 1).bit_length()) - 1):
                break
            # As far as the bits below the lowest one reach.
            at += (at + base) & -(at + base)
    return np.array([*found, cuts[-1]])
