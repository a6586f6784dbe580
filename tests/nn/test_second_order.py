"""Gradients of gradients are those of the network of straight-through estimators."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import reram_torch as rt
from reram_torch.crossbar.quantization import dequantized_weight, weight_scale


class _Round(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return x.round()

    @staticmethod
    def backward(ctx, grad):
        return grad


class _Clamp(torch.autograd.Function):
    """A clamp whose bounds count as inside, as a code at a bound was not clipped."""

    @staticmethod
    def forward(ctx, x, low, high):
        ctx.inside = (x >= low) & (x <= high)
        return x.clamp(low, high)

    @staticmethod
    def backward(ctx, grad):
        return grad * ctx.inside, None, None


class _Scaled(torch.autograd.Function):
    """The value itself, with its gradient times a share."""

    @staticmethod
    def forward(ctx, x, share):
        ctx.share = share
        return x.clone()

    @staticmethod
    def backward(ctx, grad):
        return grad * ctx.share, None


def on_grid(x, log_step, zero, low, high):
    """LSQ by torch's own differentiation."""
    each = x.numel() // log_step.numel()
    step = _Scaled.apply(log_step, 1 / math.sqrt(each * (high - zero))).exp()
    step = step.view(-1, *[1] * (x.dim() - 1)) if step.dim() else step
    return (_Clamp.apply(_Round.apply(x / step) + zero, low, high) - zero) * step


def through(x, scale, zero, most):
    return (_Clamp.apply(_Round.apply(x / scale) + zero, 0, most) - zero) * scale


def reference(layer, x):
    """A layer in float on the values that its codes stand for."""
    (scale, zero), bits = layer.input_scale, layer.config.inputs.bits
    if layer.log_input_step is None:
        u = through(x, scale, zero, 2**bits - 1)
        w = weight_scale(layer.weight.detach(), layer.config.weights.bits)
        held = dequantized_weight(layer.weight.detach(), w, layer.config.weights.bits)
        w = layer.weight + (held - layer.weight).detach()
    else:
        u = on_grid(x, layer.log_input_step, zero, 0, 2**bits - 1)
        most = 2 ** (layer.config.weights.bits - 1) - 1
        w = on_grid(layer.weight, layer.log_weight_step, 0, -most, most)
    if isinstance(layer, nn.Linear):
        return F.linear(u, w, layer.bias)
    return layer._conv_forward(u, w, layer.bias)


def second_order(first, second, forward, x):
    """A gradient penalty's gradients, through two layers and what lies between them."""
    x = x.clone().requires_grad_()
    y = forward(second, forward(first, x).tanh().flatten(1))
    (by_x,) = torch.autograd.grad(y.square().sum(), x, create_graph=True)
    parameters = [*first.parameters(), *second.parameters()]
    by_p = torch.autograd.grad(y.square().sum(), parameters, create_graph=True)
    penalty = by_x.square().sum() + sum(g.square().sum() for g in by_p)
    return torch.autograd.grad(penalty, [x, *parameters])


@pytest.mark.parametrize("learned", [False, True])
@pytest.mark.parametrize("kind", ["linear", "convolution"])
def test_gradients_of_gradients(kind, learned):
    config = rt.Config(rt.CrossbarConfig(rows=16), adc=rt.UniformSAR(8))
    if kind == "linear":
        net = nn.Sequential(nn.Linear(6, 5), nn.Tanh(), nn.Linear(5, 3)).double()
        x = torch.rand(7, 6).double()
    else:
        body = nn.Conv2d(2, 4, 3, groups=2, padding=1)
        net = nn.Sequential(body, nn.Tanh(), nn.Flatten(), nn.Linear(64, 3)).double()
        x = torch.rand(3, 2, 4, 4).double()
    net = rt.calibrate(rt.convert(net, config), x, show_progress=False)
    layers = list(rt.crossbar_layers(net).values())
    if learned:
        for layer in layers:
            layer.learn_scales()
            layer.double()
            layer.log_weight_step.data -= 0.3  # some are clipped
    x = x * 1.2 - 0.05  # likewise
    found = second_order(*layers, lambda layer, x: layer(x), x)
    wanted = second_order(*layers, reference, x)
    for a, b in zip(found, wanted, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5 * float(b.abs().max()))
    assert all(g.abs().max() > 0 for g in found)
