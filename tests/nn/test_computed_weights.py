"""Weight norm, spectral norm and pruning, put on a layer after `convert`."""

import copy

import pytest
import torch
import torch.nn.utils as old
from torch import nn
from torch.nn.utils import parametrizations as new
from torch.nn.utils import prune

import reram_torch as rt
from reram_torch.crossbar.quantization import dequantized_input, dequantized_weight, weight_scale

KINDS = {
    "weight_norm": new.weight_norm,
    "spectral_norm": new.spectral_norm,
    "orthogonal": new.orthogonal,
    "pruned": lambda layer: prune.l1_unstructured(layer, "weight", 0.5),
}
if hasattr(old, "spectral_norm"):
    KINDS["old spectral_norm"] = old.spectral_norm


def made(kind):
    torch.manual_seed(0)
    net = rt.convert(nn.Sequential(nn.Conv2d(2, 4, 3), nn.Flatten(), nn.Linear(36, 3)).eval())
    x = torch.rand(8, 2, 5, 5)
    rt.calibrate(net, x, show_progress=False)
    for layer in (net[0], net[2]):
        KINDS[kind](layer)
    return net, x


@pytest.mark.parametrize("kind", KINDS)
def test_the_computed_weight_lies_on_crossbars(kind):
    net, x = made(kind)
    y = net[0](x)
    weight = net[0].weight.detach()
    values, _ = dequantized_input(x, *net[0].input_scale, 8)
    held = dequantized_weight(weight, weight_scale(weight, 8), 8)
    assert torch.allclose(y, nn.functional.conv2d(values, held, net[0].bias), atol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_it_trains_and_revert_keeps_what_computes_it(kind):
    net, x = made(kind)
    net.train()(x).square().sum().backward()
    parameters = dict(net.named_parameters())
    assert "0.weight" not in parameters
    assert all(p.grad is not None for p in parameters.values())
    net.eval()(x)  # hooks compute the weight anew
    weight = net[0].weight.detach().clone()
    back = rt.revert(net, inplace=True)
    assert isinstance(back[0], nn.Conv2d)
    assert not isinstance(back[0], rt.ReRAMConv2d)
    assert dict(back.named_parameters()).keys() == parameters.keys()
    with torch.no_grad():
        y = back(x)
        assert torch.allclose(back[0].weight, weight)
        before = y.clone()
        for p in back.parameters():
            p.mul_(1.5)
        assert not torch.allclose(back(x), before)
    back.train()(x).sum().backward()


def test_a_network_that_torch_cannot_copy_says_what_to_do():
    net, x = made("pruned")
    net(x)
    with pytest.raises(RuntimeError):
        copy.deepcopy(net)
    with pytest.raises(RuntimeError, match=r"revert cannot copy this network .*give inplace=True"):
        rt.revert(net)
