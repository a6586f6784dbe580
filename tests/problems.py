"""Crossbar problems for hypothesis: odd sizes, every encoding, every memory layout."""

import os
from dataclasses import dataclass, replace

import torch
from hypothesis import settings
from hypothesis import strategies as st

from reram_torch.crossbar import tables as tables_module
from reram_torch.crossbar.counting import no_counts
from reram_torch.crossbar.geometry import Geometry, sizes
from reram_torch.crossbar.tables import ESCAPE, AdcTables
from reram_torch.native import cpu
from reram_torch.native.structures import ISAS
from reram_torch.ops.arguments import ArrayArguments


def examples(count):
    """So many examples; a share of them where a build is slow (`make sanitize`)."""
    return settings(max_examples=max(3, count // int(os.environ.get("RERAM_TORCH_FEWER", "1"))))


def isas():
    best = ISAS.index(cpu.isa()) if cpu.available() else -1
    return ISAS[: best + 1]


def lossless_tables(g: Geometry) -> AdcTables:
    """Those of the package, counting eight comparisons for every sum."""
    tables = tables_module.lossless_tables(g)
    return tables._replace(comparisons=torch.full_like(tables.comparisons, 8))


def uniform(rows, cell_bits, dac_bits, weight_bits=8, input_bits=8, encoding=0, cols=128):
    """A geometry of cells and of cycles that are all of one width."""
    cells, pulses = -(-weight_bits // cell_bits), -(-input_bits // dac_bits)
    widths = (cell_bits,) * cells, (dac_bits,) * pulses
    return Geometry(rows, cols, *widths, weight_bits, input_bits, encoding)


class Kernels:
    """The functions of a native library, each making what it writes to."""

    def __init__(self, library):
        self.library = library

    def program(self, codes, g):
        shape = g.cells_shape(*codes.shape)
        cells = torch.empty(shape, dtype=torch.int64, device=codes.device)
        self.library.program(g, codes, cells)
        return cells

    def crossbar(self, u, cells, tables, outputs, g, count):
        (M, G, _), device = sizes(u), u.device
        acc = torch.full((M, G, outputs), 77, dtype=torch.int32, device=device)
        counts = no_counts(g, device)
        self.library.crossbar(g, u, cells, tables, acc, counts if count else None)
        return acc, *counts

    def histogram(self, u, cells, edges, outputs, g):
        shape = len(edges), g.phases, g.slices, g.values
        bins = torch.zeros(shape, dtype=torch.int64, device=u.device)
        self.library.histogram(g, u, cells, edges, outputs, bins)
        return bins


def operator_crossbar(u, cells, tables, outputs, g, count):
    """The operator, its arguments flattened."""
    arguments = ArrayArguments(cells, tables, g, outputs)
    return torch.ops.reram_torch.crossbar(u, *arguments.flatten(), count)


def assert_same(found, expected):
    """The same results of `crossbar`: sums, comparisons and driven word-lines."""
    for a, b in zip(found, expected, strict=True):
        assert torch.equal(a.cpu(), b)


@dataclass
class Problem:
    geometry: Geometry
    u: torch.Tensor
    codes: torch.Tensor
    tables: AdcTables

    @property
    def outputs(self):
        return self.codes.shape[1]

    def product(self):
        """sum_k u q by plain integer arithmetic, in the tables' unit, (M, G, N)."""
        u = self.u.long() & 2**self.geometry.input_bits - 1
        return self.tables.unit * torch.einsum("mgk,gnk->mgn", u, self.codes.long())


def _inputs(kind, shape, generator):
    u = torch.randint(0, 256, shape, dtype=torch.uint8, generator=generator)
    if kind == "sparse":
        u *= torch.rand(shape, generator=generator) < 0.2
    elif kind == "full":
        u[torch.rand(shape, generator=generator) < 0.99] = 255
    elif kind == "all":
        u.fill_(255)
    elif kind == "zero":
        u.zero_()
    return u


def _layout(kind, u):
    """The same values behind another arrangement in memory."""
    if kind == "transposed":
        return u.permute(2, 0, 1).contiguous().permute(1, 2, 0)
    if kind == "strided":
        wide = u.new_full((*u.shape[:2], 2 * u.shape[2] + 3), 77)
        wide[..., 3::2] = u
        return wide[..., 3::2]
    if kind == "offset":
        padded = u.new_full((u.shape[0] + 2, u.shape[1], u.shape[2] + 1), 99)
        padded[1:-1, :, 1:] = u
        return padded[1:-1, :, 1:]
    return u


def _tables(kind, count, geometry, unit, generator):
    lowest, highest = geometry.lowest, geometry.highest
    sums = torch.arange(lowest, highest + 1, dtype=torch.int32).repeat(count, 1)
    lossless, shape = unit * sums, sums.shape
    comparisons = torch.randint(0, 256, shape, dtype=torch.uint8, generator=generator)
    if kind == "lossless":
        return lossless, comparisons
    if kind == "even":  # of a plain ADC with a step of 2, half a unit below it but for zero
        code = (sums + 1) // 2
        comparisons[0] = 0  # a table that starts nothing
        return unit * 2 * code - (unit - 1) * (code != 0).int(), comparisons
    if kind == "extremes":  # as far apart as a byte holds, everywhere
        high = torch.randint(0, 2, shape, dtype=torch.int32, generator=generator)
        return 255 * high - 1000, torch.full_like(comparisons, 255)
    reach = {"coarse": 40, "wide": 3000}[kind]
    levels = torch.randint(-reach, reach, shape, dtype=torch.int32, generator=generator)
    return levels, comparisons


@st.composite
def widths(draw, bits):
    """How so many bits are shared out, the least significant first; the last may have too many."""
    if draw(st.booleans()):
        width = draw(st.integers(1, 4))
        return (width,) * -(-bits // width)
    found = []
    while sum(found) < bits:
        found.append(draw(st.integers(1, 4)))
    return tuple(found)


@st.composite
def _choices_of_tables(draw, count, geometry, buckets, whole):
    """Edges of activity buckets, and which table serves each bucket, cycle and slice, if any."""
    later = []
    if buckets == "many":
        later = [1, 3, 5, 9, 13, 17, 25, 33, 49, 65, 97]
    elif buckets and draw(st.booleans()):
        later = draw(st.lists(st.integers(1, geometry.rows + 1), max_size=4, unique=True))
        if draw(st.booleans()) and 1 not in later:
            later.append(1)
    edges = torch.tensor([0, *sorted(later)], dtype=torch.int32)
    shape = (len(edges), geometry.phases, geometry.slices)
    seed = draw(st.integers(0, 2**32 - 1))
    generator = torch.Generator().manual_seed(seed)
    index = torch.randint(0, count, shape, dtype=torch.int32, generator=generator)
    if 1 in later:  # nothing driven, nothing converted, in some cycles and slices
        skipped = torch.rand(shape[1:], generator=generator) < 0.5
        index[0][skipped] = -1
    if not whole and draw(st.integers(0, 4)) == 0:  # of slices that do not exist
        index[:, :, torch.rand(shape[2], generator=generator) < 0.4] = -1
    return edges, index


@st.composite
def problems(
    draw,
    most=60,
    tables=("lossless", "coarse", "wide", "extremes", "even"),
    one_bit=None,
    outputs=None,
    buckets=True,
    encodings=(0, 1, 2),
):
    """Sizes M, K and N up to `most`, or M from 65 and N to `outputs`; mostly one-bit cells and
    DACs; activity buckets: none, any, or the `many` of practice; levels whole or in halves."""
    one_bit = draw(st.integers(0, 3)) > 0 if one_bit is None else one_bit
    weight_bits = draw(st.sampled_from([8, 8, 8, 1, 2, 5]))
    input_bits = draw(st.sampled_from([8, 8, 8, 1, 3, 4]))
    geometry = Geometry(
        rows=draw(st.sampled_from([1, 5, 63, 64, 65, 127, 128, 128, 128, 129, 200])),
        cols=128,
        cell_widths=(1,) * weight_bits if one_bit else draw(widths(weight_bits)),
        dac_widths=(1,) * input_bits if one_bit else draw(widths(input_bits)),
        weight_bits=weight_bits,
        input_bits=input_bits,
        encoding=draw(st.sampled_from(encodings)),
    )
    if geometry.dac_bits > 1 and draw(st.booleans()):
        geometry = replace(geometry, speculation=True)
    size = st.integers(1, most)
    G = draw(st.integers(1, 3))
    if outputs is None:
        M, K, N = draw(size), draw(size), draw(size)
    else:
        M, N = draw(st.integers(65, most)), draw(st.integers(1, outputs))
        K = draw(st.integers(1, min(most, 3 * geometry.rows)))  # the reference goes tile by tile
    generator = torch.Generator().manual_seed(draw(st.integers(0, 2**32 - 1)))
    u = _inputs(
        draw(st.sampled_from(["dense", "sparse", "full", "all", "zero"])), (M, G, K), generator
    )
    u = _layout(draw(st.sampled_from(["plain", "transposed", "strided", "offset"])), u)
    half = 2 ** (geometry.weight_bits - 1)
    codes = torch.randint(-half, half, (G, N, K), dtype=torch.int8, generator=generator)
    if draw(st.integers(0, 5)) == 0:
        codes.fill_(draw(st.sampled_from([-half, half - 1, 0])))
    count = draw(st.sampled_from([1, geometry.slices, 5]))
    unit = draw(st.sampled_from([1, 2]))
    kind = draw(st.sampled_from(tables))
    levels, made = _tables(kind, count, geometry, unit, generator)
    edges, index = draw(_choices_of_tables(count, geometry, buckets, kind == "lossless"))
    if geometry.speculation:  # half of the tables of cycles that can be recovered escape
        out = torch.rand(levels.shape, generator=generator) < draw(st.sampled_from([0.1, 0.7, 1.0]))
        levels = torch.cat([levels, levels.where(~out, ESCAPE)])
        made = torch.cat([made, made])
        for i in filter(geometry.recovered_bits, range(geometry.cycles)):
            other = torch.rand(index[:, i].shape, generator=generator) < 0.5
            index[:, i] += count * (other & (index[:, i] >= 0)).int()
    table = AdcTables(levels, made, edges, index, unit)
    return Problem(geometry, u, codes, table)
