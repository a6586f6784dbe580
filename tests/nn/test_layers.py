"""Layers against torch's own on the dequantized integers, their gradients, and bad input."""

import copy

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from problems import examples
from torch import nn

import reram_torch as rt
from reram_torch.config.sections import ENCODINGS
from reram_torch.crossbar.quantization import dequantized_input, dequantized_weight
from reram_torch.evaluation.integers import plain_integer


def ready(layer, x):
    """A layer with lossless ADCs, calibrated on `x`."""
    layer.set_adc([rt.lossless_adc(layer.geometry)])
    return rt.calibrate(layer.eval(), [x], show_progress=False)


def on_crossbars(layer):
    """The weights that the cells stand for."""
    return dequantized_weight(
        layer.weight.detach(), layer.encoded().scale, layer.config.weights.bits
    )


def expected(layer, x):
    """What torch gives on the values that the codes stand for, in float64."""
    values, _ = dequantized_input(x.double(), *layer.input_scale, layer.config.inputs.bits)
    weight = on_crossbars(layer).double()
    bias = None if layer.bias is None else layer.bias.detach().double()
    if isinstance(layer, nn.Linear):
        return F.linear(values, weight, bias)
    return layer._conv_forward(values, weight, bias)


def config_of(encoding="offset", **crossbar):
    return rt.Config(rt.CrossbarConfig(**crossbar), rt.WeightConfig(encoding=encoding))


@st.composite
def convolutions(draw):
    groups = draw(st.sampled_from([1, 1, 2, 3]))
    depthwise = draw(st.booleans())
    inputs = groups * draw(st.integers(1, 4))
    if depthwise:
        groups = inputs
    kernel = draw(st.tuples(st.integers(1, 4), st.integers(1, 4)))
    stride = draw(st.tuples(st.integers(1, 3), st.integers(1, 3)))
    padding = draw(st.sampled_from([0, 1, 2, (0, 1), "same", "valid"]))
    if padding == "same":
        stride = (1, 1)
    arguments = {
        "in_channels": inputs,
        "out_channels": groups * draw(st.integers(1, 4)),
        "kernel_size": kernel,
        "stride": stride,
        "padding": padding,
        "dilation": draw(st.tuples(st.integers(1, 2), st.integers(1, 2))),
        "groups": groups,
        "bias": draw(st.booleans()),
        "padding_mode": draw(st.sampled_from(["zeros", "reflect", "replicate", "circular"])),
    }
    config = config_of(draw(st.sampled_from(ENCODINGS)), rows=draw(st.sampled_from([7, 32, 128])))
    shape = (draw(st.integers(1, 3)), inputs, draw(st.integers(7, 12)), draw(st.integers(7, 12)))
    return arguments, config, shape, draw(st.booleans()), draw(st.booleans())


@examples(80)
@given(convolutions())
@pytest.mark.filterwarnings("ignore:Using padding='same'")  # torch's, of even kernels
def test_conv2d_is_torchs_on_dequantized_integers(case):
    arguments, config, shape, negative, channels_last = case
    torch.manual_seed(1)
    layer = rt.ReRAMConv2d(**arguments, config=config)
    x = torch.randn(shape) if negative else torch.rand(shape)
    if channels_last:
        x = x.contiguous(memory_format=torch.channels_last)
    ready(layer, x)
    y = layer(x)
    torch.testing.assert_close(y.double(), expected(layer, x), rtol=1e-5, atol=1e-5)
    if layer.padding_mode == "zeros":  # other paddings copy in a layout of their own
        layout = torch.channels_last if not x.is_contiguous() else torch.contiguous_format
        assert y.is_contiguous(memory_format=layout)  # so that .view() goes on working
    with plain_integer(layer):
        assert torch.equal(layer(x), y)


@pytest.mark.parametrize("shape", [(7,), (0, 7), (5, 7), (2, 3, 7), (2, 0, 4, 7)])
@pytest.mark.parametrize("encoding", ENCODINGS)
def test_linear_takes_any_leading_dimensions(shape, encoding):
    layer = rt.ReRAMLinear(7, 5, config=config_of(encoding, rows=4))
    ready(layer, torch.randn(20, 7))
    x = torch.randn(shape)
    y = layer(x)
    assert y.shape == (*shape[:-1], 5)
    torch.testing.assert_close(y.double(), expected(layer, x), rtol=1e-5, atol=1e-5)


def test_convolution_of_one_image_and_of_none():
    layer = ready(rt.ReRAMConv2d(3, 4, 3, padding=1), torch.rand(2, 3, 8, 8))
    one = torch.rand(3, 8, 8)
    assert torch.equal(layer(one), layer(one.unsqueeze(0)).squeeze(0))
    assert layer(torch.rand(0, 3, 8, 8)).shape == (0, 4, 8, 8)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_other_float_types(dtype):
    layer = rt.ReRAMLinear(30, 4, dtype=dtype)
    x = torch.rand(6, 30).to(dtype)
    ready(layer, x)
    assert layer(x).dtype == dtype
    tolerance = {torch.float16: 2e-3, torch.bfloat16: 2e-2, torch.float64: 1e-6}[dtype]
    wide = copy.deepcopy(layer).double()
    torch.testing.assert_close(
        layer(x).double(), expected(wide, x.double()), rtol=tolerance, atol=tolerance
    )


@pytest.mark.parametrize(
    "bits", [(2, 1, 1, 1), (3, 8, 2, 1), (8, 3, 3, 2), (8, 8, 4, 4), (5, 7, 2, 3)]
)
def test_other_geometries(bits):
    weight_bits, input_bits, cell_bits, dac_bits = bits
    for encoding in ENCODINGS:
        config = rt.Config(
            rt.CrossbarConfig(rows=33, cell_bits=cell_bits, dac_bits=dac_bits),
            rt.WeightConfig(weight_bits, encoding),
            rt.InputConfig(input_bits),
        )
        layer = rt.ReRAMLinear(70, 6, config=config)
        x = torch.randn(9, 70)
        ready(layer, x)
        torch.testing.assert_close(layer(x).double(), expected(layer, x), rtol=1e-5, atol=1e-5)


# --- gradients ---


def check_gradients(layer, x):
    """Those of the float layer on dequantized values, inputs masked where clipped."""
    x = (x * 1.5).requires_grad_()  # beyond the calibrated range: some inputs are clipped
    layer.train()
    y = layer(x)
    upstream = torch.randn_like(y)
    y.backward(upstream)

    values, inside = dequantized_input(x.detach(), *layer.input_scale, layer.config.inputs.bits)
    assert 0 < inside.sum() < inside.numel()
    ideal = layer.to_float()
    ideal.weight = nn.Parameter(on_crossbars(layer))
    ideal.bias = nn.Parameter(layer.bias.detach().clone())
    values.requires_grad_()
    ideal(values).backward(upstream)
    torch.testing.assert_close(x.grad, values.grad * inside)
    torch.testing.assert_close(layer.weight.grad, ideal.weight.grad)
    torch.testing.assert_close(layer.bias.grad, ideal.bias.grad)


def test_linear_gradients():
    x = torch.randn(4, 3, 20)
    check_gradients(ready(rt.ReRAMLinear(20, 6), x), x)


@pytest.mark.filterwarnings("ignore:Using padding='same'")  # torch's, of even kernels
@pytest.mark.parametrize(
    "more",
    [
        {},
        {"stride": 2, "padding": 1},
        {"groups": 2, "dilation": 2},
        {"padding": "same"},
        {"padding": 2, "padding_mode": "reflect"},
    ],
)
def test_conv2d_gradients(more):
    x = torch.randn(2, 4, 9, 9)
    if more.get("padding_mode"):  # clipping masks do not commute with reflected padding's sum
        x = x.abs()
    layer = ready(rt.ReRAMConv2d(4, 6, 4 if more.get("padding") == "same" else 3, **more), x)
    check_gradients(layer, x)


def test_only_wanted_gradients():
    layer = ready(rt.ReRAMConv2d(2, 3, 3, bias=False), torch.rand(1, 2, 6, 6))
    layer.weight.requires_grad_(False)
    x = torch.rand(1, 2, 6, 6, requires_grad=True)
    layer(x).sum().backward()
    assert x.grad is not None
    assert layer.weight.grad is None


# --- weights never stale ---


def edits():
    def optimizer(layer):
        step = torch.optim.SGD(layer.parameters(), 10.0)
        layer.weight.grad = torch.randn_like(layer.weight)
        step.step()

    def in_place(layer):
        with torch.no_grad():
            layer.weight[0] = 3.0

    def load(layer):
        layer.load_state_dict({**layer.state_dict(), "weight": torch.randn_like(layer.weight)})

    def replaced(layer):
        layer.weight = nn.Parameter(torch.randn_like(layer.weight))

    def negated(layer):
        layer.weight.data.neg_()

    def through_numpy(layer):
        layer.weight.detach().numpy()[:] *= -0.5

    return [optimizer, in_place, load, replaced, negated, through_numpy]


@pytest.mark.parametrize("edit", edits(), ids=lambda f: f.__name__)
@pytest.mark.parametrize("training", [True, False])
def test_weights_are_never_stale(edit, training):
    x = torch.rand(8, 20)
    layer = ready(rt.ReRAMLinear(20, 6), x).train(training)
    before = layer(x).detach()
    edit(layer)
    after = layer(x).detach()
    assert not torch.allclose(before, after)
    torch.testing.assert_close(after.double(), expected(layer, x), rtol=1e-5, atol=1e-5)


# --- bad input ---


def test_uncalibrated_layers_refuse():
    layer = rt.ReRAMLinear(3, 2).eval()
    with pytest.raises(RuntimeError, match="calibrate"):
        layer(torch.rand(1, 3))


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("kind", ["linear", "conv"])
def test_non_finite_values_are_named(value, kind):
    if kind == "linear":
        layer, x = rt.ReRAMLinear(3, 2), torch.rand(4, 3)
    else:
        layer, x = rt.ReRAMConv2d(3, 2, 1), torch.rand(1, 3, 2, 2)
    ready(layer, x)
    bad = x.clone()
    bad.view(-1)[1] = value
    with pytest.raises(ValueError, match="input holds NaN or infinity in 1 of 12"):
        layer(bad)
    with torch.no_grad():
        layer.weight.view(-1)[0] = value
    with pytest.raises(ValueError, match="weight holds NaN or infinity in 1 of 6"):
        layer(x)


def test_wrong_types_and_shapes_are_named():
    linear = ready(rt.ReRAMLinear(3, 2), torch.rand(4, 3))
    conv = ready(rt.ReRAMConv2d(3, 2, 3), torch.rand(1, 3, 5, 5))
    with pytest.raises(ValueError, match=r"\(\*, 3\), not \(4, 5\)"):
        linear(torch.rand(4, 5))
    with pytest.raises(TypeError, match="int64"):
        linear(torch.ones(4, 3, dtype=torch.int64))
    with pytest.raises(TypeError, match=r"float64.*float32"):
        linear(torch.ones(4, 3, dtype=torch.float64))
    with pytest.raises(TypeError, match="list"):
        linear([1.0, 2.0, 3.0])
    with pytest.raises(ValueError, match=r"\(B, 3, H, W\).*not \(1, 4, 5, 5\)"):
        conv(torch.rand(1, 4, 5, 5))
    with pytest.raises(ValueError, match="smaller than the dilated kernel"):
        conv(torch.rand(1, 3, 2, 5))
    with pytest.raises(TypeError, match="Config"):
        rt.ReRAMLinear(3, 2, config={"rows": 3})


def test_zero_weights_give_the_bias():
    layer = rt.ReRAMConv2d(2, 3, 3)
    nn.init.zeros_(layer.weight)
    x = torch.rand(1, 2, 5, 5)
    ready(layer, x)
    assert torch.equal(layer(x), layer.bias.detach().view(1, 3, 1, 1).expand(1, 3, 3, 3))


@pytest.mark.parametrize("value", [0.0, 2.5, -2.5, 1e-30, -1e-42, 1e30])
def test_constant_inputs(value):
    layer = rt.ReRAMLinear(6, 4)
    x = torch.full((3, 6), value)
    ready(layer, x)
    torch.testing.assert_close(
        layer(x).double(), expected(layer, x), rtol=1e-5, atol=max(abs(value) * 1e-5, 1e-6)
    )
    if abs(value) > 1e-20:
        values, _ = dequantized_input(x, *layer.input_scale, 8)
        torch.testing.assert_close(values, x, rtol=1e-2, atol=0.0)


def test_reductions_that_could_overflow_are_refused():
    with pytest.raises(ValueError, match="40000 inputs could overflow"):
        rt.ReRAMLinear(40_000, 1)
    net = nn.Sequential(nn.Linear(40_000, 1))
    with pytest.raises(ValueError, match=r"layer '0'.*40000"):
        rt.convert(net)


def test_deep_reductions_are_exact():
    """Beyond 8,192 inputs the zero point is corrected in 64 bits."""
    layer = rt.ReRAMLinear(20_000, 2)
    x = torch.randn(2, 20_000) + 3
    ready(layer, x)
    torch.testing.assert_close(layer(x).double(), expected(layer, x), rtol=1e-4, atol=1e-4)


def test_printed_layers_tell_their_design():
    text = repr(rt.ReRAMLinear(3, 2))
    assert "in_features=3" in text
    assert "encoding='offset'" in text
    assert "calibrated=False" in text


def test_layers_take_what_autocast_makes(batches):
    net = nn.Sequential(nn.Linear(20, 8), nn.ReLU(), nn.Linear(8, 3))
    net = rt.calibrate(rt.convert(net, skip=["0"]), torch.rand(6, 20), show_progress=False)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        y = net(torch.rand(4, 20))
    assert y.dtype == torch.float32
    y.sum().backward()
    assert net[0].weight.grad is not None


def test_scales_survive_a_change_of_type():
    x = torch.rand(6, 20)
    layer = ready(rt.ReRAMLinear(20, 3), x)
    before = layer(x)
    layer.half().float()
    torch.testing.assert_close(layer(x), before, rtol=1e-2, atol=1e-2)


def test_tables_by_activity_cycle_and_slice():
    """A design for each bucket, cycle and slice; nothing converted where nothing is driven."""
    config = config_of("differential", rows=32)
    layer = rt.ReRAMLinear(70, 6, config=config)
    x = torch.rand(9, 70) * (torch.rand(9, 70) < 0.3)
    rt.calibrate(layer, x, show_progress=False)
    exact = rt.UniformSAR(7)
    index = torch.randint(0, 2, (3, 8, 8))
    index[0] = -1
    layer.set_adc([exact, rt.UniformSAR(8)], edges=(0, 1, 5), index=index)
    with rt.PowerMeter(layer) as meter:
        y = layer(x)
    torch.testing.assert_close(y.double(), expected(layer, x), rtol=1e-5, atol=1e-5)
    total = meter.report().total
    assert total.skipped > 0
    assert total.conversions + total.skipped == 9 * 6 * 3 * 8 * 7  # the eighth slice is not there
    assert 7 * total.conversions < total.comparisons < 8 * total.conversions
    assert total.comparisons_per_conversion < 7.9
    again = rt.ReRAMLinear(70, 6, config=config)
    again.load_state_dict(layer.state_dict())
    with rt.PowerMeter(again) as meter:
        assert torch.equal(again(x), y)
    assert meter.report().total == total
    with pytest.raises(ValueError, match=r"index must be from 0 to 1"):
        layer.set_adc([exact] * 2, edges=(0, 2), index=index[:2].tolist())
    with pytest.raises(ValueError, match="edges must rise from 0"):
        layer.set_adc([exact] * 2, edges=(1, 2), index=index[1:].tolist())
    with pytest.raises(ValueError, match="index must be .* of shape"):
        layer.set_adc([exact] * 2, edges=(0, 1), index=index.tolist())


@pytest.mark.parametrize(
    ("layer", "shape"),
    [
        (nn.Linear(4, 3), (2, 4)),
        (nn.Conv2d(4, 3, 3), (2, 4, 5, 5)),
        (nn.Conv1d(4, 3, 3), (2, 4, 5)),
    ],
)
def test_the_input_may_be_given_by_torchs_name(layer, shape):
    net, x = rt.convert(nn.Sequential(layer)), torch.rand(shape)
    rt.calibrate(net, x, show_progress=False)
    assert torch.equal(net[0](input=x), net[0](x))
    with rt.PowerMeter(net[0]) as meter:
        net[0](input=x)
    assert meter.inferences == 2
