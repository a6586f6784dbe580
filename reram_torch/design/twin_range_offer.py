"""What twin-range ADCs offer on a histogram of bit-line sums."""

from __future__ import annotations

import numpy as np

from reram_torch.adc import TwinRange
from reram_torch.adc.base import full_bits
from reram_torch.adc.trees import grid_levels, middle
from reram_torch.design.candidates import Offer
from reram_torch.design.loads import Load

_MOST_BIASES = 256  # that are tried for one step


def _coarse_distance(values: np.ndarray, bits: int, step: int) -> np.ndarray:
    """Distance of each value to what a plain ADC of these bits and this step decodes it to."""
    levels = np.array(grid_levels(bits, step, int(values[0])))
    first = 0 if values[0] >= 0 else -(1 << bits) // 2
    rounded = np.sign(values) * ((np.abs(values) + step // 2) // step)  # ties away from zero
    code = np.clip(rounded - first, 0, len(levels) - 1)
    found: np.ndarray = values - levels[code]
    return found


def _sums(term: np.ndarray) -> np.ndarray:
    """Prefix sums: [k] is over the first k values."""
    return np.concatenate([[0.0], np.cumsum(term)])


def twin_range_offer(load: Load) -> Offer:
    """All (bias, n1, n2, step, m): sums over R1 and over the rest come from prefix sums."""
    values, lowest, V = load.values, load.lowest, len(load.counts)
    full = full_bits(int(values[0]), int(values[-1]))
    coarsest = 1 << max((V // _MOST_BIASES).bit_length() - 1, 0)
    below = _sums(load.likely)
    coarse: dict[tuple[int, int], np.ndarray] = {}
    for shift in range(full + 1):
        for n2 in range(1, full_bits(lowest, int(values[-1]), 1 << shift) + 1):
            coarse[shift, n2] = _sums(load.square * _coarse_distance(values, n2, 1 << shift) ** 2)
    parameters, comparisons, errors = [], [], []
    for s in range(full + 1):
        # R1 begins where sums begin, or a multiple of its step above: its levels are alike for all.
        biases = np.arange(lowest, lowest + V, max(1 << s, coarsest))
        dense = _sums(load.square * (np.arange(V) % (1 << s) - middle(1 << s)) ** 2)
        for n1 in range(full - s + 1):
            width = 1 << (n1 + s)
            a = biases - lowest
            b = np.minimum(a + width, V)
            sides = (biases > lowest).astype(int) + (biases + width <= values[-1])
            detections = np.maximum(sides, 1)
            inside = below[b] - below[a]
            for (shift, n2), outer in coarse.items():
                if shift < s:
                    continue
                parameters.append((biases, n1, n2, s, shift - s))
                comparisons.append(detections * below[-1] + n1 * inside + n2 * (below[-1] - inside))
                errors.append(dense[b] - dense[a] + outer[-1] - outer[b] + outer[a])
    ends = np.cumsum([len(c) for c in comparisons])

    def make(k: int) -> TwinRange:
        row = int(np.searchsorted(ends, k, side="right"))
        biases, n1, n2, s, m = parameters[row]
        at = k - (ends[row - 1] if row else 0)
        return TwinRange(int(biases[at]), n1, n2, 1 << s, m)

    return Offer(make, np.concatenate(comparisons), np.concatenate(errors))
