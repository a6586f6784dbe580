"""Chips: the C library against the reference, and against itself."""

import pytest
import torch
from chips import ChipProblem, chip_problems, fits
from hypothesis import given
from hypothesis import strategies as st
from problems import Problem, assert_same, examples, isas, problems

from reram_torch.crossbar.chips import ideal_chip, packed, unpacked
from reram_torch.crossbar.counting import no_counts
from reram_torch.crossbar.geometry import sizes
from reram_torch.native import cpu
from reram_torch.ops import reference

pytestmark = pytest.mark.skipif(not cpu.available(), reason="the native library is not built")


def crossbar(p: Problem, chip, isa, count=True, threads=1):
    (M, G, _), g = sizes(p.u), p.geometry
    acc = torch.full((M, G, p.outputs), 77, dtype=torch.int32)
    counts = no_counts(g, torch.device("cpu"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RERAM_TORCH_ISA", isa)
        patch.setattr(torch, "get_num_threads", lambda: threads)
        cpu.chip_crossbar(g, p.u, chip, p.tables, acc, counts if count else None)
    return acc, *counts


def histogram(p: Problem, chip, isa, threads=1):
    g, edges = p.geometry, p.tables.edges
    bins = torch.zeros(len(edges), g.phases, g.slices, g.values, dtype=torch.int64)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RERAM_TORCH_ISA", isa)
        patch.setattr(torch, "get_num_threads", lambda: threads)
        cpu.chip_histogram(g, p.u, chip, edges, p.outputs, bins)
    return bins


def assert_agree(p: Problem, chip):
    expected = reference.crossbar(p.u, p.codes, p.tables, p.geometry, chip)
    for isa in isas():
        assert_same(crossbar(p, chip, isa), expected)
        assert torch.equal(crossbar(p, chip, isa, count=False)[0], expected[0])


@st.composite
def of_conductances(draw, **given):
    """A chip with ideal ADCs and no noise, whose conductances are right, near, or anything."""
    p = draw(problems(**given).filter(fits))
    generator = torch.Generator().manual_seed(draw(st.integers(0, 2**32)))
    g, (_, N, K) = p.geometry, p.codes.shape
    chip = ideal_chip(p.codes, g)
    stored = unpacked(chip.conductances, g, N, K).long()
    spread = draw(st.sampled_from([0.1, 0.1, 0.1, 3.0, 60.0]))
    stored += (256 * spread * torch.randn(stored.shape, generator=generator)).long()
    if draw(st.integers(0, 5)) == 0:
        stored.fill_(draw(st.sampled_from([-32767, 32767, 255, 256])))
    stored = stored.clamp(-32768, 32767).to(torch.int16)
    return ChipProblem(p, chip._replace(conductances=packed(stored, g)))


@given(chip_problems())
@examples(60)
def test_chips_agree_with_the_reference(p):
    assert_agree(p.problem, p.chip)


@given(of_conductances(most=150) | of_conductances(most=150, one_bit=True, buckets="many"))
@examples(80)
def test_conductances_agree_with_the_reference(p):
    assert_agree(p.problem, p.chip)
