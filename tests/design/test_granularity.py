"""Tables by slice, cycle and activity; layers weighed by their effect; mean errors; bounds."""

import numpy as np
import pytest
import torch
from torch import nn

import reram_torch as rt
from reram_torch.design.bounds import adc_bound, bound_table
from reram_torch.design.loads import layer_loads
from reram_torch.design.problem import Problem
from reram_torch.design.sensitivity import (
    Change,
    adc_effects,
    fold_mean_errors,
    layer_sensitivities,
)
from reram_torch.evaluation.scoring import evaluate

# Trees over fewer sums, and fewer of them, take a moment.
LOW = rt.Config(rt.CrossbarConfig(rows=32), rt.WeightConfig(bits=4), rt.InputConfig(bits=4))
GRANULARITIES = ("layer", "slice", "cycle", "activity", "slice+activity", "cycle+slice+activity")


def scores(net, batches):
    with torch.no_grad():
        return torch.cat([net(x) for x, _ in batches])


@pytest.fixture(params=["offset", "differential", "dual"])
def encoded(request, lenet, batches):
    config = rt.Config(weights=rt.WeightConfig(encoding=request.param))
    return rt.calibrate(rt.convert(lenet, config), batches, show_progress=False)


@pytest.mark.parametrize("granularity", GRANULARITIES)
def test_loads_share_out_what_calibration_saw(encoded, granularity):
    for layer in rt.crossbar_layers(encoded).values():
        g, statistics = layer.geometry, layer.statistics
        loads = layer_loads(layer, granularity)
        present = layer.encoded().present
        assert int(present.sum()) == (8 if g.offset else 7)
        driven = statistics.by_activity[:, :, present]
        driven = driven[1:] if "activity" in granularity else driven
        assert sum(x.counts.sum() for x in loads.loads) == pytest.approx(float(driven.sum()))
        assert sorted(set(loads.index.ravel()) - {-1}) == list(range(len(loads.loads)))
        assert (loads.index[1:][:, :, ~present.numpy()] == -1).all()
        tables = {"layer": 1, "slice": int(present.sum()), "cycle": 8}.get(granularity)
        assert tables is None or len(loads.loads) == tables
        for load, high in zip(loads.loads, loads.highs, strict=True):
            assert load.counts[np.abs(load.values) > high].sum() == 0
            assert (load.prior[(np.abs(load.values) <= high) & (load.values >= g.lowest)] > 0).all()


def test_lossless_trees_are_lossless(encoded, batches):
    check_lossless(encoded, batches, "search_tree", "slice+activity")


@pytest.mark.slow
@pytest.mark.parametrize("design", ["intervals", "twin_range"])
def test_lossless_designs_are_lossless(calibrated, batches, design):
    check_lossless(calibrated, batches, design, "activity")


def check_lossless(encoded, batches, design, granularity):
    """Also on data that calibration did not see."""
    other = [(torch.rand(6, 1, 32, 32) * 0.9, None)]
    ideal = scores(encoded, [*batches, *other])
    found = rt.design_adc(encoded, design, lossless=True, granularity=granularity)
    assert torch.equal(scores(encoded, [*batches, *other]), ideal)
    assert all(layer.correction is None for layer in rt.crossbar_layers(encoded).values())
    with rt.PowerMeter(encoded) as meter:
        scores(encoded, [(x, None) for x in encoded.calibration.inputs])
    assert meter.report().total.skipped > 0
    assert meter.report().reduction == pytest.approx(found.reduction)


def test_finer_tables_and_freer_trees_need_fewer_comparisons(calibrated):
    made = {
        (design, granularity): rt.design_adc(
            calibrated, design, lossless=True, granularity=granularity
        ).reduction
        for design in ("uniform", "intervals", "search_tree")
        for granularity in ("layer", "activity")
    }
    for design in ("uniform", "intervals", "search_tree"):
        assert made[design, "layer"] < made[design, "activity"]
    assert made["uniform", "layer"] < made["intervals", "layer"] <= made["search_tree", "layer"]


@pytest.mark.slow
@pytest.mark.parametrize("granularity", GRANULARITIES)
def test_a_reduction_is_met_by_trees(small_net, granularity):
    x = torch.rand(4, 3, 8, 8)
    net = rt.calibrate(rt.convert(small_net, LOW), x, show_progress=False)
    found = rt.design_adc(net, "search_tree", granularity=granularity, reduction=12.0)
    steps = 15.0 if granularity in ("layer", "slice") else 13.2
    assert 12.0 <= found.reduction < steps
    with rt.PowerMeter(net) as meter:
        net(x)
    assert meter.report().reduction == pytest.approx(found.reduction, rel=0.05)
    if "cycle" not in granularity:  # those take long
        again = rt.design_adc(net, "search_tree", granularity=granularity, reduction=12.0)
        assert again == found


def test_trees_keep_their_limits(calibrated):
    found = rt.design_adc(calibrated, "search_tree", reduction=3.0, leaves=6, depth=4, grid=8)
    for designs in found.designs.values():
        for tree in designs:
            assert len(tree.starts) <= 6
            assert max(tree.depths) <= 4
            assert all(start % 8 == 0 for start in tree.starts[1:])
    with pytest.raises(ValueError, match=r"is a limit of \['search_tree'\], not of 'uniform'"):
        rt.design_adc(calibrated, "uniform", reduction=3.0, leaves=6)
    with pytest.raises(ValueError, match="no tree of 2 leaves is free of error"):
        rt.design_adc(calibrated, "search_tree", lossless=True, leaves=2)


def test_a_quarter_of_the_images_is_held_back(lenet):
    data = [(torch.rand(4, 1, 32, 32), torch.arange(4) + 4 * k) for k in range(4)]
    net = rt.calibrate(rt.convert(lenet), data, show_progress=False)
    used, held = net.calibration, net.calibration.held_back
    assert [len(x) for x in used.inputs] == [3] * 4
    assert torch.equal(torch.cat(held.targets), torch.tensor([3, 7, 11, 15]))
    assert torch.equal(held.inputs[1][0], data[1][0][3])
    assert net.conv1.statistics.results == 12 * 6 * 28 * 28
    for images, wanted in ((1, 0), (2, 1), (3, 1), (4, 1), (5, 2), (9, 3)):  # of one batch, too
        net = rt.calibrate(rt.convert(lenet), data[0][0][:1].repeat(images, 1, 1, 1))
        held = net.calibration.held_back
        assert (0 if held is None else len(held.inputs[0])) == wanted
    net = rt.calibrate(rt.convert(lenet), data, held_back=0.0, show_progress=False)
    assert net.calibration.held_back is None
    with pytest.raises(ValueError, match="held_back must be at least 0 and below 1"):
        rt.calibrate(net, data, held_back=1.0)


def test_images_without_a_batch_are_held_back_whole():
    net = rt.convert(nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(0), nn.Linear(144, 5)))
    rt.calibrate(net, [torch.rand(3, 8, 8) for _ in range(4)], show_progress=False)
    assert [x.shape for x in net.calibration.inputs] == [(3, 8, 8)] * 3
    assert [x.shape for x in net.calibration.held_back.inputs] == [(3, 8, 8)]
    vectors = rt.convert(nn.Sequential(nn.Linear(6, 5)))
    rt.calibrate(vectors, [torch.rand(6), torch.rand(6)], show_progress=False)
    assert [x.shape for x in vectors.calibration.held_back.inputs] == [(6,)]
    rt.calibrate(vectors, [torch.rand(8, 3, 6)], show_progress=False)  # three dimensions, batched
    assert [x.shape for x in vectors.calibration.held_back.inputs] == [(2, 3, 6)]


def test_layers_that_matter_more_weigh_more(lenet, batches):
    net = rt.calibrate(rt.convert(lenet), batches, show_progress=False)
    layers = rt.crossbar_layers(net)
    found = layer_sensitivities(net, layers, net.calibration)
    assert found.keys() == layers.keys()
    assert all(value > 0 for value in found.values())
    assert found == layer_sensitivities(net, layers, net.calibration)
    assert not any(len(layer.watchers) for layer in layers.values())
    # A layer whose outputs nothing reads has no effect.
    with torch.no_grad():
        net.fc2.weight.zero_()
    dead = layer_sensitivities(net, layers, net.calibration)
    assert dead["conv1"] == dead["fc1"] == pytest.approx(0.3 * dead["fc3"])  # none is given up


def test_effects_of_the_adcs_in_place(lenet, batches):
    net = rt.calibrate(rt.convert(lenet), batches, show_progress=False)
    layers, data = rt.crossbar_layers(net), net.calibration
    assert set(adc_effects(net, layers, data, folded=False).values()) == {0.0}  # lossless so far
    change = Change(net, layers)
    assert change.of(data) == 0
    net.conv2.set_adc([rt.UniformSAR(3, step=8)])
    coarse = change.of(data)
    for folded in (False, True):
        found = adc_effects(net, layers, data, folded=folded)
        assert found.pop("conv2") > 0
        assert set(found.values()) == {0.0}
    # A mean error is the network's to lose, but not where it is folded into the bias.
    net.conv2.set_adc([rt.UniformSAR(0)])
    lost = change.of(data)
    fold_mean_errors(net, layers, data)
    assert change.of(data) < lost
    net.conv2.set_adc([rt.UniformSAR(2, step=16)])
    assert change.of(data) > coarse
    assert not any(len(layer.watchers) for layer in layers.values())


@pytest.mark.slow
def test_of_the_designs_made_the_best_stays(calibrated, monkeypatch):
    layers, held = rt.crossbar_layers(calibrated), calibrated.calibration.held_back
    changes, measure = [], Problem.change

    def change(problem):
        changes.append(measure(problem))
        return changes[-1]

    monkeypatch.setattr(Problem, "change", change)
    found = rt.design_adc(
        calibrated, "search_tree", reduction=5.0, grid=3, granularity="slice", show_progress=False
    )
    rounds = changes[:3]
    assert len(set(rounds)) > 1  # the layers were weighed anew
    assert found.reduction >= 5.0
    assert all(layer.adc == found.designs[name] for name, layer in layers.items())
    # What was folded roughly in a round is folded by all data at the end.
    assert Change(calibrated, layers).of(held) <= 1.5 * min(rounds)


@pytest.mark.slow
def test_mean_errors_are_folded_into_the_bias(calibrated, batches):
    layer = calibrated.conv2
    x = torch.rand(4, 6, 14, 14)
    ideal = layer(x)
    rt.design_adc(calibrated, "search_tree", reduction=6.0, grid=4)
    assert layer.correction is not None
    layers = rt.crossbar_layers(calibrated)
    data = calibrated.calibration
    seen = []
    handle = layer.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    scores(calibrated, batches)
    handle.remove()
    exact = torch.cat([layer.simulate(s, layer.lossless_tables())[0] for s in seen])
    # `exact` has the correction in its bias, as `layer` has.
    with torch.no_grad():
        made = torch.cat([layer(s) for s in seen])
        error = (made - (exact - layer.correction.view(-1, 1, 1))).mean((0, 2, 3))
        bare = (made - exact).mean((0, 2, 3))
    assert float(error.abs().max()) < 0.2 * float(bare.abs().max())
    # The correction is saved, and goes with the ADCs.
    fresh = rt.convert(rt.revert(calibrated))
    fresh.load_state_dict(calibrated.state_dict())
    assert torch.equal(scores(fresh, batches), scores(calibrated, batches))
    layer.set_adc([rt.lossless_adc(layer.geometry)])
    assert layer.correction is None
    assert torch.equal(layer(x), ideal)
    fold_mean_errors(calibrated, layers, data)
    assert float(layer.correction.abs().max()) < 1e-6


def test_no_search_beats_its_bound(small_net):
    x = torch.rand(4, 3, 8, 8)
    net = rt.calibrate(rt.convert(small_net, LOW), x, show_progress=False)
    rt.design_adc(net, "twin_range", reduction=2.0)
    bounds = adc_bound(net)
    assert [b.name for b in bounds] == [*rt.crossbar_layers(net), "total"]
    for bound in bounds:
        assert 0 <= bound.optimal <= bound.made + 1e-9
        assert bound.optimal <= bound.lossless + 1e-9
        assert bound.given <= bound.lossless + 1e-9 < bound.given + 2
        assert bound.given <= bound.entropy + 1e-9
    assert "total" in bound_table(bounds)
    with pytest.raises(RuntimeError, match="adc_bound needs histograms"):
        adc_bound(rt.convert(nn.Sequential(nn.Linear(4, 2))))


@pytest.mark.slow
def test_what_is_in_place_is_counted_as_the_meter_counts(small_net):
    net = rt.calibrate(rt.convert(small_net, LOW), torch.rand(4, 3, 8, 8), show_progress=False)
    rt.design_adc(net, "search_tree", reduction=12.0, granularity="slice+activity")
    for layer in rt.crossbar_layers(net).values():
        layer.bank.correction = None
    first = adc_bound(net)[0]
    with rt.PowerMeter(net) as meter:
        for x in net.calibration.inputs:
            evaluate(net, [(x, torch.zeros(len(x), dtype=torch.long))])
    counted = meter.report().layers[0]
    assert first.made == pytest.approx(counted.comparisons_per_conversion)
