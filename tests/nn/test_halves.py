"""Layers whose levels count in halves."""

import pytest
import torch

import reram_torch as rt
from reram_torch.config.sections import ENCODINGS


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("step", [2, 4])
def test_rounding_has_no_mean_error(step, encoding):
    """A level lies in the middle of its sums: their errors do not add up in a result.

    But that of code 0, which of signed sums holds one more below zero than above.
    """
    torch.manual_seed(0)
    x = torch.rand(400, 150)
    layer = rt.ReRAMLinear(150, 20, config=rt.Config(weights=rt.WeightConfig(encoding=encoding)))
    layer.set_input_range(0.0, 1.0)
    layer.set_adc([rt.UniformSAR(9, step)])
    assert layer.tables().unit == 2
    with torch.no_grad():
        found = layer(x).double()
        layer.set_adc([rt.lossless_adc(layer.geometry)])
        error = found - layer(x).double()
    scale = layer.encoded().scale.double() * layer.input_scale.scale
    error = error / scale  # in units of the shift-add
    assert error.abs().max() > 100
    if encoding != "differential":
        assert error.mean().abs() < 0.1 * error.square().mean().sqrt()
    half_a_unit = 0.5 * float(layer.geometry.significances().sum()) * 2  # in all of two tiles
    assert error.mean().abs() < 0.25 * half_a_unit


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("depth", [40, 5000])
def test_halves_are_undone_exactly(depth, encoding, dtype):
    """The same levels, counted in halves, give the same floats; also by way of `crossbar`."""
    layer = rt.ReRAMLinear(
        depth, 3, config=rt.Config(weights=rt.WeightConfig(encoding=encoding)), dtype=dtype
    )
    layer.set_input_range(-0.2, 1.0)
    x = torch.rand(4, depth, dtype=dtype) - 0.2
    exact = layer.lossless_tables()
    halves = exact._replace(levels=2 * exact.levels, unit=2)
    whole, *_ = layer.simulate(x, exact)
    found, *_ = layer.simulate(x, halves)
    assert torch.equal(found, whole)
