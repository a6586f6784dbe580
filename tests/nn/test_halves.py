"""Layers whose levels count in halves."""

from dataclasses import dataclass
from typing import ClassVar

import pytest
import torch

import reram_torch as rt
from reram_torch.config.sections import ENCODINGS
from reram_torch.crossbar.tables import check_accumulator, check_tables, lossless_tables


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


def test_half_levels_are_saved_loaded_and_configured(tmp_path):
    tree = rt.SearchTree((0, 2, 6), (0, 3.5, 7), (1, 2, 2))
    runs = rt.Intervals((0, 4), (2, 8), (1, 2), (1, 1))
    layer, again = rt.ReRAMLinear(20, 3), rt.ReRAMLinear(20, 3)
    layer.set_input_range(0.0, 1.0)
    layer.set_adc([tree, runs] * 4)
    torch.save(layer.state_dict(), tmp_path / "layer.pt")
    again.load_state_dict(torch.load(tmp_path / "layer.pt", weights_only=True))
    assert again.adc == layer.adc
    assert again.tables().unit == 2
    x = torch.rand(5, 20)
    assert torch.equal(again(x), layer(x))
    for adc in (tree, runs):
        rt.Config(adc=adc).save(tmp_path / "mine.toml")
        assert rt.load_config(tmp_path / "mine.toml").adc == adc


def test_other_fractions_are_refused():
    @dataclass(frozen=True)
    class Thirds(rt.AdcDesign):
        kind: ClassVar[str] = "thirds"

        def tree(self, lowest, highest):
            del lowest, highest
            return rt.Leaf(1 / 3)

    with pytest.raises(ValueError, match="levels of .*Thirds.* must be multiples of 1/2"):
        rt.ReRAMLinear(20, 3).set_adc([Thirds()])


@pytest.mark.parametrize("unit", [0, 3])
def test_other_units_are_refused(unit):
    layer = rt.ReRAMLinear(20, 3)
    with pytest.raises(ValueError, match=f"unit must be 1 or 2, not {unit}"):
        check_tables(layer.geometry, layer.tables()._replace(unit=unit))


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_halves_fill_the_accumulator_twice_as_fast(encoding):
    geometry = rt.ReRAMLinear(
        20, 3, config=rt.Config(weights=rt.WeightConfig(encoding=encoding))
    ).geometry
    whole = lossless_tables(geometry)
    halves = whole._replace(levels=2 * whole.levels, unit=2)
    for depth in (128 * 100, 128 * 120):
        check_accumulator(geometry, depth, halves)
    for depth, tables in ((128 * 300, whole), (128 * 150, halves)):
        with pytest.raises(ValueError, match="could overflow"):
            check_accumulator(geometry, depth, tables)
    check_accumulator(geometry, 128 * 240, whole)
