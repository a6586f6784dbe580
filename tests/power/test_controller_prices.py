"""Controllers' prices: words in latches, wider codes, what is beyond a plain SAR; areas."""

import dataclasses

import pytest
import torch

import reram_torch as rt
from reram_torch.power.controllers import Controllers, Latches, Steering

GIVEN = Controllers(
    0.1, 1.0, {"plain": 0.1, "uniform": 0.15, "search_tree": 0.3}, "made up", bit_share=0.1,
    doubling_pj=0.02, write_bit_pj=0.01, write_pj=0.002, leakage_nw={"plain": 9, "search_tree": 29},
    area_um2={"plain": 40, "uniform": 70, "search_tree": 90}, bit_leakage_nw=0.5, bit_area_um2=2,
)  # fmt: skip


def test_a_clock_grows_with_doublings_of_words_and_bits_of_codes():
    tree = GIVEN.steering("search_tree")
    assert tree.clock_pj(Latches(1, 20), 8) == pytest.approx(0.2)
    assert tree.clock_pj(Latches(8, 20), 8) == pytest.approx(0.2 + 3 * 0.02)
    assert tree.clock_pj(Latches(8, 20), 11) == pytest.approx((0.2 + 3 * 0.02) * 1.3)
    assert GIVEN.steering("plain").clock_pj(Latches(), 13) == 0
    half = dataclasses.replace(GIVEN, scale=0.5).steering("search_tree")
    assert half.clock_pj(Latches(8, 20), 8) == pytest.approx(0.13)
    all_of_it = dataclasses.replace(GIVEN, included_pj=0.0).steering("plain")
    assert all_of_it.clock_pj(Latches(), 10) == pytest.approx(0.12)


def test_words_take_writing_leak_and_area():
    tree = GIVEN.steering("search_tree")
    assert tree.write_pj(Latches(16, 20)) == pytest.approx(20 * 0.01 + 16 * 0.002)
    assert tree.leakage_nw(Latches(16, 20)) == 20 + 16 * 20 * 0.5
    assert tree.area_um2(Latches(16, 20)) == 50 + 16 * 20 * 2
    plain = GIVEN.steering("plain")
    assert (plain.leakage_nw(Latches()), plain.area_um2(Latches())) == (0, 0)
    assert GIVEN.steering("uniform").leakage == 20  # not given: as the dearest
    bare = Controllers(0.1, 1.0, {"plain": 0.1}, "made up").steering("plain")
    assert bare == Steering()


def test_tables_of_one_word_are_read_from_the_directory():
    logic = dataclasses.replace(
        GIVEN, lookup_pj=0.2, load_pj=0.1, direct_pj=0.05, loader_area_um2=9, direct_area_um2=1
    )
    stored, direct = logic.loading(Latches(2, 20)), logic.loading(Latches(1, 7))
    assert (stored.lookup_pj(0.5), stored.load_pj(0.5)) == (0.7, 0.6)
    assert (direct.lookup_pj(0.5), direct.load_pj(0.5)) == (0.55, 0.0)
    assert (stored.area, direct.area) == (9, 1)


@pytest.mark.filterwarnings("ignore")
def test_a_programmable_sar_pays_a_look_up_for_each_slice_of_a_cycle():
    torch.manual_seed(0)
    layer = rt.ReRAMLinear(60, 5)
    layer.set_input_range(0, 1)
    index = torch.tensor([0, 1]).view(2, 1, 1).expand(2, 8, 8)
    layer.set_adc([rt.UniformSAR(3), rt.UniformSAR(5)], edges=[0, 9], index=index)
    isaac = rt.load_technology("isaac")
    tables = dataclasses.replace(isaac.adc.tables, latched_bytes=0)
    technology = dataclasses.replace(isaac, adc=dataclasses.replace(isaac.adc, tables=tables))
    with torch.no_grad(), rt.PowerMeter(layer) as meter:
        layer(torch.rand(3, 60))
    [row] = meter.report(technology).layers
    logic, bits = isaac.adc.controllers, rt.UniformSAR(5).words(0, 128).bits
    lookups = loaded = 3 * 8 * 8  # positions, cycles, slices: one array
    assert row.words_loaded == loaded
    spent = lookups * (tables.word_pj + logic.direct_pj)
    spent += loaded * (bits * logic.write_bit_pj + logic.write_pj)
    assert row.adc_parts_pj["words"] == pytest.approx(spent)
    bare = dataclasses.replace(technology.adc, controllers=None)
    [row] = meter.report(dataclasses.replace(technology, adc=bare)).layers
    assert row.adc_parts_pj["words"] == pytest.approx(lookups * tables.word_pj)


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"leakage_nw": 3}, r"adc.controllers.leakage_nw must be a table, not 3"),
        ({"area_um2": {"plain": -1}}, r"area_um2.plain must be finite and at least 0"),
        ({"write_pj": -1.0}, r"adc.controllers.write_pj must be finite and at least 0"),
        ({"low": {"doubling": 1}}, r"adc.controllers.low: unknown key 'doubling'"),
    ],
)
def test_bad_prices(change, match):
    with pytest.raises(ValueError, match=match):
        dataclasses.replace(GIVEN, **change)


def test_an_array_has_the_area_of_its_controllers_tables_and_units():
    torch.manual_seed(0)
    layer = rt.ReRAMLinear(60, 5)
    layer.set_input_range(0, 1)
    x = torch.rand(3, 60)
    isaac = rt.load_technology("isaac")
    logic, tables = isaac.adc.controllers, isaac.adc.tables

    def area(technology=isaac):
        with torch.no_grad(), rt.PowerMeter(layer) as meter:
            layer(x)
        [row] = meter.report(technology).layers
        return row.area_mm2, row

    layer.set_adc([rt.lossless_adc(layer.geometry)])
    plain, _ = area()
    assert plain == pytest.approx(sum(isaac.array_area_mm2.values()))
    tree = rt.SearchTree(tuple(range(0, 129, 2)), tuple(range(0, 129, 2)), (6,) * 63 + (7, 7))
    layer.set_adc(
        [tree, tree], edges=[0, 9], index=torch.tensor([0, 1]).view(2, 1, 1).expand(2, 8, 8)
    )
    found, row = area()
    words = tree.words(0, 128)
    um2 = logic.area_um2["search_tree"] - logic.area_um2["plain"]
    um2 += logic.bit_area_um2 * words.number * words.bits
    um2 += logic.activity_area_um2 + logic.loader_area_um2
    assert row.words_loaded > 0
    expected = plain + um2 * 1e-6 + row.table_bytes * tables.area_mm2_per_byte
    assert found == pytest.approx(expected)
    sixteen = dataclasses.replace(isaac.array, columns_per_adc=8)
    more = area(dataclasses.replace(isaac, array=sixteen))[0] - found
    each = um2 - logic.activity_area_um2 - logic.loader_area_um2
    assert more == pytest.approx(15 * each * 1e-6)
