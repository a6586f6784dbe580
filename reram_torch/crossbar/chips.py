"""Chips: what the cells and ADCs of a layer are once devices that are not ideal were programmed.

A conductance is a whole number of 1/256 of a digit's step. What a chip's tensors mean to the last
integer is defined by `ops.reference`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
import torch.nn.functional as F

from reram_torch.crossbar.cells import encode
from reram_torch.crossbar.geometry import COLUMNS, Geometry, bit_places, ceil_div

FRACTION = 8  # bits of a conductance below a step
STEP = 1 << FRACTION
LARGEST = 2**15 - 1  # a conductance, and its opposite
NUMBERS = ("columns_per_adc", "sigma_shift", "key_lo", "key_hi", "first", "passes")


@dataclass(frozen=True)
class ChipSummary:
    """What was drawn for a layer.

    Attributes:
        cells: devices that were programmed: of all slices that exist, with pairs and copies.
        stuck_off: of them always off.
        stuck_on: of them always at the largest conductance.
        pulses: that a cell took to be written, in the mean over those that are not stuck.
        unverified: cells that write-verify gave up, stuck ones not counted.
        clipped: conductances beyond the range of 16 bits, which were clamped.
        rms_steps: root mean square of the conductances' errors by slice, in steps of its digits,
            the least significant slice first; 0 for slices that do not exist. An off-state leak
            that nothing subtracts is an error.
        conductance_us: the mean conductance of a slice at a crossing of a word-line and an output,
            both cells of a pair together, uS.
    """

    cells: int
    stuck_off: int
    stuck_on: int
    pulses: float
    unverified: int
    clipped: int
    rms_steps: tuple[float, ...]
    conductance_us: tuple[float, ...]


class Chip(NamedTuple):
    """A programmed layer. Parts that are ideal are empty.

    Attributes:
        conductances: in 1/256 of a step, int16 (G, T, C, R, 64): see `packed`.
        gains: of ADCs, in 1/65536, int32 (adcs,).
        offsets: of ADCs, in 1/256 of a step, int32 (adcs,).
        mismatch: what capacitors add by the sum that is found, likewise, int32 (adcs, V).
        sigmas: of noise by driven word-lines and size of the sum, in 1/16 of that, int32 (D, Q).
        sigma_of: the row of `sigmas` by driven word-lines, uint8 (rows + 1,).
        normal: quantiles of the normal law, in 1/4096, int16 (2, 65536).
        numbers: int64 (6,): see `NUMBERS`.
        summary: of what was drawn; None where nothing was.
    """

    conductances: torch.Tensor
    gains: torch.Tensor
    offsets: torch.Tensor
    mismatch: torch.Tensor
    sigmas: torch.Tensor
    sigma_of: torch.Tensor
    normal: torch.Tensor
    numbers: torch.Tensor
    summary: ChipSummary | None = None

    @property
    def tensors(self) -> tuple[torch.Tensor, ...]:
        """All tensors, in order."""
        return tuple(self[:8])

    @classmethod
    def of_tensors(cls, tensors: Sequence[torch.Tensor]) -> Chip:
        """The inverse of `tensors`."""
        conductances, gains, offsets, mismatch, sigmas, sigma_of, normal, numbers = tensors
        return cls(conductances, gains, offsets, mismatch, sigmas, sigma_of, normal, numbers)

    def at(self, first: int) -> Chip:
        """The same, with the number of the position that comes next."""
        numbers = self.numbers.clone()
        numbers[NUMBERS.index("first")] = first
        return self._replace(numbers=numbers)

    def to(self, device: torch.device | str) -> Chip:
        """The same on a device; `numbers` stay on the CPU."""
        moved = {name: getattr(self, name).to(device) for name in self._fields[:7]}
        return self._replace(**moved)


def adcs_of(geometry: Geometry, groups: int, outputs: int, depth: int, columns_per_adc: int) -> int:
    """How many ADCs with errors of their own convert a layer's sums.

    Their number is (((s J + j) G + g) T + t) D + n / columns_per_adc, with D of them for the
    outputs of a slice in a tile.
    """
    each = len(geometry.signs) * geometry.slices * groups * geometry.tiles(depth)
    return each * ceil_div(outputs, columns_per_adc)


def packed_shape(
    geometry: Geometry, groups: int, outputs: int, depth: int
) -> tuple[int, int, int, int, int]:
    """Shape of packed conductances, (G, T, C, R, 64)."""
    columns = len(geometry.signs) * geometry.slices * outputs
    rows = min(geometry.rows, depth)
    return groups, geometry.tiles(depth), ceil_div(columns, COLUMNS), rows, COLUMNS


def packed(conductances: torch.Tensor, geometry: Geometry) -> torch.Tensor:
    """Conductances as kernels read them.

    Args:
        conductances: int16 (S, J, G, N, K), S conversions of a slice.
        geometry: of the layer.

    Returns:
        int16 (G, T, C, R, 64): tiles of R word-lines, blocks of 64 bit-lines. The bit-line of sign
        s, slice j and output n is (s J + j) N + n; what is beyond the last one, or the last
        word-line, is 0.
    """
    S, J, G, N, K = conductances.shape
    _, T, C, R, _ = packed_shape(geometry, G, N, K)
    lines = conductances.permute(2, 0, 1, 3, 4).reshape(G, S * J * N, K)
    missing = T * R - K, C * COLUMNS - S * J * N
    if any(missing):  # else nothing is copied twice: layers are large
        lines = F.pad(lines, (0, missing[0], 0, missing[1]))
    return lines.view(G, C, COLUMNS, T, R).permute(0, 3, 1, 4, 2).contiguous()


def unpacked(
    conductances: torch.Tensor, geometry: Geometry, outputs: int, depth: int
) -> torch.Tensor:
    """The inverse of `packed`: int16 (S, J, G, N, K)."""
    G, T, C, R, _ = conductances.shape
    S, J = len(geometry.signs), geometry.slices
    lines = conductances.permute(0, 2, 4, 1, 3).reshape(G, C * COLUMNS, T * R)
    lines = lines[:, : S * J * outputs, :depth].reshape(G, S, J, outputs, depth)
    return lines.permute(1, 2, 0, 3, 4).contiguous()


def digits_of(codes: torch.Tensor, geometry: Geometry) -> torch.Tensor:
    """What cells are to hold, by sign of a pair and slice, uint8 (signs or 1, J, G, N, K)."""
    values = encode(codes, geometry)
    places = bit_places(geometry.cell_widths)
    slices = [(values >> below & mask).to(torch.uint8) for below, mask in places]
    return torch.stack(slices, 1)


def ideal_chip(codes: torch.Tensor, geometry: Geometry) -> Chip:
    """A chip of ideal devices: every integer is that of a layer without a chip.

    Args:
        codes: weight codes less their centers, (G, N, K).
        geometry: of the layer.
    """
    digits = digits_of(codes, geometry).to(torch.int16) * STEP
    if geometry.signed:
        digits = digits[:1] - digits[1:]
    none = torch.empty(0, dtype=torch.int32, device=codes.device)
    return Chip(
        packed(digits, geometry),
        none,
        none,
        none.view(0, geometry.values),
        none.view(0, 0),
        none.to(torch.uint8),
        none.to(torch.int16).view(2, 0),
        torch.tensor([1, 0, 0, 0, 0, geometry.passes]),
    )


def check_chip(geometry: Geometry, chip: Chip, groups: int, outputs: int, depth: int) -> None:
    """Everything about a chip that the backends take for granted.

    Raises:
        ValueError: a wrong type, shape or number.
    """
    if chip.numbers.dtype != torch.int64 or chip.numbers.shape != (len(NUMBERS),):
        raise ValueError(f"chip.numbers must be int64 of {len(NUMBERS)}, not {chip.numbers!r}")
    numbers = dict(zip(NUMBERS, chip.numbers.tolist(), strict=True))
    columns, shift = numbers["columns_per_adc"], numbers["sigma_shift"]
    if columns < 1 or not 0 <= shift < 31 or numbers["passes"] not in (1, 2):
        raise ValueError(f"chip.numbers are out of range: {numbers}")
    adcs = adcs_of(geometry, groups, outputs, depth, columns)
    noise = chip.sigmas.numel() > 0
    rows, quantiles = geometry.rows + 1, (2, 1 << 16)
    packed_as = packed_shape(geometry, groups, outputs, depth)
    wanted: tuple[tuple[str, torch.dtype, tuple[int, ...], bool], ...] = (
        ("conductances", torch.int16, packed_as, True),
        ("gains", torch.int32, (adcs,), False),
        ("offsets", torch.int32, (adcs,), False),
        ("mismatch", torch.int32, (adcs, geometry.values), False),
        ("sigma_of", torch.uint8, (rows,), noise),
        ("normal", torch.int16, quantiles, noise),
    )
    for name, dtype, shape, needed in wanted:
        value = getattr(chip, name)
        if (value.numel() or needed) and (value.dtype != dtype or value.shape != shape):
            raise ValueError(
                f"chip.{name} must be {dtype} of shape {shape}, "
                f"not {value.dtype} of {tuple(value.shape)}"
            )
    if noise and (chip.sigmas.dtype != torch.int32 or chip.sigmas.dim() != 2):
        raise ValueError(f"chip.sigmas must be int32 (D, Q), not {tuple(chip.sigmas.shape)}")
    if noise and int(chip.sigma_of.max()) >= len(chip.sigmas):
        raise ValueError(f"chip.sigma_of must be below {len(chip.sigmas)}, the rows of sigmas")
