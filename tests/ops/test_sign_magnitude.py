"""Sign-magnitude inputs: two passes of the magnitudes, subtracted, on every backend."""

import dataclasses
from unittest import mock

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from problems import examples, isas
from torch import nn

import reram_torch as rt
from reram_torch.config.sections import ENCODINGS
from reram_torch.crossbar.cells import read_back
from reram_torch.crossbar.quantization import in_passes, input_codes
from reram_torch.evaluation.integers import plain_integer
from reram_torch.native import cuda
from reram_torch.ops import arrays, reference


@st.composite
def layers(draw):
    """A linear layer or a convolution with signed input codes, any ADCs, and an input."""
    config = rt.Config(
        rt.CrossbarConfig(
            rows=draw(st.sampled_from([7, 64, 128, 300])),
            cell_bits=draw(st.integers(1, 2)),
            dac_bits=draw(st.integers(1, 3)),
        ),
        rt.WeightConfig(draw(st.sampled_from([8, 4])), draw(st.sampled_from(ENCODINGS))),
        rt.InputConfig(draw(st.integers(2, 8)), "sign_magnitude"),
    )
    torch.manual_seed(draw(st.integers(0, 2**32 - 1)))
    if draw(st.booleans()):
        layer = rt.ReRAMLinear(draw(st.integers(1, 150)), draw(st.integers(1, 70)), config=config)
        x = torch.randn(draw(st.integers(1, 40)), layer.in_features)
    else:
        groups = draw(st.sampled_from([1, 3]))
        layer = rt.ReRAMConv2d(
            2 * groups, groups * draw(st.sampled_from([1, 5, 41])), 3,
            stride=draw(st.integers(1, 2)), padding=draw(st.integers(0, 2)), groups=groups,
            config=config,
        )  # fmt: skip
        x = torch.randn(draw(st.integers(1, 2)), 2 * groups, 7, 9)
        if draw(st.booleans()):
            x = x.contiguous(memory_format=torch.channels_last)
    low, high = float(x.min()), max(float(x.max()), 0.1)
    layer.set_input_range(min(low, -0.1) * draw(st.sampled_from([0.5, 1.0])), high)
    layer.set_adc(
        [draw(st.sampled_from([rt.ActivitySAR(), rt.UniformSAR(9, 1), rt.UniformSAR(5, 4)]))]
    )
    return layer, x


def by_definition(layer, x):
    """Each pass by the reference, as if it were a layer of its own without a sign."""
    g = layer.geometry
    one = dataclasses.replace(g, passes=1)
    q = (x / layer.input_scale.scale).round().clamp(*g.input_span)
    assert layer.input_scale.zero == 0
    assert g.input_span == (
        1 - 2 ** (layer.config.inputs.bits - 1),
        2 ** (layer.config.inputs.bits - 1) - 1,
    )
    codes = read_back(layer.encoded().cells, g, layer.outputs // layer.groups, layer.depth)
    results = []
    for part in (q.clamp(min=0), (-q).clamp(min=0)):
        padded, window = layer.windowed(part)
        u = padded.to(torch.uint8)
        u = u.reshape(-1, 1, layer.depth) if window is None else window.over(u, 0)
        results.append(reference.crossbar(u, codes, layer.tables(), one))
    (plus, *made), (minus, *more) = results
    acc = (plus - minus).flatten(1)
    scale = layer.encoded().scale * layer.input_scale.scale / layer.tables().unit
    y = acc * scale + layer.bias
    if layer.channels_first:
        size = layer.float_forward(x).shape
        y = y.view(size[0], *size[2:], size[1]).permute(0, 3, 1, 2)
    return y, *(a + b for a, b in zip(made, more, strict=True))


def assert_equal(found, expected):
    for a, b in zip(found, expected, strict=True):
        assert torch.equal(a, b)


@pytest.mark.parametrize("isa", [*isas(), "reference"])
def test_every_backend_is_the_definition(isa, monkeypatch):
    @examples(60)
    @given(layers())
    def check(case):
        layer, x = case
        monkeypatch.setenv("RERAM_TORCH_BACKEND", "reference" if isa == "reference" else "native")
        monkeypatch.setenv("RERAM_TORCH_ISA", "" if isa == "reference" else isa)
        with torch.no_grad():
            assert_equal(layer.on_crossbars(x, count=True), by_definition(layer, x))

    check()


def test_the_emulated_device_is_the_definition(emulated):
    @examples(25)
    @given(layers())
    def check(case):
        layer, x = case
        expected = by_definition(layer, x)
        with (
            torch.no_grad(),
            mock.patch.object(cuda, "library", return_value=emulated.library),
            mock.patch.object(arrays, "library_for", return_value=cuda),
        ):
            layer.programmed._kept = None
            assert_equal(layer.on_crossbars(x, count=True), expected)

    check()


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("shape", [(3, 5), (4, 6, 5, 7)])
def test_lossless_is_the_plain_integer_network(encoding, shape):
    config = rt.Config(
        weights=rt.WeightConfig(encoding=encoding), inputs=rt.InputConfig(encoding="sign_magnitude")
    )
    net = nn.Sequential(nn.Linear(5, 9) if len(shape) == 2 else nn.Conv2d(6, 9, 3, padding=1))
    x = torch.randn(shape)
    net = rt.calibrate(rt.convert(net, config), x, held_back=0, show_progress=False)
    assert net[0].input_encoding == "sign_magnitude"
    with torch.no_grad(), plain_integer(net):
        expected = net(x)
    with torch.no_grad():
        assert torch.equal(net(x), expected)
        assert (expected - net[0].float_forward(x)).abs().max() < 0.05


@examples(30)
@given(seed=st.integers(0, 99), bits=st.integers(1, 7))
def test_codes_are_two_disjoint_passes(seed, bits):
    torch.manual_seed(seed)
    x = torch.randn(3, 4, 5, 2).contiguous(memory_format=torch.channels_last) * 2**bits
    codes = input_codes(x, 1.0, 0, bits, signed=True)
    assert codes.dtype == torch.int8
    applied = in_passes(codes)
    assert applied.dtype == torch.uint8
    plus, minus = applied.chunk(2)
    assert int(applied.max()) < 2**bits
    assert torch.equal(plus.int() - minus.int(), codes.int())
    assert not (plus.bool() & minus.bool()).any()
    unsigned = input_codes(x, 1.0, 0, bits)
    assert in_passes(unsigned) is unsigned


def test_a_depth_that_two_passes_could_overflow_is_refused():
    """Four cycles of two bits in each pass: each reaches as far as the one of affine codes."""
    config = rt.Config(
        rt.CrossbarConfig(dac_bits=2), rt.WeightConfig(encoding="differential"),
        rt.InputConfig(encoding="auto"),
    )  # fmt: skip
    layer = rt.ReRAMLinear(20_000, 1, device="meta", config=config)
    layer.set_input_range(-1.0, 1.0, "affine")
    with pytest.raises(ValueError, match="over 20000 inputs could overflow the 32-bit"):
        layer.set_input_range(-1.0, 1.0, "sign_magnitude")


@pytest.mark.parametrize("kind", ["linear", "convolution"])
def test_gradients_are_those_on_the_signed_grid(kind):
    config = rt.Config(inputs=rt.InputConfig(4, "sign_magnitude"))
    if kind == "linear":
        layer, x = rt.ReRAMLinear(6, 4, config=config), torch.randn(5, 6)
    else:
        layer, x = rt.ReRAMConv2d(3, 4, 3, padding=1, config=config), torch.randn(2, 3, 5, 6)
    layer.set_input_range(-1.0, 1.2)
    x.requires_grad_()
    y = layer(x)
    upstream = torch.randn_like(y)
    y.backward(upstream)
    step = 1.2 / 7
    codes = (x.detach() / step).round()
    held = (codes.clamp(-7, 7) * step).requires_grad_()
    other = layer.to_float()
    other.weight = nn.Parameter(
        read_back(layer.encoded().cells, layer.geometry, 4, layer.depth).view(layer.weight.shape)
        * layer.encoded().scale.view(-1, *[1] * (layer.weight.dim() - 1))
    )
    other(held).backward(upstream)
    torch.testing.assert_close(x.grad, held.grad * (codes.abs() <= 7), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(layer.weight.grad, other.weight.grad, rtol=1e-4, atol=1e-5)
