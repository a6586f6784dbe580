"""The CUDA kernel of chips, emulated thread by thread on the CPU, and on a device."""

from unittest import mock

import pytest
import torch
from chips import chip_problems
from hypothesis import given
from hypothesis import strategies as st
from problems import assert_same, examples

from reram_torch.crossbar.counting import no_counts
from reram_torch.crossbar.geometry import sizes
from reram_torch.native import cuda
from reram_torch.ops import reference


@pytest.fixture(scope="module")
def emulation(emulated):
    with mock.patch.object(cuda, "library", return_value=emulated.library):
        yield emulated


def check(drawn, second_pass, device="cpu"):
    """Both functions against the reference."""
    p, g, chip = drawn.problem, drawn.problem.geometry, drawn.chip
    (M, G, _), N = sizes(p.u), p.outputs
    if second_pass and M % 2 == 0:
        chip.numbers[5] = 2
    u, on, tables = p.u.to(device), chip.to(device), p.tables.to(device)
    bins = torch.zeros(len(p.tables.edges), g.phases, g.slices, g.values, dtype=torch.int64)
    bins = bins.to(device)
    cuda.chip_histogram(g, u, on, tables.edges, N, bins)
    assert torch.equal(bins.cpu(), reference.histogram(p.u, p.codes, p.tables.edges, g, chip))
    expected = reference.crossbar(p.u, p.codes, p.tables, g, chip)
    for counted in (True, False):
        acc = torch.full((M, G, N), 77, dtype=torch.int32, device=device)
        counts = no_counts(g, torch.device(device))
        cuda.chip_crossbar(g, u, on, tables, acc, counts if counted else None)
        found = (acc, *counts) if counted else (acc,)
        assert_same(found, expected[: len(found)])


@examples(20)
@given(chip_problems(), st.booleans())
def test_emulation_equals_reference(emulation, drawn, second_pass):
    check(drawn, second_pass)


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@examples(100)
@given(chip_problems(), st.booleans())
def test_device_equals_reference(drawn, second_pass):
    check(drawn, second_pass, "cuda")
