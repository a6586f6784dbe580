"""Input scales by token: each position over its largest input, and results back by it."""

import dataclasses

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from problems import examples
from torch import nn

import reram_torch as rt
from reram_torch.crossbar.quantization import over_largest
from reram_torch.evaluation.integers import plain_integer
from reram_torch.training.penalty import ComparisonPenalty

BY_TOKEN = rt.InputConfig(scale="token")


def tokens(*shape):
    """Positions of very different size, one of them nothing but zeros."""
    torch.manual_seed(0)
    x = torch.randn(*shape) * torch.logspace(-3, 2, shape[-2]).unsqueeze(-1)
    x[..., 1, :] = 0
    return x


def calibrated(x, inputs=BY_TOKEN, ranges="min_max", outputs=7, **more):
    net = nn.Sequential(nn.Linear(x.shape[-1], outputs))
    net = rt.convert(net, rt.Config(inputs=inputs, **more))
    return rt.calibrate(net, x, held_back=0, ranges=ranges, show_progress=False)


@examples(40)
@given(
    encoding=st.sampled_from(["affine", "sign_magnitude"]), bias=st.booleans(),
    leading=st.sampled_from([(4,), (2, 3), (1, 1, 5)]), seed=st.integers(0, 99),
    unit=st.sampled_from([1, 2]),
)  # fmt: skip
def test_a_layer_is_what_its_definition_says(encoding, bias, leading, seed, unit):
    torch.manual_seed(seed)
    config = rt.Config(inputs=rt.InputConfig(8, encoding, "token"))
    layer = rt.ReRAMLinear(50, 9, bias, config=config)
    layer.set_input_range(-1.0, 0.9)
    if unit == 2:
        layer.set_adc([rt.UniformSAR(7, 2)])
    x = torch.randn(*leading, 50) * 10.0 ** torch.randint(-4, 5, (*leading, 1))
    plain = rt.ReRAMLinear(50, 9, False, config=rt.Config(inputs=rt.InputConfig(8, encoding)))
    plain.weight = layer.weight
    plain.set_input_range(-1.0, 0.9)
    plain.set_adc(layer.adc)
    with torch.no_grad():
        largest = x.abs().amax(-1, keepdim=True)
        expected = plain(x / largest) * largest
        if bias:
            expected = expected + layer.bias
        assert torch.equal(layer(x), expected)


@pytest.mark.parametrize("encoding", ["affine", "sign_magnitude", "auto"])
@pytest.mark.parametrize("ranges", ["min_max", "mse", "percentile"])
def test_positions_of_any_size_are_resolved(encoding, ranges):
    x = tokens(3, 6, 40)
    net = calibrated(x, rt.InputConfig(8, encoding, "token"), ranges)
    low, high = net[0].input_range
    assert -1 <= low < 0 < high <= 1
    with torch.no_grad():
        exact, found = net[0].to_float()(x), net(x)
        error = (found - exact).norm(dim=-1) / (exact - net[0].bias).norm(dim=-1)
        assert error[:, [0, 2, 3, 4, 5]].max() < 0.03
        assert torch.equal(found[:, 1], net[0].bias.expand(3, -1))  # of nothing but zeros
        with plain_integer(net):
            assert torch.equal(net(x), found)


def test_one_scale_for_all_loses_the_small_ones():
    x = tokens(3, 6, 40)
    net = calibrated(x, rt.InputConfig())
    with torch.no_grad():
        exact, found = net[0].to_float()(x), net(x)
    assert (found - exact)[:, 0].norm() > 0.5 * (exact - net[0].bias)[:, 0].norm()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64])
@pytest.mark.parametrize("learned", [False, True])
def test_gradients_take_the_largest_for_a_constant(dtype, learned):
    x = tokens(4, 30)
    net = calibrated(x).to(dtype)
    if learned:
        net[0].learn_scales()
    x = x.to(dtype).requires_grad_()
    y = net(x)
    assert y.dtype == dtype
    upstream = torch.randn_like(y)
    y.backward(upstream)
    other = net[0].to_float()
    z = x.detach().clone().requires_grad_()
    expected = torch.autograd.grad(other(z), [z, other.weight, other.bias], upstream)
    inside = x.detach().abs() < x.detach().abs().amax(-1, keepdim=True)  # the ends may be clipped
    found = x.grad * inside, net[0].weight.grad, net[0].bias.grad
    expected = expected[0] * inside, *expected[1:]
    for a, b in zip(found, expected, strict=True):
        assert a.dtype == dtype
        torch.testing.assert_close(a, b, rtol=0.05, atol=0.02 * float(b.abs().max()))


def test_convolutions_keep_one_scale():
    net = rt.convert(nn.Sequential(nn.Conv2d(3, 4, 3)), rt.Config(inputs=BY_TOKEN))
    x = torch.randn(2, 3, 8, 8)
    rt.calibrate(net, x, held_back=0, show_progress=False)
    assert not net[0].by_token
    assert net[0].input_range == (float(x.min()), float(x.max()))


def test_the_multiplications_are_counted_and_priced():
    x = tokens(2, 6, 40)
    net = calibrated(x)
    with rt.PowerMeter(net) as meter, torch.no_grad():
        net(x)
    report = meter.report("isaac")
    count = 2 * 6 * (40 + 7)
    assert report.total.events["scale_multiplications"] == count
    assert report.total.component_pj["token_scaling"] == pytest.approx(1.15 * count)
    assert report.unpriced == {}
    assert "not in the energy" not in str(report)
    other = meter.report("neurosim")
    assert other.unpriced == {"scale_multiplications": count}
    line = "282 scale multiplications; no component of 'neurosim' is charged by"
    assert f"not in the energy: {line} scale_multiplications" in str(other)
    assert other.to_dict()["unpriced"] == {"scale_multiplications": count}


def test_one_scale_costs_no_multiplication():
    x = tokens(2, 6, 40)
    net = calibrated(x, rt.InputConfig())
    with rt.PowerMeter(net) as meter, torch.no_grad():
        net(x)
    assert meter.report("isaac").total.component_pj["token_scaling"] == 0
    assert meter.report("neurosim").unpriced == {}


def test_designs_and_states_are_of_the_scaled_inputs(tmp_path):
    x = tokens(8, 6, 40)
    net = calibrated(x, weights=rt.WeightConfig(encoding="differential"))
    found = rt.design_adc(net, "search_tree", granularity="slice", lossless=True,
                          show_progress=False)  # fmt: skip
    assert found.reduction > 1.5
    with torch.no_grad():
        expected = net(x)
        with plain_integer(net):
            assert torch.equal(net(x), expected)
    rt.design_adc(net, "uniform", granularity="slice", reduction=6.0, show_progress=False)
    assert net[0].correction is not None
    torch.save(net.state_dict(), tmp_path / "state.pt")
    other = rt.convert(nn.Sequential(nn.Linear(40, 7)), net[0].config)
    other.load_state_dict(torch.load(tmp_path / "state.pt"))
    with torch.no_grad():
        assert torch.equal(other(x), net(x))
    whole = dataclasses.replace(net[0].config, inputs=rt.InputConfig())
    with pytest.raises(RuntimeError, match="inputs.scale was 'token' there and is 'tensor' here"):
        rt.convert(nn.Sequential(nn.Linear(40, 7)), whole).load_state_dict(net.state_dict())


def test_a_penalty_sees_the_scaled_inputs():
    """Twice the input, the same codes: the same penalty, and half the gradient."""
    x = tokens(4, 6, 40)[:, 2:]
    net = calibrated(x, rt.InputConfig(8, "sign_magnitude", "token")).train()
    grads = []
    for factor in (1.0, 2.0):
        with ComparisonPenalty(net, 1.0) as penalty:
            penalty.update()
            own = (x * factor).requires_grad_()
            net(own)
            value = penalty.take()
            value.backward()
        grads.append((value.detach(), own.grad))
    assert torch.equal(grads[0][0], grads[1][0])
    torch.testing.assert_close(grads[0][1], 2 * grads[1][1])
    assert grads[0][1].abs().sum() > 0


def test_an_unknown_scale_is_refused():
    with pytest.raises(ValueError, match=r"inputs.scale must be one of \['tensor', 'token'\]"):
        rt.InputConfig(scale="channel")


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32, torch.float64])
def test_the_largest_is_one_where_all_are_zero(dtype):
    x = torch.tensor([[0.0, 0.0], [3.0, -4.0]], dtype=dtype)
    scaled, largest = over_largest(x)
    assert largest.tolist() == [[1.0], [4.0]]
    assert scaled.tolist() == [[0.0, 0.0], [0.75, -1.0]]
    assert scaled.dtype == (torch.float64 if dtype == torch.float64 else torch.float32)
