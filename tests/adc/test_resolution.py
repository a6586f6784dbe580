"""The window of an ADC, and the bits that it asks for."""

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import reram_torch as rt
from reram_torch.adc.resolution import Window, window_of
from reram_torch.adc.trees import compiled, visited


@given(st.integers(1, 9), st.integers(0, 4), st.booleans())
def test_a_uniform_search_asks_for_its_bits(bits, shift, signed):
    most = 1 << (bits + shift)
    window = window_of([rt.UniformSAR(bits, 1 << shift)], -most * signed, most)
    assert window.bits == bits


@st.composite
def designs(draw):
    """Of the kinds that tell tables and thresholds faster than their trees."""
    starts = sorted(draw(st.sets(st.integers(-300, 300), min_size=3, max_size=3)))
    offsets = tuple(draw(st.integers(-9, 9)) / 2 for _ in starts)
    steps = tuple(1 << draw(st.integers(0, 4)) for _ in starts)
    bits = tuple(draw(st.integers(0, 6)) for _ in starts)
    return draw(st.sampled_from([
        rt.UniformSAR(bits[0], steps[0]),
        rt.SearchTree(tuple(starts), (-1, 0.5, 7), (1, 2, 2)),
        rt.Intervals(tuple(starts), steps, bits, (2, 2, 1), offsets),
        rt.Segmented(tuple(starts), steps, bits, (1, 2, 2)),
    ]))  # fmt: skip


@given(designs(), st.integers(1, 300), st.booleans())
def test_what_is_told_fast_is_what_the_tree_says(design, highest, signed):
    lowest = -highest * signed
    tree = design.tree(lowest, highest)
    assert {*design.thresholds(lowest, highest)} == {*visited(tree, lowest, highest)}
    told, expected = design.tables(lowest, highest), compiled(tree, lowest, highest)
    assert np.array_equal(told.level, expected.level)
    assert np.array_equal(told.comparisons, expected.comparisons)
    assert told.comparisons.dtype == expected.comparisons.dtype


def by_grids(thresholds):
    """Bits of the coarsest grid that holds thresholds, rounded up or away from zero."""
    found = []
    for step in range(1, 200):
        upwards = {t % step for t in thresholds}
        sizes = {t % step for t in thresholds if t > 0} | {(t - 1) % step for t in thresholds
                                                           if t <= 0}  # fmt: skip
        if len(upwards) == 1 or len(sizes) == 1:
            levels = -(-(max(thresholds) - min(thresholds)) // step) + 2
            found.append(int(np.ceil(np.log2(levels))))
    return min(found)


@given(st.sets(st.integers(-60, 60), min_size=1, max_size=6))
def test_bits_are_those_of_the_coarsest_grid(thresholds):
    starts = sorted(thresholds)
    n = len(starts)
    chain = rt.SearchTree((-64, *starts), tuple(range(n + 1)), (*range(1, n + 1), n))
    window = window_of([chain], -64, 64)
    assert (window.first, window.last) == (starts[0], starts[-1])
    assert window.bits == by_grids(starts)


def rand(*shape):
    return torch.rand(*shape, generator=torch.Generator().manual_seed(0))


def test_searches_of_one_adc_share_a_window():
    fine, coarse = rt.UniformSAR(3), rt.UniformSAR(3, 8)
    each = [window_of([d], 0, 127) for d in (fine, coarse)]
    assert each == [Window(1, 7, 1), Window(4, 52, 8)]
    both = window_of([fine, coarse, fine], 0, 127)
    assert both == Window(1, 52, 1)
    assert both.bits == 6
    assert window_of([rt.UniformSAR(0), rt.SearchTree()], 0, 127) is None
    assert window_of([rt.SpeculativeSAR(7)], -7680, 7680).bits == 7


@pytest.mark.parametrize("bits", range(1, 9))
def test_a_report_names_the_resolution_and_charges_it(bits):
    layer = rt.ReRAMLinear(100, 4, config=rt.Config(adc=rt.UniformSAR(bits)))
    layer.set_input_range(0.0, 1.0)
    with rt.PowerMeter(layer) as meter:
        layer(rand(3, 100))
    prices = rt.load_technology("isaac").adc.bit_cycle
    total = meter.report("isaac").total
    assert total.resolution == bits
    each = total.adc_parts_pj["resolution"] / total.conversions
    assert each == pytest.approx(max(0.00041 * 2**bits, 1.45e-7 * 4**bits))
    assert prices.finer_pj(12) == pytest.approx(1.45e-7 * 4**12)  # noise takes more by then
    assert prices.finer_pj(0) == 0


def test_wider_dacs_cost_twice_as_much_for_each_bit():
    found = []
    for bits, speculation in itertools.product((1, 2, 4), (False, True)):
        crossbar = rt.CrossbarConfig(rows=64, dac_bits=bits, speculation=speculation and bits > 1)
        adc = rt.SpeculativeSAR(3) if crossbar.speculation else rt.UniformSAR(8)
        layer = rt.ReRAMLinear(64, 4, config=rt.Config(crossbar, adc=adc))
        layer.set_input_range(0.0, 1.0)
        with rt.PowerMeter(layer) as meter:
            layer(rand(5, 64))
        [row] = meter.report("isaac").layers
        drives = np.array(row.word_line_drives_by)
        cycles = 8 // bits
        expected = drives[:cycles].sum() * 2 ** (bits - 1) + drives[cycles:].sum()
        assert row.events["dac_units"] == expected
        assert row.component_pj["dac"] == pytest.approx(expected * 48 * 100 / 12288)
        found.append(row.area_mm2)
    assert all(area is None for area in found)  # of 64 rows
