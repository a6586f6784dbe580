"""ADCs as look-up tables: shapes, checks, and what their shift-add can reach."""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

import numpy as np
import torch

from reram_torch.adc.uniform import UniformSAR
from reram_torch.crossbar.geometry import Geometry

ESCAPE = -(2**31)  # a level: too large, to be recovered


class AdcTables(NamedTuple):
    """The ADCs of a layer as look-up tables, and which of them converts what.

    Attributes:
        levels: decoded level by table and bit-line sum (from `geometry.lowest`), in units of
            1 / `unit`, int32 (n, V); `ESCAPE`: the sum is recovered.
        comparisons: A/D operations, uint8 (n, V).
        edges: fewest driven word-lines of each activity bucket, rising from 0, int32 (B,).
        index: which table converts, by activity bucket, cycle and slice, int32 (B, I + R, J): with
            speculation, after the cycles those of recoveries by input bit. -1:
            nothing is converted, the level is 0, as where no word-line is driven, or where no cell
            of a slice holds anything.
        unit: 1, or 2 where levels count in halves.
    """

    levels: torch.Tensor
    comparisons: torch.Tensor
    edges: torch.Tensor
    index: torch.Tensor  # type: ignore[assignment]  # hides tuple.index, which nobody asks for
    unit: int = 1

    @property
    def tensors(self) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
        """All but the unit, in order."""
        return self.levels, self.comparisons, self.edges, self.index

    def to(self, device: torch.device | str) -> AdcTables:
        """The same on a device."""
        levels, comparisons, edges, index = (t.to(device) for t in self.tensors)
        return AdcTables(levels, comparisons, edges, index, self.unit)

    def of_slices(self, present: torch.Tensor) -> AdcTables:
        """The same without tables for slices that do not exist; `present`: bool (J,)."""
        return self._replace(index=torch.where(present, self.index, -1))

    @classmethod
    def of_levels(
        cls, levels: np.ndarray, comparisons: np.ndarray, edges: np.ndarray, index: np.ndarray
    ) -> AdcTables:
        """From levels in the coarsest unit that holds them all.

        They are multiples of 1/2, or infinite where a sum is recovered.
        """
        there = np.isfinite(levels)
        unit = 1 if (levels[there] == np.rint(levels[there])).all() else 2
        scaled = np.where(there, levels * unit, ESCAPE)
        return cls(
            torch.from_numpy(scaled.astype(np.int32)),
            torch.from_numpy(comparisons),
            torch.from_numpy(edges),
            torch.from_numpy(index),
            unit,
        )


def check_table_shapes(geometry: Geometry, tables: AdcTables) -> None:
    """Raises ValueError if a table has a wrong type or shape, or the unit is neither 1 nor 2."""
    if tables.unit not in (1, 2):
        raise ValueError(f"unit must be 1 or 2, not {tables.unit!r}")
    wanted = _table_shapes(geometry, tables.levels.shape[0], tables.edges.shape[0])
    for (name, dtype, shape), value in zip(wanted, tables.tensors, strict=True):
        if value.dtype != dtype or value.shape != shape:
            raise ValueError(
                f"{name} must be {dtype} of shape {shape}, "
                f"not {value.dtype} of {tuple(value.shape)}"
            )


@cache
def _table_shapes(
    geometry: Geometry, n: int, buckets: int
) -> tuple[tuple[str, torch.dtype, tuple[int, ...]], ...]:
    values = geometry.values
    return (
        ("levels", torch.int32, (n, values)),
        ("comparisons", torch.uint8, (n, values)),
        ("edges", torch.int32, (buckets,)),
        ("index", torch.int32, (buckets, geometry.phases, geometry.slices)),
    )


def check_tables(geometry: Geometry, tables: AdcTables, *, skips: bool = True) -> None:
    """Everything about tables that the backends take for granted.

    Args:
        geometry: of the layer.
        tables: of its ADCs.
        skips: -1 may stand anywhere, not only in a bucket of no driven word-line.

    Raises:
        ValueError: a wrong type, shape or unit, edges that do not rise from 0, or an index out of
            range.
    """
    check_table_shapes(geometry, tables)
    n, B = len(tables.levels), len(tables.edges)
    edges = tables.edges.tolist()
    if not edges or edges[0] != 0 or edges != sorted(set(edges)) or B > 255:
        raise ValueError(f"edges must rise from 0, 255 at most, not {edges}")
    idle = -1 if skips or (B > 1 and edges[1] == 1) else 0
    rest = -1 if skips else 0
    index = tables.index
    if int(index.max()) >= n or int(index[0].min()) < idle or bool((index[1:] < rest).any()):
        raise ValueError(
            f"index must be from 0 to {n - 1}, or -1 in a bucket of no driven word-line"
        )
    escapes = torch.cat([(tables.levels == ESCAPE).any(1), tables.levels.new_zeros(1) > 0])
    final = [i for i in range(geometry.cycles) if not geometry.recovered_bits(i)]
    final += range(geometry.cycles, geometry.phases)
    if bool(escapes.any()) and bool(escapes[index[:, final].long()].any()):
        raise ValueError(
            "a table escapes whose sums nothing recovers: only cycles of several bits are, and "
            "with crossbar.speculation"
        )


def check_accumulator(
    geometry: Geometry, depth: int, tables: AdcTables, *, ideal: bool = True
) -> None:
    """Refuses tables whose shift-add could leave 32 bits.

    Args:
        geometry: of the layer.
        depth: K.
        tables: of the layer.
        ideal: devices are; others may bring any bit-line to any sum of the tables.

    Raises:
        ValueError: some input could overflow the accumulator.
    """
    low, high, escapes = _spans(geometry, tables, ideal)  # (I + R, J)
    weight, least, most = geometry.significances(low.device), 0, 0
    for sign in geometry.signs:
        a, b = (sign * weight * low, sign * weight * high)
        smallest, largest = torch.minimum(a, b), torch.maximum(a, b)
        for i in range(geometry.cycles):
            bits = [geometry.cycles + bit for bit in geometry.recovered_bits(i)]
            recovered = smallest[bits].sum(0), largest[bits].sum(0)
            least += int(smallest[i].minimum(recovered[0].where(escapes[i], smallest[i])).sum())
            most += int(largest[i].maximum(recovered[1].where(escapes[i], largest[i])).sum())
    tiles = geometry.tiles(depth)
    if geometry.centered:  # what is added for the centers
        added = (
            tables.unit
            * depth
            * (2**geometry.input_bits - 1)
            * (2 ** (geometry.weight_bits - 1) - 1)
        )
        least, most = least - -(-added // tiles), most + -(-added // tiles)
    if geometry.signed_inputs:  # what the second pass adds up to is subtracted
        least, most = least - most, most - least
    largest = depth * (2**geometry.input_bits - 1) * 2 ** (geometry.weight_bits - 1)
    offset = tables.unit * largest
    least = least * tiles - (offset if geometry.offset else 0)
    most = most * tiles + (offset if geometry.offset and geometry.signed_inputs else 0)
    if least < -(2**31) or most >= 2**31:
        raise ValueError(
            f"a reduction over {depth} inputs could overflow the 32-bit accumulator "
            f"({least} to {most}); split the layer, use fewer bits, or skip it"
        )


def _spans(
    geometry: Geometry, tables: AdcTables, ideal: bool
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Smallest and largest level, int64, and whether any sum escapes, by phase and slice.

    Only sums that a phase and slice can have count: on devices that are not ideal all.
    """
    g, zero = geometry, -geometry.lowest
    most = torch.from_numpy(g.largest_sums(g.rows)).to(tables.levels.device)
    if not ideal:
        most = most.clamp(min=g.highest)
    reach = most.clamp(max=g.highest).expand(tables.index.shape)
    out = tables.levels == ESCAPE
    at = tables.index.long().clamp(min=0), reach

    def within(values: torch.Tensor) -> torch.Tensor:
        """The largest of each table's values up to a distance from the sum 0."""
        above = values[:, zero:].cummax(1).values[at]
        if not zero:
            return above
        return above.maximum(values[:, : zero + 1].flip(1).cummax(1).values[at])

    there = tables.index >= 0
    high = within(tables.levels)  # escapes are below all
    low = -within((-tables.levels.long()).where(~out, ESCAPE))
    some = (high > ESCAPE) & there  # anything but escapes
    escapes = (within(out.int()) > 0) & there | (most > g.highest)
    if not ideal:
        recoverable = [bool(g.recovered_bits(i)) for i in range(g.cycles)] + [False] * g.recoveries
        escapes |= torch.tensor(recoverable, device=escapes.device).view(-1, 1)
    return (
        low.where(some, 0).long().amin(0),
        high.where(some, 0).long().amax(0),
        escapes.any(0),
    )


def lossless_adc(geometry: Geometry) -> UniformSAR:
    """The smallest plain ADC that converts every bit-line sum of a geometry exactly."""
    if geometry.lowest < 0:
        return UniformSAR(bits=geometry.highest.bit_length() + 1)
    return UniformSAR(bits=geometry.highest.bit_length())


def plain_adc(geometry: Geometry) -> UniformSAR:
    """The ADC where a configuration names none: ISAAC's 8 bits, or more if the sums need more.

    Arrays that need fewer keep the 8 bits: nothing is saved against the baseline until somebody
    says so.
    """
    baseline, needed = UniformSAR(), lossless_adc(geometry)
    return needed if needed.bits > baseline.bits else baseline


def lossless_tables(geometry: Geometry, device: torch.device | None = None) -> AdcTables:
    """Tables that convert every bit-line sum to itself, and count nothing."""
    g = geometry
    levels = torch.arange(g.lowest, g.highest + 1, dtype=torch.int32, device=device)[None]
    one = torch.zeros(1, dtype=torch.int32, device=device)
    made = torch.zeros_like(levels, dtype=torch.uint8)
    return AdcTables(levels, made, one, one.expand(1, g.phases, g.slices))
