"""Chips: the C library against the reference, and against itself."""

from dataclasses import replace

import pytest
import torch
from chips import ChipProblem, chip_problems, chips, fits
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
from reram_torch.crossbar.chips import ideal_chip, packed, unpacked
from reram_torch.crossbar.counting import no_counts
from reram_torch.crossbar.geometry import sizes
from reram_torch.crossbar.normals import normal_table
from reram_torch.crossbar.windows import Window
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


@given(chip_problems(), st.booleans())
@examples(14)
def test_chips_agree_with_the_reference(p, second_pass):
    if second_pass and len(p.problem.u) % 2 == 0:  # the noise of two passes differs
        p.chip.numbers[5] = 2
    assert_agree(p.problem, p.chip)
    expected = reference.histogram(
        p.problem.u, p.problem.codes, p.problem.tables.edges, p.problem.geometry, p.chip
    )
    for isa in isas():
        assert torch.equal(histogram(p.problem, p.chip, isa), expected)


@given(of_conductances(most=90) | of_conductances(most=90, one_bit=True, buckets="many"))
@examples(40)
def test_conductances_agree_with_the_reference(p):
    assert_agree(p.problem, p.chip)


@pytest.mark.parametrize("rows", [255, 1500, 4096])
@pytest.mark.parametrize(("cell_bits", "dac_bits"), [(1, 1), (3, 2), (4, 4)])
def test_tall_arrays_and_large_sums(rows, cell_bits, dac_bits):
    """Conductances that are as large as they can be, of one sign in some columns."""
    g = uniform(rows, cell_bits, dac_bits, encoding=1)
    u = torch.randint(0, 256, (3, 1, rows + 70), dtype=torch.uint8)
    u[2] = 255
    codes = torch.randint(-128, 128, (1, 5, rows + 70), dtype=torch.int8)
    chip = ideal_chip(codes, g)
    stored = unpacked(chip.conductances, g, 5, rows + 70)
    stored[..., 0, :], stored[..., 1, :], stored[..., 2, ::2] = 32767, -32768, 32767
    p = Problem(g, u, codes, lossless_tables(g))
    assert_agree(p, chip._replace(conductances=packed(stored, g)))


@given(chip_problems())
@examples(15)
def test_ideal_chips_are_what_they_are_without_devices(p):
    chip, problem = ideal_chip(p.problem.codes, p.problem.geometry), p.problem
    cells = program(problem.codes, problem.geometry)
    expected = Kernels(cpu).crossbar(
        problem.u, cells, problem.tables, problem.outputs, problem.geometry, True
    )
    for isa in isas():
        assert_same(crossbar(problem, chip, isa), expected)


@given(st.data())
@examples(7)
def test_windows_are_read_in_place(data):
    """Overlapping windows, where N crosses blocks of columns."""
    two = st.tuples(st.integers(1, 3), st.integers(1, 3))
    kernel, stride, dilation = data.draw(two), data.draw(two), data.draw(two)
    groups, channels, N = (data.draw(st.integers(1, most)) for most in (3, 20, 80))
    u = torch.randint(0, 256, (2, groups * channels, 8, 11), dtype=torch.uint8)
    if data.draw(st.booleans()):
        u = u.contiguous(memory_format=torch.channels_last)
    view = Window(kernel, stride, (1, 2), dilation, groups).over(u, 5)
    g = uniform(30, data.draw(st.integers(1, 2)), 1, encoding=data.draw(st.integers(0, 2)))
    codes = torch.randint(-128, 128, (groups, N, sizes(view)[2]), dtype=torch.int8)
    p = Problem(g, view, codes, lossless_tables(g))
    chip = data.draw(chips(replace(p, u=view.reshape(sizes(view)))))
    assert_same(crossbar(p, chip, isas()[-1]), reference.crossbar(view, codes, p.tables, g, chip))
    expected = reference.histogram(view, codes, p.tables.edges, g, chip)
    assert torch.equal(histogram(p, chip, isas()[-1]), expected)


@pytest.mark.parametrize(
    ("sigma", "cell_sigma"), [(300, 0.0), (900, 0.0), (900, 25.0), (1400, 0.0), (4000, 0.0)]
)
def test_noise_that_changes_little_of_what_is_read(sigma, cell_sigma):
    """From none to many of the columns of a block, by the numbers of the normal law."""
    g = uniform(64, 1, 1, encoding=1)
    generator = torch.Generator().manual_seed(sigma)
    u = torch.randint(0, 256, (30, 1, 70), dtype=torch.uint8, generator=generator)
    codes = torch.randint(-128, 128, (1, 37, 70), dtype=torch.int8, generator=generator)
    p, chip = Problem(g, u, codes, lossless_tables(g)), ideal_chip(codes, g)
    stored = unpacked(chip.conductances, g, 37, 70).float()
    stored += cell_sigma * torch.randn(stored.shape, generator=generator)
    rising = torch.linspace(0.2, 1.0, 16)[None] * sigma
    chip = chip._replace(
        conductances=packed(stored.round().to(torch.int16), g),
        sigmas=rising.to(torch.int32),
        sigma_of=torch.zeros(g.rows + 1, dtype=torch.uint8),
        normal=normal_table(),
    )
    assert_agree(p, chip)
    changed = reference.crossbar(u, codes, p.tables, g, chip)[0] != reference.crossbar(
        u, codes, p.tables, g, chip._replace(sigmas=torch.zeros_like(chip.sigmas))
    )[0]  # fmt: skip
    assert changed.any() or sigma == 300


@pytest.mark.parametrize("isa", isas())
@pytest.mark.parametrize("encoding", [0, 1, 2])
def test_threads_change_nothing(isa, encoding):
    """Enough work for two; all parts of a chip, or conductances alone."""
    g = uniform(128, 1, 1, encoding=encoding)
    u = torch.randint(0, 256, (250, 2, 140), dtype=torch.uint8)
    u *= torch.rand(u.shape) < 0.3
    codes = torch.randint(-128, 128, (2, 65, 140), dtype=torch.int8)
    p = Problem(g, u, codes, lossless_tables(g))
    chip = ideal_chip(codes, g)
    noisy = chip._replace(
        sigmas=torch.full((1, 1), 4000, dtype=torch.int32),
        sigma_of=torch.zeros(g.rows + 1, dtype=torch.uint8),
        normal=torch.randint(-9000, 9000, (2, 65536), dtype=torch.int16),
    )
    for each in (chip, noisy):
        assert_same(crossbar(p, each, isa, threads=2), crossbar(p, each, isa))
        assert torch.equal(histogram(p, each, isa, threads=2), histogram(p, each, isa))
