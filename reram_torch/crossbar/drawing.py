"""Cells drawn one by one, each by its number: what they conduct once they were programmed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from reram_torch.config.devices import Devices
from reram_torch.crossbar.cell_laws import CellLaw, Draw, cell_law
from reram_torch.crossbar.chips import STEP, ChipSummary
from reram_torch.crossbar.draws import key_of, words
from reram_torch.crossbar.geometry import Geometry

_WORDS = 1 << 32  # different ones


@dataclass
class Drawn:
    """What is counted as cells are drawn; see `ChipSummary`. Sums are by slice."""

    cells: int = 0
    stuck_off: int = 0
    stuck_on: int = 0
    pulses: int = 0
    unverified: int = 0
    clipped: int = 0
    squares: dict[int, float] = field(default_factory=dict)
    conductance: dict[int, float] = field(default_factory=dict)

    def add(self, j: int, errors: np.ndarray, conductance: float) -> None:
        """Counts the errors of conductances of a slice, and what its cells conduct, in 1/256."""
        self.squares[j] = self.squares.get(j, 0.0) + float(errors @ errors)
        self.conductance[j] = self.conductance.get(j, 0.0) + conductance

    def summary(self, drawer: CellDrawer) -> ChipSummary:
        """The means, of all crossings of word-lines and outputs."""
        g, crossings = drawer.geometry, max(1, drawer.crossings)
        of_slices = range(g.slices)
        means = [self.squares.get(j, 0.0) / (crossings * len(g.signs)) for j in of_slices]
        units = [self.conductance.get(j, 0.0) / (crossings * STEP) for j in of_slices]
        return ChipSummary(
            self.cells,
            self.stuck_off,
            self.stuck_on,
            self.pulses / max(1, self.cells - self.stuck_off - self.stuck_on),
            self.unverified,
            self.clipped,
            tuple(mean**0.5 / STEP for mean in means),
            tuple(drawer.law(j).step_us * unit for j, unit in enumerate(units)),
        )


@dataclass(frozen=True, eq=False)
class CellDrawer:
    """Draws the cells of a layer.

    A cell's number, its place in a stream of random words, counts word-lines first, then outputs,
    groups, slices, the signs of a pair, and copies.

    Attributes:
        geometry: of the layer.
        devices: what they are made of.
        crossings: of word-lines and outputs of all groups, G N K.
        present: the slices that exist, rising.
        seed: of the chip.
        layer: its name.
        time_s: when cells are looked at; None: as programmed.
    """

    geometry: Geometry
    devices: Devices
    crossings: int
    present: Sequence[int]
    seed: int
    layer: str
    time_s: float | None

    def law(self, j: int) -> CellLaw:
        """Of the cells of a slice."""
        g = self.geometry
        return cell_law(self.devices, g.cell_widths[j], g.encoding, self.time_s)

    def copies(self, j: int) -> int:
        """Cells that hold a digit of a slice together."""
        given, place = self.devices.cells.copies, len(self.present) - 1 - self.present.index(j)
        return given[place] if place < len(given) else 1

    def key(self, purpose: str) -> int:
        """Of the stream of a purpose."""
        return key_of(self.seed, self.layer, purpose)

    def conductances(
        self, sign: int, j: int, first: int, digits: np.ndarray, drawn: Drawn
    ) -> np.ndarray:
        """What neighbouring crossings of a slice conduct, leak and all.

        Args:
            sign: 0, or 1 for the other cell of a pair.
            j: the slice.
            first: the first crossing's number within the slice.
            digits: what they are to hold, int32 (n,).
            drawn: what is counted.

        Returns:
            the mean over copies in 1/256 of a step, float32 (n,).
        """
        copies, pairs = self.copies(j), self.geometry.bit_lines
        total = np.zeros(len(digits), dtype=np.float32)
        for copy in range(copies):
            plane = (copy * pairs + sign) * self.geometry.slices + j
            total += self._cells(j, plane * self.crossings + first, digits, drawn)
        return total if copies == 1 else total / np.float32(copies)

    def _cells(self, j: int, number: int, digits: np.ndarray, drawn: Drawn) -> np.ndarray:
        """Single cells from a number on."""
        law, cells = self.law(j), self.devices.cells
        off, on = self._stuck(number, len(digits))
        g = self._written(law, number, digits, off | on, drawn)
        if law.relaxed is not None:
            moved = self._draw(law.relaxed, "relaxation", number, digits)
            g = g * moved if law.relaxed.exponent else g + moved
        if cells.stuck_off_rate or cells.stuck_on_rate:
            g[off] = law.leak
            g[on] = law.largest
        drawn.cells += len(digits)
        drawn.stuck_off += int(off.sum())
        drawn.stuck_on += int(on.sum())
        return np.maximum(g, 0) if self.devices.programming.clamped else g

    def _stuck(self, number: int, count: int) -> tuple[np.ndarray, np.ndarray]:
        """Which cells are stuck off and on, bool."""
        cells = self.devices.cells
        lower = round(cells.stuck_off_rate * _WORDS)
        upper = round((cells.stuck_off_rate + cells.stuck_on_rate) * _WORDS)
        if not upper:
            none = np.zeros(count, dtype=bool)
            return none, none
        drawn = words(self.key("stuck"), number, count).astype(np.int64)
        off = drawn < lower
        return off, (drawn < upper) & ~off

    def _draw(self, draw: Draw, purpose: str, number: int, digits: np.ndarray) -> np.ndarray:
        if draw.exact:
            return draw.constants.take(digits)
        return draw.of(digits, words(self.key(purpose), number, len(digits)))

    def _written(
        self, law: CellLaw, number: int, digits: np.ndarray, stuck: np.ndarray, drawn: Drawn
    ) -> np.ndarray:
        """Cells after the last pulse that each of them took; stuck ones take none that count."""
        g = self._draw(law.written, "pulse 0", number, digits)
        drawn.pulses += len(digits) - int(stuck.sum())
        if law.tolerance is None:
            return g
        targets, tolerance = law.targets.astype(np.float32), np.float32(law.tolerance)
        wrong = np.nonzero((np.abs(g - targets.take(digits)) > tolerance) & ~stuck)[0]
        for pulse in range(1, self.devices.programming.verify_pulses):
            if not len(wrong):
                break
            again = digits[wrong]
            drawn_words = words(self.key(f"pulse {pulse}"), number, len(digits))[wrong]
            g[wrong] = law.written.of(again, drawn_words)
            drawn.pulses += len(wrong)
            wrong = wrong[np.abs(g[wrong] - targets.take(again)) > tolerance]
        drawn.unverified += len(wrong)
        return g
