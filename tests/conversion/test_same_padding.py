"""timm's Conv2dSame on crossbars and back: padded by the size of each input."""

import pytest
import torch
from floats import in_float
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

import reram_torch as rt
from reram_torch.evaluation.integers import plain_integer

Conv2dSame = pytest.importorskip("timm.layers").Conv2dSame
pairs = st.tuples(st.integers(1, 4), st.integers(1, 4))


@given(pairs, pairs, pairs, st.tuples(st.integers(1, 11), st.integers(1, 11)), st.booleans())
def test_it_computes_what_timms_does(kernel, stride, dilation, size, groups):
    torch.manual_seed(0)
    layer = Conv2dSame(4, 6, kernel, stride, dilation=dilation, groups=2 if groups else 1)
    net, x = rt.convert(nn.Sequential(layer)), torch.randn(2, 4, *size)
    assert net.mapping_report.weights_on_crossbars == 1.0
    rt.calibrate(net, [x], held_back=0, show_progress=False)
    with torch.no_grad():
        expected = layer(x)
        with in_float(net):
            assert torch.equal(net(x), expected)
        y = net(x)
        with plain_integer(net):
            assert torch.equal(net(x), y)
        # A code is off by half a step at most: of 8 bits, in every product of a window.
        steps = (x.max() - x.min()) / 255 * layer.weight.abs().flatten(1).sum(1)
        steps += layer.weight.abs().amax() / 127 * x.abs().amax() * layer.weight[0].numel()
        assert ((y - expected).abs() <= 0.6 * steps[:, None, None]).all()
        assert torch.equal(net[0](x[0]), y[0])
    back = rt.revert(net)
    assert type(back[0]) is Conv2dSame
    assert torch.equal(back(x), expected)


def test_it_learns_as_timms_does():
    layer = Conv2dSame(3, 4, 3, 2)
    net, x = rt.convert(nn.Sequential(layer)), torch.rand(2, 3, 6, 7)
    rt.calibrate(net, [x], show_progress=False)
    net(x).sum().backward()
    made, layer.weight.grad = net[0].weight.grad, None
    layer(x).sum().backward()
    torch.testing.assert_close(made, layer.weight.grad, rtol=0.05, atol=0.05)


def test_its_subclasses_are_left_alone():
    class Mine(Conv2dSame):
        pass

    report = rt.convert(nn.Sequential(Mine(3, 4, 3), nn.Linear(2, 2))).mapping_report
    assert report.left_alone == {"0": "a subclass, Mine, with a forward of its own"}


def test_a_network_of_tensorflows_is_on_crossbars_whole():
    timm = pytest.importorskip("timm")
    model = timm.create_model("tf_efficientnet_lite0", num_classes=4).eval()
    assert any(type(m) is Conv2dSame for m in model.modules())
    net, x = rt.convert(model, fold_bn=True), torch.randn(1, 3, 33, 34)
    assert (net.mapping_report.weights_on_crossbars, net.mapping_report.left_alone) == (1.0, {})
    with torch.no_grad(), in_float(net):
        torch.testing.assert_close(net(x), model(x), atol=1e-5, rtol=1e-4)
