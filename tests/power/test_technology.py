"""Technologies, ADC energy models, switching energy, latency."""

import dataclasses
import itertools
import math
import re
import tomllib
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from test_power import metered

import reram_torch as rt
from reram_torch.config.files import config_folders
from reram_torch.power.adc_energy import survey_energy_pj
from reram_torch.power.switching import SWITCHINGS, switching_energy


@pytest.fixture
def isaac():
    return rt.load_technology("isaac")


@pytest.fixture
def published(isaac):
    """With what is published of ISAAC's ADC: eight comparisons and nothing else."""
    bit_cycle = dataclasses.replace(
        isaac.adc.bit_cycle, conversion_pj=0.0, resolution_pj=0.0, noise_pj=0.0
    )
    return dataclasses.replace(isaac, adc=dataclasses.replace(isaac.adc, bit_cycle=bit_cycle))


def folder() -> Path:
    return config_folders()[0] / "technology"


# --- files ---


def test_the_tile_of_isaac(isaac, published):
    power = published.tile_power_mw()
    assert sum(power.values()) == pytest.approx(330, rel=0.01)
    assert power["adc"] / sum(power.values()) == pytest.approx(0.58, abs=0.01)
    area = isaac.array_area_mm2
    assert sum(area.values()) * 96 == pytest.approx(0.372, rel=0.01)
    conversions = 96 * 128 / 100  # a ns
    more = isaac.tile_power_mw()["adc"] - power["adc"]
    model = isaac.adc.bit_cycle
    assert more == pytest.approx(conversions * (model.conversion_pj + model.finer_pj(8)))


def test_a_layer_that_keeps_a_tile_busy_takes_its_power(isaac):
    """8 x 12 arrays of 2-bit cells, every input bit set: one tile at full activity, 8 cycles."""
    config = rt.Config(rt.CrossbarConfig(cell_bits=2), adc=rt.UniformSAR(8, 2))
    layer = rt.ReRAMLinear(1024, 384, bias=False, config=config)
    layer.set_input_range(0.0, 1.0)
    total = metered(layer, torch.ones(1, 1024)).total
    assert total.arrays == 96
    assert total.utilisation == 1.0
    ns = 8 * isaac.array.cycle_ns
    table = isaac.tile_power_mw()
    for name in ("adc", "dac", "array", "sample_and_hold", "shift_add", "input_register", "router"):
        assert total.component_pj[name] / ns == pytest.approx(table[name], rel=1e-9)
    assert total.latency.worst_ns == pytest.approx(ns)


def test_technologies_survive_a_round_trip(isaac):
    assert rt.technology_names() == ["isaac", "neurosim"]
    for name in rt.technology_names():
        technology = rt.load_technology(name)
        assert technology.name == name
        assert rt.Technology.from_dict(technology.to_dict()) == technology
    assert rt.load_technology(isaac) is isaac
    assert rt.load_technology(folder() / "isaac.toml") == isaac


@pytest.mark.parametrize("name", ["isaac", "neurosim"])
def test_every_number_has_a_source_and_a_unit(name):
    """Tables of controllers by kind, and low and high values, have that of their section."""
    plain = {"arrays_per_tile", "rows", "cols", "columns_per_adc", "events_per_tile_cycle", "scale",
             "bit_share"}  # fmt: skip
    units = ("_mw", "_pj", "_us", "_ns", "_nm", "_mm2", "_ff", "_v", "_hz", "_nw_per_byte",
             "_nw", "_um2", "_bytes", "_mm2_per_byte")  # fmt: skip

    def check(table, path, source, unit=""):
        numbers = [k for k, v in table.items() if isinstance(v, int | float)]
        assert all(k in plain or (k + unit).endswith(units) for k in numbers), path
        source = table.get("source", source)
        assert not set(numbers) - {"process_nm"} or source.strip(), path
        for key, value in table.items():
            for part in value if isinstance(value, list) else [value]:
                if key == "gates":  # of each kind: a number of them
                    assert all(isinstance(v, int) for v in part.values())
                elif isinstance(part, dict):
                    kinds = key in ("clock_pj", "leakage_nw", "area_um2")
                    below = source if kinds or key in ("low", "high") else ""
                    check(part, f"{path}.{key}", below, f"_{key}" * kinds)

    check(rt.load_technology(name).to_dict(), name, "")


def test_the_template_is_to_be_filled_in(tmp_path):
    text = (folder() / "template.toml").read_text()
    with pytest.raises(ValueError, match=r"template.toml: .* is not filled in \(nan\)"):
        rt.load_technology(folder() / "template.toml")
    (tmp_path / "mine.toml").write_text(re.sub(r"\bnan\b", "1.5", text.split("\n", 4)[4]))
    mine = rt.load_technology(tmp_path / "mine.toml")
    assert mine.adc.bit_cycle.comparison_pj == 1.5
    net = rt.ReRAMLinear(8, 3)
    net.set_input_range(0, 1)
    assert metered(net, torch.rand(2, 8)).energy_pj > 0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("process_nm = 32", ""), "technology: the key 'process_nm' is missing"),
        (("process_nm = 32", "process_mm = 32"), "technology: unknown key 'process_mm'"),
        (("process_nm = 32", "process_nm = '32'"), "process_nm must be a number, not '32'"),
        (
            ("cycle_ns = 100 ", "cycle_ns = -1 "),
            "array.cycle_ns must be finite and above 0, not -1",
        ),
        (("cycle_ns = 100 ", "cycle_ns = inf "), "array.cycle_ns must be finite and above 0"),
        (("rows = 128", "rows = 128.5"), "array.rows must be a whole number, not 128.5"),
        (("comparison_pj = 0.196", "comparison_pJ = 1"), "adc.bit_cycle: unknown key"),
        (("[adc.bit_cycle]", "[adc.bit_cycles]"), "adc: unknown key 'bit_cycles'"),
        (('"monotonic"', '"monotone"'), r"adc.sar.switching must be one of .*not 'monotone'"),
        (('event = "cell_reads"', 'event = "reads"'), "component 'array': event must be one of"),
        (('name = "dac"', 'name = "array"'), "two components are named 'array'"),
        (('name = "dac"', 'name = "adc"'), "a component cannot be named 'adc'"),
        (("[array]", "[arrays]"), "the table [array] is missing"),
        (('source = "ISAAC, section VI and table I"', 'source = " "'), "array.source must be text"),
        (("[adc]", "[adc"), "isaac.toml"),
    ],
)
def test_bad_technologies_are_refused(tmp_path, change, message):
    text = (folder() / "isaac.toml").read_text()
    assert change[0] in text
    (tmp_path / "isaac.toml").write_text(text.replace(*change, 1))
    with pytest.raises(
        ValueError, match=message.replace("[", r"\[") if "[a" in message else message
    ):
        rt.load_technology(tmp_path / "isaac.toml")


def test_missing_technologies(tmp_path):
    with pytest.raises(FileNotFoundError, match="no technology file"):
        rt.load_technology(tmp_path / "none.toml")
    for name, close in (("template", ""), ("isac", "; did you mean 'isaac'")):
        message = rf"no technology named '{name}'.*; known: \['isaac', 'neurosim'\]{close}"
        with pytest.raises(FileNotFoundError, match=message):
            rt.load_technology(name)
    assert "component" in tomllib.loads((folder() / "template.toml").read_text())


# --- switching ---


def textbook(scheme, bits):
    """Mean energy over uniform codes, in units of C Vref^2, as the literature has it."""
    if scheme == "conventional":
        return sum(2 ** (bits + 1 - 2 * i) * (2**i - 1) for i in range(1, bits + 1))
    if scheme == "monotonic":
        return sum(2 ** (bits - 2 - i) for i in range(1, bits))
    return sum(2 ** (bits - 2 - 2 * i) * (2**i - 1) for i in range(1, bits))


@pytest.mark.parametrize("scheme", SWITCHINGS)
@pytest.mark.parametrize("bits", range(3, 11))
def test_uniform_codes_take_the_textbook_mean(scheme, bits):
    energy = switching_energy(rt.UniformSAR(bits), 0, 2**bits - 1, scheme)
    assert energy.mean() == pytest.approx(textbook(scheme, bits))


def test_the_means_at_eight_bits():
    means = [switching_energy(rt.UniformSAR(8), 0, 255, s).mean() for s in SWITCHINGS]
    assert np.round(means, 1).tolist() == [339.3, 63.5, 42.2]


def charge(capacitors, before, after):
    """What the supplies deliver as bottom plates move, by summing the charge of each capacitor."""
    total = sum(capacitors)
    top = sum(c * (b - a) for c, a, b in zip(capacitors, before, after, strict=True)) / total
    return sum(b * c * ((b - a) - top) for c, a, b in zip(capacitors, before, after, strict=True))


@given(st.lists(st.integers(1, 255), min_size=1, max_size=6, unique=True), st.integers(0, 255))
def test_any_order_of_thresholds_has_its_price(order, value):
    """A conventional DAC holds the code of each threshold in turn, whatever the order."""
    # The tree that asks `order` one after the other, as far as an answer is still open.
    low, high, asked = 0, 255, []
    for threshold in order:
        if low < threshold <= high:
            asked.append(threshold)
            low, high = (threshold, high) if value >= threshold else (low, threshold - 1)

    class Path:
        def tree(self, lowest, highest):
            from reram_torch.adc.trees import Leaf, Node

            tree = Leaf(value)
            for threshold in reversed(asked):
                other = Leaf(0)
                pair = (other, tree) if value >= threshold else (tree, other)
                tree = Node(threshold, *pair)
            return tree

    capacitors = [2**k for k in range(8)] + [1]

    def plates(code):
        bits = [code >> k & 1 for k in range(8)]
        return [*bits, 0], [*(1 - b for b in bits), 1]

    expected = 0.0
    for a, b in itertools.pairwise([0, *asked, 0]):
        for before, after in zip(plates(a), plates(b), strict=True):
            expected += charge(capacitors, before, after)
    found = switching_energy(Path(), 0, 255, "conventional")[value]
    assert found == pytest.approx(expected)


@pytest.mark.parametrize("scheme", SWITCHINGS)
def test_a_search_that_stops_early_switches_less(scheme):
    deep = rt.SearchTree((0, 1, 2, 3), (0, 1, 2, 3), (1, 2, 3, 3))
    energy = switching_energy(deep, 0, 128, scheme)
    assert energy[0] < energy[1] < energy[2]
    nothing = switching_energy(rt.SearchTree((0,), (0,), (0,)), 0, 128, scheme)
    assert not nothing.any()
    assert (energy[3:] == energy[3]).all()


@pytest.mark.parametrize("scheme", SWITCHINGS)
@pytest.mark.parametrize("lowest", [0, -128])
def test_thresholds_anywhere_can_be_made(scheme, lowest):
    """Trees with thresholds at both ends, on one side of the middle only, and beyond the range."""
    for design in (
        rt.SearchTree((lowest, 1, 127, 128), (0, 64, 127, 128), (2, 2, 2, 2)),
        rt.SearchTree((lowest, 126, 127, 128), (0, 126, 127, 128), (1, 2, 3, 3)),
        rt.UniformSAR(10),
        rt.TwinRange(bias=3, n1=2, n2=4, m=3),
    ):
        energy = switching_energy(design, lowest, 128, scheme)
        assert np.isfinite(energy).all()
        assert (energy >= -1e-9).all()


def test_unknown_schemes_are_refused():
    with pytest.raises(ValueError, match="switching must be one of"):
        switching_energy(rt.UniformSAR(), 0, 128, "split")


# --- models ---


def measured(net, x):
    with rt.PowerMeter(net, histograms=True) as meter:
        net(x)
    return meter


@pytest.mark.slow
@pytest.mark.parametrize("design", ["uniform", "search_tree"])
@pytest.mark.parametrize("encoding", ["offset", "differential", "dual"])
def test_sar_is_the_sum_over_every_conversion(design, encoding, isaac):
    """Against the energy of each sum, one at a time."""
    from reram_torch.ops.reference import IdealArrays, tile_cycles

    config = rt.Config(rt.CrossbarConfig(rows=32), rt.WeightConfig(encoding=encoding))
    net = rt.calibrate(rt.convert(torch.nn.Linear(50, 3), config), torch.rand(9, 50))
    granularity = "slice+activity" if design == "search_tree" else "slice"
    rt.design_adc(net, design, reduction=1.5, granularity=granularity)
    x = torch.rand(4, 50) * (torch.rand(4, 50) < 0.1)
    report = measured(net, x).report(adc_model="sar")
    [layer] = rt.crossbar_layers(net).values()
    g, tables, sar = layer.geometry, layer.tables(), isaac.adc.sar
    from reram_torch.crossbar.cells import read_back

    codes = read_back(layer.encoded().cells, g, 3, 50)
    expected = 0.0
    for cycle, _ in tile_cycles(layer.codes(x), IdealArrays(codes, g), g):
        active = cycle.activity.flatten().tolist()
        parts = [(j, part.reshape(-1, 3)) for j, pair in enumerate(cycle.sums) for part in pair]
        for (j, part), m in itertools.product(parts, range(len(active))):
            bucket = max(b for b, e in enumerate(tables.edges.tolist()) if e <= active[m])
            k = int(tables.index[bucket, cycle.index, j])
            for s in part[m].tolist() if k >= 0 else ():
                units = switching_energy(layer.adc[k], g.lowest, g.highest, sar.switching)
                made = int(tables.comparisons[k, s - g.lowest])
                expected += units[s - g.lowest] * 1e-3 + made * (sar.comparator_pj + sar.logic_pj)
    parts = report.total.adc_parts_pj  # what they are besides is no matter of the model
    assert parts["comparisons"] + parts["capacitors"] == pytest.approx(expected)
    assert (report.adc_model, parts["conversions"]) == ("sar", 0)


def test_models_need_what_they_price(calibrated, isaac):
    x = torch.rand(1, 1, 32, 32)
    with rt.PowerMeter(calibrated) as meter:
        calibrated(x)
    with pytest.raises(ValueError, match="histograms=True"):
        meter.report(adc_model="sar")
    bare = dataclasses.replace(isaac, adc=dataclasses.replace(isaac.adc, sar=None))
    with pytest.raises(ValueError, match="'isaac' has no numbers for adc.sar"):
        meter.report(bare, adc_model="sar")


@pytest.mark.slow
def test_resolution_prices_smaller_adcs_that_finish(calibrated, isaac):
    x = torch.rand(1, 1, 32, 32)
    sums = metered(calibrated, x).conversions
    for bits in (8, 5):
        for layer in rt.crossbar_layers(calibrated).values():
            layer.set_adc([rt.UniformSAR(bits, 2 ** (8 - bits))])
        report = measured(calibrated, x).report(adc_model="resolution")
        each = survey_energy_pj(bits, isaac.adc.resolution.sample_rate_hz, 32)
        assert report.adc_energy_pj == pytest.approx(sums * each)
    rt.design_adc(calibrated, "twin_range", granularity="slice", reduction=2.0)
    with pytest.raises(ValueError, match="prices an ADC that always finishes.*early stop"):
        measured(calibrated, x).report(adc_model="resolution")


def test_the_survey_formula():
    """Written out for one point: 8 bits, 1.28 GS/s, 32 nm."""
    merit = min(213.781 - 2.8719 * math.log(1.28e9), 128.307 + 3.2205 * 8)
    node = math.exp(26.0496 + 1.88004 * math.log(32) - 2.82913 * math.log(8) - 1.47020)
    expected = 0.5 * 10 ** ((6.02 * 8 + 1.76 - merit) / 10) * node
    assert survey_energy_pj(8, 1.28e9, 32) == pytest.approx(expected)
    assert 1 < expected < 3
    assert survey_energy_pj(9, 1.28e9, 32) > 2 * expected  # thermal noise sets in


# --- latency ---


def test_latency_has_a_closed_form(isaac):
    """One position after another; 8 cycles; an ADC converts the used bit-lines in turn."""
    layer = rt.ReRAMConv2d(2, 5, 3)  # 40 of 128 bit-lines
    layer.set_input_range(0.0, 1.0)
    layer.set_adc([rt.TwinRange(n1=2, n2=5, m=2)])  # 3 or 6 comparisons
    x = torch.rand(3, 2, 9, 8)
    report = metered(layer, x)
    positions, cycles = 7 * 6, 8
    latency = report.total.latency
    assert latency.worst_adc_cycles == positions * cycles * 40 * 6
    mean = report.comparisons_per_conversion
    assert 3 < mean < 6
    assert latency.average_adc_cycles == pytest.approx(positions * cycles * 40 * mean)
    assert latency.worst_ns == positions * cycles * 100  # the arrays take longer
    assert report.throughput() == pytest.approx(1e9 / latency.average_ns)
    slow = dataclasses.replace(isaac.adc, comparison_ns=1.0)
    with rt.PowerMeter(layer) as meter:
        layer(x)
    report = meter.report(dataclasses.replace(isaac, adc=slow))
    assert report.total.latency.worst_ns == positions * cycles * 40 * 6
    assert report.total.latency.average_ns < report.total.latency.worst_ns


@pytest.mark.parametrize(
    ("encoding", "each"), [("offset", 128), ("dual", 128), ("differential", 64)]
)
def test_adcs_are_shared_by_bit_lines(encoding, each, isaac):
    layer = rt.ReRAMLinear(10, 40, config=rt.Config(weights=rt.WeightConfig(encoding=encoding)))
    layer.set_input_range(0.0, 1.0)
    layer.set_adc([rt.UniformSAR(8 + (encoding == "differential"))])
    for share in (128, 256, 16):
        array = dataclasses.replace(isaac.array, columns_per_adc=share)
        with rt.PowerMeter(layer) as meter:
            layer(torch.rand(2, 10))
        total = meter.report(dataclasses.replace(isaac, array=array)).total
        bits = 8 + (encoding == "differential")
        assert total.latency.worst_adc_cycles == 8 * bits * each * share // 128


def test_without_inputs_to_the_network_there_is_no_inference(calibrated):
    with rt.PowerMeter(calibrated) as meter:
        calibrated.conv1(torch.rand(2, 1, 32, 32))
    report = meter.report()
    assert meter.inferences == 0
    assert report.conversions > 0
    assert report.total.latency.worst_ns != report.total.latency.worst_ns  # NaN
    assert meter.report(inferences=2).total.latency.worst_ns > 0
