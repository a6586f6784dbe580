"""Cells hold the codes that were programmed."""

import torch
from hypothesis import given
from problems import examples, problems

from reram_torch.crossbar.cells import program, read_back


@examples(50)
@given(problems(most=90))
def test_cells_hold_the_codes(p):
    cells = program(p.codes, p.geometry)
    shape = p.geometry.cells_shape(p.codes.shape[0], p.outputs, p.codes.shape[2])
    assert tuple(cells.shape) == shape
    read = read_back(cells, p.geometry, p.outputs, p.codes.shape[2])
    assert torch.equal(read, p.codes.to(read.dtype))
