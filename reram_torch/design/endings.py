"""Where optimal searches may end, and what that costs: at levels, at runs and at escapes.

Arrays are [length - 1, start, T], over runs of the groups of values that no threshold may part.
The native library (`csrc/search`) repeats this number by number.
"""

from __future__ import annotations

import numpy as np

from reram_torch.design.searches import Search
from reram_torch.design.splits import Costs, Ends

LEVEL, ESCAPE = -1, -2  # an end that is no run, whose step is 2^shift


class Endings:
    """Where the searches of tables that meet the same values may end.

    Args:
        counts: conversions by table and value, (T, V).
        errors: weight of a squared error, likewise.
        prices: of a comparison, of a conversion that starts and of a word, (T, 3).
        cuts: the first value, the possible thresholds and the end of the values, (n + 1,).
        escape: what an escape from a value costs, (T, V), or None.

    Attributes:
        costs: of the searches.
    """

    def __init__(
        self,
        counts: np.ndarray,
        errors: np.ndarray,
        prices: np.ndarray,
        cuts: np.ndarray,
        escape: np.ndarray | None = None,
    ):
        comparison, start, self._word = prices.T
        self._errors, self._cuts = errors[:, cuts[0] : cuts[-1]], cuts
        leaf, self._level = _levels(self._errors, cuts)
        self._shift = np.full(leaf.shape, LEVEL, dtype=np.int8)
        made = _within(counts, cuts)
        self._made = made * comparison
        if escape is not None:
            self._lower(leaf, _within(escape, cuts) + self._word, ESCAPE)
        self._alone = self._shift[-1, 0].copy()  # what starts no conversion
        self.costs = Costs(leaf, self._made + self._word, leaf[-1, 0].copy(), made[-1, 0] * start)

    def _lower(self, leaf: np.ndarray, cost: np.ndarray, shift: int) -> None:
        better = cost < leaf
        leaf[better], self._shift[better] = cost[better], shift

    def allow_runs(self, lowest: int, *, aligned: bool) -> None:
        """Puts runs where they cost less than what is there.

        Args:
            lowest: the sum of the first value.
            aligned: runs begin at multiples of their widths.
        """
        exact = np.isinf(self._errors).any(1)
        weight = np.where(np.isinf(self._errors), 1.0, self._errors)
        first, values = self._cuts - self._cuts[0], weight.shape[1]
        for s in range(max(values - 1, 1).bit_length()):
            away = ((np.arange(values) & ((1 << s) - 1)) - ((1 << s) - 1) / 2) ** 2
            for k, a in enumerate(first[:-1]):
                lengths = first[k + 1 :] - a
                bits = np.array([run_bits(int(n), s) for n in lengths])
                allowed = bits > 0  # else it is a level
                if aligned:
                    allowed &= (lowest + self._cuts[k]) % (1 << (bits + s)) == 0
                if not allowed.any():
                    continue
                wrong = np.cumsum(weight[:, a:] * away[: values - a], 1)[:, lengths - 1].T
                wrong = np.where(exact & (wrong > 0), np.inf, np.where(exact, 0.0, wrong))
                rows = np.arange(len(lengths))
                found = wrong + bits[:, None] * self._made[rows, k] + self._word
                better = allowed[:, None] & (found < self.costs.leaf[rows, k])
                np.copyto(self.costs.leaf[: len(rows), k], found, where=better)
                np.copyto(self._shift[: len(rows), k], s, where=better, casting="unsafe")

    def search(self, t: int, ends: Ends) -> Search:
        """A table's search from its ends; a single one is a run only where that pays to start."""
        whole = self.costs.leaf[-1, 0, t] + self.costs.start[t]
        alone = len(ends) == 1 and self.costs.single[t] <= whole
        depths, starts, levels, shifts = [], [], [], []
        for a, b, depth in ends:
            depths.append(depth)
            starts.append(int(self._cuts[a]))
            shifts.append(int(self._alone[t] if alone else self._shift[b - a, a, t]))
            levels.append(float(self._level[b - a, a, t]))
        return search_of(starts, int(self._cuts[-1]), levels, shifts, depths)


def search_of(
    starts: list[int], end: int, levels: list[float], shifts: list[int], depths: list[int]
) -> Search:
    """A search by its ends.

    Args:
        starts: the first value of each.
        end: of all values.
        levels: the level of each that is no run.
        shifts: log2 of a run's step, `LEVEL` or `ESCAPE`.
        depths: comparisons that find each.
    """
    if max(shifts) == LEVEL == min(shifts):
        n = len(starts)
        return Search(tuple(starts), tuple(levels), (1,) * n, (0,) * n, tuple(depths), (False,) * n)
    first = [
        level if s < 0 else start + ((1 << s) - 1) / 2
        for start, level, s in zip(starts, levels, shifts, strict=True)
    ]
    lengths = np.diff([*starts, end]).tolist()
    bits = [0 if s < 0 else run_bits(n, s) for n, s in zip(lengths, shifts, strict=True)]
    steps = [1 << max(s, 0) for s in shifts]
    escapes = [s == ESCAPE for s in shifts]
    return Search(
        tuple(starts), tuple(first), tuple(steps), tuple(bits), tuple(depths), tuple(escapes)
    )


def run_bits(length: int, shift: int) -> int:
    """Bits of a plain ADC of step 2^shift over so many sums."""
    return (-(-length >> shift) - 1).bit_length()


def _sums(of: np.ndarray) -> np.ndarray:
    """Sums of all values before each, (T, V + 1)."""
    found: np.ndarray = np.concatenate([np.zeros((len(of), 1)), np.cumsum(of, 1)], 1)
    return found


def _within(of: np.ndarray, cuts: np.ndarray) -> np.ndarray:
    """Sums over each run of groups."""
    n = len(cuts) - 1
    sums = _sums(of[:, cuts[0] : cuts[-1]])[:, cuts - cuts[0]]
    found = np.zeros((n, n, len(of)))
    for length in range(n):
        found[length, : n - length] = (sums[:, length + 1 :] - sums[:, : n - length]).T
    return found


def _levels(errors: np.ndarray, cuts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Cost and level of one level for each run of groups.

    Levels are multiples of a half, which is what the shift-add takes.

    Args:
        errors: of the values between the first and the last cut, (T, V).
        cuts: where groups begin, and the end.
    """
    n, T = len(cuts) - 1, len(errors)
    exact = np.isinf(errors).any(1)
    finite = np.where(np.isinf(errors), 0.0, errors)
    # Positions count from where most weight lies: squares of small numbers differ exactly enough.
    origin = errors.argmax(1)[:, None] + cuts[0]
    values = np.arange(cuts[0], cuts[-1]) - origin
    at = (cuts - origin).astype(float)
    sums = [_sums(finite * values**k)[:, cuts - cuts[0]] for k in range(3)]
    cost, level = np.zeros((n, n, T)), np.zeros((n, n, T))
    for length in range(n):
        a, b = at[:, : n - length], at[:, length + 1 :]
        zero, one, two = (s[:, length + 1 :] - s[:, : n - length] for s in sums)
        mean = np.divide(one, zero, out=(a + b - 1) / 2, where=zero > 0)
        best = np.clip(np.rint(2 * mean) / 2, a, b - 1)
        found = np.maximum(two - 2 * best * one + best**2 * zero, 0)
        found[exact] = np.inf
        found[b - a == 1] = 0.0
        cost[length, : n - length], level[length, : n - length] = found.T, (best + origin).T
    return cost, level
