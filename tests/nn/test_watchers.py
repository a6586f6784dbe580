"""Watchers of layers: they nest, leave in any order, and never lose each other's counts."""

import pytest
import torch

import reram_torch as rt
from reram_torch.evaluation.integers import plain_integer
from reram_torch.nn.watchers import Watcher, watching
from reram_torch.ops import backends


def counted(net, x):
    with rt.PowerMeter(net) as meter:
        net(x)
    return meter.report().total


@pytest.fixture
def net(calibrated):
    for layer in rt.crossbar_layers(calibrated).values():
        layer.set_adc([rt.lossless_adc(layer.geometry)])
    return calibrated


def test_a_meter_outside_the_plain_integer_network_counts(net):
    """What the crossbars do with the same inputs, whichever of the two is inside."""
    x = torch.rand(2, 1, 32, 32)
    expected, y = counted(net, x), net(x)
    assert expected.conversions > 0
    with rt.PowerMeter(net) as meter, plain_integer(net):
        assert torch.equal(net(x), y)
    assert meter.report().total == expected
    with plain_integer(net), rt.PowerMeter(net) as meter:
        assert torch.equal(net(x), y)
    assert meter.report().total == expected


def test_weights_changed_between_passes_of_a_meter_are_seen(net, monkeypatch):
    """Weights are looked at once a pass, and in every pass."""
    x, looked = torch.rand(2, 1, 32, 32), []
    look = backends.fingerprint
    monkeypatch.setattr(backends, "fingerprint", lambda t: looked.append(t) or look(t))
    with rt.PowerMeter(net):
        before = net(x)
        assert len(looked) == len(rt.crossbar_layers(net))
        net.conv1.weight.data.neg_()
        after = net(x)
    assert not torch.equal(after, before)
    assert torch.equal(net(x), after)
    with rt.PowerMeter(net), pytest.raises(ValueError, match="NaN"):
        net(torch.full_like(x, torch.nan))
    net.conv1.weight.data.neg_()
    assert torch.equal(net(x), before)


def test_a_layer_not_calibrated_is_named_by_a_meter_too(lenet):
    net = rt.convert(lenet)
    with rt.PowerMeter(net), plain_integer(net), pytest.raises(RuntimeError, match="calibrate"):
        net(torch.rand(1, 1, 32, 32))


@pytest.mark.parametrize("budget", [None, {"lossless": True}, {"reduction": 1.2}, {"max_drop": 1}])
def test_passes_that_are_no_inferences_are_not_counted(net, batches, budget):
    x = torch.rand(2, 1, 32, 32)
    expected = counted(net, x)
    with rt.PowerMeter(net) as meter:
        if budget is None:
            rt.calibrate(net, batches, show_progress=False)
        else:
            rt.design_adc(net, "uniform", granularity="slice", **budget, show_progress=False)
    assert meter.report().conversions == meter.inferences == 0
    rt.calibrate(net, batches, show_progress=False)
    for layer in rt.crossbar_layers(net).values():
        layer.set_adc([rt.lossless_adc(layer.geometry)])
    assert counted(net, x) == expected
    assert not any(len(layer.watchers) for layer in rt.crossbar_layers(net).values())


def test_a_meter_inside_what_hides_counts(net):
    class Hiding(Watcher):
        computes = hides = True

        def compute(self, layer, x):
            return layer.float_forward(x)

    x = torch.rand(1, 1, 32, 32)
    layers = dict.fromkeys(rt.crossbar_layers(net).values(), Hiding())
    with rt.PowerMeter(net) as outer, watching(layers), rt.PowerMeter(net) as inner:
        net(x)
    assert outer.report().conversions == outer.inferences == 0
    assert inner.report().conversions > 0
    assert inner.inferences == 1


def test_the_innermost_that_computes_decides():
    class Constant(Watcher):
        computes = True

        def __init__(self, value):
            self.value = value

        def compute(self, layer, x):
            return torch.full((len(x), layer.outputs), self.value)

    layer = rt.ReRAMLinear(3, 2)
    x = torch.rand(4, 3)
    with watching({layer: Constant(1.0)}):
        with watching({layer: Constant(2.0)}):
            assert bool((layer(x) == 2).all())
        assert bool((layer(x) == 1).all())
    with pytest.raises(RuntimeError, match="calibrate"):
        layer(x)


def test_watchers_leave_in_any_order_and_after_errors(net):
    x = torch.rand(1, 1, 32, 32)
    first, second = rt.PowerMeter(net), rt.PowerMeter(net)
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    net(x)
    second.__exit__(None, None, None)
    assert first.report().conversions == 0
    assert second.report().conversions > 0
    with pytest.raises(ZeroDivisionError), plain_integer(net), rt.PowerMeter(net):
        _ = 1 / 0
    assert not any(len(layer.watchers) for layer in rt.crossbar_layers(net).values())


def test_gradients_of_a_metered_network_that_something_else_computes(net):
    net.train()
    x = torch.rand(2, 1, 32, 32, requires_grad=True)
    with rt.PowerMeter(net) as meter, plain_integer(net):
        y = net(x)
    assert meter.report().conversions > 0
    assert y.shape == (2, 10)
