"""Chips without cells: the C library against the reference, and against itself."""

from dataclasses import replace

import pytest
import torch
from chips import fits, odds_of
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

from reram_torch.crossbar.counting import no_counts
from reram_torch.crossbar.geometry import sizes
from reram_torch.crossbar.windows import Window
from reram_torch.native import cpu
from reram_torch.ops import reference

pytestmark = pytest.mark.skipif(not cpu.available(), reason="the native library is not built")


def crossbar(p: Problem, odds, isa, count=True, threads=1):
    (M, G, _), g = sizes(p.u), p.geometry
    acc = torch.full((M, G, p.outputs), 77, dtype=torch.int32)
    counts = no_counts(g, torch.device("cpu"))
    cells = Kernels(cpu).program(p.codes, g)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RERAM_TORCH_ISA", isa)
        patch.setattr(torch, "get_num_threads", lambda: threads)
        cpu.odds_crossbar(g, p.u, cells, odds, p.tables, acc, counts if count else None)
    return acc, *counts


def histogram(p: Problem, odds, isa, threads=1):
    g, edges = p.geometry, p.tables.edges
    bins = torch.zeros(len(edges), g.phases, g.slices, g.values, dtype=torch.int64)
    cells = Kernels(cpu).program(p.codes, g)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RERAM_TORCH_ISA", isa)
        patch.setattr(torch, "get_num_threads", lambda: threads)
        cpu.odds_histogram(g, p.u, cells, odds, edges, p.outputs, bins)
    return bins


def assert_agree(p: Problem, odds, names=None):
    expected = reference.crossbar(p.u, p.codes, p.tables, p.geometry, odds)
    bins = reference.histogram(p.u, p.codes, p.tables.edges, p.geometry, odds)
    for isa in names or isas():
        assert_same(crossbar(p, odds, isa), expected)
        assert torch.equal(crossbar(p, odds, isa, count=False)[0], expected[0])
        assert torch.equal(histogram(p, odds, isa), bins)


def served(p: Problem):
    return not p.geometry.speculation and fits(p)


@given(
    problems(most=12).filter(served) | problems(most=12, one_bit=True, buckets="many").filter(fits),
    st.booleans(),
    st.data(),
)
@examples(60)
def test_odds_agree_with_the_reference(p, second_pass, data):
    odds = data.draw(odds_of(p))
    if second_pass and len(p.u) % 2 == 0:  # the errors of two passes differ
        odds.numbers[-1] = 2
    assert_agree(p, odds)


@given(problems(most=130, outputs=3, one_bit=True).filter(fits), st.data())
@examples(4)
def test_narrow_layers_agree_with_the_reference(p, data):
    """Those whose ideal path exchanges positions and bit-lines."""
    assert_agree(p, data.draw(odds_of(p)))


@given(st.data())
@examples(7)
def test_windows_are_read_in_place(data):
    """Overlapping windows, where N crosses blocks of bit-lines."""
    two = st.tuples(st.integers(1, 3), st.integers(1, 3))
    kernel, stride, dilation = data.draw(two), data.draw(two), data.draw(two)
    groups, channels, N = (data.draw(st.integers(1, most)) for most in (3, 8, 80))
    u = torch.randint(0, 256, (1, groups * channels, 5, 7), dtype=torch.uint8)
    if data.draw(st.booleans()):
        u = u.contiguous(memory_format=torch.channels_last)
    view = Window(kernel, stride, (1, 2), dilation, groups).over(u, 5)
    cell_bits = data.draw(st.integers(1, 2))
    g = uniform(30, cell_bits, data.draw(st.integers(1, 2)), encoding=data.draw(st.integers(0, 2)))
    codes = torch.randint(-128, 128, (groups, N, sizes(view)[2]), dtype=torch.int8)
    p = Problem(g, view, codes, lossless_tables(g))
    assert_agree(p, data.draw(odds_of(replace(p, u=view.reshape(sizes(view))))), isas()[-1:])


@given(st.data())
@examples(4)
def test_threads_change_nothing(data):
    """Enough work for two, whose bit-lines the ideal path would divide."""
    g = uniform(128, 1, 1, encoding=data.draw(st.integers(0, 2)))
    M = data.draw(st.sampled_from([2, 250]))
    u = torch.randint(0, 256, (M, 2, 140), dtype=torch.uint8)
    u *= torch.rand(u.shape) < 0.3
    codes = torch.randint(-128, 128, (2, 16900 // M, 140), dtype=torch.int8)
    p = Problem(g, u, codes, lossless_tables(g))
    odds, isa = data.draw(odds_of(p)), isas()[-1]
    ideal = crossbar(p, odds._replace(hazards=torch.zeros_like(odds.hazards)), isa)
    found = crossbar(p, odds, isa)
    assert not int(odds.hazards[:, odds.row_of.long()].max()) or not torch.equal(ideal[0], found[0])
    assert_same(crossbar(p, odds, isa, threads=2), found)
    assert torch.equal(histogram(p, odds, isa, threads=2), histogram(p, odds, isa))
