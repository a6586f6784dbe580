"""The ADCs' energy by its parts, each against a count by hand; words and bytes of tables."""

import dataclasses
import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from problems import examples

import reram_torch as rt
from reram_torch.adc import Segmented
from reram_torch.adc.storage import directory_entries, table_bytes
from reram_torch.config.sections import ENCODINGS
from reram_torch.power.counts import EVENTS

TREES = (rt.SearchTree((0, 1, 2), (0, 1, 2.5), (1, 2, 2)), rt.SearchTree((0, 3), (1, 5), (1, 1)))
LEAF = rt.SearchTree((0,), (0,), (0,))


def metered(net, x, **options):
    with torch.no_grad(), rt.PowerMeter(net) as meter:
        net(x)
    return meter.report(**options)


def by_activity(encoding="offset", designs=(*TREES, LEAF), **options):
    """A small layer in three tiles, whose tables go by bucket, cycle and slice; its input."""
    config = rt.Config(
        rt.CrossbarConfig(rows=16), rt.WeightConfig(4, encoding), rt.InputConfig(3), **options
    )
    layer = rt.ReRAMLinear(40, 7, config=config)
    layer.set_input_range(0.0, 1.0)
    g = layer.geometry
    index = torch.randint(0, len(designs), (3, g.cycles, g.slices)).numpy()
    index[0] = -1
    layer.set_adc(designs, edges=(0, 1, 5), index=index)
    return layer, torch.rand(6, 40) * (torch.rand(6, 40) < 0.3)


# --- parts ---


@examples(15)
@given(st.sampled_from(ENCODINGS), st.integers(0, 2**32 - 1), st.sampled_from([1, 5, 8, 128]))
def test_words_are_loaded_once_for_what_an_array_converts_alike(encoding, seed, columns):
    """Position by position, tile by tile, cycle by cycle, array by array, slice by slice.

    However many ADCs an array has: they convert a slice's bit-lines side by side.
    """
    torch.manual_seed(seed)
    layer, x = by_activity(encoding)
    isaac = rt.load_technology("isaac")
    array = dataclasses.replace(isaac.array, columns_per_adc=columns)
    tables = dataclasses.replace(isaac.adc.tables, latched_bytes=0)
    technology = dataclasses.replace(
        isaac, array=array, adc=dataclasses.replace(isaac.adc, tables=tables)
    )
    g, index = layer.geometry, layer.tables().index
    number = [d.words(g.lowest, g.highest).number if len(d.starts) > 1 else 0 for d in layer.adc]
    across = -(-7 * g.slices * g.bit_lines // g.cols)  # arrays side by side
    exist = int((index >= 0).any(0).any(0).sum())  # slices
    words = counted = looked = 0
    for row in layer.codes(x)[:, 0].tolist():
        for first in range(0, 40, 16):
            for i in range(g.cycles):
                driven = sum(u >> i & 1 for u in row[first : first + 16])
                bucket = (driven >= 1) + (driven >= 5)
                counted += across
                looked += across * exist
                for j in range(g.slices) if bucket else ():
                    words += across * number[int(index[bucket, i, j])]
    [layer_row] = metered(layer, x, technology=technology).layers
    assert layer_row.words_loaded == words
    logic, adcs = isaac.adc.controllers, -(-g.cols // columns)
    stored = [d.words(g.lowest, g.highest) for d in layer.adc]
    written = logic.write_bit_pj * stored[0].bits + logic.write_pj * max(w.number for w in stored)
    spent = words * (tables.word_pj + logic.load_pj + adcs * written)
    spent += looked * (tables.word_pj + logic.lookup_pj)
    assert layer_row.adc_parts_pj["words"] == pytest.approx(spent)
    activity = counted * logic.activity_pj * g.rows / 128
    assert layer_row.adc_parts_pj["activity_unit"] == pytest.approx(activity)
    assert layer_row.words_per_conversion == words / layer_row.conversions
    latched = dataclasses.replace(tables, latched_bytes=layer_row.table_bytes)
    technology = dataclasses.replace(technology, adc=dataclasses.replace(isaac.adc, tables=latched))
    assert metered(layer, x, technology=technology).total.words_loaded == 0


def test_parts_are_events_times_prices():
    layer, x = by_activity(designs=(*TREES, rt.UniformSAR(3), LEAF))
    isaac = rt.load_technology("isaac")
    tables = dataclasses.replace(isaac.adc.tables, latched_bytes=0)
    adc = dataclasses.replace(isaac.adc, tables=tables)
    [row] = metered(layer, x, technology=dataclasses.replace(isaac, adc=adc)).layers
    made, started, logic = row.comparisons, row.conversions, adc.controllers
    assert 0 < started < 6 * 7 * 3 * 3 * 4
    dearest = max(logic.clock_pj[kind] for kind in ("search_tree", "uniform"))
    cycles = 6 * 3  # one position after another; arrays take longer than these few conversions
    adcs = 3  # one for each tile: 28 bit-lines
    ns = cycles * 100 * 1e-6
    leak = row.table_bytes * adcs * adc.tables.leakage_nw_per_byte * ns
    g = layer.geometry
    stored = max(d.words(g.lowest, g.highest) for d in layer.adc)
    codes = max(d.thresholds(g.lowest, g.highest)[-1] for d in TREES)
    bits = (max(codes, 8) - 1).bit_length()
    clock = dearest - logic.included_pj + logic.doubling_pj * math.log2(stored.number)
    clock *= 1 + logic.bit_share * (bits - 8)
    held = logic.leakage_nw["search_tree"] - logic.leakage_nw["plain"]
    held += logic.bit_leakage_nw * stored.number * stored.bits
    beside = logic.activity_leakage_nw * g.rows / 128 + logic.loader_leakage_nw
    written = logic.write_bit_pj * stored.bits + logic.write_pj * stored.number
    looked = 6 * 3 * 3 * g.slices * (adc.tables.word_pj + logic.lookup_pj)
    assert row.adc_parts_pj == pytest.approx({
        "comparisons": made * adc.bit_cycle.comparison_pj,
        "conversions": started * adc.bit_cycle.conversion_pj,
        "resolution": started * adc.bit_cycle.resolution_pj * 2**row.resolution,
        "controllers": (made + started) * clock + adcs * (held + beside) * ns,
        "activity_unit": 6 * 3 * 3 * logic.activity_pj * g.rows / 128,
        "words": row.words_loaded * (adc.tables.word_pj + logic.load_pj + written) + looked,
        "tables": leak,
    })  # fmt: skip
    assert row.adc_energy_pj == sum(row.adc_parts_pj.values())


def test_a_plain_sar_has_no_tables_and_its_controller_is_priced():
    layer, x = by_activity()
    layer.set_adc([rt.lossless_adc(layer.geometry)])
    [row] = metered(layer, x).layers
    assert (row.table_bytes, row.words_loaded) == (0, 0)
    besides = ("controllers", "activity_unit", "words", "tables")
    assert [row.adc_parts_pj[name] for name in besides] == [0.0] * 4
    layer.set_adc([rt.ActivitySAR()])
    [row] = metered(layer, x).layers
    assert (row.table_bytes, row.words_loaded) == (0, 0)
    assert row.adc_parts_pj["activity_unit"] > 0
    layer.set_adc([LEAF])  # converts nothing
    [row] = metered(layer, x).layers
    assert row.conversions == row.comparisons == row.depth == 0
    assert row.adc_parts_pj["controllers"] == row.adc_parts_pj["words"] == 0
    assert row.reduction == float("inf")


def test_aligned_segments_have_a_lighter_controller():
    layer, x = by_activity()
    found = {}
    for aligned in (False, True):
        layer.set_adc([Segmented((0, 8), (1, 1), (3, 3), (1, 1), aligned=aligned)])
        found[aligned] = metered(layer, x).total
    logic = rt.load_technology("isaac").adc.controllers
    clocks = found[False].comparisons + found[False].conversions
    shorter = 1 + logic.bit_share * (4 - 8)  # codes up to 14
    saved = clocks * shorter * (logic.clock_pj["segmented"] - logic.clock_pj["segmented_aligned"])
    leaks = logic.leakage_nw["segmented"] - logic.leakage_nw["segmented_aligned"]
    saved += leaks * 3 * 6 * 3 * 100 * 1e-6  # three arrays, for the cycles of six positions
    assert found[False].comparisons == found[True].comparisons
    assert found[False].adc_energy_pj - found[True].adc_energy_pj == pytest.approx(saved)


def test_what_a_technology_has_no_section_of_costs_nothing():
    layer, x = by_activity()
    isaac = rt.load_technology("isaac")
    bare = dataclasses.replace(
        isaac, adc=dataclasses.replace(isaac.adc, controllers=None, tables=None)
    )
    whole, total = metered(layer, x).total, metered(layer, x, technology=bare).total
    assert set(total.adc_parts_pj) == {"comparisons", "conversions", "resolution"}
    assert {k: whole.adc_parts_pj[k] for k in total.adc_parts_pj} == total.adc_parts_pj
    assert total.comparisons == whole.comparisons
    assert rt.Technology.from_dict(bare.to_dict()) == bare
    [given_only] = metered(layer, x, technology=bare).assumptions[:1]
    assert given_only.adc_energy_pj == total.adc_energy_pj


# --- totals ---


@pytest.mark.parametrize("adc_model", ["bit_cycle", "sar"])
def test_every_figure_of_a_total_is_that_of_its_layers(calibrated, adc_model):
    rt.design_adc(
        calibrated, "search_tree", granularity="slice+activity", reduction=4.0, grid=16,
        show_progress=False,
    )  # fmt: skip
    with torch.no_grad(), rt.PowerMeter(calibrated, histograms=True) as meter:
        calibrated(torch.rand(2, 1, 32, 32))
    report = meter.report(adc_model=adc_model)
    total, rows = report.total, report.layers
    for name in ("skipped", "baseline_comparisons", "arrays", "macs", "table_bytes",
                 "words_loaded"):  # fmt: skip
        assert getattr(total, name) == sum(getattr(r, name) for r in rows) > 0
    assert total.events == {e: sum(r.events[e] for r in rows) for e in EVENTS}
    assert total.depth == max(r.depth for r in rows)
    for table in ("component_pj", "adc_parts_pj"):
        names = getattr(total, table)
        assert {frozenset(getattr(r, table)) for r in rows} == {frozenset(names)}
        sums = {n: sum(getattr(r, table)[n] for r in rows) for n in names}
        assert names == pytest.approx(sums)
    for row in (*rows, total, report.plain_sar, report.activity_sar):
        assert row.adc_energy_pj == pytest.approx(sum(row.adc_parts_pj.values()))
        assert min(row.adc_parts_pj.values()) >= 0
    for name in ("plain_sar", "activity_sar"):
        rival, whole = getattr(total, name), getattr(report, name)
        for figure in ("comparisons", "conversions", "adc_energy_pj", "energy_pj"):
            parts = sum(getattr(getattr(r, name), figure) for r in rows)
            assert getattr(rival, figure) == pytest.approx(parts)
            assert getattr(rival, figure) == pytest.approx(getattr(whole, figure))
            less = getattr(whole, figure) / getattr(total, figure)
            assert total.times_less(figure, name) == pytest.approx(less)


# --- bytes ---


def index_of(slices, buckets=1, cycles=8):
    """An index by slice, alike in all cycles and buckets."""
    return np.broadcast_to(np.array(slices), (buckets, cycles, len(slices))).copy()


SARS = [rt.UniformSAR(k) for k in range(1, 9)]


@pytest.mark.parametrize(
    ("designs", "index", "entries", "bits"),
    [
        # A word of a uniform ADC is 3 + 3 bits: 8 bits at most. They take the directory's place.
        (SARS, index_of(range(8)), 8, 8 * 6),
        (SARS[:1], index_of([0] * 8), 1, 0),  # a plain SAR is not programmed
        ([SARS[0]] * 8, index_of(range(8)), 8, 0),
        # Two words and eight entries of a bit each take less than eight words.
        (SARS[:2], index_of([0, 1] * 4), 8, 2 * 6 + 8),
        # A word of a node is 8 + 12 bits: trees of three and two leaves.
        (TREES, index_of([0, 0, 0, 0, 1, 1, 1, 1]), 8, 3 * 20 + 8),
        ([*TREES, TREES[0]], index_of([0, 2, 0, 2, 1, 1, 1, 1]), 8, 3 * 20 + 8),  # equal: once
        ([*TREES, TREES[0]], index_of([0] * 8), 1, 2 * 20),  # unused ones do not count
        # Nor does an axis along which equal designs change places.
        ([*TREES, *TREES], np.append(index_of([0, 1] * 4), index_of([2, 3] * 4), 0), 8, 3 * 20 + 8),
        # A bucket that converts nothing has no entry; slices that convert nothing have.
        (TREES, np.append(index_of([-1] * 8), index_of([0, 1] * 4), 0), 8, 3 * 20 + 8),
        (TREES, index_of([0, 1, -1, -1, 0, 1, 1, 1]), 8, 3 * 20 + 8 * 2),
        (TREES, np.append(index_of([0] * 8), index_of([1] * 8), 0), 2, 3 * 20 + 2),
        (TREES, np.append(index_of([0] * 8), index_of([0, 1] * 4), 0), 16, 3 * 20 + 16),
        ([rt.ActivitySAR(3)], index_of([0] * 8), 1, 0),
        (TREES, index_of([-1] * 8), 1, 0),
    ],
)  # fmt: skip
def test_bytes_by_hand(designs, index, entries, bits):
    assert table_bytes(designs, index, 0, 128) == -(-bits // 8)
    if len(set(designs)) == len(designs) and (index >= 0).any():
        assert directory_entries(index) == entries


def test_cycles_and_slices_need_an_entry_for_each_pair():
    index = np.zeros((1, 8, 8), dtype=int)
    index[0, 3, 4] = 1
    assert directory_entries(index) == 64
    assert directory_entries(index[:, :, 4:5]) == 8
