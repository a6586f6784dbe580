"""Counts and their totals."""

import json

import pytest
import torch
from torch import nn

import reram_torch as rt
from reram_torch.power.counts import EVENTS, baseline_conversions


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
    # A plain SAR's controller is part of a comparison's price, and it has no tables.
    energy = 0.196 * report.comparisons + (0.2 + 0.00041 * 2**8) * report.conversions
    assert report.adc_energy_pj == pytest.approx(energy)
    assert report.energy_pj > report.adc_energy_pj


def by_hand(layer, codes):
    """Every event of a layer, array by array, cycle by cycle, word-line by word-line.

    `codes`: (M, G, K). The layer's ADCs make one comparison for every sum.
    """
    g, (M, G, K) = layer.geometry, codes.shape
    N = layer.weight.shape[0] // G
    # The bit-lines of a group, side by side: the output and the slice that each belongs to.
    slices = layer.encoded().present.nonzero().flatten().tolist()
    columns = [(n, j) for n in range(N) for j in slices for _ in range(1 + (not g.offset))]
    # Bit-lines that one conversion takes.
    lines_of_a_sum = 2 if g.signed else 1
    found = dict.fromkeys(EVENTS, 0)
    for m in range(M):
        for group in range(G):
            for first in range(0, K, g.rows):
                rows = codes[m, group, first : first + g.rows].tolist()
                for left in range(0, len(columns), g.cols):
                    used = len(columns[left : left + g.cols])
                    for i in range(g.cycles):
                        pulses = [v >> (i * g.dac_bits) & (2**g.dac_bits - 1) for v in rows]
                        driven = sum(p > 0 for p in pulses)
                        found["array_cycles"] += 1
                        found["word_line_drives"] += driven
                        found["dac_units"] += driven * 2 ** (g.dac_bits - 1)
                        found["cell_reads"] += driven * used
                        found["conversions"] += used / lines_of_a_sum
                        found["input_register_bits"] += g.dac_bits * len(rows)
                rows_bits = (min(g.rows, K) - 1).bit_length()
                wide = -(-(g.weight_bits + g.input_bits + rows_bits) // 8)
                found["output_register_bytes"] += N * g.cycles * wide
            found["edram_bytes"] += K + N
    same = ("comparisons", "sample_and_holds", "shift_adds")
    return found | dict.fromkeys(same, found["conversions"])


@pytest.mark.parametrize("encoding", ["offset", "differential", "dual"])
@pytest.mark.parametrize(("cell_bits", "dac_bits", "input_bits"), [(1, 1, 8), (2, 3, 8), (3, 1, 5)])
@pytest.mark.parametrize("groups", [1, 3])
def test_every_event_is_counted(encoding, cell_bits, dac_bits, input_bits, groups):
    config = rt.Config(
        rt.CrossbarConfig(rows=16, cols=12, cell_bits=cell_bits, dac_bits=dac_bits),
        rt.WeightConfig(8, encoding),
        rt.InputConfig(input_bits),
        adc=rt.UniformSAR(1),
    )
    layer = rt.ReRAMConv2d(6, 9, (3, 2), stride=2, padding=1, groups=groups, config=config)
    layer.set_input_range(-0.3, 0.9)  # padding holds a code other than 0
    x = torch.rand(2, 6, 7, 5) - 0.2
    report = metered(layer, x)
    u = layer.codes(x)
    expected = by_hand(layer, u.reshape(-1, groups, u[0, 0, 0, 0].numel()))
    assert report.total.events == expected
    [row] = report.layers
    assert sum(row.word_line_drives_by) == expected["word_line_drives"]
    assert sum(map(sum, row.cell_reads_by)) == expected["cell_reads"]
    assert sum(map(sum, row.conversions_by)) == expected["conversions"]
    assert len(row.conversions_by) == layer.geometry.cycles
    assert len(row.conversions_by[0]) == layer.geometry.slices


def test_arrays_and_their_use():
    layer = rt.ReRAMLinear(300, 20)  # 3 tiles; 160 bit-lines: 2 arrays side by side
    layer.set_input_range(0.0, 1.0)
    total = metered(layer, torch.rand(4, 300)).total
    assert total.arrays == 6
    assert total.utilisation == pytest.approx(300 * 160 / (6 * 128 * 128))
    assert total.area_mm2 == pytest.approx(6 * 0.372 / 96, rel=0.01)  # of ISAAC's tile
    layer = rt.ReRAMLinear(300, 20, config=rt.Config(rt.CrossbarConfig(rows=64)))
    assert rt.PowerMeter(layer).report().total.area_mm2 is None  # not ISAAC's arrays


def test_cycles_without_a_driven_word_line_are_counted_as_skipped(calibrated, batches):
    rt.design_adc(calibrated, "search_tree", granularity="slice+activity", reduction=3.0)
    x = batches[0][0] * (torch.rand(6, 1, 32, 32) < 0.1)
    row = metered(calibrated, x).layers[0]
    assert row.skipped > 0
    sums = 6 * 28 * 28 * 6
    for i in range(8):
        for j in range(8):
            assert row.conversions_by[i][j] + row.skipped_by[i][j] == sums
    assert row.skipped == sum(map(sum, row.skipped_by))
    assert row.events["sample_and_holds"] == row.events["shift_adds"] == row.conversions


def test_totals_are_the_sums_of_their_parts(calibrated):
    rt.design_adc(calibrated, "search_tree", granularity="slice+activity", reduction=4.0, grid=8)
    report = metered(calibrated, torch.rand(3, 1, 32, 32))
    for total in (report.total, report.plain_sar):
        assert total.energy_pj == sum(total.component_pj.values())
    for event in EVENTS:
        assert report.total.events[event] == sum(r.events[event] for r in report.layers)
    for name, energy in report.total.component_pj.items():
        assert energy == pytest.approx(sum(r.component_pj[name] for r in report.layers))
    for row in report.layers:
        assert row.comparisons == sum(map(sum, row.comparisons_by))
        assert row.events["word_line_drives"] == sum(row.word_line_drives_by)
    assert report.total.latency.worst_ns == pytest.approx(
        sum(r.latency.worst_ns for r in report.layers)
    )


@pytest.mark.slow
@pytest.mark.parametrize("threads", [1, 2])
def test_numbers_of_one_inference_do_not_depend_on_the_batch(calibrated, threads):
    rt.design_adc(calibrated, "twin_range", granularity="slice", reduction=2.5)
    x = torch.rand(6, 1, 32, 32)
    before = torch.get_num_threads()
    found = []
    try:
        for size in (6, 1, 4):
            torch.set_num_threads(threads if size > 1 else 1)
            with rt.PowerMeter(calibrated, histograms=True) as meter:
                for part in x.split(size):
                    calibrated(part)
            assert meter.inferences == 6
            found.append([meter.report(adc_model=m).to_dict() for m in ("bit_cycle", "sar")])
    finally:
        torch.set_num_threads(before)
    assert found[0] == found[1] == found[2]


@pytest.mark.parametrize(
    ("config", "conversions"),
    [
        (rt.Config(weights=rt.WeightConfig(encoding="differential")), 7 / 8),
        (rt.Config(weights=rt.WeightConfig(encoding="dual")), 7 / 4),
        (rt.Config(rt.CrossbarConfig(cell_bits=2)), 0.5),
        (rt.Config(rt.CrossbarConfig(dac_bits=4)), 0.25),
        (rt.Config(weights=rt.WeightConfig(bits=4), inputs=rt.InputConfig(6)), 0.375),
        (rt.Config(rt.CrossbarConfig(rows=512)), 1 / 3),  # one tile where ISAAC has three
        (rt.Config(rt.CrossbarConfig(rows=64)), 5 / 3),
    ],
)
def test_reduction_is_against_the_isaac_baseline_whatever_the_geometry(config, conversions):
    net = rt.calibrate(rt.convert(nn.Linear(300, 7), config), torch.rand(4, 300))
    for layer in rt.crossbar_layers(net).values():
        layer.set_adc([rt.UniformSAR(6)])
    report = metered(net, torch.rand(5, 300))
    baseline = 5 * 7 * 3 * 64
    assert report.conversions == round(baseline * conversions)
    assert report.total.baseline_comparisons == baseline * 8
    assert report.reduction == pytest.approx(8 / 6 / conversions)
    assert baseline_conversions(300, 5 * 7) == baseline


def test_comparisons_of_each_slice_follow_its_own_adc(calibrated):
    layer = calibrated.fc3
    layer.set_adc([rt.UniformSAR(k + 1, 2 ** (7 - k)) for k in range(8)])
    report = metered(calibrated, torch.rand(2, 1, 32, 32)).layers[-1]
    each = report.conversions // 8
    assert report.conversions_by == ((each // 8,) * 8,) * 8
    assert report.comparisons_by == (tuple(each // 8 * (k + 1) for k in range(8)),) * 8


@pytest.mark.slow
def test_counts_add_up_over_passes_and_batches(calibrated):
    x = torch.rand(6, 1, 32, 32)
    rt.design_adc(calibrated, "twin_range", granularity="slice", reduction=2.5)
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
    _, *counts = calibrated.conv1.simulate(x, calibrated.conv1.tables())
    assert not any(c.any() for c in counts)
    with pytest.raises(ZeroDivisionError), rt.PowerMeter(calibrated):
        _ = 1 / 0
    assert not len(calibrated.conv1.watchers)


def test_meters_nest(calibrated):
    x = torch.rand(2, 1, 32, 32)
    with rt.PowerMeter(calibrated) as outer:
        calibrated(x)
        with rt.PowerMeter(calibrated) as inner:
            calibrated(x)
        with pytest.raises(RuntimeError, match="counting already"), outer:
            pass
        calibrated(x)
    assert inner.report().conversions * 3 == outer.report().conversions > 0
    assert (inner.inferences, outer.inferences) == (2, 6)


def test_a_report_without_passes_is_empty(calibrated, tmp_path):
    report = rt.PowerMeter(calibrated).report()
    report.to_json(tmp_path / "r.json")
    assert json.loads((tmp_path / "r.json").read_text())["total"]["reduction"] is None
    assert report.conversions == 0
    assert report.comparisons_per_conversion != report.comparisons_per_conversion


def test_counts_of_different_adcs_do_not_mix(calibrated):
    x = torch.rand(1, 1, 32, 32)
    with rt.PowerMeter(calibrated) as meter:
        calibrated(x)
        calibrated.fc1.set_adc([rt.UniformSAR()])  # the same again
        calibrated(x)
        before = meter.report().total
        calibrated.fc1.set_adc([rt.UniformSAR(6)])
        assert meter.report().total == before  # of the ADCs that were counted
        with pytest.raises(RuntimeError, match="ADCs changed"):
            calibrated(x)


def test_what_it_refuses(lenet, calibrated):
    with pytest.raises(ValueError, match="convert first"):
        rt.PowerMeter(lenet)
    with pytest.raises(FileNotFoundError, match="no technology named 'isac'"):
        rt.PowerMeter(calibrated).report("isac")
    with pytest.raises(ValueError, match=r"adc_model must be one of .*not 'bits'"):
        rt.PowerMeter(calibrated).report(adc_model="bits")
