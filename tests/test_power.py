"""Counts, energy and reports."""

import csv
import json

import pytest
import torch
from torch import nn

import reram_torch as rt
from reram_torch.power import baseline_conversions


def metered(net, x):
    with rt.PowerMeter(net) as meter:
        net(x)
    return meter.report("isaac")


def test_counts_have_a_closed_form(calibrated):
    report = metered(calibrated, torch.rand(3, 1, 32, 32))
    # positions x outputs x tiles x cycles x slices
    expected = {
        "conv1": 3 * 28 * 28 * 6 * 1 * 64,
        "conv2": 3 * 10 * 10 * 16 * 2 * 64,
        "fc1": 3 * 120 * 4 * 64,
        "fc2": 3 * 84 * 1 * 64,
        "fc3": 3 * 10 * 1 * 64,
    }
    assert {layer.name: layer.conversions for layer in report.layers} == expected
    assert report.conversions == sum(expected.values())
    assert report.comparisons == 8 * report.conversions
    assert report.reduction == 1.0
    assert report.comparisons_per_conversion == 8.0
    assert report.adc_energy_pj == pytest.approx(0.196 * report.comparisons)
    assert report.energy_pj == report.adc_energy_pj


@pytest.mark.parametrize(
    ("config", "conversions"),
    [
        (rt.Config(weights=rt.WeightConfig(encoding="differential")), 1.0),
        (rt.Config(weights=rt.WeightConfig(encoding="dual")), 2.0),
        (rt.Config(rt.CrossbarConfig(cell_bits=2)), 0.5),
        (rt.Config(rt.CrossbarConfig(dac_bits=4)), 0.25),
        (rt.Config(weights=rt.WeightConfig(bits=4), inputs=rt.InputConfig(6)), 0.375),
    ],
)
def test_reduction_is_against_the_isaac_baseline_whatever_the_geometry(config, conversions):
    net = rt.calibrate(rt.convert(nn.Linear(300, 7), config), torch.rand(4, 300))
    for layer in rt.crossbar_layers(net).values():
        layer.set_adc([rt.UniformSAR(6)])
    report = metered(net, torch.rand(5, 300))
    baseline = 5 * 7 * 3 * 64
    assert report.conversions == baseline * conversions
    assert report.total.baseline_comparisons == baseline * 8
    assert report.reduction == pytest.approx(8 / 6 / conversions)
    layer = next(iter(rt.crossbar_layers(net).values()))
    assert baseline_conversions(layer.geometry, report.conversions) == baseline


def test_comparisons_of_each_slice_follow_its_own_adc(calibrated):
    layer = calibrated.fc3
    layer.set_adc([rt.UniformSAR(k + 1, 2 ** (7 - k)) for k in range(8)])
    report = metered(calibrated, torch.rand(2, 1, 32, 32)).layers[-1]
    each = report.conversions // 8
    assert report.slice_conversions == (each,) * 8
    assert report.slice_comparisons == tuple(each * (k + 1) for k in range(8))


def test_counts_add_up_over_passes_and_batches(calibrated):
    x = torch.rand(6, 1, 32, 32)
    rt.design_adc(calibrated, "twin_range", reduction=2.5)
    whole = metered(calibrated, x)
    with rt.PowerMeter(calibrated) as meter:
        for part in x.split(2):
            calibrated(part)
    assert meter.report().total == whole.total


def test_nothing_is_counted_outside_the_block(calibrated):
    x = torch.rand(1, 1, 32, 32)
    with rt.PowerMeter(calibrated) as meter:
        calibrated(x)
    before = meter.report().total
    calibrated(x)
    assert meter.report().total == before
    _, counts = calibrated.conv1._simulate(x, calibrated.conv1.tables(), False)
    assert not counts.any()
    with pytest.raises(ZeroDivisionError), rt.PowerMeter(calibrated):
        _ = 1 / 0
    assert calibrated.conv1._meter is None


def test_meters_of_one_network_do_not_nest(calibrated):
    with (
        rt.PowerMeter(calibrated),
        pytest.raises(RuntimeError, match="another PowerMeter"),
        rt.PowerMeter(calibrated),
    ):
        pass
    with rt.PowerMeter(calibrated):
        pass


def test_a_report_without_passes_is_empty(calibrated, tmp_path):
    report = rt.PowerMeter(calibrated).report()
    report.to_json(tmp_path / "r.json")
    assert json.loads((tmp_path / "r.json").read_text())["total"]["reduction"] is None
    assert report.conversions == 0
    assert report.comparisons_per_conversion != report.comparisons_per_conversion


def test_reports_are_written(calibrated, tmp_path):
    report = metered(calibrated, torch.rand(1, 1, 32, 32))
    report.to_json(tmp_path / "r.json")
    read = json.loads((tmp_path / "r.json").read_text())
    assert read["total"]["comparisons"] == report.comparisons
    assert read["adc_energy_model"] == "bit_cycle"
    assert [r["name"] for r in read["layers"]] == ["conv1", "conv2", "fc1", "fc2", "fc3"]
    report.to_csv(tmp_path / "r.csv")
    with (tmp_path / "r.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [r["name"] for r in rows][-1] == "total"
    assert int(rows[-1]["conversions"]) == report.conversions
    text = str(report)
    assert "conv2" in text
    assert "uJ" in text


def test_reports_are_drawn(calibrated, tmp_path):
    pytest.importorskip("matplotlib")
    metered(calibrated, torch.rand(1, 1, 32, 32)).plot(tmp_path / "r.png")
    assert (tmp_path / "r.png").read_bytes().startswith(b"\x89PNG")


def test_what_it_refuses(lenet, calibrated):
    with pytest.raises(ValueError, match="convert first"):
        rt.PowerMeter(lenet)
    with pytest.raises(ValueError, match=r"technology must be one of \['isaac'\]"):
        rt.PowerMeter(calibrated).report("isac")
