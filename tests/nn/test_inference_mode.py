"""What layers keep from a pass under torch.inference_mode does not spoil training."""

import pytest
import torch
from torch import nn

import reram_torch as rt


def network(bias=True):
    net = nn.Sequential(nn.Conv2d(2, 3, 3, bias=bias), nn.Flatten(), nn.Linear(48, 4, bias=bias))
    return rt.convert(net, rt.Config(rt.CrossbarConfig(rows=16)))


def step(net, x):
    net.zero_grad()
    net(x).square().sum().backward()
    return [p.grad.clone() for p in net.parameters()]


@pytest.mark.parametrize("learned", [False, True])
@pytest.mark.parametrize("bias", [False, True])
def test_everything_may_happen_in_inference_mode(bias, learned):
    net, x = network(bias), torch.rand(8, 2, 6, 6)
    saved = network(bias).state_dict()
    with torch.inference_mode():
        net.load_state_dict(saved)
        rt.calibrate(net, x, show_progress=False)
        rt.design_adc(net, "twin_range", granularity="slice", reduction=2.0)
        if learned:
            for layer in rt.crossbar_layers(net).values():
                layer.learn_scales()
        net(x)
    found = step(net, x)
    for layer in rt.crossbar_layers(net).values():
        layer.programmed._kept = None  # encoded anew, outside
    assert all(torch.equal(a, b) for a, b in zip(found, step(net, x), strict=True))
    for layer in rt.crossbar_layers(net).values():
        kept = [*layer.encoded(), *layer.tables().tensors, layer.statistics.by_activity]
        kept += [t for t in (layer.correction, *layer.parameters()) if t is not None]
        assert not any(t.is_inference() for t in kept)


def test_weights_may_change_before_a_pass_in_inference_mode():
    net, x = network(), torch.rand(8, 2, 6, 6)
    rt.calibrate(net, x, show_progress=False)
    with torch.no_grad():
        net[2].weight.add_(0.01)
    with torch.inference_mode():
        net(x)
    step(net, x)


def test_learned_scales_may_be_loaded_in_inference_mode():
    net, x = network(), torch.rand(8, 2, 6, 6)
    rt.calibrate(net, x, show_progress=False)
    for layer in rt.crossbar_layers(net).values():
        layer.learn_scales()
    other = network()
    with torch.inference_mode():
        other.load_state_dict(net.state_dict())
        other(x)
    assert all(torch.equal(a, b) for a, b in zip(step(other, x), step(net, x), strict=True))
