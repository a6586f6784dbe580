"""Designs for chips: histograms of all, budgets that hold on all, layers left as they were."""

import pytest
import torch
from torch import nn

import reram_torch as rt
from reram_torch.crossbar.geometry import sizes
from reram_torch.design import designing
from reram_torch.design.measured import Judged


def images(count, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(count, 20, generator=generator).relu()


def network(encoding="differential"):
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(20, 24), nn.ReLU(), nn.Linear(24, 4))
    net = rt.convert(net, rt.Config(weights=rt.WeightConfig(encoding=encoding)))
    x = images(40)
    return rt.calibrate(net, [(x, torch.arange(40) % 4)], show_progress=False)


def design(net, kind="search_tree", **options):
    options = {"devices": "wan2022", "time": "2d", "chips": 3, "reduction": 2.0, **options}
    return rt.design_adc(net, kind, granularity="slice", show_progress=False, **options)


def test_histograms_are_those_of_all_chips(monkeypatch):
    net = network()
    before = [layer.statistics for layer in (net[0], net[2])]
    seen = []
    choose = designing.choose

    def look(given, *args, **kwargs):
        seen.extend(layer.statistics.by_activity.clone() for layer in given.layers.values())
        return choose(given, *args, **kwargs)

    monkeypatch.setattr(designing, "choose", look)
    found = design(net, chip_seed=5)
    assert net[0].site.programming is None
    assert [layer.statistics for layer in (net[0], net[2])] == before
    assert found.chips == "3 chips of wan2022 after 172800 s, from seed 5"
    assert "on held-back images on 3 chips of wan2022 after" in str(found)
    expected = 0
    layer, [call] = net[0], net.calibration.calls
    with torch.no_grad():
        for seed in (5, 6, 7):
            rt.program(net, "wan2022", seed=seed, time="2d", show_progress=False)
            u = layer.codes(call.value)
            assert sizes(u)[0] == 30
            edges = torch.tensor(before[0].edges, dtype=torch.int32)
            expected = expected + layer.bit_line_histogram(u, edges)
    assert torch.equal(seen[0], expected)
    assert not torch.equal(seen[0], 3 * before[0].by_activity)


def test_measures_are_means_over_chips():
    net = network()
    found = design(net)
    designs = {name: layer.bank.snapshot() for name, layer in rt.crossbar_layers(net).items()}
    errors, reductions = [], []
    held = net.calibration.held_back
    with torch.no_grad():
        for seed in range(3):
            outputs = {}
            rt.program(net, "wan2022", seed=seed, time="2d", show_progress=False)
            with rt.PowerMeter(net) as meter:
                outputs["made"] = net(held.calls[0].value)
            reductions.append(meter.report().reduction)
            for layer in rt.crossbar_layers(net).values():
                layer.set_adc([rt.lossless_adc(layer.geometry)])
            outputs["lossless"] = net(held.calls[0].value)
            for name, layer in rt.crossbar_layers(net).items():
                layer.bank.restore(designs[name])
            change = (outputs["made"] - outputs["lossless"]).square().sum()
            errors.append(float(change / outputs["lossless"].square().sum()))
    assert found.error == pytest.approx(sum(errors) / 3, rel=1e-5)
    assert found.measured_reduction == pytest.approx(3 / sum(1 / r for r in reductions), rel=1e-6)


def test_a_budget_holds_on_the_chips_of_a_design():
    net = network()
    found = design(net, "uniform", reduction=None, max_error=1e-2)
    assert found.error <= 1e-2
    assert found.reduction > 1
    loose = design(net, "uniform", reduction=None, max_drop=0.5)
    assert loose.adc_energy_pj <= found.adc_energy_pj


@pytest.mark.parametrize("margins", [True, False])
def test_errors_over_chips_do_not_take_an_image_for_several(margins):
    generator = torch.Generator().manual_seed(3)
    ideal = torch.randn(50, generator=generator, dtype=torch.float64)
    made = ideal + 0.5 * torch.randn(50, generator=generator, dtype=torch.float64)

    def judged(values, chips):
        return Judged(values.repeat(chips), margins=margins, chips=chips)

    one = judged(ideal, 1).drop_to(judged(made, 1))
    assert judged(ideal, 9).drop_to(judged(made, 9)) == pytest.approx(one)
    worst = judged(ideal, 1).worst_drop_to(judged(made, 1), None)
    assert judged(ideal, 9).worst_drop_to(judged(made, 9), None) == pytest.approx(worst)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"chips": 0}, "chips must be a whole number from 1"),
        ({"chip_seed": -1}, "chip_seed must be a whole number from 0"),
        ({"devices": None}, "time must be None without devices"),
        ({"devices": "stuck"}, "time must be None for 'stuck'"),
    ],
)
def test_what_cannot_be_is_refused(options, said):
    with pytest.raises(ValueError, match=said):
        design(network(), **options)


def test_a_failure_leaves_chips_and_statistics_as_they_were(monkeypatch):
    net = network()
    rt.program(net, "stuck", seed=3, show_progress=False)
    rt.calibrate(net, [images(40)], show_progress=False)
    before, chip = net[0].statistics, net[0].site.programming

    def fail(*args, **kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr(designing, "choose", fail)
    with pytest.raises(KeyboardInterrupt):
        design(net)
    assert net[0].statistics is before
    assert net[0].site.programming == chip
