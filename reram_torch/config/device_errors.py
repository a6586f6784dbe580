"""How cells err: when they are programmed, as time goes by, and when they are read.

Conductances are in uS, times in seconds since a cell was programmed. What depends on a cell's
conductance depends on the target that it was programmed to.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import numpy as np

from reram_torch._support.checks import check_choice, check_int, check_number
from reram_torch.config.device_tables import (
    Numbers,
    at_time,
    numbers,
    over_targets,
    rising,
    table,
)

LAWS = ("normal", "lognormal")
UNITS = ("us", "g_max")


@dataclass(frozen=True)
class WriteErrors:
    """How far a cell lies from its target as programmed.

    The standard deviation is a table over targets, linear between them, or a polynomial. Without
    either, cells are exact.

    Args:
        law: `normal` or `lognormal`; of both the mean is the target, the deviation `sigma`.
        unit: of targets and sigma: `us`, or `g_max`, both as a share of it.
        targets: of the table, rising.
        sigma: at each target; with `times_s` a list of these for each time.
        times_s: of the table, rising, s; between them linear in the logarithm of time.
        polynomial: sigma as c0 + c1 G + c2 G^2 ..., the coefficients.
        verify_tolerance_us: write-verify: a pulse draws anew until a cell lies within this of its
            target, uS; `sigma` is then that of one pulse.
        verify_pulses: at most so many; a cell keeps what the last one left.
        clamped: no cell conducts less than nothing. Without, cells keep the mean and the variance
            that are given, which sums of many cells depend on, and some lie below 0.
        source: where the numbers come from.
    """

    law: str = LAWS[0]
    unit: str = UNITS[0]
    targets: Numbers = ()
    sigma: tuple[float, ...] | tuple[Numbers, ...] = ()
    times_s: Numbers = ()
    polynomial: Numbers = ()
    verify_tolerance_us: float | None = None
    verify_pulses: int = 1
    clamped: bool = False
    source: str = ""

    def __post_init__(self) -> None:
        check_choice("programming.law", self.law, LAWS)
        check_choice("programming.unit", self.unit, UNITS)
        check_int("programming.verify_pulses", self.verify_pulses, 1, 1000)
        if self.verify_tolerance_us is not None:
            check_number("programming.verify_tolerance_us", self.verify_tolerance_us, 0, math.inf)
        if (self.verify_tolerance_us is None) != (self.verify_pulses == 1):
            raise ValueError(
                "programming.verify_tolerance_us and verify_pulses of at least 2 go together, not "
                f"{self.verify_tolerance_us!r} and {self.verify_pulses!r}"
            )
        if not isinstance(self.clamped, bool):
            raise ValueError(f"programming.clamped must be true or false, not {self.clamped!r}")
        given = numbers("programming.polynomial", self.polynomial, -math.inf)
        object.__setattr__(self, "polynomial", given)
        if self.polynomial and (self.targets or self.sigma or self.times_s):
            raise ValueError(
                "programming: give targets and sigma, or a polynomial, not both: "
                f"polynomial={self.polynomial!r} beside targets={self.targets!r}"
            )
        if self.targets or self.sigma or self.times_s:
            self._check_table()

    def _check_table(self) -> None:
        targets = rising("programming.targets", self.targets)
        if self.times_s:
            times = rising("programming.times_s", self.times_s)
            shape = len(times), len(targets)
            object.__setattr__(self, "times_s", times)
            rows: object = table("programming.sigma", self.sigma, shape, 0.0)
        else:
            rows = table("programming.sigma", [self.sigma], (1, len(targets)), 0.0)[0]
        object.__setattr__(self, "targets", targets)
        object.__setattr__(self, "sigma", rows)

    def sigma_us(
        self, targets_us: np.ndarray, g_max_us: float, time_s: float | None = None
    ) -> np.ndarray:
        """The standard deviation of cells of these targets, uS, float64.

        Args:
            targets_us: of cells.
            g_max_us: what shares are of.
            time_s: when; None: as programmed, which is the first time of a table by time.

        Raises:
            ValueError: the table does not cover a target or the time, or a deviation is negative.
        """
        scale = g_max_us if self.unit == UNITS[1] else 1.0
        at = np.asarray(targets_us, dtype=np.float64) / scale
        if self.polynomial:
            found = np.polynomial.polynomial.polyval(at, np.array(self.polynomial))
            if (found < 0).any():
                raise ValueError(
                    f"programming.polynomial must be at least 0 at every target, not "
                    f"{found.min():g} at {at[found.argmin()]:g}"
                )
        elif self.targets:
            rows = self.sigma if self.times_s else (self.sigma,)
            times = self.times_s or (0.0,)
            time_s = times[0] if time_s is None or not self.times_s else time_s
            row = at_time("programming.times_s", rows, times, time_s)  # type: ignore[arg-type]
            found = over_targets("programming.targets", self.targets, row, at)
        else:
            found = np.zeros_like(at)
        sigma: np.ndarray = scale * found
        return sigma


class Shift(NamedTuple):
    """What time does to cells of each target.

    Attributes:
        mean: of what is added, uS; or, where it is `exponent`, of the logarithm of the factor.
        sigma: its standard deviation from cell to cell.
        exponent: conductances are multiplied by exp(mean + sigma z), instead of mean + sigma z
            being added.
    """

    mean: np.ndarray
    sigma: np.ndarray
    exponent: bool


def _after(name: str, time_s: float, t0_s: float) -> float:
    """ln(t / t0), t at least t0."""
    if time_s < t0_s:
        raise ValueError(f"time must be at least {name}.t0_s, {t0_s:g} s, not {time_s:g} s")
    return math.log(time_s / t0_s)


@dataclass(frozen=True)
class PowerDrift:
    """Conductance falls as G (t / t0)^-nu.

    Args:
        nu: the mean exponent.
        nu_sigma: its standard deviation from cell to cell.
        t0_s: when the programmed conductance holds, s; not known earlier.
        source: where the numbers come from.
    """

    law: ClassVar[str] = "power"
    nu: float
    nu_sigma: float = 0.0
    t0_s: float = 1.0
    source: str = ""

    def __post_init__(self) -> None:
        check_number("drift.nu", self.nu, -1, 1)
        check_number("drift.nu_sigma", self.nu_sigma, 0, 1)
        check_number("drift.t0_s", self.t0_s, 1e-12, math.inf)

    def shift(self, targets_us: np.ndarray, time_s: float) -> Shift:
        """What it does to cells of these targets until a time, s."""
        after = np.full(np.shape(targets_us), _after("drift", time_s, self.t0_s))
        return Shift(-self.nu * after, self.nu_sigma * after, True)


@dataclass(frozen=True)
class LogarithmicDrift:
    """Conductance moves by mean + slope ln(t / t0), with a spread that does likewise.

    Args:
        mean_us: at t0, uS.
        mean_slope_us: by ln t, uS.
        sigma_us: standard deviation from cell to cell at t0, uS.
        sigma_slope_us: by ln t, uS.
        t0_s: the time of the first, s; not known earlier.
        source: where the numbers come from.
    """

    law: ClassVar[str] = "logarithmic"
    mean_us: float = 0.0
    mean_slope_us: float = 0.0
    sigma_us: float = 0.0
    sigma_slope_us: float = 0.0
    t0_s: float = 1.0
    source: str = ""

    def __post_init__(self) -> None:
        for name, low in (("mean_us", -math.inf), ("mean_slope_us", -math.inf), ("sigma_us", 0.0)):
            check_number(f"drift.{name}", getattr(self, name), low, math.inf)
        check_number("drift.sigma_slope_us", self.sigma_slope_us, 0, math.inf)
        check_number("drift.t0_s", self.t0_s, 1e-12, math.inf)

    def shift(self, targets_us: np.ndarray, time_s: float) -> Shift:
        """What it does to cells of these targets until a time, s."""
        after = _after("drift", time_s, self.t0_s)
        ones = np.ones(np.shape(targets_us))
        mean = (self.mean_us + self.mean_slope_us * after) * ones
        return Shift(mean, (self.sigma_us + self.sigma_slope_us * after) * ones, False)


@dataclass(frozen=True)
class TableDrift:
    """Conductance moves by a table over targets and times, as does its spread.

    Args:
        targets_us: rising, uS; linear between them.
        times_s: rising, s; linear in the logarithm of time between them.
        mean_us: what is added, a list over targets for each time, uS.
        sigma_us: its standard deviation from cell to cell, likewise.
        source: where the numbers come from.
    """

    law: ClassVar[str] = "table"
    targets_us: Numbers
    times_s: Numbers
    mean_us: tuple[Numbers, ...]
    sigma_us: tuple[Numbers, ...]
    source: str = ""

    def __post_init__(self) -> None:
        targets = rising("drift.targets_us", self.targets_us)
        times = rising("drift.times_s", self.times_s)
        shape = len(times), len(targets)
        for name, low in (("mean_us", -math.inf), ("sigma_us", 0.0)):
            rows = table(f"drift.{name}", getattr(self, name), shape, low)
            object.__setattr__(self, name, rows)
        object.__setattr__(self, "targets_us", targets)
        object.__setattr__(self, "times_s", times)

    def shift(self, targets_us: np.ndarray, time_s: float) -> Shift:
        """What it does to cells of these targets until a time, s."""
        mean, sigma = (
            over_targets(
                "drift.targets_us",
                self.targets_us,
                at_time("drift.times_s", rows, self.times_s, time_s),
                np.asarray(targets_us, dtype=np.float64),
            )
            for rows in (self.mean_us, self.sigma_us)
        )
        return Shift(mean, sigma, False)


Drift = PowerDrift | LogarithmicDrift | TableDrift
DRIFTS: dict[str, type[Drift]] = {
    kind.law: kind for kind in (PowerDrift, LogarithmicDrift, TableDrift)
}


@dataclass(frozen=True)
class ReadNoise:
    """What differs from one read of a cell to the next.

    Args:
        share: standard deviation, as a share of a cell's conductance.
        floor_us: standard deviation besides, whatever the conductance, uS.
        source: where the numbers come from.
    """

    share: float = 0.0
    floor_us: float = 0.0
    source: str = ""

    def __post_init__(self) -> None:
        check_number("reading.share", self.share, 0, 1)
        check_number("reading.floor_us", self.floor_us, 0, math.inf)


@dataclass(frozen=True)
class AdcErrors:
    """How ADCs err. A step is that of a digit, between neighbouring bit-line sums.

    Args:
        noise_steps: standard deviation of the comparator's noise, drawn once a conversion.
        gain_sigma: standard deviation of an ADC's gain from 1.
        offset_sigma_steps: standard deviation of an ADC's offset.
        capacitor_sigma: standard deviation of a unit capacitor, as a share of it. The capacitors of
            an ADC are binary-weighted, as many as the sums need bits.
        columns_per_adc: bit-lines of a slice that one ADC converts, one after the other, and so
            with the same errors.
        source: where the numbers come from.
    """

    noise_steps: float = 0.0
    gain_sigma: float = 0.0
    offset_sigma_steps: float = 0.0
    capacitor_sigma: float = 0.0
    columns_per_adc: int = 128
    source: str = ""

    def __post_init__(self) -> None:
        for name, most in (
            ("noise_steps", 64),
            ("gain_sigma", 1),
            ("offset_sigma_steps", 4096),
            ("capacitor_sigma", 1),
        ):
            check_number(f"adc.{name}", getattr(self, name), 0, most)
        check_int("adc.columns_per_adc", self.columns_per_adc, 1, 1 << 20)
