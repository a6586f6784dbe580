"""Noise of reads: its standard deviation by driven word-lines and size of the sum.

Every driven cell adds noise in proportion to what it conducts, which the sum alone does not tell.
So a layer's table has the variance to be expected of a conversion with so many driven word-lines
and such a sum: that of cells drawn from the layer's own, given that they add up to it. All slices
and cycles share the table; where a sum can be of several, it is their mean, each weighed by how
likely it gives that sum. Pulses of a DAC of several bits are taken to be of every height from 1 on,
equally often.

How likely cells add up to a sum, and which cells then do, is taken from the exponentially tilted
distribution whose mean is the sum's share (Daniels' saddle point). It is exact for cells of two
conductances, and good to 1 / driven else.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import numpy as np
import torch

from reram_torch.config.sections import ENCODINGS
from reram_torch.crossbar.chips import STEP
from reram_torch.crossbar.drawing import CellDrawer
from reram_torch.crossbar.geometry import bit_places
from reram_torch.crossbar.moments import moments

_UNIT = STEP * 16  # of sigmas
_MOST_ROWS, _MOST_COLUMNS = 256, 1024
_TILTS = np.concatenate([[0.0], np.geomspace(1e-2, 1e4, 96)])
_BEYOND = 50.0  # log-likelihood that a sum loses by a range that it lies beyond what cells can make


@dataclass(frozen=True)
class Tilted:
    """Driven cells of a slice in a cycle, by the mean contribution that they are tilted to.

    Attributes:
        mean: rising.
        variance: of their noise.
        rate: minus the logarithm of how likely the mean is, for each driven word-line.
        spread: variance of a contribution.
    """

    mean: np.ndarray
    variance: np.ndarray
    rate: np.ndarray
    spread: np.ndarray

    @classmethod
    def of(cls, x: np.ndarray, weights: np.ndarray, noise: np.ndarray) -> Tilted:
        """From contributions, how frequent they are, and the variance of their noise."""
        weights = weights / weights.sum()
        span = float(np.ptp(x))
        tilts = np.concatenate([-_TILTS[:0:-1], _TILTS]) / span if span else np.zeros(1)
        exponents = tilts[:, None] * x + np.log(weights)
        top = exponents.max(1, keepdims=True)
        tilted = np.exp(exponents - top)
        total = tilted.sum(1, keepdims=True)
        tilted /= total
        mean = tilted @ x
        cumulant = (np.log(total) + top)[:, 0]
        spread = tilted @ (x * x) - mean * mean
        floor = 1e-6 * max(span, 1.0) ** 2
        return cls(mean, tilted @ noise, tilts * mean - cumulant, np.maximum(spread, floor))

    def at(self, driven: np.ndarray, sums: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The logarithm of how likely sums are (but for a constant), and their noise's variance."""
        mean = sums / driven
        low, high = self.mean[0], self.mean[-1]
        beyond = np.maximum(np.maximum(low - mean, mean - high), 0) / max(high - low, 1.0)
        rate = np.interp(mean, self.mean, self.rate) + _BEYOND * beyond
        spread = np.interp(mean, self.mean, self.spread)
        found = np.interp(mean, self.mean, self.variance)
        return -driven * rate - np.log(driven * spread) / 2, driven * found


def noise_tables(drawer: CellDrawer, values: np.ndarray) -> tuple[torch.Tensor, torch.Tensor, int]:
    """The tables of a layer's noise.

    Args:
        drawer: of the cells.
        values: that they hold, int16 (signs of a pair or 1, crossings).

    Returns:
        sigmas, sigma_of and sigma_shift, as a `Chip` has them; empty without noise.
    """
    g, devices = drawer.geometry, drawer.devices
    reading, comparator = devices.reading, devices.adc.noise_steps
    none = torch.empty(0, 0, dtype=torch.int32)
    if not (reading.share or reading.floor_us or comparator):
        return none, torch.empty(0, dtype=torch.uint8), 0
    same = torch.zeros(g.rows + 1, dtype=torch.uint8)
    if not (reading.share or reading.floor_us) or not drawer.present:
        return torch.full((1, 1), round(_UNIT * comparator), dtype=torch.int32), same, 0
    most = max(g.highest, -g.lowest)
    shift = max(0, (most // _MOST_COLUMNS).bit_length())
    sums = (np.arange((most >> shift) + 1) << shift) + ((1 << shift) - 1) / 2
    driven, row_of = driven_rows(g.rows)
    parts = _components(drawer, values)
    variance = np.zeros((len(driven), len(sums)))
    variance[1:] = _mixed(parts, driven[1:, None], sums[None])
    sigmas = np.minimum(np.rint(_UNIT * np.sqrt(variance + comparator**2)), 2**31 - 1)
    return torch.from_numpy(sigmas.astype(np.int32)), torch.from_numpy(row_of), shift


def driven_rows(rows: int) -> tuple[np.ndarray, np.ndarray]:
    """Driven word-lines that a table has rows for, float64 (D,), and the row of every number."""
    every = np.arange(rows + 1)
    if rows < _MOST_ROWS:
        return every.astype(np.float64), every.astype(np.uint8)
    half = _MOST_ROWS // 2
    wide = np.geomspace(half, rows, _MOST_ROWS - half)
    driven = np.concatenate([np.arange(half), np.rint(wide)])
    nearest = np.searchsorted((driven[1:] + driven[:-1]) / 2, every, "right")
    return driven, nearest.astype(np.uint8)


def _mixed(parts: list[tuple[int, Tilted]], driven: np.ndarray, sums: np.ndarray) -> np.ndarray:
    """Variance of the noise of a conversion, of all parts weighed by how likely each of them is."""
    logs, noises = [], []
    for count, part in parts:
        likely, noise = part.at(driven, sums)
        logs.append(likely + np.log(count))
        noises.append(noise)
    weights = np.exp(logs - np.max(logs, 0))
    mixed: np.ndarray = (weights * noises).sum(0) / weights.sum(0)
    return mixed


def _components(drawer: CellDrawer, values: np.ndarray) -> list[tuple[int, Tilted]]:
    """The cells of each slice driven by pulses of each width, and how many phases have it."""
    g = drawer.geometry
    widths = Counter([*g.dac_widths, *[1] * g.recoveries])
    codes, counts = np.unique(values[0] - (values[1] if g.signed else 0), return_counts=True)
    if ENCODINGS[g.encoding] == "dual":
        codes, counts = np.unique(values, return_counts=True)
    found = []
    for j in drawer.present:
        cells = _contributions(drawer, j, codes, counts)
        found += [(count, _pulsed(*cells, width)) for width, count in widths.items()]
    return found


def _pulsed(x: np.ndarray, weights: np.ndarray, noise: np.ndarray, width: int) -> Tilted:
    heights = np.arange(1, 1 << width)
    each = np.repeat(weights, len(heights)) / len(heights)
    return Tilted.of(np.outer(x, heights).ravel(), each, np.outer(noise, heights**2).ravel())


def _contributions(
    drawer: CellDrawer, j: int, codes: np.ndarray, counts: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """What cells of a slice add to a sum, how often, and the variance of its noise, in steps.

    Args:
        drawer: of the cells.
        j: the slice.
        codes: that they hold, of pairs the difference.
        counts: of these.
    """
    g, reading = drawer.geometry, drawer.devices.reading
    law, (below, mask) = drawer.law(j), bit_places(g.cell_widths)[j]
    mean, square = moments(law, drawer.devices)
    noise = reading.share**2 * square + (reading.floor_us / law.step_us) ** 2
    noise /= drawer.copies(j)
    digits = np.sign(codes) * (np.abs(codes) >> below & mask)
    if g.signed:  # whichever sign of a sum: its size is looked up
        digits = np.concatenate([digits, -digits])
        counts = np.concatenate([counts, counts])
    there, place = np.unique(digits, return_inverse=True)
    weights = np.bincount(place.ravel(), counts)
    size = np.abs(there)
    if g.signed:
        return np.sign(there) * (mean[size] - mean[0]), weights, noise[size] + noise[0]
    leak = law.leak / STEP if drawer.devices.cells.dummy_column else 0.0
    return mean[size] - leak, weights, noise[size]
