"""Whole layers in one native call against the same layers by way of the reference: equal floats."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from problems import Kernels, assert_same, examples, isas, lossless_tables, uniform

import reram_torch as rt
from reram_torch.config.sections import INPUT_ENCODINGS
from reram_torch.crossbar.cells import program
from reram_torch.crossbar.geometry import sizes
from reram_torch.crossbar.windows import Window
from reram_torch.native import cpu
from reram_torch.ops import reference

pytestmark = pytest.mark.skipif(not cpu.available(), reason="the native library is not built")


@st.composite
def layers(draw):
    """A convolution with its input, or a linear layer with rows of any number of dimensions."""
    config = rt.Config(
        rt.CrossbarConfig(
            rows=draw(st.sampled_from([7, 64, 128, 300])),
            cell_bits=draw(st.sampled_from([1, 1, 1, 2])),
            dac_bits=draw(st.sampled_from([1, 1, 1, 2])),
        ),
        rt.WeightConfig(encoding=draw(st.sampled_from(["offset", "differential", "dual"]))),
        rt.InputConfig(draw(st.sampled_from([8, 8, 3])), draw(st.sampled_from(INPUT_ENCODINGS))),
    )
    torch.manual_seed(draw(st.integers(0, 2**32 - 1)))
    bias = draw(st.booleans())
    if draw(st.integers(0, 3)) == 0:
        inputs, outputs = draw(st.integers(1, 150)), draw(st.integers(1, 80))
        layer = rt.ReRAMLinear(inputs, outputs, bias, config=config)
        x = torch.randn(*draw(st.sampled_from([(3,), (2, 5), (70,)])), inputs)
    else:
        groups = draw(st.sampled_from([1, 1, 2, 5]))
        layer = rt.ReRAMConv2d(
            groups * draw(st.sampled_from([1, 3, 17])),
            groups * draw(st.sampled_from([1, 4, 41, 70])),
            (draw(st.integers(1, 3)), draw(st.integers(1, 3))),
            stride=(draw(st.integers(1, 3)), draw(st.integers(1, 2))),
            padding=(draw(st.integers(0, 2)), draw(st.integers(0, 1))),
            dilation=(draw(st.integers(1, 2)), 1),
            groups=groups,
            bias=bias,
            config=config,
        )
        x = torch.randn(draw(st.integers(1, 3)), layer.in_channels, 9, draw(st.integers(4, 20)))
    return layer, _arranged(draw(st.sampled_from(["plain", "last", "part", "steps"])), x)


def _arranged(kind, x):
    """The same values behind another arrangement in memory."""
    if kind == "last" and x.dim() == 4:
        return x.contiguous(memory_format=torch.channels_last)
    if kind == "part":
        return torch.cat([x + 1, x, x - 1])[len(x) : 2 * len(x)]
    if kind == "steps":  # contiguous along nothing
        wide = x.new_full((*x.shape[:-1], 2 * x.shape[-1]), torch.nan)
        wide[..., ::2] = x
        return wide[..., ::2]
    return x


# That of the configuration, and levels in halves over sums of any encoding.
ADCS = st.one_of(
    st.none(),
    st.builds(rt.UniformSAR, st.sampled_from([5, 9]), st.sampled_from([2, 4])),
    st.just(rt.SearchTree((0, 2, 6), (0, 3.5, 7), (1, 2, 2))),
)


@pytest.mark.parametrize("isa", isas())
def test_native_layers_equal_those_by_reference(isa, monkeypatch):
    @examples(60)
    @given(layers(), st.booleans(), ADCS)
    def check(case, negative, adc):
        layer, x = case
        if adc is not None:
            layer.set_adc([adc])
        x = x if negative else x.relu()
        layer.set_input_range(float(x.min()), float(x.max()))
        found = {}
        for backend in ("native", "reference"):
            monkeypatch.setenv("RERAM_TORCH_BACKEND", backend)
            monkeypatch.setenv("RERAM_TORCH_ISA", isa)
            with torch.no_grad(), rt.PowerMeter(layer) as meter:
                found[backend] = layer(x), meter.report().total
        assert torch.equal(found["native"][0], found["reference"][0])
        assert found["native"][1] == found["reference"][1]

    check()


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_results_do_not_depend_on_threads(threads):
    """Enough work that threads are used: tens of millions of bit-line sums."""
    layer = rt.ReRAMConv2d(24, 70, 3, padding=1)
    x = torch.randn(4, 24, 20, 20)
    layer.set_input_range(-4.0, 4.0)
    before = torch.get_num_threads()
    found = []
    try:
        for count in (1, threads):
            torch.set_num_threads(count)
            with torch.no_grad(), rt.PowerMeter(layer) as meter:
                found.append((layer(x), meter.report().total))
    finally:
        torch.set_num_threads(before)
    assert torch.equal(found[0][0], found[1][0])
    assert found[0][1] == found[1][1]


@pytest.mark.parametrize("scale", [1e-3, 0.1, 7.3])
@pytest.mark.parametrize("isa", isas())
def test_codes_round_as_torch_does(isa, scale, monkeypatch):
    """Halves, values next to them, huge and tiny ones; read back through an identity matrix."""
    monkeypatch.setenv("RERAM_TORCH_ISA", isa)
    layer = rt.ReRAMLinear(1, 1, bias=False)
    layer.weight.data.fill_(1.0)
    layer.set_input_range(-100 * scale, 155 * scale)
    s, zero = layer.input_scale
    halves = (torch.arange(-320, 320) / 2) * s
    x = torch.cat(
        [halves, torch.nextafter(halves, halves + 1), torch.nextafter(halves, halves - 1)]
    )
    x = torch.cat([x, torch.tensor([3e38, -3e38, 1e-45, -1e-45, 0.0, -0.0])])
    codes = ((x / s).round() + zero).clamp(0, 255) - zero
    expected = codes * 127 * (layer.encoded().scale * s)
    with torch.no_grad():
        assert torch.equal(layer(x.unsqueeze(1)).flatten(), expected)


@examples(40)
@given(st.data())
def test_windows_are_read_in_place(data):
    """The operator on overlapping windows gives what it gives on a copy of them."""
    size = st.integers(1, 3)
    kernel, stride, dilation = ([data.draw(size), data.draw(size)] for _ in range(3))
    padding = [data.draw(st.integers(0, 2)), data.draw(st.integers(0, 2))]
    groups, channels = data.draw(size), data.draw(st.integers(1, 20))
    u = torch.randint(0, 256, (2, groups * channels, 8, 11), dtype=torch.uint8)
    if data.draw(st.booleans()):
        u = u.contiguous(memory_format=torch.channels_last)
    view = Window(kernel, stride, padding, dilation, groups).over(u, 5)
    M, G, K = sizes(view)
    g = uniform(30, 1, 1)
    codes = torch.randint(-128, 128, (G, 3, K), dtype=torch.int8)
    tables, cells = lossless_tables(g), program(codes, g)
    found = Kernels(cpu).crossbar(view, cells, tables, 3, g, True)
    expected = reference.crossbar(view.reshape(M, G, K), codes, tables, g)
    assert_same(found, expected)
    bins = Kernels(cpu).histogram(view, cells, tables.edges, 3, g)
    assert torch.equal(bins, reference.histogram(view, codes, tables.edges, g))
