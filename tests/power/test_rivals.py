"""What a plain and an activity SAR would have done, and what other prices would say of it."""

import csv
import dataclasses
import json

import pytest
import torch
from torch import nn

import reram_torch as rt
from reram_torch.config.sections import ENCODINGS
from reram_torch.power.sections import varied

LOW = rt.CrossbarConfig(rows=32, dac_bits=2)


def net_of(encoding="offset", design="search_tree"):
    """Two layers on lossless ADCs by slice and activity, and inputs that drive little."""
    config = rt.Config(LOW, rt.WeightConfig(4, encoding), rt.InputConfig(4))
    float_net = nn.Sequential(nn.Linear(70, 9), nn.ReLU(), nn.Linear(9, 4)).eval()
    x = torch.rand(12, 70) * (torch.rand(12, 70) < 0.2)
    x[0] = 0
    net = rt.calibrate(rt.convert(float_net, config), x, show_progress=False)
    rt.design_adc(
        net, design, lossless=True, granularity="slice+activity", show_progress=False
    )  # fmt: skip
    return net, x


def meter_of(net, x):
    with torch.no_grad(), rt.PowerMeter(net, histograms=True) as meter:
        net(x)
    return meter


def set_all(net, make):
    for layer in rt.crossbar_layers(net).values():
        layer.set_adc([make(layer.geometry)])


@pytest.fixture
def isaac():
    return rt.load_technology("isaac")


# --- rivals ---


@pytest.mark.parametrize(
    ("technology", "adc_model"),
    [("isaac", "bit_cycle"), ("isaac", "sar"), ("neurosim", "bit_cycle")],
)
@pytest.mark.parametrize("encoding", ENCODINGS)
def test_rivals_are_what_setting_them_gives(encoding, technology, adc_model):
    net, x = net_of(encoding)
    options = {"technology": technology, "adc_model": adc_model}
    report = meter_of(net, x).report(**options)
    for name, make in (
        ("plain_sar", rt.lossless_adc),
        ("activity_sar", lambda _: rt.ActivitySAR()),
    ):
        set_all(net, make)
        told, made = getattr(report, name), meter_of(net, x).report(**options)
        assert told.events == made.total.events
        assert (told.skipped, told.depth) == (made.total.skipped, made.total.depth)
        assert told.component_pj == pytest.approx(made.total.component_pj)
        assert told.adc_parts_pj == pytest.approx(made.total.adc_parts_pj)
        assert (told.table_bytes, told.words_loaded) == (0, 0)
        assert vars(told.latency) == pytest.approx(vars(made.total.latency))
        for row, own in zip(report.layers, made.layers, strict=True):
            rival = getattr(row, name)
            assert (rival.comparisons, rival.conversions) == (own.comparisons, own.conversions)
            assert rival.adc_energy_pj == pytest.approx(own.adc_energy_pj)
            assert rival.energy_pj == pytest.approx(own.energy_pj)
        ratio = made.comparisons / report.comparisons
        assert report.total.times_less("comparisons", name) == pytest.approx(ratio)
        for each, other in zip(report.assumptions, made.assumptions, strict=True):
            assert each.name == other.name
            assert getattr(each, name) == pytest.approx(other.adc_energy_pj)


def test_a_rival_against_itself_is_no_better(isaac):
    net, x = net_of()
    set_all(net, rt.lossless_adc)
    report = meter_of(net, x).report()
    for figure in ("comparisons", "conversions", "adc_energy_pj", "energy_pj"):
        assert report.total.times_less(figure, "plain_sar") == pytest.approx(1)
    assert report.range_of("plain_sar") == pytest.approx((1, 1))
    assert report.plain_sar.times_less("comparisons", "plain_sar") != 1  # NaN: it has no rivals


def test_numbers_of_rivals_and_assumptions_do_not_depend_on_the_batch():
    net, x = net_of()
    found = []
    for size in (12, 5, 1):
        with torch.no_grad(), rt.PowerMeter(net, histograms=True) as meter:
            for part in x.split(size):
                net(part)
        found.append([meter.report(adc_model=m).to_dict() for m in ("bit_cycle", "sar")])
    assert found[0] == found[1] == found[2]


# --- assumptions ---


def by_hand(technology, section, side):
    """The technology's file with the low or high values of a section in their place."""
    values = technology.to_dict()
    changed = dict(values["adc"][section])
    new = changed.pop(side)
    changed.pop({"low": "high", "high": "low"}[side], None)
    values["adc"] = {**values["adc"], section: {**changed, **new}}
    return rt.Technology.from_dict(values), new


@pytest.mark.parametrize("name", ["isaac", "neurosim"])
def test_each_assumption_is_the_report_by_other_prices(name):
    net, x = net_of()
    meter, technology = meter_of(net, x), rt.load_technology(name)
    report = meter.report(technology)
    given, *others = report.assumptions
    assert given.name == "as given"
    assert given.adc_energy_pj == pytest.approx(report.adc_energy_pj)
    left = {each.name: each for each in others}
    for section in ("bit_cycle", "controllers", "tables"):
        for side in ("low", "high"):
            other, new = by_hand(technology, section, side)
            text = ", ".join(f"{key} {value:g}" for key, value in new.items())
            found, again = left.pop(f"{section}: {text}"), meter.report(other)
            assert found.adc_energy_pj == pytest.approx(again.adc_energy_pj)
            assert found.plain_sar == pytest.approx(again.plain_sar.adc_energy_pj)
            assert found.activity_sar == pytest.approx(again.activity_sar.adc_energy_pj)
            less = again.plain_sar.adc_energy_pj / again.adc_energy_pj
            assert found.times_less("plain_sar") == pytest.approx(less)
    assert not left
    energies = [each.adc_energy_pj for each in report.assumptions]
    assert report.adc_energy_range_pj == (min(energies), max(energies))
    assert min(energies) < report.adc_energy_pj < max(energies)
    for than in ("plain_sar", "activity_sar"):
        ratios = [each.times_less(than) for each in report.assumptions]
        assert report.range_of(than) == (min(ratios), max(ratios))
    with_sar = {"isaac": 1 + 4}.get(name)  # this model's section has no low and high values
    assert (
        with_sar is None or len(meter.report(technology, adc_model="sar").assumptions) == with_sar
    )


@pytest.mark.parametrize(
    ("section", "change", "message"),
    [
        ("bit_cycle", {"low": {"comparison_pJ": 1}}, r"adc.bit_cycle.low: unknown key"),
        ("bit_cycle", {"high": {"source": 1}}, r"adc.bit_cycle.high: unknown key 'source'"),
        ("bit_cycle", {"low": {"comparison_pj": -1}}, r"adc.bit_cycle.low: .*comparison_pj must"),
        ("bit_cycle", {"low": 0.1}, r"adc.bit_cycle.low must be a table, not 0.1"),
        ("controllers", {"high": {"scale": "2"}}, r"adc.controllers.high: .*scale must be"),
        ("controllers", {"high": {"clock_pj": 2}}, r"adc.controllers.high: unknown key"),
        ("controllers", {"clock_pj": {}}, r"adc.controllers.clock_pj must be a table"),
        ("controllers", {"clock_pj": {"plain": "a"}}, r"clock_pj.plain must be a number, not 'a'"),
        ("controllers", {"clock_pj": {"plain": -1}}, r"clock_pj.plain must be finite and at least"),
        ("tables", {"low": {"word_pj": float("inf")}}, r"adc.tables.low: .*word_pj must be finite"),
        ("tables", {"high": {"latched_bytes": 0.5}}, r"adc.tables.high: .*must be a whole number"),
    ],
)  # fmt: skip
def test_bad_variants_are_refused(isaac, section, change, message):
    values = isaac.to_dict()
    values["adc"] = {**values["adc"], section: {**values["adc"][section], **change}}
    with pytest.raises(ValueError, match=message):
        rt.Technology.from_dict(values)


def test_a_varied_section_has_no_variants_of_its_own(isaac):
    low = varied(isaac.adc.bit_cycle, "low")
    assert (low.conversion_pj, low.low, low.high) == (0, {}, {})
    assert low.comparison_pj == isaac.adc.bit_cycle.comparison_pj


def test_an_assumption_that_ranks_designs_otherwise_is_marked(isaac):
    net, x = net_of()
    adc, trees = isaac.adc, meter_of(net, x)
    set_all(net, rt.lossless_adc)
    plain = meter_of(net, x)
    bare = dataclasses.replace(
        isaac, adc=dataclasses.replace(adc, bit_cycle=varied(adc.bit_cycle, "low"), tables=None)
    )
    for scale, marked in ((0.1, False), (50, True)):
        logic = dataclasses.replace(adc.controllers, scale=0, low={}, high={"scale": scale})
        technology = dataclasses.replace(bare, adc=dataclasses.replace(bare.adc, controllers=logic))
        both = {"a": plain.report(technology), "b": trees.report(technology)}
        text = rt.comparison_table(both)
        assert (f"scale {scale} *" in text) == marked
        assert ("* ranks these ADCs otherwise" in text) == marked
        assert ("no assumption ranks these otherwise" in text) == (not marked)
        assert "as given *" not in text
        alone = rt.comparison_table({"b": both["b"]})
        assert f"scale {scale}" in alone
        assert "otherwise" not in alone  # there is nothing to rank
        assert (f"scale {scale} *" in str(both["b"])) == marked  # against the rivals, too
    sure = dataclasses.replace(bare, adc=dataclasses.replace(bare.adc, controllers=None))
    assert "assumption" not in rt.comparison_table({"a": plain.report(sure)})


# --- files ---


def no_infinities(value):
    """Fails at a number that JSON has no form for."""
    raise AssertionError(value)


@pytest.mark.parametrize("empty", [False, True])
def test_json_has_rivals_parts_and_assumptions(tmp_path, empty):
    net, x = net_of()
    report = (rt.PowerMeter(net) if empty else meter_of(net, x)).report()
    report.to_json(tmp_path / "r.json")
    read = json.loads((tmp_path / "r.json").read_text(), parse_constant=no_infinities)
    assert read["version"] == 3
    assert read["assumptions"] == [vars(each) for each in report.assumptions]
    for row, own in zip(
        (*read["layers"], read["total"]), (*report.layers, report.total), strict=True
    ):
        assert row["adc_parts_pj"] == own.adc_parts_pj
        assert row["plain_sar"] == vars(own.plain_sar)
        assert row["activity_sar"]["comparisons"] == own.activity_sar.comparisons
        less = own.times_less("adc_energy_pj", "plain_sar")
        assert row["adc_energy_times_less_than_plain_sar"] == (None if empty else less)
        assert row["words_per_conversion"] == (None if empty else own.words_per_conversion)
        assert (row["table_bytes"], row["depth"]) == (own.table_bytes, own.depth)
    assert "plain_sar" not in read["plain_sar"]
    assert rt.Technology.from_dict(read["technology"]) == report.technology


def test_csv_has_the_same_columns_in_every_row(tmp_path):
    net, x = net_of()
    report = meter_of(net, x).report()
    report.to_csv(tmp_path / "r.csv")
    with (tmp_path / "r.csv").open(newline="") as file:
        head, *rows = csv.reader(file)
    assert len(set(head)) == len(head)
    assert [len(row) for row in rows] == [len(head)] * 3
    filled = [{name for name, cell in zip(head, row, strict=True) if cell} for row in rows]
    assert filled[0] == filled[1] == filled[2] | {"adc"}  # a total names no ADCs
    cells = dict(zip(head, rows[-1], strict=True))
    assert float(cells["adc_words_pj"]) == report.total.adc_parts_pj["words"]
    assert int(cells["plain_sar_comparisons"]) == report.plain_sar.comparisons
    assert float(cells["activity_sar_adc_energy_pj"]) == pytest.approx(
        report.activity_sar.adc_energy_pj
    )
