"""The penalty on networks in training: what it saves, when it watches, its state, its errors."""

import pytest
import torch
from test_penalty import ENCODINGS, converted, with_slopes
from torch import nn

import reram_torch as rt
from reram_torch.training.penalty import ComparisonPenalty


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_steps_on_the_penalty_save_comparisons(small_net, encoding):
    """Where small sums are the cheap ones, and no cells' currents cancel."""
    x = torch.rand(8, 3, 8, 8)
    if encoding == "differential":
        for layer in (small_net[0], small_net[4]):
            layer.weight.data.abs_()
    net = converted(small_net, x, encoding)
    for layer in rt.crossbar_layers(net).values():
        layer.set_adc([rt.TwinRange(0, 2, 6, 1, 2)])
    optimizer = torch.optim.SGD(net.parameters(), 1.0)
    before = metered(net, x).reduction
    values = []
    with ComparisonPenalty(net, 1.0) as penalty:
        penalty.update()
        for _ in range(20):
            net(x)
            loss = penalty.take()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            values.append(loss.item())
    assert values[-1] < 0.95 * values[0]
    assert metered(net, x).reduction > 1.02 * before


def metered(net, x):
    with rt.PowerMeter(net) as meter, torch.no_grad():
        net(x)
    return meter.report().total


def test_lines_for_tables_are_followed_exactly():
    """An ADC that counts up from zero needs S + 1 comparisons: of 1 / reduction, S is linear."""
    x = torch.rand(9, 40) * (torch.rand(9, 40) < 0.5)
    net = converted(nn.Sequential(nn.Linear(40, 5), nn.ReLU(), nn.Linear(5, 3)), x, rows=25)
    sums = tuple(range(26))
    for layer in rt.crossbar_layers(net).values():
        assert layer.statistics.histogram[..., 25].sum() == 0  # which takes no more than 24
        layer.set_adc([rt.SearchTree(sums, sums, (*range(1, 26), 25))])
    penalty = ComparisonPenalty(net, 2.0).attach()
    penalty.update()
    for slopes in penalty.state_dict().values():
        torch.testing.assert_close(slopes, torch.ones(8, 8, dtype=torch.float64))
    net(x)
    value = penalty.take().item()
    total = metered(net, x)
    once = (total.conversions + total.skipped) / total.baseline_comparisons
    assert value / 2 + once == pytest.approx(1 / total.reduction, rel=1e-5)
    net(x)
    net(x)
    assert penalty.take().item() == pytest.approx(value)  # the mean of the passes


def test_it_watches_training_only(calibrated, batches):
    x = batches[0][0]
    penalty = with_slopes(calibrated)
    assert penalty.take().item() == 0
    calibrated(x)  # eval mode
    assert penalty.take().item() == 0
    calibrated.train()
    with torch.no_grad():
        calibrated(x)
    assert penalty.take().item() == 0
    calibrated(x[:0])
    assert penalty.take().item() == 0
    rt.calibrate(calibrated, batches, show_progress=False)
    assert penalty.take().item() == 0
    calibrated(x)
    assert penalty.take().item() > 0
    assert penalty.take().item() == 0
    calibrated(x)
    penalty.detach()
    assert penalty.take().item() == 0
    calibrated(x)
    assert penalty.take().item() == 0


def test_states_come_back_without_statistics(calibrated, batches):
    for layer in rt.crossbar_layers(calibrated).values():
        layer.set_adc([rt.TwinRange(0, 2, 5, 1, 3)])
    before = calibrated.state_dict()
    penalty = ComparisonPenalty(calibrated, 1.0).attach()
    penalty.update()
    assert calibrated.state_dict().keys() == before.keys()
    loaded = rt.convert(rt.revert(calibrated))
    loaded.load_state_dict(before)
    other = ComparisonPenalty(loaded, 1.0).attach()
    with pytest.raises(RuntimeError, match="run reram_torch.calibrate.*missing for .'conv1'"):
        other.update()
    with pytest.raises(RuntimeError, match="no slopes for layer 'conv1' yet"):
        loaded.train()(batches[0][0])
    other.load_state_dict(penalty.state_dict())
    calibrated.train()(batches[0][0])
    loaded(batches[0][0])
    assert torch.equal(penalty.take(), other.take())


def test_wrong_arguments_are_named(calibrated, batches):
    with pytest.raises(ValueError, match="weight must be a finite number at least 0, not -1"):
        ComparisonPenalty(calibrated, -1)
    with pytest.raises(ValueError, match="weight must be a finite number"):
        ComparisonPenalty(calibrated, float("nan"))
    with pytest.raises(ValueError, match="weight_window must be a finite number from 0 to 1"):
        ComparisonPenalty(calibrated, 1.0, weight_window=2)
    with pytest.raises(ValueError, match="no crossbar layers"):
        ComparisonPenalty(nn.Linear(2, 2), 1.0)
    penalty = ComparisonPenalty(calibrated, 1.0)
    state = {name: torch.zeros(8, 8) for name in rt.crossbar_layers(calibrated)}
    with pytest.raises(ValueError, match=r"\['fc9'\] are only in one of the two"):
        penalty.load_state_dict({**state, "fc9": torch.zeros(8, 8)})
    with pytest.raises(ValueError, match=r"\['conv1'\] are only in one of the two"):
        penalty.load_state_dict({k: v for k, v in state.items() if k != "conv1"})
    with pytest.raises(ValueError, match=r"slopes of 'fc1' must have shape \(8, 8\), not \(4, 8\)"):
        penalty.load_state_dict({**state, "fc1": torch.zeros(4, 8)})
    layer = calibrated.conv2
    layer.set_adc([rt.UniformSAR(8)], edges=(0, 77))
    with pytest.raises(ValueError, match=r"layer 'conv2': its ADCs go by .* \(0, 77\)"):
        penalty.update()
