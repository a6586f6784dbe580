"""What the resistance of wires takes of what cells conduct.

An array's word-lines are driven at one end. Bit-lines end at an ADC's virtual ground, beside the
first word-line. A word-line that is not driven is gated off: the transistors of its cells are open.
So what a cell sees depends on what else is driven. A chip has one number for each cell, the voltage
over it while its word-line is driven and the others are as often as real inputs drive them:

    w, along a word-line while it is driven:   (2 w[c] - w[c-1] - w[c+1]) / r = -G[c] (w[c] - b[c])
    b, along a bit-line in the mean:           (2 b[r] - b[r-1] - b[r+1]) / r = p[r] G[r] (w - b)

A word-line carries all the current of its cells whenever it is driven; a bit-line the share p.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch

from reram_torch.config.devices import Devices
from reram_torch.crossbar.drawing import CellDrawer
from reram_torch.crossbar.geometry import Geometry, ceil_div
from reram_torch.crossbar.programming import cell_conductances, cell_drawer

_TOLERANCE = 1e-12  # of a voltage, a word-line's driver being 1
_SWEEPS = 5000
_TOGETHER = 1 << 20  # cells whose arrays are solved together: they stay in a cache
_US = 1e-6  # S


@dataclass(frozen=True, eq=False)
class Wiring:
    """How a layer's cells lie on arrays.

    Bit-lines go slice by slice, the least significant that exists first, in it by output; both
    lines of a pair, and the copies of a cell, are side by side. They fill arrays of `cols`, the
    first beside the word-lines' drivers. A group has arrays of its own, and so has a tile, whose
    first word-line is beside the ADCs. Wires beyond the last one carry nothing.

    Attributes:
        geometry: of the layer.
        copies: cells that hold a slice together, by slice that exists, rising.
        outputs: N, of a group.
        depth: K.
    """

    geometry: Geometry
    copies: dict[int, int]
    outputs: int
    depth: int

    @classmethod
    def of(cls, drawer: CellDrawer, outputs: int, depth: int) -> Wiring:
        """That of a layer's cells."""
        copies = {j: drawer.copies(j) for j in drawer.present}
        return cls(drawer.geometry, copies, outputs, depth)

    @cached_property
    def _bit_lines(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Line of a pair, slice, output and copy by bit-line, int64 (lines,) each."""
        parts = [np.zeros((4, 0), dtype=np.int64)]
        for j, copies in self.copies.items():
            n, p, c = np.mgrid[: self.outputs, : self.geometry.bit_lines, :copies].reshape(3, -1)
            parts.append(np.stack([p, np.full_like(n, j), n, c]))
        p, j, n, c = np.concatenate(parts, axis=1)
        return p, j, n, c

    @property
    def lines(self) -> int:
        """Bit-lines of a group."""
        return len(self._bit_lines[0])

    @property
    def across(self) -> int:
        """X, arrays side by side."""
        return ceil_div(self.lines, self.geometry.cols)

    def word_lines(self, tile: int) -> slice:
        """Those of a tile."""
        return slice(tile * self.geometry.rows, min((tile + 1) * self.geometry.rows, self.depth))

    def arrays(self, cells: torch.Tensor, tile: int) -> np.ndarray:
        """Cells of a tile as they lie on arrays.

        Args:
            cells: (signs of a pair or 1, J, G, N, K).
            tile: the tile.

        Returns:
            float64 (G, X, R, C), R word-lines and C bit-lines; 0 where there is no cell.
        """
        p, j, n, _ = self._bit_lines
        found = cells[..., self.word_lines(tile)].numpy()[p, j, :, n]  # (lines, G, R)
        columns = min(self.geometry.cols, len(p))
        arrays = np.zeros((self.across * columns, *found.shape[1:]))
        arrays[: len(p)] = found
        arrays = arrays.reshape(self.across, columns, *found.shape[1:])
        return np.ascontiguousarray(arrays.transpose(2, 0, 3, 1))

    def put_back(self, arrays: np.ndarray, cells: np.ndarray, tile: int) -> None:
        """The inverse of `arrays`, into `cells`: copies have their mean."""
        p, j, n, c = self._bit_lines
        G, _, R, _ = arrays.shape
        lines = arrays.transpose(1, 3, 0, 2).reshape(-1, G, R)[: len(p)]
        first = c == 0
        cells[..., self.word_lines(tile)][p[first], j[first], :, n[first]] = self._mean(lines)

    def _mean(self, lines: np.ndarray) -> np.ndarray:
        """Over the copies of each bit-line, (lines, ...)."""
        _, j, _, c = self._bit_lines
        firsts = np.flatnonzero(c == 0)
        many = np.array([self.copies[index] for index in j[firsts].tolist()])
        totals = np.add.reduceat(lines, firsts, axis=0)
        found: np.ndarray = totals / many.reshape(-1, *[1] * (lines.ndim - 1))
        return found

    def by_slice(self, numbers: dict[int, float]) -> np.ndarray:
        """A number of each slice that exists, for each bit-line, (lines,)."""
        return np.array([numbers[j] for j in self._bit_lines[1].tolist()])

    def conversions(self, lines: np.ndarray) -> np.ndarray:
        """Sums that are converted, from those of bit-lines, (lines,)."""
        found = self._mean(lines).reshape(-1, self.geometry.bit_lines)
        return found[:, 0] - found[:, 1] if self.geometry.signed else found.ravel()


class _Chains:
    """Equal resistors in a row, from a node that is held, with a load at each: many of them.

    Args:
        loads: conductances to elsewhere, over that of a resistor, (..., L), along the last axis
            from the held end.
    """

    def __init__(self, loads: np.ndarray):
        self.shape = loads.shape
        diagonal, beside = 2 + loads, np.full(loads.shape, -1.0)
        diagonal[..., -1] -= 1  # nothing goes on beyond the last
        beside[..., -1] = 0  # one chain does not touch the next
        self._lapack = _lapack()
        links = beside.ravel()[: max(1, beside.size - 1)]  # scipy asks for one of a single node
        *self._factors, failed = self._lapack.dpttrf(diagonal.ravel(), links)
        if failed:
            raise ValueError("cells.wire_ohm and conductances below 0 leave voltages undetermined")

    def voltages(self, currents: np.ndarray) -> np.ndarray:
        """Of the nodes that these currents, times a resistor, flow into."""
        found: np.ndarray = self._lapack.dpttrs(*self._factors, currents.ravel())[0]
        return found.reshape(self.shape)


def _lapack() -> Any:
    try:
        from scipy.linalg import lapack
    except ImportError as error:
        raise ImportError(
            "wires (cells.wire_ohm) need scipy, which is in the extra 'devices'"
        ) from error
    return lapack


def cell_voltages(loads: np.ndarray, shares: np.ndarray, drive: np.ndarray) -> np.ndarray:
    """Voltages over cells while their word-lines are driven, by relaxing word- and bit-lines.

    With shares of 0 and 1 the voltages are those of the nodal equations with just these word-lines
    driven, where they are.

    Args:
        loads: conductances of cells times the resistance of a wire from one to the next, (A, R, C).
        shares: of the time that word-lines are driven, (A, R).
        drive: what they are driven with, (A, R).

    Returns:
        float64 (A, R, C). Each is within about 1e-11 of the solution, and nearer where wires take
        little.

    Raises:
        ValueError: wires that take nearly everything.
        ImportError: scipy is missing.
    """
    turned = np.ascontiguousarray((loads * shares[:, :, None]).transpose(0, 2, 1))
    word_lines, bit_lines = _Chains(loads), _Chains(turned)
    b = np.zeros(loads.shape)
    for _ in range(_SWEEPS):
        into = loads * b
        into[:, :, 0] += drive
        w = word_lines.voltages(into)
        after = bit_lines.voltages(turned * w.transpose(0, 2, 1)).transpose(0, 2, 1)
        change, b = float(np.abs(after - b).max(initial=0.0)), np.ascontiguousarray(after)
        if change < _TOLERANCE:
            return w - b
    raise ValueError(
        f"cells.wire_ohm must be less: after {_SWEEPS} sweeps voltages still change by {change:g}, "
        f"with wires of {float(loads.max()):g} times the resistance of a cell"
    )


@dataclass(frozen=True, eq=False)
class Wired:
    """The cells of a layer's chip behind their wires.

    Attributes:
        drawer: of the cells.
        wiring: how they lie.
        cells: what they conduct by themselves, uS (signs of a pair or 1, J, G, N, K).
        shares: of the time that word-lines are driven, as cells that conduct see it, (G, K).
    """

    drawer: CellDrawer
    wiring: Wiring
    cells: torch.Tensor
    shares: torch.Tensor

    @classmethod
    def of(
        cls,
        codes: torch.Tensor,
        geometry: Geometry,
        devices: Devices,
        shares: torch.Tensor,
        *,
        seed: int = 0,
        layer: str = "",
        time: float | str | None = None,
    ) -> Wired:
        """The cells that `program_chip` programs from the same arguments.

        Args:
            codes: weight codes less their centers, (G, N, K).
            geometry: of the layer.
            devices: that it has.
            shares: as above.
            seed: of the chip.
            layer: its name.
            time: when the chip is looked at.

        Raises:
            ValueError: as `program_chip`.
        """
        options: dict[str, Any] = {"seed": seed, "layer": layer, "time": time}
        cells = cell_conductances(codes, geometry, devices, **options)
        drawer, _ = cell_drawer(codes, geometry, devices, seed, layer, time)
        return cls(drawer, Wiring.of(drawer, *codes.shape[1:]), cells, shares)

    @property
    def tiles(self) -> int:
        """T; none where no cell holds anything."""
        return self.drawer.geometry.tiles(self.wiring.depth) if self.wiring.copies else 0

    @property
    def _ohm(self) -> float:
        return self.drawer.devices.cells.wire_ohm * _US

    def attenuation(self) -> torch.Tensor:
        """What wires leave of the conductance of each cell, at the mean load.

        Returns:
            float32 (signs of a pair or 1, J, G, N, K) on the CPU, 1 where a slice does not exist.

        Raises:
            ValueError: wires that take nearly everything.
            ImportError: scipy is missing.
        """
        found = np.ones(self.cells.shape, dtype=np.float32)
        for tile in range(self.tiles):
            arrays = self.wiring.arrays(self.cells, tile) * self._ohm
            (G, X, R, C), load = arrays.shape, self._load(tile)
            loads, load = arrays.reshape(-1, R, C), np.repeat(load, X, axis=0)
            left, each = np.empty_like(loads), max(1, _TOGETHER // (R * C))
            for first in range(0, G * X, each):
                part = slice(first, first + each)
                left[part] = cell_voltages(loads[part], load[part], np.ones_like(load[part]))
            self.wiring.put_back(left.reshape(arrays.shape), found, tile)
        return torch.from_numpy(found)

    def errors(self, tile: int, group: int, digits: np.ndarray) -> np.ndarray:
        """How far sums of the attenuated cells are from those of the nodal equations.

        Args:
            tile: of the arrays.
            group: likewise.
            digits: that word-lines are driven with, over the largest, (M, R).

        Returns:
            in steps of a cell's digit, of the largest pulse, (M, sums of the tile).
        """
        loads = self.wiring.arrays(self.cells, tile)[group] * self._ohm  # (X, R, C)
        X = len(loads)
        load = np.repeat(self._load(tile)[group][None], X, axis=0)
        left = cell_voltages(loads, load, np.ones_like(load))
        cells = self.drawer.devices.cells
        leak = cells.off_us if cells.dummy_column and not self.drawer.geometry.signed else 0.0
        steps = self.wiring.by_slice({j: self.drawer.law(j).step_us for j in self.wiring.copies})
        found = []
        for row in digits:
            drive = np.repeat(row[None], X, axis=0)
            gated = (drive > 0).astype(np.float64)
            exact = cell_voltages(loads, gated, drive) * gated[..., None]
            more = row[:, None] * left - exact
            sums = (more * (loads - leak * self._ohm)).sum(1)  # a dummy column's cells see the same
            lines = sums.ravel()[: self.wiring.lines] / (steps * self._ohm)
            found.append(self.wiring.conversions(lines))
        return np.stack(found)

    def _load(self, tile: int) -> np.ndarray:
        found: np.ndarray = self.shares[:, self.wiring.word_lines(tile)].double().numpy()
        return found
