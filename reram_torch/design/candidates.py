"""Search for ADC parameters on histograms of bit-line sums.

A kind of ADC offers many designs; on a given histogram each makes some comparisons and some error.
`candidates` keeps those that could be worth their comparisons, `choose` picks among them for all
tables of a layer at once.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from reram_torch.adc.designs import TwinRange, UniformSAR
from reram_torch.adc.registry import AdcDesign

_MOST_BIASES = 256  # that a twin-range search tries for one step


_ROUNDS = 8  # over the tables of a layer


# Mean errors left by other tables, relative to the layer's signal, that candidates are kept for.
_LEFT = tuple(sign * size for size in (0.0, 0.003, 0.01, 0.03, 0.1, 0.3) for sign in (1, -1))


@dataclass(frozen=True)
class Choices:
    """Designs of one table worth choosing from.

    Attributes:
        designs: the designs.
        comparisons: A/D operations of each on the table's load.
        square: weighted squared error of each.
        mean: weighted mean error of each.
    """

    designs: tuple[AdcDesign, ...]
    comparisons: np.ndarray
    square: np.ndarray
    mean: np.ndarray


@dataclass(frozen=True)
class Load:
    """What one table has to convert, by bit-line sum; arrays of shape (V,), from `lowest`.

    With e(v) the distance of a sum to its level, a layer's error is that of its tables,
    sum_v square[v] * e(v)^2, plus the square of the sum of their mean errors, sum_v mean[v] * e(v):
    errors that scatter add up in power, but the mean is the same in every tile, cycle and position
    and adds up in amplitude.

    Attributes:
        lowest: the smallest sum.
        counts: conversions.
        square: weight of a squared error.
        mean: weight of an error in the mean error.
        prior: conversions that are taken for likely beside those seen; `square` holds their weight
            too. Where calibration saw nothing they decide.
    """

    lowest: int
    counts: np.ndarray
    square: np.ndarray
    mean: np.ndarray
    prior: np.ndarray | float = 0.0

    @property
    def values(self) -> np.ndarray:
        """The bit-line sums."""
        return np.arange(self.lowest, self.lowest + len(self.counts))


def candidates(kind: str, load: Load) -> Choices:
    """The designs of a kind (`uniform` or `twin_range`) worth choosing from.

    Those with the least error at some price of a comparison, for each of several mean errors that
    the other tables of the layer may leave to be made up for.
    """
    offer = {"uniform": _uniform, "twin_range": _twin_range}[kind]
    make, comparisons, square, mean = offer(load)
    keep = np.unique(np.concatenate([_hull(comparisons, square + (mean + b) ** 2) for b in _LEFT]))
    return Choices(tuple(make(k) for k in keep), comparisons[keep], square[keep], mean[keep])


def choose(tables: list[Choices], price: float) -> list[int]:
    """Picks a design for each table of a layer: least error plus price * comparisons.

    The mean errors of the tables add up before they are squared, so the tables are gone over in
    turn, each given the others, until nothing changes.
    """
    cost = [t.square + price * t.comparisons for t in tables]
    picked = [int(np.argmin(c + t.mean**2)) for c, t in zip(cost, tables, strict=True)]
    for _ in range(_ROUNDS):
        before = list(picked)
        for k, table in enumerate(tables):
            mean = sum(t.mean[p] for t, p in zip(tables, picked, strict=True))
            others = mean - table.mean[picked[k]]
            picked[k] = int(np.argmin(cost[k] + (table.mean + others) ** 2))
        if picked == before:
            break
    return picked


def _hull(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Indices of the lower left convex hull of points."""
    order = np.lexsort((y, x))
    falling = y[order]
    best = np.minimum.accumulate(falling)
    first = np.concatenate([[True], falling[1:] < best[:-1]])
    hull: list[int] = []
    for k in order[first]:
        while len(hull) > 1:
            a, b = hull[-2], hull[-1]
            if (y[b] - y[a]) * (x[k] - x[a]) < (y[k] - y[a]) * (x[b] - x[a]):
                break
            hull.pop()
        hull.append(int(k))
    return np.array(hull)


def _distance(values: np.ndarray, first: int, step: int, levels: int) -> np.ndarray:
    """Distance of each value to the nearest of `levels` levels from `first` (ties upwards)."""
    code = np.clip((values - first + step // 2) // step, 0, levels - 1)
    return values - (first + code * step)


def _grid_start(values: np.ndarray, bits: int, step: int) -> int:
    return 0 if values[0] >= 0 else -(1 << bits) // 2 * step


def _full_bits(values: np.ndarray) -> int:
    """Bits of the smallest plain ADC with step 1 that reaches every value."""
    if values[0] < 0:
        return int(values[-1]).bit_length() + 1
    return max(int(values[-1]).bit_length(), 1)


def _uniform(load: Load):
    values = load.values
    full = _full_bits(values)
    pairs = [(bits, 1 << s) for bits in range(1, full + 1) for s in range(full - bits + 1)]
    errors = []
    for bits, step in pairs:
        off = _distance(values, _grid_start(values, bits, step), step, 1 << bits)
        errors.append((load.square @ off**2, load.mean @ off))
    comparisons = np.array([bits * load.counts.sum() for bits, _ in pairs])
    return (lambda k: UniformSAR(*pairs[k])), comparisons, *np.array(errors).T


def _sums(*terms: np.ndarray) -> np.ndarray:
    """Prefix sums of each term: [:, k] is over the first k values."""
    return np.stack([np.concatenate([[0.0], np.cumsum(term)]) for term in terms])


def _twin_range(load: Load):
    """All (bias, n1, n2, step, m): sums over R1 and over the rest come from prefix sums."""
    values, lowest, V = load.values, load.lowest, len(load.counts)
    full = _full_bits(values)
    coarsest = 1 << max((V // _MOST_BIASES).bit_length() - 1, 0)
    below = _sums(load.counts)[0]
    coarse: dict[tuple[int, int], np.ndarray] = {}
    for shift in range(full + 1):
        for n2 in range(1, max(full - shift, 1) + 1):
            off = _distance(values, _grid_start(values, n2, 1 << shift), 1 << shift, 1 << n2)
            coarse[shift, n2] = _sums(load.square * off**2, load.mean * off)
    parameters, comparisons, errors = [], [], []
    for s in range(full + 1):
        for n1 in range(full - s + 1):
            width = 1 << (n1 + s)
            # R1 begins where sums begin, or a multiple of its step above.
            biases = np.arange(lowest, lowest + V, max(1 << s, coarsest))
            a = biases - lowest
            b = np.minimum(a + width, V)
            dense = np.array([_dense_error(load, x, 1 << s, 1 << n1) for x in biases]).T
            sides = (biases > lowest).astype(int) + (biases + width <= values[-1])
            detections = np.maximum(sides, 1)
            inside = below[b] - below[a]
            for (shift, n2), outer in coarse.items():
                if shift < s:
                    continue
                parameters.append((biases, n1, n2, s, shift - s))
                comparisons.append(detections * below[-1] + n1 * inside + n2 * (below[-1] - inside))
                errors.append(dense + outer[:, -1:] - outer[:, b] + outer[:, a])
    ends = np.cumsum([len(c) for c in comparisons])

    def make(k: int) -> TwinRange:
        row = int(np.searchsorted(ends, k, side="right"))
        biases, n1, n2, s, m = parameters[row]
        at = k - (ends[row - 1] if row else 0)
        return TwinRange(int(biases[at]), n1, n2, 1 << s, m)

    return make, np.concatenate(comparisons), *np.concatenate(errors, axis=1)


def _dense_error(load: Load, bias: int, step: int, levels: int) -> tuple[float, float]:
    """The two sums of an error within R1."""
    if step == 1:
        return 0.0, 0.0
    a = bias - load.lowest
    part = slice(a, a + levels * step)
    off = _distance(load.values[part], bias, step, levels)
    return load.square[part] @ off**2, load.mean[part] @ off
