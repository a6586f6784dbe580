"""The penalty on comparisons: its value, slopes and gradient, and what it does to a network."""

import copy
import itertools
import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from problems import examples
from torch import nn

import reram_torch as rt
from reram_torch.config.sections import INPUT_ENCODINGS
from reram_torch.crossbar.quantization import in_passes, input_codes, weight_codes
from reram_torch.ops import reference
from reram_torch.training.penalty import ComparisonPenalty

ENCODINGS = ("offset", "differential", "dual")


def converted(
    net, x, encoding="offset", rows=128, cell_bits=1, dac_bits=1, bits=8, inputs="affine"
):
    config = rt.Config(
        rt.CrossbarConfig(rows=rows, cell_bits=cell_bits, dac_bits=dac_bits),
        rt.WeightConfig(bits, encoding),
        rt.InputConfig(bits, inputs),
        rt.UniformSAR(12),
    )
    net = rt.convert(net.eval(), config)
    return rt.calibrate(net, x, held_back=0, show_progress=False).train()


def with_slopes(net, seed=0, **more):
    """A penalty on a network with random slopes, attached."""
    generator = torch.Generator().manual_seed(seed)
    penalty = ComparisonPenalty(net, 1.0, **more)
    penalty.load_state_dict(
        {
            name: torch.rand(x.geometry.cycles, x.geometry.slices, generator=generator).double()
            for name, x in rt.crossbar_layers(net).items()
        }
    )
    return penalty.attach()


def codes_of(layer, x):
    g = layer.geometry
    u = input_codes(x, *layer.input_scale, g.input_bits, signed=g.signed_inputs)
    q = weight_codes(layer.weight, layer.encoded().scale, layer.geometry.weight_bits)
    return u, q.detach()


def brute_force(layer, u, q, slopes):
    """Slopes times bit-line sums, over the baseline's comparisons; u (M, G, K), q (G, N, K)."""
    total, sums = 0.0, 0
    for cycle, _ in reference.tile_cycles(
        u, reference.IdealArrays(q, layer.geometry), layer.geometry
    ):
        for j, signs in enumerate(cycle.sums):
            for part in signs:
                total += float(slopes[cycle.index, j] * part.abs().sum())
                sums += part.numel()
    g, depth = layer.geometry, u.shape[-1]
    own = g.passes * g.cycles * g.slices * len(g.signs) * g.tiles(depth)
    return total / (sums / own * 64 * 8 * math.ceil(depth / 128))


problems = st.fixed_dictionaries(
    {
        "encoding": st.sampled_from(ENCODINGS),
        "cell_bits": st.integers(1, 3),
        "dac_bits": st.integers(1, 3),
        "rows": st.sampled_from([5, 16, 128]),
        "bits": st.sampled_from([3, 8]),
        "inputs": st.sampled_from(INPUT_ENCODINGS),
    }
)


@given(problems, st.integers(1, 40), st.integers(1, 5), st.booleans(), st.integers(0, 99))
@examples(30)
def test_value_of_a_linear_layer(problem, depth, outputs, signed, seed):
    torch.manual_seed(seed)
    x = torch.rand(2, 3, depth) - (0.3 if signed else 0.0)
    net = converted(nn.Sequential(nn.Linear(depth, outputs)), x, **problem)
    penalty = with_slopes(net, seed)
    net(x.bfloat16().float())
    [layer], [slopes] = rt.crossbar_layers(net).values(), penalty.state_dict().values()
    u, q = codes_of(layer, x.bfloat16().float())
    u, q = in_passes(u.view(-1, 1, depth)), q.unsqueeze(0)
    if layer.geometry.signed:  # both kinds of cells add up
        q = q.abs()
    expected = brute_force(layer, u, q, slopes)
    assert penalty.take().item() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_value_of_a_grouped_pointwise_convolution(encoding):
    x = torch.rand(2, 6, 4, 5)
    net = converted(nn.Sequential(nn.Conv2d(6, 4, 1, groups=2)), x, encoding)
    penalty = with_slopes(net)
    net(x)
    u, q = codes_of(net[0], x)
    u = u.permute(0, 2, 3, 1).reshape(-1, 2, 3)
    q = q.view(2, 2, 3)
    expected = brute_force(net[0], u, q.abs() if encoding == "differential" else q,
                           penalty.state_dict()["0"])  # fmt: skip
    assert penalty.take().item() == pytest.approx(expected, rel=1e-5)


def lines(layer):
    """Slopes and intercepts by numpy, through every conversion of the calibration."""
    counts, tables = layer.statistics.by_activity.numpy(), layer.tables()
    if len(tables.edges) == 1:
        counts = counts.sum(0, keepdims=True)
    sums = np.abs(np.arange(layer.geometry.lowest, layer.geometry.highest + 1))
    B, I, J, V = counts.shape  # noqa: E741
    for i, j in itertools.product(range(I), range(J)):
        c = np.zeros((B, V))
        for b in range(B):
            k = int(tables.index[b, i, j])
            c[b] = 0 if k < 0 else tables.comparisons[k]
        n = counts[:, i, j]
        if len(np.unique(sums[n.sum(0) > 0])) < 2:
            yield i, j, 0.0
            continue
        weight = np.sqrt(n.ravel())
        x = np.tile(sums, B)
        yield i, j, np.polyfit(x, c.ravel(), 1, w=weight)[0]


@pytest.mark.slow
@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("granularity", ["slice", "slice+activity"])
def test_slopes_are_those_of_least_squares_lines(encoding, granularity):
    x = torch.rand(9, 40) * (torch.rand(9, 40) < 0.2)
    x[0] = 0  # some tile-cycles drive nothing
    net = nn.Sequential(nn.Linear(40, 5), nn.ReLU(), nn.Linear(5, 3))
    net = converted(net, x, encoding, rows=16)
    rt.design_adc(net, "search_tree", granularity=granularity, reduction=4, show_progress=False)
    penalty = ComparisonPenalty(net, 1.0)
    penalty.update()
    for name, layer in rt.crossbar_layers(net).items():
        if "activity" in granularity:
            assert layer.tables().index.min() == -1
            assert layer.statistics.by_activity[0].sum() > 0
        slopes = penalty.state_dict()[name]
        assert slopes.abs().max() > 0
        for i, j, expected in lines(layer):
            assert float(slopes[i, j]) == pytest.approx(expected, rel=1e-6, abs=1e-9)


def test_a_slope_without_variance_is_zero():
    x = torch.zeros(2, 3)
    net = converted(nn.Sequential(nn.Linear(3, 2)), x)
    penalty = ComparisonPenalty(net, 1.0)
    penalty.update()
    assert penalty.state_dict()["0"].eq(0).all()


# --- gradients ---


def bit_groups(code, bits, count):
    return np.array([int(code) >> k * bits & 2**bits - 1 for k in range(count)])


def change(groups, code, half, first, last):
    """Derivatives of the bit groups' moving averages."""
    low, high = max(code - half, first), min(code + half, last)
    return (groups(high) - groups(low)) / (high - low)


def naive_gradients(layer, x):
    """The formula, one input and one weight at a time: by u and g, without slopes.

    Pulses and their derivatives (.., I) of each input, cells and theirs (.., J) of each weight.
    """
    g, (u, q) = layer.geometry, codes_of(layer, x)
    most = 2 ** (g.weight_bits - 1) - 1

    def pulses(code):
        return bit_groups(code, g.dac_bits, g.cycles)

    def cells(code):
        stored = code + most + 1 if g.offset else abs(code)
        return bit_groups(stored, g.cell_bits, g.slices)

    def each(codes, value):
        return np.stack([value(int(c)) for c in codes.flatten()]).reshape(*codes.shape, -1)

    def by_code(code):
        size = abs(code)  # applied in the pass of its sign
        rising = change(pulses, size, max(1, size), 0, 2**g.input_bits - 1)
        return rising * np.sign(code) if g.signed_inputs else rising

    return (
        each(u, lambda c: pulses(abs(c))),
        each(u, by_code),
        each(q, cells),
        each(q, lambda c: change(cells, c, max(1, round(most / 16)), -most, most)),
    )


def kept(layer, x):
    scale, zero = layer.input_scale
    codes = (x.detach() / scale).round() + zero
    low, high = layer.geometry.input_span
    return ((codes >= low) & (codes <= high)).numpy()


def gradients(net, x, penalty):
    x = x.clone().requires_grad_()
    net.zero_grad()
    net(x)
    (penalty.take() * baseline(net, x)).backward()
    [layer] = rt.crossbar_layers(net).values()
    return x.grad.numpy(), layer.weight.grad.numpy()


def baseline(net, x):
    with rt.PowerMeter(net) as meter, torch.no_grad():
        net(x)
    return meter.report().total.baseline_comparisons


@given(problems, st.integers(0, 99))
@examples(12)
def test_gradients_of_a_linear_layer(problem, seed):
    torch.manual_seed(seed)
    x = torch.rand(2, 3, 7) - 0.2
    net = converted(nn.Sequential(nn.Linear(7, 4)), x, **problem)
    x = x * 1.5  # some are clipped
    penalty = with_slopes(net, seed)
    found_x, found_w = gradients(net, x, penalty)
    layer, slopes = net[0], penalty.state_dict()["0"].numpy()
    u, du, g, dg = naive_gradients(layer, x)
    scales = layer.input_scale.scale, layer.encoded().scale.numpy()
    by_x = np.einsum("abri,ij,nrj->abr", du, slopes, g) / scales[0]
    by_w = np.einsum("abri,ij,nrj->nr", u, slopes, dg) / scales[1][:, None]
    assert not kept(layer, x).all()
    np.testing.assert_allclose(found_x, by_x * kept(layer, x), rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(found_w, by_w, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("options", [{}, {"stride": 2, "padding": (1, 2), "dilation": 2}])
def test_gradients_of_a_grouped_convolution(encoding, options):
    x = torch.rand(2, 4, 6, 7) - 0.1
    net = nn.Sequential(nn.Conv2d(4, 6, (2, 3), groups=2, **options))
    net = converted(net, x, encoding, cell_bits=2, dac_bits=3)
    x = x * 1.2
    penalty = with_slopes(net)
    found_x, found_w = gradients(net, x, penalty)
    layer, slopes = net[0], penalty.state_dict()["0"].numpy()
    u, du, g, dg = naive_gradients(layer, x)
    share = net(x)[0, 0].numel() / x[0, 0].numel()
    u, du = (a.reshape(2, 2, 2, 6, 7, -1) for a in (u, du))  # batch, group, channel
    g, dg = (a.reshape(2, 3, 2, 2, 3, -1) for a in (g, dg))  # group, output, channel
    by_x = share * np.einsum("bgcyxi,ij,gnchwj->bgcyx", du, slopes, g).reshape(x.shape)
    by_w = share * np.einsum("bgcyxi,ij,gnchwj->gnchw", u, slopes, dg).reshape(found_w.shape)
    by_w /= layer.encoded().scale.numpy().reshape(-1, 1, 1, 1)
    by_x = by_x * kept(layer, x) / layer.input_scale.scale
    np.testing.assert_allclose(found_x, by_x, rtol=1e-4, atol=1e-3)
    np.testing.assert_allclose(found_w, by_w, rtol=1e-4, atol=1e-3)


def test_windows_are_options(calibrated):
    x = torch.rand(2, 1, 32, 32)
    calibrated.train()
    found = []
    for windows in ({}, {"input_window": 0.1}, {"weight_window": 0.3}):
        with with_slopes(calibrated, **windows) as penalty:
            calibrated.zero_grad()
            calibrated(x)
            penalty.take().backward()
            found.append([calibrated.conv1.weight.grad, calibrated.fc3.weight.grad])
    assert not torch.equal(found[0][0], found[1][0])  # by what conv1 drives in the next layers
    assert torch.equal(found[0][1], found[1][1])
    assert not torch.equal(found[0][1], found[2][1])


def test_clipped_inputs_have_no_gradient():
    x = torch.rand(20, 5)
    net = converted(nn.Sequential(nn.Linear(5, 3)), x)
    penalty = with_slopes(net)
    wide = torch.tensor([[-3.0, 0.4, 7.0, 0.0, 0.9]], requires_grad=True)
    net(wide)
    penalty.take().backward()
    assert (wide.grad == 0).tolist() == [[True, False, True, False, False]]


def test_weights_clipped_by_their_scale_have_no_gradient(monkeypatch):
    x = torch.rand(20, 5)
    net = converted(nn.Sequential(nn.Linear(5, 3)), x)
    layer, encoded = net[0], net[0].encoded()
    smaller = encoded._replace(scale=encoded.scale / 2)
    monkeypatch.setattr(layer, "encoded", lambda: smaller)
    penalty = with_slopes(net)
    net(x)
    penalty.take().backward()
    clipped = layer.weight.detach().abs() > 127.5 * smaller.scale[:, None]
    assert clipped.any()
    assert torch.equal(layer.weight.grad == 0, clipped)


@pytest.mark.parametrize("shape", [(3, 5, 6), (2, 3, 5, 6)])
def test_layouts_and_types_give_the_same(shape):
    x = torch.rand(shape)
    net = converted(nn.Sequential(nn.Conv2d(3, 4, 3, padding=1)), x)
    half = converted(copy.deepcopy(net[0]).to_float().bfloat16(), x.bfloat16())
    penalty = with_slopes(net)
    plain = gradients(net, x, penalty)
    strided = gradients(net, x.transpose(-1, -2).contiguous().transpose(-1, -2), penalty)
    for a, b in zip(plain, strided, strict=True):
        np.testing.assert_array_equal(a, b)
    x = x.bfloat16().requires_grad_()
    with with_slopes(half) as penalty:
        half(x)
        value = penalty.take()
        value.backward()
    assert (value.dtype, x.grad.dtype, half.weight.grad.dtype) == (
        torch.float32, torch.bfloat16, torch.bfloat16,
    )  # fmt: skip


def test_autocast_changes_nothing(calibrated):
    calibrated.train()
    x = torch.rand(2, 1, 32, 32)
    found = []
    for enabled in (False, True):
        autocast = torch.autocast("cpu", torch.bfloat16, enabled=enabled)
        calibrated.zero_grad()
        with with_slopes(calibrated) as penalty:
            with autocast:
                calibrated(x)
                value = penalty.take()
            value.backward()  # outside, as torch wants it
        found.append((value, calibrated.fc1.weight.grad))
    assert found[0][0] == found[1][0]
    torch.testing.assert_close(found[0][1], found[1][1])
