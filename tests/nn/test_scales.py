"""Learned scales: codes as the operators make them, LSQ's gradients, state."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from problems import examples
from torch import nn

import reram_torch as rt
from reram_torch.crossbar.quantization import input_codes
from reram_torch.models.zoo import LeNet5
from reram_torch.nn.scales import on_learned_grid, step_of


def learning(net, batches, config=None):
    net = rt.calibrate(rt.convert(net, config), batches, show_progress=False)
    for layer in rt.crossbar_layers(net).values():
        layer.learn_scales()
    return net


@examples(60)
@given(
    log=st.floats(-9, 3), zero=st.integers(0, 255), seed=st.integers(0, 99),
    dtype=st.sampled_from([torch.float32, torch.float64, torch.bfloat16]),
)  # fmt: skip
def test_values_on_the_grid_keep_their_codes(log, zero, seed, dtype):
    """The operator codes what is on the grid exactly as what it was made from."""
    torch.manual_seed(seed)
    log = torch.tensor(log)
    scale = step_of(log).item()
    x = (torch.randn(500) * 200 * scale).to(dtype)
    y = on_learned_grid(x, log, zero, 0, 255)
    assert torch.equal(input_codes(y, scale, zero, 8), input_codes(x, scale, zero, 8))


@pytest.mark.parametrize("channels", [False, True])
def test_gradients_are_those_of_lsq(channels):
    x = (torch.randn(3, 40, dtype=torch.float64) * 2).requires_grad_()
    log = torch.tensor([-1.0, -2.0, -3.0] if channels else -1.5, dtype=torch.float64)
    log.requires_grad_()
    low, high = -7, 7
    upstream = torch.randn(3, 40, dtype=torch.float64)
    on_learned_grid(x, log, 0, low, high).backward(upstream)
    # The formulas of the paper, by autograd on rounding that passes gradients.
    other, other_log = x.detach().clone().requires_grad_(), log.detach().clone().requires_grad_()
    step = other_log.exp() if not channels else other_log.exp()[:, None]
    step = step + (step.detach().float() - step.detach())
    steps = other / step
    codes = steps.detach().round()
    passing = steps + (codes - steps.detach())
    kept = torch.where((codes >= low) & (codes <= high), passing, codes.clamp(low, high))
    (kept * step).backward(upstream)
    torch.testing.assert_close(x.grad, other.grad)
    share = 1 / math.sqrt((40 if channels else 120) * high)
    torch.testing.assert_close(log.grad, other_log.grad * share, rtol=1e-5, atol=1e-8)


@pytest.mark.parametrize("encoding", ["offset", "differential"])
def test_training_and_evaluation_give_the_same_outputs(encoding, lenet, batches):
    net = learning(lenet, batches, rt.Config(weights=rt.WeightConfig(encoding=encoding)))
    x = batches[0][0]
    with torch.no_grad():
        for layer in rt.crossbar_layers(net).values():  # scales that clip some of everything
            layer.log_input_step -= 0.4
            layer.log_weight_step -= 0.3
    with torch.no_grad():
        plain = net(x)
    made = net.train()(x)
    assert torch.equal(made, plain)
    made.square().sum().backward()
    for layer in rt.crossbar_layers(net).values():
        for parameter in (layer.log_input_step, layer.log_weight_step, layer.weight):
            assert parameter.grad is not None
            assert parameter.grad.abs().sum() > 0


def test_scales_are_used_as_soon_as_they_change(lenet, batches):
    net, x = learning(lenet, batches), batches[0][0]
    before = net(x)
    net.fc3.log_weight_step.data += 0.7
    assert not torch.equal(net(x), before)
    net.fc3.log_weight_step.data -= 0.7
    net.conv2.log_input_step.data += 0.7
    assert not torch.equal(net(x), before)


def test_learned_scales_are_saved(lenet, batches, tmp_path):
    net, x = learning(lenet, batches), batches[0][0]
    with torch.no_grad():
        net.conv1.log_input_step += 0.1
        net.fc1.log_weight_step += torch.linspace(-0.1, 0.1, 120)
    torch.save(net.state_dict(), tmp_path / "net.pt")
    fresh = rt.convert(LeNet5().eval())
    fresh.load_state_dict(torch.load(tmp_path / "net.pt", weights_only=True))
    assert torch.equal(fresh(x), net(x))
    # A float checkpoint brings weights only.
    other = LeNet5()
    net.load_state_dict(other.state_dict())
    assert torch.equal(net.fc1.log_weight_step, fresh.fc1.log_weight_step)
    state = rt.calibrate(rt.convert(lenet), batches, show_progress=False).state_dict()
    with pytest.raises(RuntimeError, match="log_input_step"):  # not learned there, learned here
        net.load_state_dict(state)


def test_calibration_keeps_ranges_or_starts_scales_anew(lenet, batches):
    net = learning(lenet, batches)
    net.conv1.log_input_step.data += 0.5
    learned = net.conv1.log_input_step.item()
    rt.calibrate(net, batches, ranges="keep", show_progress=False)
    assert net.conv1.log_input_step.item() == learned
    rt.design_adc(net, "search_tree", reduction=2, show_progress=False)
    net.conv1.log_weight_step.data += 0.1
    with pytest.raises(RuntimeError, match="changed since"):
        rt.design_adc(net, "search_tree", reduction=2, show_progress=False)
    rt.calibrate(net, batches, show_progress=False)
    assert net.conv1.log_input_step.item() == pytest.approx(learned - 0.5, rel=1e-6)
    with pytest.raises(ValueError, match=r"ranges='keep', but \['conv1'"):
        rt.calibrate(rt.convert(LeNet5()), batches, ranges="keep", show_progress=False)


def test_bad_use_is_refused(lenet, batches):
    with pytest.raises(RuntimeError, match="calibrate first"):
        rt.convert(lenet).conv1.learn_scales()
    net = learning(lenet, batches).train()
    with pytest.raises(ValueError, match="input holds NaN or infinity"):
        net(torch.full((1, 1, 32, 32), float("inf")))


def test_steps_bring_the_error_down():
    """A scale that is far too large comes back when the outputs are learned."""
    layer = nn.Sequential(nn.Linear(30, 8))
    x = torch.rand(64, 30)
    wanted = layer(x).detach()
    net = learning(layer.eval(), [x]).train()
    net[0].log_weight_step.data += 3.0
    optimizer = torch.optim.Adam([net[0].log_weight_step], 0.05)
    losses = []
    for _ in range(150):
        optimizer.zero_grad()
        loss = (net(x) - wanted).square().mean()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.1 * losses[0]


def test_histograms_at_kept_ranges_are_those_of_lossless_crossbars(lenet, batches):
    """What the ADCs in place left out on average, and was folded into biases, is not in them."""
    net = rt.calibrate(rt.convert(lenet), batches, show_progress=False)
    wanted = {n: x.statistics for n, x in rt.crossbar_layers(net).items()}
    rt.design_adc(net, "search_tree", reduction=5, grid=8, show_progress=False)
    assert net.conv1.correction is not None
    rt.calibrate(net, batches, ranges="keep", show_progress=False)
    for name, layer in rt.crossbar_layers(net).items():
        assert torch.equal(layer.statistics.by_activity, wanted[name].by_activity)
        assert layer.statistics.square_sum == wanted[name].square_sum
