"""Subclasses, Hugging Face's Conv1D, and torchvision's windows on crossbars and back."""

import copy
import logging

import pytest
import torch
from floats import in_float
from torch import nn
from torch.nn.modules.linear import NonDynamicallyQuantizableLinear

import reram_torch as rt
from reram_torch.evaluation.integers import plain_integer


class Named(nn.Linear):
    """Computes what its parent does, and remembers something."""

    def __init__(self, inputs, outputs, note):
        super().__init__(inputs, outputs)
        self.note = note


class NamedConv(nn.Conv2d):
    def __init__(self, *args):
        super().__init__(*args)
        self.note = "mine"


def same(first, second):
    """Whether two networks have the same classes and states."""
    kinds = [[type(m) for m in net.modules()] for net in (first, second)]
    states = [net.state_dict() for net in (first, second)]
    assert kinds[0] == kinds[1]
    assert states[0].keys() == states[1].keys()
    return all(torch.equal(states[0][name], states[1][name]) for name in states[0])


def test_subclasses_that_compute_the_same_convert_and_come_back():
    shared = Named(4, 4, ["kept"])
    other = NonDynamicallyQuantizableLinear(4, 4)
    model = nn.Sequential(NamedConv(3, 4, 3), nn.Flatten(1, -1), other, shared, shared)
    net = rt.convert(model)
    assert net.mapping_report.converted == ("0", "2", "3")
    assert isinstance(net[3], rt.ReRAMLinear)
    assert net[3] is net[4]
    assert net[3].note == ["kept"]
    net[3].note = ["changed"]
    with torch.no_grad():
        net[3].weight.fill_(0.5)
    back = rt.revert(copy.deepcopy(net))
    assert [type(m) for m in back] == [type(m) for m in model]
    assert back[3] is back[4]
    assert (back[3].note, model[3].note, back[0].note) == (["changed"], ["kept"], "mine")
    assert (back[3].weight == 0.5).all()
    x = torch.rand(2, 3, 3, 3)
    with in_float(net):
        assert torch.equal(net(x), back(x))


def test_subclasses_are_folded_into():
    norm = nn.BatchNorm2d(4)
    nn.init.uniform_(norm.weight)
    model = nn.Sequential(NamedConv(3, 4, 3), norm).eval()
    net = rt.convert(model, fold_bn=True)
    assert net.mapping_report.folded == {"0": "1"}
    x = torch.rand(2, 3, 5, 5)
    torch.testing.assert_close(rt.revert(net)(x), model(x))


class Padded(nn.Conv2d):
    def _conv_forward(self, x, weight, bias):
        return super()._conv_forward(nn.functional.pad(x, (1, 0)), weight, bias)


class Counted(nn.Linear):
    def __init__(self):
        super().__init__(2, 2)
        self.register_buffer("count", torch.zeros(1))


class Stated(nn.Linear):
    def get_extra_state(self):
        return 1


class Called(nn.Linear):
    def __call__(self, x):
        return super().__call__(x) + 1


def _patched():
    layer = nn.Linear(2, 2)
    layer.forward = lambda x: x
    return layer


def _adapted():
    layer = nn.Linear(2, 2)
    layer.adapter = nn.Linear(2, 2)
    return layer


@pytest.mark.parametrize(
    ("layer", "why"),
    [
        (Padded(3, 4, 3), "a subclass, Padded, with a _conv_forward of its own"),
        (Called(2, 2), "a subclass, Called, with a __call__ of its own"),
        (Counted(), "more than weights: count"),
        (Stated(2, 2), "more than weights: an extra state"),
        (_patched(), "its forward was replaced"),
        (_adapted(), "more than weights: adapter"),
        (nn.LazyLinear(3), "run the network once"),
    ],
)
@pytest.mark.filterwarnings("ignore:Lazy modules")
def test_layers_that_would_lose_something_are_left_alone(layer, why):
    net = rt.convert(nn.ModuleList([layer, nn.Linear(2, 2)]), inplace=True)
    assert net[0] is layer
    assert why in net.mapping_report.left_alone["0"]


def test_conv1d_of_transformers():
    kind = pytest.importorskip("transformers.pytorch_utils").Conv1D
    model = nn.Sequential(kind(4, 4), kind(2, 4))
    model[0].weight.requires_grad_(False)
    net = rt.convert(model)
    report = net.mapping_report
    assert (report.converted, report.weights_on_crossbars) == (("0", "1"), 1.0)
    assert net[1].weight.shape == (2, 4)
    assert net[1].nf == 2
    assert not net[0].weight.requires_grad
    x = torch.randn(5, 4)
    with in_float(net):
        torch.testing.assert_close(net(x), model(x))
    assert same(rt.revert(net), model)
    other = nn.Sequential(kind(4, 4), kind(2, 4))
    net.load_state_dict(other.state_dict())  # a square weight, too, is turned
    assert same(rt.revert(net), other)
    again = rt.convert(model)
    again.load_state_dict(net.state_dict())
    assert same(rt.revert(again), other)
    model[0].extra = nn.Parameter(torch.ones(1))
    assert "extra" in rt.convert(model).mapping_report.left_alone["0"]


def test_a_square_weight_of_a_converted_network_is_not_turned():
    """Where the state of its crossbars was left out, as people do who want weights alone."""
    kind = pytest.importorskip("transformers.pytorch_utils").Conv1D
    net = rt.convert(nn.Sequential(kind(6, 6)))
    state = net.state_dict()
    del state["0._extra_state"]
    other = rt.convert(nn.Sequential(kind(6, 6)))
    other.load_state_dict(state)
    assert torch.equal(other[0].weight, net[0].weight)
    plain = rt.revert(net).state_dict()
    for given in (plain, dict(plain)):  # with torch's metadata, and as other libraries keep it
        other.load_state_dict(given)
        assert torch.equal(other[0].weight, given["0.weight"].t())


def test_shared_conv1d_weights_are_left_alone():
    kind = pytest.importorskip("transformers.pytorch_utils").Conv1D
    model = nn.Sequential(kind(4, 4), kind(4, 4), nn.Linear(4, 4))
    model[1].weight = model[0].weight
    report = rt.convert(model).mapping_report
    assert report.converted == ("2",)
    assert "another shape, is shared" in report.left_alone["0"]


@pytest.mark.parametrize("options", [
    {}, {"stride": 2, "padding": 2, "dilation": 2}, {"groups": 2, "bias": False},
    {"padding": "same", "kernel_size": 4}, {"padding": 1, "padding_mode": "circular"},
])  # fmt: skip
@pytest.mark.parametrize("batch", [(), (3,)])
@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel")
def test_conv1d(options, batch):
    torch.manual_seed(0)
    options = {"kernel_size": 3, **options}
    model, other = (nn.Sequential(nn.Conv1d(4, 6, **options), nn.Flatten(-2)) for _ in range(2))
    x = torch.rand(*batch, 4, 9)
    net = rt.convert(model)
    report = net.mapping_report
    assert (report.converted, report.in_float) == (("0.conv",), {})
    assert tuple(rt.crossbar_layers(net)) == report.converted
    with in_float(net):
        torch.testing.assert_close(net(x), model(x))
    rt.calibrate(net, torch.rand(3, 4, 9), show_progress=False)
    net[0].conv.set_input_range(0.0, 1.0)
    with torch.no_grad(), rt.PowerMeter(net) as meter:
        y = net(x)
        with plain_integer(net):
            assert torch.equal(net(x), y)
    assert meter.report().inferences == 2 * (batch or (1,))[0]
    torch.testing.assert_close(y, model(x), atol=0.05, rtol=0.05)
    assert same(rt.revert(net), model)
    net.load_state_dict(other.state_dict())
    assert same(rt.revert(copy.deepcopy(net)), other)
    again = rt.convert(model)
    again.load_state_dict(net.state_dict())
    assert same(rt.revert(again), other)
    with pytest.raises(ValueError, match=r"shape \(B, 4, L\) or \(4, L\), not \(5, 9\)"):
        net(torch.rand(5, 9))


def windows(version):
    swin = pytest.importorskip("torchvision.models.swin_transformer")
    kind = getattr(swin, f"ShiftedWindowAttention{version}")
    torch.manual_seed(0)
    model = nn.Sequential(kind(8, [2, 2], [1, 1], 2), nn.Sequential(kind(8, [4, 2], [0, 0], 4)))
    for parameter in model.parameters():
        nn.init.normal_(parameter)  # the second version's keys have a bias that it ignores
    return model


@pytest.mark.parametrize("version", ["", "V2"])
def test_windowed_attention_calls_its_layers(version):
    model, x = windows(version), torch.randn(2, 5, 6, 8)
    net = rt.convert(model)
    report = net.mapping_report
    assert len(report.converted) == (4 if not version else 8)
    assert {layer.kind for layer in report.in_float.values()} <= {
        "ReRAMShiftedWindowAttention", "parameter",
    }  # fmt: skip
    assert "products of two activations" in report.in_float["1.0"].reason
    net = copy.deepcopy(net)
    with in_float(net) as called:
        y = net(x)
    assert set(called) == set(rt.crossbar_layers(net).values())
    expected = model(x)
    torch.testing.assert_close(y, expected, atol=1e-4, rtol=1e-4)
    expected.square().sum().backward()
    y.square().sum().backward()
    for name, parameter in model.named_parameters():
        grad = net.get_parameter(name).grad
        torch.testing.assert_close(grad, parameter.grad, atol=1e-2, rtol=1e-3)
    back = rt.revert(net)
    assert same(back, model)
    assert torch.equal(back(x), model(x))
    net.load_state_dict(model.state_dict())


def test_products_in_windows_are_counted():
    net = rt.convert(windows(""))
    for layer in rt.crossbar_layers(net).values():
        layer.set_input_range(-3.0, 3.0)
    with torch.no_grad(), rt.PowerMeter(net) as meter:
        net(torch.randn(2, 5, 6, 8))
    floats = meter.report().in_float
    assert meter.report().inferences == 2
    assert floats["0"].macs == 2 * 2 * (3 * 3) * 4 * 4 * 8
    assert floats["1.0"].macs == 2 * 2 * (2 * 3) * 8 * 8 * 8


def test_windows_whose_layers_are_skipped_stay():
    model = windows("")
    net = rt.convert(model, skip=["0.qkv", "0.proj", "1.0.qkv"])
    assert type(net[0]) is type(model[0])
    x = torch.randn(2, 4, 4, 8)
    with in_float(net) as called:
        torch.testing.assert_close(net(x), model(x))
    assert called == [net[1][0].proj]


def test_a_weight_on_crossbars_is_multiplied_by_and_nothing_else(monkeypatch):
    net = rt.convert(windows(""))
    monkeypatch.setattr(net[0].kind, "forward", lambda self, x: torch.mm(x, self.qkv.weight))
    with pytest.raises(TypeError, match=r"reads a weight that lies on crossbars"):
        net(torch.rand(2, 8))


class Lender(nn.Module):
    """Reads a weight past its layer."""

    def __init__(self):
        super().__init__()
        self.inner, self.outer = nn.Linear(4, 4), nn.Linear(4, 2)

    def forward(self, x):
        return self.outer(nn.functional.linear(x, self.inner.weight))


def test_calibrate_warns_of_layers_that_are_passed():
    net = rt.convert(Lender())
    with pytest.warns(UserWarning, match=r"saw no input: \['inner'\].*past"):
        rt.calibrate(net, torch.rand(4, 4), show_progress=False)


def test_attention_of_another_kind_is_named(caplog):
    class Attention(nn.Module):
        def __init__(self):
            super().__init__()
            self.num_heads, self.qkv = 2, nn.Linear(4, 12)

    with caplog.at_level(logging.WARNING):
        report = rt.convert(nn.Sequential(Attention())).mapping_report
    assert report.weights_on_crossbars == 1.0
    assert report.in_float["0"].kind == "Attention"
    assert "products of two activations" in report.in_float["0"].reason
    assert not caplog.text
