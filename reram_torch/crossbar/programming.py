"""Programming: a chip of a layer, drawn from a seed.

Every random number has its place, by the seed, the layer's name, its purpose and the number of the
cell or ADC. So a chip depends on neither the machine nor the threads nor other layers, and a chip
at a later time is the same chip.
"""

from __future__ import annotations

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
            f"{devices.cells.wire_ohm:g}: what wires take is not computed here"
        )
    g, values = geometry, encode(codes.cpu(), geometry).to(torch.int16).numpy()  # (P, G, N, K)
    present = [j for j, (low, mask) in enumerate(_places(g)) if (values >> low & mask).any()]
    crossings = values[0].size
    drawer = CellDrawer(g, devices, crossings, present, seed, layer, devices.at(time))
    factors = _factors(attenuation, (len(values), g.slices, *values.shape[1:]))
    lines = np.zeros((len(g.signs), g.slices, crossings), dtype=np.int16)
    flat, drawn = values.reshape(len(values), crossings), Drawn()
    for j in present:
        for first in range(0, crossings, _CHUNK):
            part = slice(first, first + _CHUNK)
            left = None if factors is None else factors[:, j, part]
            lines[:, j, part] = _stored(drawer, j, first, flat[:, part], left, drawn)
    shape = len(g.signs), g.slices, *values.shape[1:]
    chip = _chip(drawer, torch.from_numpy(lines).view(shape), flat)
    return chip._replace(summary=drawn.summary(drawer)).to(codes.device)


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
    first: int,
    values: np.ndarray,
    attenuation: np.ndarray | None,
    drawn: Drawn,
) -> np.ndarray:
    """Conductances of a slice as a chip stores them, int16 (signs, n).

    Args:
        drawer: of the cells.
        j: the slice.
        first: the first crossing's number.
        values: of the crossings, int16 (signs of a pair or 1, n).
        attenuation: likewise, float32; None without.
        drawn: what is counted.
    """
    g, (below, mask) = drawer.geometry, _places(drawer.geometry)[j]
    digits = (values >> below & mask).astype(np.int32)
    cells = np.stack(
        [drawer.conductances(sign, j, first, row, drawn) for sign, row in enumerate(digits)]
    )
    if attenuation is not None:
        cells *= attenuation
    conducted = float(cells.sum(dtype=np.float64))
    if g.signed:
        cells, digits = cells[:1] - cells[1:], digits[:1] - digits[1:]
    elif drawer.devices.cells.dummy_column:
        cells -= np.float32(drawer.law(j).leak)
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
