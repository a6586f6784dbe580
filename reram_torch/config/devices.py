"""Devices: what cells and ADCs really are, validated when made, read from and written to TOML."""

from __future__ import annotations

import dataclasses
import json
import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from reram_torch._support.checks import check_choice, check_int, check_number
from reram_torch._support.names import check_keys
from reram_torch._support.sections import made, table_of
from reram_torch.config.device_errors import (
    DRIFTS,
    AdcErrors,
    Drift,
    ReadNoise,
    WriteErrors,
)
from reram_torch.config.device_tables import seconds
from reram_torch.config.files import find_toml, read_toml, toml_names


@dataclass(frozen=True)
class Cells:
    """The cells of an array.

    Args:
        g_max_us: conductance of the largest digit, uS.
        g_off_us: the least that a cell can be programmed to, uS; or
        on_off_ratio: `g_max_us` over it, from 1 to infinity (`inf`: a cell can be off altogether).
        dummy_column: a column of cells that are off is subtracted from the others. It is taken to
            be exact. Differential pairs need none.
        copies: cells that hold a slice together, from the most significant slice that exists
            down, as in (2,); their mean counts. Others have one.
        stuck_off_rate: share of cells that always conduct `g_off_us`.
        stuck_on_rate: share of cells that always conduct `g_max_us`.
        wire_ohm: resistance of a wire from one cell to the next, Ohm.
        source: where the numbers come from.
    """

    g_max_us: float = 100.0
    g_off_us: float | None = None
    on_off_ratio: float | None = None
    dummy_column: bool = False
    copies: tuple[int, ...] = ()
    stuck_off_rate: float = 0.0
    stuck_on_rate: float = 0.0
    wire_ohm: float = 0.0
    source: str = ""

    def __post_init__(self) -> None:
        check_number("cells.g_max_us", self.g_max_us, 1e-9, math.inf)
        if (self.g_off_us is None) == (self.on_off_ratio is None):
            raise ValueError(
                "cells: give one of g_off_us and on_off_ratio, not "
                f"g_off_us={self.g_off_us!r}, on_off_ratio={self.on_off_ratio!r}"
            )
        if self.g_off_us is not None:
            check_number("cells.g_off_us", self.g_off_us, 0, self.g_max_us)
        elif self.on_off_ratio != math.inf:
            check_number("cells.on_off_ratio", self.on_off_ratio, 1, math.inf)
        if not isinstance(self.dummy_column, bool):
            raise ValueError(f"cells.dummy_column must be true or false, not {self.dummy_column!r}")
        if not isinstance(self.copies, list | tuple) or len(self.copies) > 8:
            raise ValueError(f"cells.copies must be a list of at most 8, not {self.copies!r}")
        for count in self.copies:
            check_int("cells.copies", count, 1, 16, "of each slice")
        object.__setattr__(self, "copies", tuple(self.copies))
        for name in ("stuck_off_rate", "stuck_on_rate"):
            check_number(f"cells.{name}", getattr(self, name), 0, 1)
        if self.stuck_off_rate + self.stuck_on_rate > 1:
            raise ValueError(
                "cells.stuck_off_rate and stuck_on_rate must be at most 1 together, not "
                f"{self.stuck_off_rate!r} and {self.stuck_on_rate!r}"
            )
        check_number("cells.wire_ohm", self.wire_ohm, 0, math.inf)

    @property
    def off_us(self) -> float:
        """Conductance of a cell that is off, uS, however it was given."""
        if self.g_off_us is not None:
            return self.g_off_us
        assert self.on_off_ratio is not None  # one of them is there
        return self.g_max_us / self.on_off_ratio


@dataclass(frozen=True)
class Devices:
    """What a chip is made of: the distributions that its cells and ADCs are drawn from.

    Args:
        name: of the devices.
        cells: conductances, stuck cells, wires.
        programming: errors of cells as programmed.
        drift: what time does to them; None: nobody knows, and asking for a time is an error, unless
            `programming` is a table by time.
        reading: noise of reads.
        adc: errors of ADCs.
    """

    name: str = "devices"
    cells: Cells = field(default_factory=lambda: Cells(on_off_ratio=math.inf))
    programming: WriteErrors = field(default_factory=WriteErrors)
    drift: Drift | None = None
    reading: ReadNoise = field(default_factory=ReadNoise)
    adc: AdcErrors = field(default_factory=AdcErrors)

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not self.name.strip():
            raise ValueError(f"devices.name must be text, not {self.name!r}")
        for name, kind in _SECTIONS.items():
            if not isinstance(getattr(self, name), kind):
                raise TypeError(
                    f"devices.{name} must be {kind.__name__}, not {getattr(self, name)!r}"
                )
        if self.drift is not None and not isinstance(self.drift, tuple(DRIFTS.values())):
            raise TypeError(f"devices.drift must be one of {list(DRIFTS)}, not {self.drift!r}")
        for part in (*(getattr(self, name) for name in _SECTIONS), self.drift):
            if part is not None and not isinstance(part.source, str):
                raise ValueError(f"devices: a source must be text, not {part.source!r}")
        if self.drift is not None and self.programming.times_s:
            raise ValueError(
                "devices: programming.times_s and drift both say what time does: give one of them"
            )
        self._check_window()

    def _check_window(self) -> None:
        """Refuses errors that are not known for every conductance of a cell."""
        cells = self.cells
        window = np.linspace(cells.off_us, cells.g_max_us, 257)
        sigma = self.programming.sigma_us(window, cells.g_max_us)
        if self.programming.law == "lognormal" and (sigma[window == 0] > 0).any():
            raise ValueError(
                "programming.law 'lognormal' needs sigma 0 for cells that are off altogether, not "
                f"{sigma[0]:g} uS"
            )
        if self.drift is not None:
            self.drift.shift(window, getattr(self.drift, "times_s", (1e300,))[-1])

    def at(self, time: float | str | None) -> float | None:
        """The time to look at a chip, s, checked against what is known; None: as programmed.

        Raises:
            ValueError: it is not a time, or these devices do not say what happens until then.
        """
        if time is None:
            return None
        found = seconds(time)
        if self.drift is None and not self.programming.times_s:
            raise ValueError(
                f"time must be None for {self.name!r}, which has neither [drift] nor "
                f"programming.times_s, not {time!r}: cells that stay as they are would be a guess"
            )
        ends = np.array([self.cells.off_us, self.cells.g_max_us])
        if self.drift is not None:
            self.drift.shift(ends, found)
        else:
            self.programming.sigma_us(ends, self.cells.g_max_us, found)
        return found

    def to_dict(self) -> dict[str, Any]:
        """Nested plain values, in the form of the TOML file; what is as by default is left out."""
        values: dict[str, Any] = {"name": self.name}
        for name in _SECTIONS:
            found = _plain(getattr(self, name))
            values |= {name: found} if found else {}
        if self.drift is not None:
            values["drift"] = {"law": self.drift.law, **_plain(self.drift)}
        return values

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Devices:
        """The inverse of `to_dict`; what is absent takes its default.

        Raises:
            ValueError: an unknown or a missing key, or a value out of range.
        """
        check_keys("", values, ["name", *_SECTIONS, "drift"], "section")
        parts = dict(values)
        for name, kind in _SECTIONS.items():
            if name in parts:
                parts[name] = made(kind, name, parts[name])
        if "drift" in parts:
            drift = dict(table_of("drift", parts["drift"]))
            law = drift.pop("law", None)
            check_choice("drift.law", law, tuple(DRIFTS))
            parts["drift"] = made(DRIFTS[law], "drift", drift)
        return cls(**parts)

    def to_toml(self) -> str:
        """The devices as a TOML document."""
        lines = []
        for name, value in self.to_dict().items():
            if isinstance(value, dict):
                lines += [f"\n[{name}]", *(f"{k} = {_toml(v)}" for k, v in value.items())]
            else:
                lines.append(f"{name} = {_toml(value)}")
        return "\n".join(lines) + "\n"

    def save(self, path: str | Path) -> None:
        """Writes the devices to a TOML file."""
        Path(path).write_text(self.to_toml(), encoding="utf-8")


_SECTIONS: dict[str, type[Any]] = {
    "cells": Cells,
    "programming": WriteErrors,
    "reading": ReadNoise,
    "adc": AdcErrors,
}


def _listed(value: Any) -> Any:
    return [_listed(part) for part in value] if isinstance(value, tuple) else value


def _toml(value: Any) -> str:
    return "inf" if value == math.inf else json.dumps(value)


def _plain(section: Any) -> dict[str, Any]:
    """The values of a section that are not as by default, tuples as lists."""
    found = {f.name: (getattr(section, f.name), f.default) for f in dataclasses.fields(section)}
    return {name: _listed(value) for name, (value, default) in found.items() if value != default}


def device_names() -> list[str]:
    """The names that `load_devices` knows."""
    return toml_names("devices")


def load_devices(name: str | Path | Devices) -> Devices:
    """Devices by name (see `device_names`) or from a TOML file.

    Raises:
        FileNotFoundError: neither a known name nor a file.
        ValueError: the file is not TOML, has unknown or missing keys, or values out of range.
    """
    if isinstance(name, Devices):
        return name
    return read_toml(find_toml("devices", name), Devices.from_dict)
