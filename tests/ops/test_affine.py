"""Tables that decode every sum that can be to itself: products of codes, counts from activity."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from problems import (
    Kernels,
    Problem,
    assert_same,
    examples,
    isas,
    lossless_tables,
    problems,
    uniform,
)

from reram_torch.crossbar.cells import program
from reram_torch.crossbar.tables import AdcTables
from reram_torch.native import cpu
from reram_torch.ops import reference

pytestmark = pytest.mark.skipif(not cpu.available(), reason="the native library is not built")


def assert_right(p: Problem):
    """Equal to the reference, and to the plain product, with counts and without."""
    g, cells = p.geometry, program(p.codes, p.geometry)
    expected = reference.crossbar(p.u, p.codes, p.tables, g)
    assert_same(Kernels(cpu).crossbar(p.u, cells, p.tables, p.outputs, g, True), expected)
    uncounted, *_ = Kernels(cpu).crossbar(p.u, cells, p.tables, p.outputs, g, False)
    assert torch.equal(uncounted, expected[0])
    return expected[0]


@pytest.mark.parametrize("isa", isas())
@pytest.mark.parametrize("one_bit", [True, False])
def test_comparisons_that_depend_on_activity_alone(isa, one_bit, monkeypatch):
    """Each table makes as many for every sum, as plain SARs do, activity's own among them."""
    monkeypatch.setenv("RERAM_TORCH_ISA", isa)

    @examples(30)
    @given(problems(most=75, tables=("lossless",), one_bit=one_bit), st.integers(0, 9))
    def check(p, first):
        made = torch.arange(first, first + len(p.tables.levels), dtype=torch.uint8)
        made = made.view(-1, 1).expand_as(p.tables.levels).contiguous()
        p.tables = p.tables._replace(comparisons=made)
        assert torch.equal(assert_right(p).long(), p.product())

    check()


def ragged(encoding: int, rows: int = 128) -> Problem:
    """Word-lines and bit-lines that fill neither tiles nor blocks; a table for each bucket."""
    generator = torch.Generator().manual_seed(encoding)
    g = uniform(rows, 1, 1, encoding=encoding)
    u = torch.randint(0, 256, (67, 2, 149), dtype=torch.uint8, generator=generator)
    u[:30] *= torch.rand(u[:30].shape, generator=generator) < 0.2
    u[1], u[2] = 255, 0
    codes = torch.randint(-128, 128, (2, 70, 149), dtype=torch.int8, generator=generator)
    codes[:, 0], codes[:, 1] = -128, 127
    edges = torch.tensor([0, 1, 16, 40, 200], dtype=torch.int32)
    levels = lossless_tables(g).levels.repeat(len(edges), 1)
    made = torch.arange(len(edges), dtype=torch.uint8).view(-1, 1).expand_as(levels).contiguous()
    index = torch.arange(len(edges), dtype=torch.int32).view(-1, 1, 1).expand(-1, 8, 8).contiguous()
    index[0] = -1
    return Problem(g, u, codes, AdcTables(levels, made, edges, index))


@pytest.mark.parametrize("isa", isas())
@pytest.mark.parametrize("encoding", [0, 1, 2])
@pytest.mark.parametrize("unit", [1, 2])
def test_levels_beyond_reach_do_not_matter(isa, encoding, unit, monkeypatch):
    """Nor do comparisons there; within reach one level, or one count, makes all the difference."""
    monkeypatch.setenv("RERAM_TORCH_ISA", isa)
    p = ragged(encoding)
    p.tables.levels.mul_(unit)
    p.tables = p.tables._replace(unit=unit)
    zero = -p.geometry.lowest
    p.tables.levels[1, zero + 16 :] = -5  # of the bucket from 1 to 15
    p.tables.comparisons[1, zero + 16 :] = 9
    p.tables.levels[4] = 77  # of more word-lines than there are
    assert torch.equal(assert_right(p).long(), p.product())
    p.tables.comparisons[1, zero + 15] = 7
    assert torch.equal(assert_right(p).long(), p.product())
    side = 1 if encoding != 1 else -1
    p.tables.levels[1, zero + side] += 1
    assert not torch.equal(assert_right(p).long(), p.product())


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_driven_word_lines_are_counted_once(threads):
    """Where bit-lines are divided among threads: few positions, many of them."""
    generator = torch.Generator().manual_seed(0)
    g = uniform(128, 1, 1)
    u = torch.randint(0, 256, (9, 1, 300), dtype=torch.uint8, generator=generator)
    codes = torch.randint(-128, 128, (1, 2050, 300), dtype=torch.int8, generator=generator)
    tables, cells = lossless_tables(g), program(codes, g)
    expected = reference.crossbar(u, codes, tables, g)
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(threads)
        assert_same(Kernels(cpu).crossbar(u, cells, tables, 2050, g, True), expected)
    finally:
        torch.set_num_threads(before)
