"""What a cell of a slice conducts by its digit, as tables over quantiles of the normal law.

Whatever a law takes, exponentials or powers, is taken once for each quantile that can be drawn. So
cells only look up, add and multiply, which rounds alike on every machine.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np

from reram_torch.config.devices import Devices
from reram_torch.config.sections import ENCODINGS
from reram_torch.crossbar.chips import STEP
from reram_torch.crossbar.normals import UNIT, normal_table, normals

_ENTRIES = 1 << 16


@dataclass(frozen=True, eq=False)
class Draw:
    """A number for each digit and quantile: mean + sigma z, or exp(mean + sigma z).

    Attributes:
        mean, sigma: by digit, float64 (D,).
        exponent: which of them.
    """

    mean: np.ndarray
    sigma: np.ndarray
    exponent: bool

    def at(self, digits: np.ndarray, z: np.ndarray) -> np.ndarray:
        """The numbers of digits and of z in 1/4096, float32."""
        x = self.mean[digits] + self.sigma[digits] * (z / UNIT)
        found: np.ndarray = (np.exp(x) if self.exponent else x).astype(np.float32)
        return found

    @property
    def exact(self) -> bool:
        """Whether z does not matter."""
        return not self.sigma.any()

    @cached_property
    def constants(self) -> np.ndarray:
        """The numbers by digit where z does not matter, float32 (D,)."""
        return self.at(np.arange(len(self.mean)), np.zeros(1))

    @cached_property
    def table(self) -> np.ndarray:
        """The same by digit and the upper half of a word, flat: float32 (D * 65536,)."""
        digits = np.arange(len(self.mean))[:, None]
        return self.at(digits, normal_table()[0].numpy()[None]).ravel()

    def of(self, digits: np.ndarray, words: np.ndarray) -> np.ndarray:
        """The numbers of digits, int32, and random words, float32."""
        upper = (words >> 16).view(np.int32)
        found: np.ndarray = self.table.take(digits << 16 | upper)
        at = np.nonzero((upper + 1 & _ENTRIES - 1) < 2)[0]
        found[at] = self.at(digits[at], normals(words[at]))
        return found


@dataclass(frozen=True, eq=False)
class CellLaw:
    """The cells of slices of one width. Conductances are in 1/256 of a step.

    Attributes:
        step_us: the step, uS.
        targets: by digit, float64 (D,).
        leak: of a cell that is off, which a dummy column or nobody subtracts.
        largest: what a cell conducts that is stuck on.
        written: what is drawn when cells are programmed.
        relaxed: what time makes of it: a factor where it is an exponent, else an addition; None at
            no time.
        tolerance: of write-verify; None without.
    """

    step_us: float
    targets: np.ndarray
    leak: float
    largest: float
    written: Draw
    relaxed: Draw | None
    tolerance: float | None


@lru_cache(maxsize=16)
def cell_law(devices: Devices, width: int, encoding: int, time_s: float | None) -> CellLaw:
    """The law of the cells of slices of so many bits.

    Args:
        devices: what they are made of.
        width: bits of a cell.
        encoding: an index into `config.ENCODINGS`.
        time_s: when they are looked at, s; None: as programmed.

    Raises:
        ValueError: cells that are on and off conduct the same, and only their difference counts.
    """
    cells, most = devices.cells, 2**width - 1
    subtracted = cells.dummy_column or ENCODINGS[encoding] != "offset"
    off, high = cells.off_us, cells.g_max_us
    digits = np.arange(most + 1, dtype=np.float64)
    step = (high - off) / most if subtracted else high / most
    if step <= 0:
        raise ValueError(
            f"cells of {devices.name!r} conduct {high:g} uS on and {off:g} uS off, which "
            f"{ENCODINGS[encoding]!r} cells{' with a dummy column' if cells.dummy_column else ''} "
            "cannot tell apart: cells.on_off_ratio must be above 1"
        )
    leak = off / step
    targets = digits + leak if subtracted else np.maximum(digits, leak)
    written, relaxed = _draws(devices, targets * step, time_s)
    tolerance = devices.programming.verify_tolerance_us
    unit = STEP / step
    return CellLaw(
        step,
        targets * STEP,
        leak * STEP,
        (targets[-1] if subtracted else float(most)) * STEP,
        _scaled(written, unit),
        None if relaxed is None else relaxed if relaxed.exponent else _scaled(relaxed, unit),
        None if tolerance is None else tolerance * unit,
    )


def _scaled(draw: Draw, unit: float) -> Draw:
    if draw.exponent:
        with np.errstate(divide="ignore"):  # cells that are off altogether: exp(-inf)
            return Draw(draw.mean + math.log(unit), draw.sigma, True)
    return Draw(draw.mean * unit, draw.sigma * unit, False)


def _draws(
    devices: Devices, targets_us: np.ndarray, time_s: float | None
) -> tuple[Draw, Draw | None]:
    """What is drawn when cells of these targets are programmed, and what time adds, in uS.

    A table by time says how cells are spread at each time. They are those of its first time moved
    on, each by itself, so that a chip is the same chip at every time: the variances are added.
    """
    programming, most = devices.programming, devices.cells.g_max_us
    first = programming.sigma_us(targets_us, most)
    by_time = time_s is not None and devices.drift is None
    then = programming.sigma_us(targets_us, most, time_s) if by_time else first
    lognormal = programming.law == "lognormal"
    if lognormal:
        ratio = [np.divide(s, targets_us, out=np.zeros_like(s), where=s > 0) for s in (first, then)]
        first, then = (np.sqrt(np.log1p(r * r)) for r in ratio)
    kept = np.minimum(first, then)  # a spread that shrinks shrinks for every cell
    added = np.sqrt(np.maximum(then * then - first * first, 0.0))
    if lognormal:
        with np.errstate(divide="ignore"):
            written = Draw(np.log(targets_us) - kept * kept / 2, kept, True)
    else:
        written = Draw(targets_us, kept, False)
    if time_s is None:
        return written, None
    if devices.drift is not None:
        return written, Draw(*devices.drift.shift(targets_us, time_s))
    return written, Draw(-added * added / 2 if lognormal else 0 * added, added, lognormal)
