"""Segments; ADCs without bits; levels of sums that can be negative."""

import json

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import reram_torch as rt
from reram_torch.adc import Intervals, Segmented, TwinRange, UniformSAR
from reram_torch.adc.base import compile_tables, design_from_dict, design_to_dict
from reram_torch.config.sections import ENCODINGS

HALVES = Segmented((0, 8, 16), (1, 2, 4), (3, 2, 1), (1, 2, 2), aligned=True)


def saved_and_loaded(layer):
    again = type(layer)(layer.in_features, layer.out_features, config=layer.config)
    again.load_state_dict(layer.state_dict())
    return again


# --- segments ---


def test_segments_decode_as_intervals_do():
    """Of as many sums as levels: each width is 2^bits * step."""
    plain = Intervals(HALVES.starts, HALVES.steps, HALVES.bits, HALVES.depths)
    for low, high in ((0, 23), (-24, 23)):
        found, wanted = (compile_tables(design, low, high) for design in (HALVES, plain))
        assert np.array_equal(found.level, wanted.level)
        assert np.array_equal(found.comparisons, wanted.comparisons)
    levels = compile_tables(HALVES, 0, 23).level
    assert levels.tolist() == [*range(8), *np.repeat([8.5, 10.5, 12.5, 14.5], 2),
                               *np.repeat([17.5, 21.5], 4)]  # fmt: skip
    assert compile_tables(HALVES, 0, 23).comparisons.tolist() == [4] * 8 + [4] * 8 + [3] * 8


def test_words_and_controllers():
    assert HALVES.words(0, 128) == (2 + 3, 8 + 12)
    level_between = Segmented((0, 1, 8), (1, 1, 2), (0, 0, 3), (1, 2, 2))
    assert level_between.words(0, 128).number == 2 + 1  # levels are part of their nodes
    assert Segmented((0,), (1,), (0,), (0,)).words(0, 128).number == 1
    assert HALVES.controller == "segmented_aligned"
    assert level_between.controller == "segmented"


@pytest.mark.parametrize(
    ("starts", "steps", "bits", "message"),
    [
        ((0, 4), (1, 1), (2, 3), "the range from 4 is not aligned to its width, 8"),
        ((0, 6), (1, 4), (0, 1), "the range from 6 is not aligned to its width, 8"),
        ((-3, 4), (1, 1), (1, 2), "the range from -3 is not aligned to its width, 2"),
    ],
)
def test_ranges_that_are_not_aligned_are_refused(starts, steps, bits, message):
    with pytest.raises(ValueError, match=message):
        Segmented(starts, steps, bits, (1, 1), aligned=True)
    Segmented(starts, steps, bits, (1, 1))
    Segmented(starts, steps, (0, 0), (1, 1), aligned=True)  # levels alone may lie anywhere
    with pytest.raises(ValueError, match="Segmented.aligned must be true or false, not 1"):
        Segmented(aligned=1)


@pytest.mark.parametrize(
    "design",
    [
        HALVES,
        Segmented((-8, 0, 1), (2, 1, 2), (2, 0, 2), (2, 2, 1), (0.5, 0, 0.5)),
        UniformSAR(0, 4),
    ],
)
def test_round_trips(design, tmp_path):
    assert design_from_dict(design_to_dict(design)) == design
    assert design_from_dict(json.loads(json.dumps(design_to_dict(design)))) == design
    rt.Config(adc=design).save(tmp_path / "mine.toml")
    assert rt.load_config(tmp_path / "mine.toml").adc == design
    layer = rt.ReRAMLinear(20, 3, config=rt.Config(weights=rt.WeightConfig(4, "differential")))
    layer.set_input_range(0.0, 1.0)
    layer.set_adc([design])
    again, x = saved_and_loaded(layer), torch.rand(4, 20)
    assert again.adc == (design,)
    assert torch.equal(again(x), layer(x))


# --- no bits ---


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("step", [1, 4])
def test_without_bits_nothing_starts(encoding, step):
    config = rt.Config(rt.CrossbarConfig(rows=32), rt.WeightConfig(4, encoding))
    layer = rt.ReRAMLinear(40, 5, bias=False, config=config)
    layer.set_input_range(0.0, 1.0)
    layer.set_adc([UniformSAR(0, step)])
    x, g = torch.rand(3, 40), layer.geometry
    with rt.PowerMeter(layer) as meter:
        y = layer(x)
    total = meter.report().total
    assert total.conversions == total.comparisons == total.events["sample_and_holds"] == 0
    slices = int(layer.encoded().present.sum())
    assert total.skipped == 3 * 5 * 2 * g.cycles * slices * len(g.signs)
    assert total.adc_energy_pj == total.adc_parts_pj["tables"]
    # Sums that can be negative are taken for 0; others for the middle of the first ones.
    level = 0 if g.signed else (step - 1) / 2
    layer.set_adc([rt.SearchTree((0,), (level,), (0,))])
    assert torch.equal(layer(x), y)
    if encoding != "offset" and (g.signed or level == 0):
        assert not y.any()


# --- levels of both signs ---


@given(st.integers(2, 9), st.sampled_from([1, 2, 4, 8, 16]))
def test_levels_of_sums_of_both_signs_are_symmetric(bits, step):
    """Sums within the levels, all alike likely, keep their mean: half units do not add up."""
    most = (2 ** (bits - 1) - 1) * step + step // 2 - (step % 2 == 0)
    level = compile_tables(UniformSAR(bits, step), -most, most).level
    values = np.arange(-most, most + 1)
    assert np.array_equal(level, -level[::-1])
    assert (level - values).sum() == 0
    assert np.abs(level - values).max() <= step / 2
    for code in set(level[level > 0]):  # each code's level is the middle of its sums
        assert code == pytest.approx(values[level == code].mean())


def test_a_twin_range_of_sums_of_both_signs_is_symmetric_outside():
    level = compile_tables(TwinRange(bias=-4, n1=3, n2=6, step=1, m=3), -128, 128).level
    values = np.arange(-128, 129)
    assert np.array_equal(level[np.abs(values) < 4], values[np.abs(values) < 4])
    outside = (np.abs(values) > 4) & (np.abs(values) <= 120)
    assert (level - values)[outside].sum() == 0
