"""Layers on chips: programmed from a seed, and anew whenever their weights change."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch

from reram_torch._support.lasting import lasting
from reram_torch.config.devices import Devices
from reram_torch.crossbar.cells import CrossbarWeights, read_back
from reram_torch.crossbar.chips import Chip
from reram_torch.crossbar.error_odds import error_odds
from reram_torch.crossbar.geometry import Geometry
from reram_torch.crossbar.odds import Odds
from reram_torch.crossbar.programming import line_conductances, program_chip
from reram_torch.crossbar.wires import Wired
from reram_torch.nn.line_loads import of_text


@dataclass(frozen=True)
class Programming:
    """How a layer is programmed onto a chip.

    Attributes:
        devices: that the chip has.
        seed: of the chip.
        layer: name that the layer's draws go by.
        time: since programming, s; None: just programmed.
        exact: cells are drawn; else the error of each conversion is, by its chances.
        load: of the layer's word-lines, as text (`line_loads`), where wires take something.
    """

    devices: Devices
    seed: int
    layer: str
    time: float | None = None
    exact: bool = True
    load: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """As plain values."""
        values = {**vars(self), "devices": self.devices.to_dict()}
        return {name: value for name, value in values.items() if (name, value) != ("load", None)}

    def named(self) -> dict[str, Any]:
        """What tells the chip from others, the devices by name: as reports have it."""
        own = {"seed": self.seed, "time": self.time, "exact": self.exact}
        return {"devices": self.devices.name, **own}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Programming:
        """The inverse of `to_dict`."""
        return cls(**{**values, "devices": Devices.from_dict(values["devices"])})

    def chip(self, codes: torch.Tensor, geometry: Geometry) -> Chip | Odds:
        """A layer's chip, or the odds of its conversions.

        Args:
            codes: weight codes less their centers, (G, N, K).
            geometry: of the layer.
        """
        if not self.exact:
            return error_odds(codes, geometry, self.devices, **self._place)
        wires = None if self.load is None else self.wired(codes, geometry).attenuation()
        return program_chip(codes, geometry, self.devices, **self._place, attenuation=wires)

    def line_us(self, codes: torch.Tensor, geometry: Geometry) -> torch.Tensor:
        """What all cells on a word-line conduct together, uS, float64 (G, K)."""
        return line_conductances(codes, geometry, self.devices, **self._place)

    def wired(self, codes: torch.Tensor, geometry: Geometry) -> Wired:
        """The same cells behind their wires; there is a load."""
        assert self.load is not None
        shares = of_text(self.load, codes.shape[0], codes.shape[2])
        return Wired.of(codes, geometry, self.devices, shares, **self._place)

    @property
    def _place(self) -> dict[str, Any]:
        """What finds the layer's random numbers, and when they are looked at."""
        return {"seed": self.seed, "layer": self.layer, "time": self.time}


class ChipSite:
    """Where a layer's chip is, if it lies on one.

    Attributes:
        programming: how it is drawn; None: ideal devices.
    """

    def __init__(self) -> None:
        self.programming: Programming | None = None
        self._kept: tuple[Programming, Geometry, CrossbarWeights, Chip | Odds] | None = None
        self._lines: tuple[Programming, Geometry, CrossbarWeights, torch.Tensor] | None = None
        self._first = 0  # position whose noise comes next

    def program(self, programming: Programming | None) -> None:
        """Another chip, or none."""
        self.programming, self._kept, self._first = programming, None, 0

    def chip(
        self, weights: CrossbarWeights, geometry: Geometry, outputs: int, depth: int
    ) -> Chip | Odds | None:
        """The layer as its chip holds it now; None on ideal devices.

        Args:
            weights: as they are now.
            geometry: of the layer.
            outputs: N, of a group.
            depth: K.
        """
        if self.programming is None:
            return None
        if torch.compiler.is_compiling():  # draws are numpy's
            return _untraced()(self, weights, geometry, outputs, depth)
        return self._chip(self.programming, weights, geometry, outputs, depth)

    def _chip(
        self,
        how: Programming,
        weights: CrossbarWeights,
        geometry: Geometry,
        outputs: int,
        depth: int,
    ) -> Chip | Odds:
        kept = self._kept
        if kept is None or kept[:2] != (how, geometry) or not _same(kept[2], weights):
            codes = read_back(weights.cells, geometry, outputs, depth)
            with lasting():
                chip = how.chip(codes, geometry)
            self._kept = kept = how, geometry, weights, chip
        chip = kept[3]
        if isinstance(chip, Odds):
            return chip.at(self._first)
        return chip.at(self._first) if chip.sigmas.numel() else chip

    def line_us(
        self, weights: CrossbarWeights, geometry: Geometry, outputs: int, depth: int
    ) -> torch.Tensor:
        """What all cells on a word-line conduct together, uS, float64 (G, K); on a chip only."""
        how, kept = self.programming, self._lines
        assert how is not None
        if kept is None or kept[:2] != (how, geometry) or not _same(kept[2], weights):
            codes = read_back(weights.cells, geometry, outputs, depth)
            with lasting():
                self._lines = kept = how, geometry, weights, how.line_us(codes, geometry)
        return kept[3]

    def passed(self, y: torch.Tensor, outputs: int) -> torch.Tensor:
        """An output, of which each position was converted: the next have noise of their own."""
        if self.programming is not None:
            self._first += y.numel() // outputs
        return y

    def __str__(self) -> str:
        how = self.programming
        return "" if how is None else f", devices={how.devices.name!r}, chip={how.seed}"

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_kept": None, "_lines": None}  # copies are programmed anew, alike


@cache
def _untraced() -> Callable[..., Chip | Odds]:
    """`ChipSite.chip` as torch.compile leaves it alone; it has been imported by then."""
    disable: Callable[[Callable[..., Any]], Callable[..., Chip | Odds]] = torch.compiler.disable
    return disable(ChipSite.chip)


def _same(before: CrossbarWeights, now: CrossbarWeights) -> bool:
    """Whether crossbars hold the same codes."""
    same_device = before.cells.device == now.cells.device
    return before is now or (same_device and torch.equal(before.cells, now.cells))
