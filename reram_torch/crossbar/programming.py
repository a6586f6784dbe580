"""Programming: a chip of a layer, drawn from a seed.

Every random number has its place, by the seed, the layer's name, its purpose and the number of the
cell or ADC. So a chip depends on neither the machine nor the threads nor other layers, and a chip
at a later time is the same chip.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch

from reram_torch.config.devices import Devices
from reram_torch.crossbar.adc_errors import adc_errors
from reram_torch.crossbar.cells import encode
from reram_torch.crossbar.chips import LARGEST, STEP, Chip, packed
from reram_torch.crossbar.drawing import CellDrawer, Drawn
from reram_torch.crossbar.geometry import Geometry, bit_places
from reram_torch.crossbar.normals import normal_table
from reram_torch.crossbar.read_noise import noise_tables

_CHUNK = 1 << 16  # crossings that are drawn together: what is made of them stays in a cache


def program_chip(
    codes: torch.Tensor,
    geometry: Geometry,
    devices: Devices,
    *,
    seed: int = 0,
    layer: str = "",
    time: float | str | None = None,
    attenuation: torch.Tensor | None = None,
) -> Chip:
    """Programs a layer's weights into devices that are not ideal.

    Args:
        codes: weight codes less their centers, (G, N, K).
        geometry: of the layer.
        devices: what its cells and ADCs are drawn from.
        seed: of the chip, from 0 to 2^63 - 1.
        layer: its name: layers of different names have nothing in common.
        time: when the chip is looked at: seconds, or as in "1d"; None: as programmed.
        attenuation: what wires leave of each cell's conductance, float (signs of a pair or 1, J, G,
            N, K).

    Returns:
        the chip, on the device of `codes`. `numbers` has 0 for its first position.

    Raises:
        ValueError: a time that the devices say nothing of, wires without an attenuation, cells
            whose digits cannot be told apart, or an attenuation of a wrong shape.
    """
    if devices.cells.wire_ohm > 0 and attenuation is None:
        raise ValueError(
            f"cells.wire_ohm must be 0 where no attenuation is given, not "
            f"{devices.cells.wire_ohm:g}: `Wired.attenuation` gives it"
        )
    drawer, values = cell_drawer(codes, geometry, devices, seed, layer, time)
    shape = (len(values), geometry.slices, *codes.shape)
    factors, drawn = _factors(attenuation, shape), Drawn()
    lines = np.zeros((len(geometry.signs), geometry.slices, values.shape[1]), dtype=np.int16)
    for j, part, cells in _cells(drawer, values, drawn):
        leak: np.ndarray | np.float32 = np.float32(drawer.law(j).leak)
        if factors is not None:  # a dummy column's cells see the same
            cells, leak = cells * factors[:, j, part], leak * factors[:, j, part]
        lines[:, j, part] = _stored(drawer, j, values[:, part], cells, leak, drawn)
    stored = torch.from_numpy(lines).view(-1, geometry.slices, *codes.shape)
    chip = _chip(drawer, stored, values)
    return chip._replace(summary=drawn.summary(drawer)).to(codes.device)


def cell_conductances(
    codes: torch.Tensor,
    geometry: Geometry,
    devices: Devices,
    *,
    seed: int = 0,
    layer: str = "",
    time: float | str | None = None,
) -> torch.Tensor:
    """What the cells of the same chip conduct, as no wire saw them: what an attenuation is made of.

    Args:
        codes: weight codes less their centers, (G, N, K).
        geometry: of the layer.
        devices: what its cells are drawn from.
        seed: of the chip.
        layer: its name.
        time: when the chip is looked at.

    Returns:
        uS, leaks and all, the mean of copies; 0 where a slice does not exist: float32 (signs of a
        pair or 1, J, G, N, K) on the CPU.

    Raises:
        ValueError: as `program_chip`.
    """
    drawer, values = cell_drawer(codes, geometry, devices, seed, layer, time)
    found = np.zeros((len(values), geometry.slices, values.shape[1]), dtype=np.float32)
    for j, part, cells in _cells(drawer, values, Drawn()):
        found[:, j, part] = cells * np.float32(drawer.law(j).step_us / STEP)
    return torch.from_numpy(found).view(-1, geometry.slices, *codes.shape)


def line_conductances(
    codes: torch.Tensor,
    geometry: Geometry,
    devices: Devices,
    *,
    seed: int = 0,
    layer: str = "",
    time: float | str | None = None,
) -> torch.Tensor:
    """What all cells on a word-line conduct together, pairs and copies, as no wire saw them.

    Args:
        codes: weight codes less their centers, (G, N, K).
        geometry: of the layer.
        devices: what its cells are drawn from.
        seed: of the chip.
        layer: its name.
        time: when the chip is looked at.

    Returns:
        uS, float64 (G, K) on the CPU.

    Raises:
        ValueError: as `program_chip`.
    """
    drawer, values = cell_drawer(codes, geometry, devices, seed, layer, time)
    total = np.zeros(drawer.crossings)
    for j, part, cells in _cells(drawer, values, Drawn()):
        each = drawer.copies(j) * drawer.law(j).step_us / STEP
        total[part] += each * cells.sum(0, dtype=np.float64)
    return torch.from_numpy(total).view(codes.shape).sum(1)


def cell_drawer(
    codes: torch.Tensor,
    geometry: Geometry,
    devices: Devices,
    seed: int,
    layer: str,
    time: float | str | None,
) -> tuple[CellDrawer, np.ndarray]:
    """What draws a chip's cells, and what they hold, int16 (signs of a pair or 1, crossings)."""
    values = encode(codes.cpu(), geometry).to(torch.int16).flatten(1).numpy()
    present = [j for j, (low, mask) in enumerate(_places(geometry)) if (values >> low & mask).any()]
    crossings, time_s = values.shape[1], devices.at(time)
    return CellDrawer(geometry, devices, crossings, present, seed, layer, time_s), values


def _cells(
    drawer: CellDrawer, values: np.ndarray, drawn: Drawn
) -> Iterator[tuple[int, slice, np.ndarray]]:
    """Slices, parts of their crossings, and what the cells there conduct, float32 (signs, n)."""
    for j in drawer.present:
        below, mask = _places(drawer.geometry)[j]
        for first in range(0, drawer.crossings, _CHUNK):
            part = slice(first, first + _CHUNK)
            digits = (values[:, part] >> below & mask).astype(np.int32)
            signs = enumerate(digits)
            yield (
                j,
                part,
                np.stack([drawer.conductances(s, j, first, row, drawn) for s, row in signs]),
            )


def _places(g: Geometry) -> list[tuple[int, int]]:
    return bit_places(g.cell_widths)


def _factors(attenuation: torch.Tensor | None, shape: tuple[int, ...]) -> np.ndarray | None:
    """Attenuations as float32 (signs, J, crossings)."""
    if attenuation is None:
        return None
    if attenuation.shape != shape or not attenuation.is_floating_point():
        raise ValueError(
            f"attenuation must be float of shape {shape}, not {attenuation.dtype} of "
            f"{tuple(attenuation.shape)}"
        )
    found: np.ndarray = attenuation.cpu().float().numpy().reshape(*shape[:2], -1)
    return found


def _stored(
    drawer: CellDrawer,
    j: int,
    values: np.ndarray,
    cells: np.ndarray,
    leak: np.ndarray | np.float32,
    drawn: Drawn,
) -> np.ndarray:
    """Conductances of a slice as a chip stores them, int16 (signs, n).

    Args:
        drawer: of the cells.
        j: the slice.
        values: that crossings hold, int16 (signs of a pair or 1, n).
        cells: what conducts there, likewise, float32.
        leak: of cells that are off, which a dummy column subtracts.
        drawn: what is counted.
    """
    g, (below, mask) = drawer.geometry, _places(drawer.geometry)[j]
    digits, conducted = values >> below & mask, float(cells.sum(dtype=np.float64))
    if g.signed:
        cells, digits = cells[:1] - cells[1:], digits[:1] - digits[1:]
    elif drawer.devices.cells.dummy_column:
        cells = cells - leak
    stored = np.rint(cells)
    drawn.clipped += int((np.abs(stored) > LARGEST).sum())
    stored = np.clip(stored, -LARGEST, LARGEST)
    drawn.add(j, (stored - STEP * digits).ravel().astype(np.float64), conducted)
    found: np.ndarray = stored.astype(np.int16)
    return found


def _chip(drawer: CellDrawer, lines: torch.Tensor, values: np.ndarray) -> Chip:
    """A chip of these conductances, (S, J, G, N, K), of cells that hold these values."""
    g, adc = drawer.geometry, drawer.devices.adc
    gains, offsets, mismatch = adc_errors(drawer, *lines.shape[2:])
    sigmas, sigma_of, shift = noise_tables(drawer, values)
    normal = normal_table() if sigmas.numel() else torch.empty(2, 0, dtype=torch.int16)
    key = drawer.key("noise")
    low, high = key & 2**32 - 1, key >> 32 & 2**32 - 1
    numbers = torch.tensor([adc.columns_per_adc, shift, low, high, 0, g.passes])
    return Chip(packed(lines, g), gains, offsets, mismatch, sigmas, sigma_of, normal, numbers)
