"""The CUDA kernel of chips without cells, emulated on the CPU, and on a device."""

from unittest import mock

import pytest
import torch
from chips import fits, odds_of
from hypothesis import given
from hypothesis import strategies as st
from problems import Kernels, assert_same, examples, problems

from reram_torch.crossbar.counting import no_counts
from reram_torch.crossbar.geometry import sizes
from reram_torch.native import cuda
from reram_torch.ops import reference

PROBLEMS = problems(most=12).filter(lambda p: not p.geometry.speculation and fits(p))


@pytest.fixture(scope="module")
def emulation(emulated):
    with mock.patch.object(cuda, "library", return_value=emulated.library):
        yield emulated


def check(p, odds, second_pass, device="cpu"):
    """Both functions against the reference."""
    g, (M, G, _), N = p.geometry, sizes(p.u), p.outputs
    if second_pass and M % 2 == 0:
        odds.numbers[-1] = 2
    u, on, tables = p.u.to(device), odds.to(device), p.tables.to(device)
    cells = Kernels(cuda).program(p.codes.to(device), g)
    bins = torch.zeros(len(p.tables.edges), g.phases, g.slices, g.values, dtype=torch.int64)
    bins = bins.to(device)
    cuda.odds_histogram(g, u, cells, on, tables.edges, N, bins)
    assert torch.equal(bins.cpu(), reference.histogram(p.u, p.codes, p.tables.edges, g, odds))
    expected = reference.crossbar(p.u, p.codes, p.tables, g, odds)
    for counted in (True, False):
        acc = torch.full((M, G, N), 77, dtype=torch.int32, device=device)
        counts = no_counts(g, torch.device(device))
        cuda.odds_crossbar(g, u, cells, on, tables, acc, counts if counted else None)
        found = (acc, *counts) if counted else (acc,)
        assert_same(found, expected[: len(found)])


@examples(20)
@given(PROBLEMS, st.booleans(), st.data())
def test_emulation_equals_reference(emulation, p, second_pass, data):
    check(p, data.draw(odds_of(p)), second_pass)


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@examples(100)
@given(PROBLEMS, st.booleans(), st.data())
def test_device_equals_reference(p, second_pass, data):
    check(p, data.draw(odds_of(p)), second_pass, "cuda")
