"""Cycles that drive given numbers of word-lines: each way of adding up is met at its ends."""

import pytest
import torch
from problems import Kernels, assert_same, isas, lossless_tables, uniform

from reram_torch.crossbar.cells import program
from reram_torch.crossbar.tables import AdcTables
from reram_torch.native import cpu
from reram_torch.ops import reference

pytestmark = pytest.mark.skipif(not cpu.available(), reason="the native library is not built")

# Where sums outgrow a nibble, tables of 16, 32, 48, 64 and 128 values, and a second word.
DRIVEN = (0, 1, 4, 15, 16, 30, 31, 32, 45, 47, 48, 60, 63, 64, 65, 90, 127, 128, 129, 200)


def inputs(driven, rows, generator):
    """(M, 1, rows): for each number a position that drives as many in every cycle, and others that
    drive as many in some cycle only."""
    u = torch.zeros(2 * len(driven), 1, rows, dtype=torch.uint8)
    for k, n in enumerate(driven):
        lines = torch.randperm(rows, generator=generator)[:n]
        u[2 * k, 0, lines] = 255
        u[2 * k + 1, 0, lines] = 1 << k % 8
        u[2 * k + 1, 0, :3] |= 0b10100101
    return u


def weights(outputs, rows, encoding, generator):
    """Random codes; the first bit-lines join every word-line in all or in some slices."""
    codes = torch.randint(-128, 128, (1, outputs, rows), dtype=torch.int8, generator=generator)
    full = -1 if encoding == 0 else 127
    for n, code in enumerate((full, -128 if encoding == 0 else -127, 85)):
        codes[0, n] = code
    return codes


def tables(g, kind, generator):
    """Tables by slice and bucket: `one_leaf` are single levels in the lower slices."""
    edges = torch.tensor([0, 1, 16, 17, 32, 50, 130], dtype=torch.int32)
    base, shape = lossless_tables(g), (len(edges), g.cycles, g.slices)
    levels = base.levels * 2 if kind == "halves" else base.levels
    levels = levels.repeat(3 * g.slices, 1)
    made = torch.randint(0, 12, levels.shape, dtype=torch.uint8, generator=generator)
    if kind == "rough":
        levels = levels // 5 * 5 + torch.randint(0, 3, levels.shape, generator=generator).int()
    index = torch.randint(0, len(levels), shape, dtype=torch.int32, generator=generator)
    if kind.startswith("one_leaf"):
        few = int(kind[-1])  # slices, of buckets that alternate between one more and one less
        for b in range(len(edges)):
            for j in range(min(g.slices, max(0, few + (-1) ** b))):
                table = int(index[b, 0, j])
                levels[table], made[table] = 7 * j - b, 0
                index[b, :, j] = table
        index[1, :, : g.slices - 1] = index[1, 0, 0]  # all alike but one
    index[0] = -1 if kind == "one_leaf4" else index[0]
    return AdcTables(levels, made, edges, index, 2 if kind == "halves" else 1)


@pytest.mark.parametrize("isa", isas())
@pytest.mark.parametrize("encoding", [0, 1, 2])
@pytest.mark.parametrize("outputs", [64, 131])
@pytest.mark.parametrize(
    "kind", ["lossless", "halves", "rough", "one_leaf2", "one_leaf4", "one_leaf6", "one_leaf9"]
)
def test_every_number_of_driven_word_lines(isa, encoding, outputs, kind, monkeypatch):
    monkeypatch.setenv("RERAM_TORCH_ISA", isa)
    generator = torch.Generator().manual_seed(outputs + encoding)
    rows = 200
    g = uniform(rows, 1, 1, encoding=encoding)
    u = inputs(DRIVEN, rows, generator)
    codes = weights(outputs, rows, encoding, generator)
    table, cells = tables(g, kind, generator), program(codes, g)
    expected = reference.crossbar(u, codes, table, g)
    assert_same(Kernels(cpu).crossbar(u, cells, table, outputs, g, True), expected)
    uncounted, *_ = Kernels(cpu).crossbar(u, cells, table, outputs, g, False)
    assert torch.equal(uncounted, expected[0])


@pytest.mark.parametrize("isa", isas())
@pytest.mark.parametrize("positions", [1, 5, 6, 7, 64, 65, 130])
@pytest.mark.parametrize("most", [1, 9, 255])
def test_comparisons_outgrow_a_byte(isa, positions, most, monkeypatch):
    """All bit-lines make as many as they can, in whole blocks and in one that is not."""
    monkeypatch.setenv("RERAM_TORCH_ISA", isa)
    g = uniform(128, 1, 1)
    generator = torch.Generator().manual_seed(positions)
    u = torch.randint(0, 256, (positions, 1, 150), dtype=torch.uint8, generator=generator)
    u *= torch.rand(u.shape, generator=generator) < 0.2
    codes = torch.randint(-128, 128, (1, 129, 150), dtype=torch.int8, generator=generator)
    table = lossless_tables(g)
    table = table._replace(comparisons=torch.full_like(table.comparisons, most))
    found = Kernels(cpu).crossbar(u, program(codes, g), table, 129, g, True)
    assert_same(found, reference.crossbar(u, codes, table, g))
