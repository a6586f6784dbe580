"""What follows from the comparisons made and the word-lines driven."""

import numpy as np
import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from problems import examples

import reram_torch as rt
from reram_torch.config.sections import ENCODINGS, INPUT_ENCODINGS
from reram_torch.crossbar.counting import conversions_of
from reram_torch.power.counts import LayerCounts


def counts_of(layer, x):
    """The counts of a layer with the ADCs in place."""
    with torch.no_grad():
        _, comparisons, driven = layer.on_crossbars(x, count=True)
    g, N, driven = layer.geometry, layer.outputs // layer.groups, driven.numpy()
    present = layer.encoded().present.numpy()
    made, skipped = conversions_of(g, layer.tables(), N, driven, present)
    return LayerCounts(
        g, layer.groups, N, layer.depth, present, made, comparisons.numpy(), skipped, driven
    )


@st.composite
def layers(draw):
    """A layer of any geometry and encoding, with ADCs that convert every sum, and an input."""
    bar = rt.CrossbarConfig(
        rows=draw(st.sampled_from([1, 5, 32, 100, 128, 200])),
        cell_bits=draw(st.integers(1, 4)),
        dac_bits=draw(st.integers(1, 4)),
    )
    assume(bar.largest_sum < 2**15)  # what an ADC of 16 bits converts, signed sums too
    weights = rt.WeightConfig(draw(st.integers(2, 8)), draw(st.sampled_from(ENCODINGS)))
    inputs = rt.InputConfig(draw(st.integers(2, 8)), draw(st.sampled_from(INPUT_ENCODINGS)))
    config = rt.Config(bar, weights, inputs)
    torch.manual_seed(draw(st.integers(0, 2**32 - 1)))
    groups = draw(st.sampled_from([1, 3]))
    layer = rt.ReRAMConv2d(groups * 4, groups * 2, 3, padding=1, groups=groups, config=config)
    layer.set_input_range(*draw(st.sampled_from([(0.0, 1.0), (-0.3, 0.7)])))
    x = torch.rand(draw(st.integers(0, 2)), layer.in_channels, 4, 5) - draw(
        st.sampled_from([0, 0.3])
    )
    return layer, x * (torch.rand(x.shape) < draw(st.sampled_from([0.0, 0.1, 1.0])))


@examples(40)
@given(layers())
def test_an_activity_sar_is_told_by_the_driven_word_lines(case):
    layer, x = case
    told = counts_of(layer, x).by_activity_sar()
    layer.set_adc([rt.ActivitySAR()])
    made = counts_of(layer, x)
    for name in ("conversions", "comparisons", "skipped", "driven"):
        assert np.array_equal(getattr(told, name), getattr(made, name)), name
        assert getattr(told, name).dtype == np.int64
    with rt.PowerMeter(layer) as meter:
        layer(x)
    [row] = meter.report().layers
    assert told.conversions.tolist() == list(map(list, row.conversions_by))
    assert told.comparisons.tolist() == list(map(list, row.comparisons_by))
    assert told.skipped.tolist() == list(map(list, row.skipped_by))


@examples(20)
@given(layers())
def test_positions_and_drives_follow_from_the_driven_word_lines(case):
    layer, x = case
    counts, g = counts_of(layer, x), layer.geometry
    assert counts.positions == len(x) * 4 * 5
    sums = g.sums(layer.depth, counts.positions, layer.outputs)
    assert counts.sums * g.slices == sums * int(layer.encoded().present.sum())
    tiles = -(-layer.depth // 128)  # the baseline applies 8 bits in one pass, whatever was applied
    assert counts.baseline_comparisons == counts.positions * layer.outputs * tiles * 64 * 8
    assert counts.array_cycles == counts.positions * counts.arrays * g.cycles * g.passes
    u = layer.codes(x)
    u = u.reshape(-1, layer.groups, layer.depth).long()
    for i in range(g.cycles):
        pulses = u >> i * g.dac_bits & 2**g.dac_bits - 1
        assert counts.drives[i] == int((pulses > 0).sum())


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_a_table_of_one_leaf_starts_no_conversion(encoding):
    """By slice and activity: it decodes every sum to one level, and nothing is compared."""
    config = rt.Config(rt.CrossbarConfig(rows=32), rt.WeightConfig(encoding=encoding))
    layer = rt.ReRAMLinear(70, 6, config=config)
    layer.set_input_range(0.0, 1.0)
    x = torch.rand(9, 70) * (torch.rand(9, 70) < 0.3)
    plain, leaf = rt.lossless_adc(layer.geometry), rt.SearchTree((0,), (1.5,), (0,))
    index = np.zeros((2, 8, 8), dtype=int)
    index[:, :, 5] = 1  # a slice that is never looked at
    index[0, 3] = 1  # a cycle whose tiles with few driven word-lines are not
    layer.set_adc([plain, leaf], edges=(0, 4), index=index)
    counts = counts_of(layer, x)
    few = counts.driven[:, :4].sum(1)
    signs = len(layer.geometry.signs)
    assert 0 < few[3] < 9 * 3
    assert not counts.conversions[:, 5].any()
    assert counts.conversions[3, 0] == 6 * signs * (9 * 3 - few[3])
    assert counts.conversions[2, 0] == 6 * signs * 9 * 3
    present = np.arange(8) < (8 if encoding == "offset" else 7)
    assert (counts.conversions + counts.skipped == 6 * signs * 9 * 3 * present).all()
    assert (counts.comparisons == plain.bits * counts.conversions).all()
    with rt.PowerMeter(layer) as meter:
        layer(x)
    total = meter.report().total
    assert total.conversions == counts.conversions.sum()
    assert total.events["sample_and_holds"] == total.conversions
    assert total.skipped == counts.skipped.sum()


def test_counts_of_an_earlier_version_are_refused():
    layer = rt.ReRAMLinear(7, 3)
    layer.set_input_range(0.0, 1.0)
    with rt.PowerMeter(layer) as meter:
        layer(torch.rand(2, 7))
    state = meter.state_dict()
    for row in state["layers"].values():
        row["counts"], row["drives"] = row.pop("comparisons"), row.pop("driven")
    with pytest.raises(RuntimeError, match="of an earlier version"):
        rt.PowerMeter(layer).load_state_dict(state)


def test_other_units_are_other_adcs():
    layer = rt.ReRAMLinear(7, 3)
    layer.set_input_range(0.0, 1.0)
    layer.set_adc([rt.SearchTree((0, 9), (1, 3), (1, 1))])
    with rt.PowerMeter(layer) as meter:
        layer(torch.rand(2, 7))
    state = meter.state_dict()
    layer.set_adc([rt.SearchTree((0, 9), (0.5, 1.5), (1, 1))])  # the same integers, in halves
    with pytest.raises(RuntimeError, match="other ADCs"):
        rt.PowerMeter(layer).load_state_dict(state)
