"""How likely a layer's sums are read as others, from the mean and variance of their errors.

Each driven cell adds the mean error of its digit, and its variance: programming, stuck cells, time,
read noise. Given so many driven word-lines and a sum, digits are those of the layer's own cells
that add up to it (`read_noise.Tilted`). The error of a conversion is then normal, but for stuck
cells, whose whole steps are rare events that add up (a compound Poisson law); and it is drawn anew
each time: which cells there are makes no difference. ADCs' offsets, gains and noise add theirs.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch

from reram_torch.config.devices import Devices
from reram_torch.crossbar.chips import STEP
from reram_torch.crossbar.drawing import CellDrawer
from reram_torch.crossbar.geometry import Geometry, bit_places
from reram_torch.crossbar.moments import moments
from reram_torch.crossbar.odds import HAZARD_BITS, LOGARITHMS, MOST_HAZARD, SHARE_BITS, Odds
from reram_torch.crossbar.programming import cell_drawer
from reram_torch.crossbar.read_noise import Tilted, driven_rows

_MOST_COLUMNS = 512
_MOST_STEPS = 64  # that a sum may be off by
_DEVIATIONS = 6.6  # beyond which nobody looks
_NEGLIGIBLE = 2.0**-33  # a chance that no draw can tell from none
_ALIKE = 2**8  # units of shares by which kinds that are one may differ


@dataclass(frozen=True)
class _Cells:
    """The cells of a slice, of pairs the difference.

    Attributes:
        digits: that they hold.
        weights: how frequent each is.
        bias, variance: of the errors of cells that are not stuck, by digit.
        jumps: chances of stuck cells by the whole steps that they are off, by digit.
    """

    digits: np.ndarray
    weights: np.ndarray
    bias: np.ndarray
    variance: np.ndarray
    jumps: dict[int, np.ndarray]

    @property
    def reach(self) -> tuple[float, float]:
        """The least and the most that a cell adds."""
        return float(self.digits.min()), float(self.digits.max())

    def by_sum(self, values: np.ndarray, width: int, power: int) -> Tilted:
        """What driven cells add up to by their sum, of values by digit; heights to a power."""
        heights = np.arange(1, 1 << width)
        x, each = np.outer(self.digits, heights).ravel(), np.repeat(self.weights, len(heights))
        return Tilted.of(x, each, np.outer(values, heights**power).ravel())


def error_odds(
    codes: torch.Tensor,
    geometry: Geometry,
    devices: Devices,
    *,
    seed: int = 0,
    layer: str = "",
    time: float | str | None = None,
) -> Odds:
    """The odds of a layer.

    Args:
        codes: weight codes less their centers, (G, N, K).
        geometry: of the layer.
        devices: what its cells and ADCs are drawn from.
        seed: of the draws.
        layer: its name, likewise.
        time: as `program_chip` takes it.

    Raises:
        ValueError: a geometry that speculates; wires, or capacitors that err, whose errors are no
            function of a sum; errors of more than 64 steps; and as `program_chip`.
    """
    g = geometry
    _check(g, devices)
    drawer, values = cell_drawer(codes, g, devices, seed, layer, time)
    present = drawer.present
    driven, row_of = driven_rows(g.rows)
    shift = max(0, ((g.values - 1) // _MOST_COLUMNS).bit_length())
    columns = (g.values - 1 >> shift) + 1
    sums = g.lowest + (np.arange(columns) << shift) + ((1 << shift) - 1) / 2
    kinds = [(j, width) for j in present for width in sorted(set(g.dac_widths))]
    chances = [np.zeros((len(driven), columns, 2))]  # of slices that do not exist
    for j, width in kinds:
        chances.append(_chances(_cells(drawer, j, values), width, devices, driven, sums))
    half = max(each.shape[-1] for each in chances) // 2
    wide = [np.pad(c, ((0, 0), (0, 0), 2 * (half - c.shape[-1] // 2,))) for c in chances]
    kind_of = [[kinds.index((j, w)) + 1 if j in present else 0 for j in range(g.slices)]
               for w in g.dac_widths]  # fmt: skip
    hazards, shares = _thinned(np.stack(wide), np.array(kind_of))
    shares, kept = _merged(shares)
    waits = -np.log1p(-np.arange(LOGARITHMS) / LOGARITHMS) * 2**HAZARD_BITS
    key = drawer.key("odds")
    numbers = torch.tensor([shift, key & 2**32 - 1, key >> 32 & 2**32 - 1, 0, g.passes])
    found = Odds(
        torch.from_numpy(kept[np.array(kind_of)]),
        torch.from_numpy(hazards),
        torch.from_numpy(row_of),
        torch.from_numpy(shares),
        torch.from_numpy(np.rint(waits).astype(np.int64)),
        numbers,
    )
    return found.to(codes.device)


def _check(g: Geometry, devices: Devices) -> None:
    if g.speculation:
        raise ValueError("exact=False is not for crossbars that speculate: program cells instead")
    for name, value in (
        ("cells.wire_ohm", devices.cells.wire_ohm),
        ("adc.capacitor_sigma", devices.adc.capacitor_sigma),
    ):
        if value:
            raise ValueError(
                f"exact=False cannot have {name}, {value:g}: its errors are no function of a sum; "
                "program cells instead"
            )


def _cells(drawer: CellDrawer, j: int, values: np.ndarray) -> _Cells:
    """The cells of a slice, of pairs the difference."""
    g, reading = drawer.geometry, drawer.devices.reading
    law, (below, mask) = drawer.law(j), bit_places(g.cell_widths)[j]
    own, copies = drawer.devices.cells, drawer.copies(j)
    sound = replace(drawer.devices, cells=replace(own, stuck_off_rate=0.0, stuck_on_rate=0.0))
    mean, square = moments(law, sound)
    variance = square - mean**2 + reading.share**2 * square
    variance = (variance + (reading.floor_us / law.step_us) ** 2) / copies
    held = values >> below & mask
    signed = held[0].astype(np.int64) - held[1] if g.signed else held.ravel()
    digits, counts = np.unique(signed, return_counts=True)
    size, most = np.abs(digits), int(mask)
    rates = own.stuck_off_rate, own.stuck_on_rate
    if g.signed:
        bias, variance = (
            np.sign(digits) * (mean[size] - mean[0]) - digits,
            variance[size] + variance[0],
        )
        plus, minus = np.maximum(digits, 0), np.maximum(-digits, 0)
        jumps = _jumps([(plus, 1), (minus, -1)], most, rates, copies)
    else:
        leak = law.leak / STEP if own.dummy_column else 0.0
        bias, variance = mean[size] - leak - digits, variance[size]
        jumps = _jumps([(digits, 1)], most, rates, copies)
    return _Cells(digits, counts, bias, variance, jumps)


def _jumps(
    cells: list[tuple[np.ndarray, int]], most: int, rates: tuple[float, float], copies: int
) -> dict[int, np.ndarray]:
    """How far off stuck cells are, in whole steps, and how likely, by digit.

    Args:
        cells: the digit of each cell of a crossing, and its sign.
        most: the largest digit.
        rates: of cells that are stuck off, and on.
        copies: of each cell; several are off by parts of a step, which is refused.
    """
    found: dict[int, np.ndarray] = {}
    if not any(rates):
        return found
    if copies > 1:
        raise ValueError("exact=False cannot have stuck cells and copies: program cells instead")
    for held, sign in cells:
        for rate, stuck in zip(rates, (0, most), strict=True):
            off = sign * (stuck - held)
            for jump in np.unique(off[off != 0]).tolist():
                found[jump] = found.get(jump, np.zeros(len(held))) + rate * (off == jump)
    return found


def _chances(
    cells: _Cells, width: int, devices: Devices, driven: np.ndarray, sums: np.ndarray
) -> np.ndarray:
    """Chances of errors by -w to -1 and 1 to w steps, float64 (D, Q, 2 w)."""
    n, adc = driven[1:, None], devices.adc

    def added(values: np.ndarray, power: int) -> np.ndarray:
        found = np.zeros((len(driven), len(sums)))
        found[1:] = cells.by_sum(values, width, power).at(n, sums[None])[1]
        return found

    bias, variance = added(cells.bias, 1), np.maximum(added(cells.variance, 2), 0)
    variance += adc.noise_steps**2 + adc.offset_sigma_steps**2 + (adc.gain_sigma * sums) ** 2
    sigma = np.sqrt(np.maximum(variance, 1e-18))
    jumps = {
        jump * height: np.maximum(added(chances, 0), 0) / ((1 << width) - 1)
        for jump, chances in cells.jumps.items()
        for height in range(1, 1 << width)
    }
    # Sums that so many word-lines can make; a column's middle may lie beside the last of them.
    step = (sums[1] - sums[0]) / 2 if len(sums) > 1 else 0
    least, most = (end * ((1 << width) - 1) for end in cells.reach)
    low, high = driven[:, None] * min(least, 0) - step, driven[:, None] * max(most, 0) + step
    there = (sums >= low) & (sums <= high)
    spread = sigma**2 + sum((jump**2 * rate for jump, rate in jumps.items()), np.zeros_like(sigma))
    reach = np.abs(bias) + _DEVIATIONS * np.sqrt(spread) + 4 * max(map(abs, jumps), default=0)
    half = int(np.ceil((reach * there).max() + 0.5))
    if half > _MOST_STEPS:
        raise ValueError(
            f"exact=False holds for errors up to {_MOST_STEPS} steps, and these devices may make "
            f"{half}: program cells instead"
        )
    edges = torch.arange(-half, half + 2) - 0.5
    around = (edges - torch.from_numpy(bias)[..., None]) / torch.from_numpy(sigma)[..., None]
    chances = np.diff(torch.special.ndtr(around).numpy())
    if jumps:
        chances = _compounded(chances, jumps)
    found: np.ndarray = np.where(there[..., None], np.delete(chances, half, axis=-1), 0.0)
    return found


def _compounded(chances: np.ndarray, jumps: dict[int, np.ndarray]) -> np.ndarray:
    """Chances of errors, (D, Q, 2 w + 1), to which jumps of these rates are added, as rare events.

    By the characteristic function of a compound Poisson law.
    """
    count = chances.shape[-1]
    room = 2 * count
    angles = 2j * np.pi * np.arange(room // 2 + 1) / room
    exponent = sum(rate[..., None] * (np.exp(-angles * jump) - 1) for jump, rate in jumps.items())
    both = np.fft.irfft(np.fft.rfft(chances, room) * np.exp(exponent), room)
    found: np.ndarray = np.maximum(both[..., :count], 0.0)
    return found


def _thinned(chances: np.ndarray, kind_of: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Hazards (I, D), and the shares of them, cumulative, that errors have, (kinds, D, 2 w, Q).

    Args:
        chances: of errors, (kinds, D, Q, 2 w).
        kind_of: the kind of each cycle and slice, (I, J). Cycles that share one share all.
    """
    limit, unit = MOST_HAZARD / 2**HAZARD_BITS, 2.0**HAZARD_BITS
    errs = np.minimum(chances.sum(-1), 1.0)
    with np.errstate(divide="ignore"):
        own = np.minimum(-np.log1p(-errs), limit)
    hazards = np.ceil(own.max(-1)[kind_of].max(1) * unit).astype(np.int64)
    hazards[errs.max(-1)[kind_of].max(1) < _NEGLIGIBLE] = 0
    largest = np.zeros(chances.shape[:2])
    largest[kind_of] = hazards[:, None] / unit
    with np.errstate(divide="ignore", invalid="ignore"):
        parts = chances.cumsum(-1) / chances.sum(-1, keepdims=True)
        shares = parts * (own / largest[..., None])[..., None] * 2.0**SHARE_BITS
    shares = np.where(np.isfinite(shares), shares, 0.0)
    rounded = np.minimum(np.rint(shares), 2**SHARE_BITS - 1).astype(np.int32)
    return hazards, np.ascontiguousarray(rounded.swapaxes(2, 3))


def _merged(shares: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Shares of the kinds that differ, which caches hold longer, and which of them each kind is.

    Those of cells of two conductances, whose sum tells what they are, are all alike.
    """
    kept: list[np.ndarray] = []
    found = []
    for each in shares:
        same = (k for k, other in enumerate(kept) if np.abs(each - other).max() <= _ALIKE)
        found.append(next(same, len(kept)))
        if found[-1] == len(kept):
            kept.append(each)
    return np.stack(kept), np.array(found, dtype=np.uint8)
