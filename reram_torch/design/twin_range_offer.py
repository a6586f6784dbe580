"""What twin-range ADCs offer on a histogram of bit-line sums."""

from __future__ import annotations

import numpy as np

from reram_torch.adc import TwinRange
from reram_torch.adc.base import full_bits
from reram_torch.adc.trees import grid_levels, middle
from reram_torch.design.candidates import Load, Offer

_MOST_BIASES = 256  # that are tried for one step


def _coarse_distance(values: np.ndarray, bits: int, step: int) -> np.ndarray:
    """Distance of each value to what a plain ADC of these bits and this step decodes it to."""
    levels = np.array(grid_levels(bits, step, int(values[0])))
    first = 0 if values[0] >= 0 else -(1 << bits) // 2
    code = np.clip((values + step // 2) // step - first, 0, len(levels) - 1)
    found: np.ndarray = values - levels[code]
    return found


def _sums(*terms: np.ndarray) -> np.ndarray:
    """Prefix sums of each term: [:, k] is over the first k values."""
    return np.stack([np.concatenate([[0.0], np.cumsum(term)]) for term in terms])


def twin_range_offer(load: Load) -> Offer:
    """All (bias, n1, n2, step, m): sums over R1 and over the rest come from prefix sums."""
    values, lowest, V = load.values, load.lowest, len(load.counts)
    full = full_bits(int(values[0]), int(values[-1]))
    coarsest = 1 << max((V // _MOST_BIASES).bit_length() - 1, 0)
    below = _sums(load.counts)[0]
    coarse: dict[tuple[int, int], np.ndarray] = {}
    for shift in range(full + 1):
        for n2 in range(1, full_bits(lowest, int(values[-1]), 1 << shift) + 1):
            off = _coarse_distance(values, n2, 1 << shift)
            coarse[shift, n2] = _sums(load.square * off**2, load.mean * off)
    parameters, comparisons, errors = [], [], []
    for s in range(full + 1):
        for n1 in range(full - s + 1):
            width = 1 << (n1 + s)
            # R1 begins where sums begin, or a multiple of its step above.
            biases = np.arange(lowest, lowest + V, max(1 << s, coarsest))
            a = biases - lowest
            b = np.minimum(a + width, V)
            dense = np.array([_dense_error(load, int(x), 1 << s, 1 << n1) for x in biases]).T
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

    return Offer(make, np.concatenate(comparisons), *np.concatenate(errors, axis=1))


def _dense_error(load: Load, bias: int, step: int, levels: int) -> tuple[float, float]:
    """The two sums of an error within R1."""
    if step == 1:
        return 0.0, 0.0
    a = bias - load.lowest
    part = slice(a, a + levels * step)
    off: np.ndarray = (load.values[part] - bias) % step - middle(step)
    return load.square[part] @ off**2, load.mean[part] @ off
