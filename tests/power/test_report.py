"""What is written and drawn of a power report."""

import csv
import json
from html.parser import HTMLParser

import pytest
import torch

import reram_torch as rt
from reram_torch.models.zoo import LeNet5
from reram_torch.power.records import quantity


@pytest.fixture(scope="module")
def reports():
    """Of the baseline, and of search trees."""
    torch.manual_seed(0)
    net = rt.calibrate(rt.convert(LeNet5().eval()), torch.rand(6, 1, 32, 32))
    found = {}
    for name in ("isaac", "trees"):
        if name == "trees":
            rt.design_adc(net, "search_tree", granularity="slice+activity", reduction=4.0, grid=8)
        with rt.PowerMeter(net) as meter:
            net(torch.rand(2, 1, 32, 32))
        found[name] = meter.report("isaac")
    return found


def test_json_says_what_it_is(reports, tmp_path):
    report = reports["trees"]
    report.to_json(tmp_path / "r.json")
    read = json.loads((tmp_path / "r.json").read_text())
    assert (read["schema"], read["version"]) == ("reram_torch.power", 3)
    assert read["adc_model"] == "bit_cycle"
    assert read["inferences"] == 2
    assert read["technology"]["name"] == "isaac"
    assert read["total"]["events"]["comparisons"] == report.comparisons
    assert read["total"]["energy_pj"] == report.energy_pj
    assert read["energy_pj_per_inference"] == report.energy_pj / 2
    assert [r["name"] for r in read["layers"]] == ["conv1", "conv2", "fc1", "fc2", "fc3"]
    assert read["configs"]["fc1"]["crossbar"]["rows"] == 128
    assert "search_tree" in read["layers"][0]["adc"]
    assert rt.Technology.from_dict(read["technology"]) == report.technology


def test_csv_has_a_row_for_each_layer(reports, tmp_path):
    report = reports["trees"]
    report.to_csv(tmp_path / "r.csv")
    with (tmp_path / "r.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [r["name"] for r in rows][-1] == "total"
    assert sum(int(r["conversions"]) for r in rows[:-1]) == int(rows[-1]["conversions"])
    assert float(rows[-1]["adc_pj"]) == report.adc_energy_pj
    assert float(rows[-1]["energy_pj"]) == report.energy_pj
    assert float(rows[-1]["comparisons_per_mac"]) == report.comparisons_per_mac
    assert float(rows[0]["conversions_per_mac"]) == report.layers[0].conversions_per_mac
    assert not any(v.startswith(("(", "{", "[")) for r in rows for v in r.values())


def test_tables_show_components_layers_and_designs(reports):
    text = str(reports["trees"])
    for word in ("adc", "dac", "share of the ADCs", "plain SAR", "bit_cycle", "lock step"):
        assert word in text
    assert "conv2" in reports["trees"].layer_table()
    assert "per MAC" in reports["trees"].layer_table()
    assert "comparisons per MAC" in text
    both = rt.comparison_table(reports).splitlines()
    assert both[1].split()[-2:] == ["isaac", "trees"]
    between = both.index("")
    assert len({len(line) for line in both[1:between]}) == 1  # columns are aligned
    assert both[between + 1].split()[-2:] == ["isaac", "trees"]
    assert len({len(line) for line in both[between + 1 : -1]}) == 1


def test_a_plain_sar_is_what_the_baseline_makes(reports):
    baseline = reports["isaac"]
    assert baseline.plain_sar.component_pj == baseline.total.component_pj
    assert baseline.energy_reduction == 1.0
    trees = reports["trees"]
    assert trees.plain_sar.comparisons == 8 * (trees.conversions + trees.total.skipped)
    assert trees.energy_reduction == pytest.approx(
        trees.plain_sar.energy_pj / trees.total.energy_pj
    )
    assert trees.energy_reduction > 1.3
    assert trees.total.adc_share < trees.plain_sar.adc_share


def test_what_does_not_compare(reports, calibrated):
    with pytest.raises(ValueError, match="no report"):
        rt.comparison_table({})
    with rt.PowerMeter(calibrated, histograms=True) as meter:
        calibrated(torch.rand(1, 1, 32, 32))
    with pytest.raises(ValueError, match="do not compare"):
        rt.comparison_table({"a": reports["isaac"], "b": meter.report(adc_model="sar")})


def test_an_empty_report_is_written_too(calibrated, tmp_path):
    report = rt.PowerMeter(calibrated).report()
    report.to_json(tmp_path / "r.json")
    report.to_csv(tmp_path / "r.csv")
    assert json.loads((tmp_path / "r.json").read_text())["total"]["reduction"] is None
    assert "-" in str(report)
    assert report.throughput() != report.throughput()  # NaN


class Links(HTMLParser):
    """Collects what a page would load, and its tags."""

    def __init__(self):
        super().__init__()
        self.loaded, self.tags = [], []

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        named = dict(attributes)
        for key in ("src", "href", "xlink:href", "data"):
            if not named.get(key, "#").startswith("#"):
                self.loaded.append(named[key])


@pytest.mark.slow
@pytest.mark.parametrize("calibrated_here", [True, False])
def test_the_page_is_self_contained(calibrated, tmp_path, calibrated_here):
    pytest.importorskip("matplotlib")
    rt.design_adc(calibrated, "twin_range", granularity="slice", reduction=2.0)
    if not calibrated_here:  # a checkpoint keeps no histograms
        for layer in rt.crossbar_layers(calibrated).values():
            layer.statistics = None
    with rt.PowerMeter(calibrated) as meter:
        calibrated(torch.rand(2, 1, 32, 32))
    meter.report().to_html(tmp_path / "r.html")
    text = (tmp_path / "r.html").read_text(encoding="utf-8")
    links = Links()
    links.feed(text)
    assert links.loaded == []
    assert links.tags.count("svg") == (7 if calibrated_here else 2)
    assert "script" not in links.tags
    for word in ("conv2", "twin_range", "offset", "ISAAC, table I", "input register"):
        assert word in text


def test_reports_are_drawn(reports, calibrated, tmp_path):
    pytest.importorskip("matplotlib")
    for name, report in reports.items():
        report.plot(tmp_path / f"{name}.png")
        assert (tmp_path / f"{name}.png").read_bytes().startswith(b"\x89PNG")
    empty = rt.PowerMeter(calibrated).report()
    empty.plot(tmp_path / "empty.png")


def test_the_search_that_is_drawn_is_the_busiest(reports):
    for part in reports["trees"].converted:
        assert part.design.kind == "search_tree"
        assert part.histogram.sum() > 0
        assert "slice" in part.where
        assert "word-lines driven" in part.where
    assert {p.where for p in reports["isaac"].converted} == {"all slices and cycles"}


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (0.0, "pJ", "0 pJ"),
        (0.196, "pJ", "0.196 pJ"),
        (999.94, "pJ", "999.9 pJ"),
        (999.97, "pJ", "1 nJ"),
        (46.86e6, "pJ", "46.86 uJ"),
        (7.27e6, "ns", "7.27 ms"),
        (5e15, "ns", "5e+06 s"),
        (0.6205, "mm2", "0.6205 mm2"),
        (float("nan"), "pJ", "-"),
    ],
)
def test_quantities_are_readable(value, unit, text):
    assert quantity(value, unit) == text
