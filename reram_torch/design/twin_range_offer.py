"""What twin-range ADCs offer on a histogram of bit-line sums."""

from __future__ import annotations

import numpy as np

from reram_torch.adc import TwinRange
from reram_torch.adc.base import full_bits
from reram_torch.design.candidates import Offer
from reram_torch.design.loads import Load

_MOST_BIASES = 256  # that are tried for one step


def _codes(values: np.ndarray, step: int) -> np.ndarray:
    """The code of a plain ADC that each value rounds to, ties away from zero."""
    found: np.ndarray = np.sign(values) * ((np.abs(values) + step // 2) // step)
    return found


def _levels(codes: np.ndarray, step: int) -> np.ndarray:
    """What a plain ADC decodes codes to."""
    nearer = 0.5 if step % 2 == 0 else 0.0
    found: np.ndarray = codes * step - nearer * np.sign(codes)
    return found


def _coarse_distance(values: np.ndarray, bits: int, step: int) -> np.ndarray:
    """Distance of each value to what a plain ADC of these bits and this step decodes it to."""
    first = 0 if values[0] >= 0 else -(1 << bits) // 2
    codes = np.clip(_codes(values, step), first, first + (1 << bits) - 1)
    found: np.ndarray = values - _levels(codes, step)
    return found


def _sums(*terms: np.ndarray) -> np.ndarray:
    """Prefix sums of each term: [:, k] is over the first k values."""
    return np.stack([np.concatenate([[0.0], np.cumsum(term)]) for term in terms])


def twin_range_offer(load: Load) -> Offer:
    """All (bias, n1, n2, step, m): sums over R1 and over the rest come from prefix sums."""
    values, lowest, V = load.values, load.lowest, len(load.counts)
    full = full_bits(int(values[0]), int(values[-1]))
    coarsest = 1 << max((V // _MOST_BIASES).bit_length() - 1, 0)
    below = _sums(load.likely)[0]
    plain = [  # the ADCs of the rest: steps (log2) and bits
        (shift, n2)
        for shift in range(full + 1)
        for n2 in range(1, full_bits(lowest, int(values[-1]), 1 << shift) + 1)
    ]
    off = [_coarse_distance(values, n2, 1 << shift) for shift, n2 in plain]
    outside = np.stack([_sums(load.square * d**2, load.mean * d) for d in off])  # (A, 2, V + 1)
    bits = np.array([n2 for _, n2 in plain])
    parameters, comparisons, errors = [], [], []
    for s in range(full + 1):
        # R1 begins anywhere on a grid of half its steps.
        skip = sum(shift < s for shift, _ in plain)
        biases = np.arange(lowest, lowest + V, max((1 << s) // 2, coarsest))
        codes, first = _codes(values, 1 << s), _codes(biases, 1 << s)
        nearest, lower = (values - _levels(codes - k, 1 << s) for k in (0, 1))
        dense, clipped = (_sums(load.square * off**2, load.mean * off) for off in (nearest, lower))
        for n1 in range(full - s + 1):
            width = 1 << (n1 + s)
            a = biases - lowest
            b = np.minimum(a + width, V)
            # Where R1's last code ends; the sums of R1 above it, half a step at most, saturate.
            last = first + (1 << n1) - 1
            c = np.clip(np.searchsorted(codes, last, "right"), a, b)
            sides = (biases > lowest).astype(int) + (biases + width <= values[-1])
            detections = np.maximum(sides, 1)
            inside = below[b] - below[a]
            inner = dense[:, c] - dense[:, a] + clipped[:, b] - clipped[:, c]
            parameters += [(biases, n1, n2, s, shift - s) for shift, n2 in plain[skip:]]
            rest = below[-1] - inside
            comparisons.append((detections * below[-1] + n1 * inside) + bits[skip:, None] * rest)
            outer = outside[skip:]
            found = inner + outer[:, :, -1:] - outer[:, :, b] + outer[:, :, a]  # (A, 2, biases)
            errors.append(np.moveaxis(found, 1, 0).reshape(2, -1))
    ends = np.cumsum([len(row[0]) for row in parameters])

    def make(k: int) -> TwinRange:
        row = int(np.searchsorted(ends, k, side="right"))
        biases, n1, n2, s, m = parameters[row]
        at = k - (ends[row - 1] if row else 0)
        return TwinRange(int(biases[at]), n1, n2, 1 << s, m)

    made = np.concatenate([c.ravel() for c in comparisons])
    return Offer(make, made, *np.concatenate(errors, axis=1))
