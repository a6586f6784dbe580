"""Calibration: ranges, histograms, and what it refuses."""

import math

import pytest
import torch
from torch import nn

import reram_torch as rt
from reram_torch.calibration.batching import are_batched
from reram_torch.calibration.calls import Call
from reram_torch.calibration.clipping import clipped_share
from reram_torch.crossbar.quantization import (
    InputScale,
    dequantized_input,
    weight_codes,
    weight_scale,
)
from reram_torch.ops import reference


def linear(data, bits=8, **options):
    """A layer calibrated on all of the data."""
    layer = rt.ReRAMLinear(data.shape[1], 3, config=rt.Config(inputs=rt.InputConfig(bits)))
    return rt.calibrate(layer, [data], held_back=0, show_progress=False, **options)


def test_min_max_covers_every_batch():
    data = torch.linspace(-1, 3, 40).view(8, 5)
    net = rt.ReRAMLinear(5, 2)
    rt.calibrate(net, [data[:4], data[4:]], held_back=0, show_progress=False)
    assert net.input_range == (-1.0, 3.0)
    _, inside = dequantized_input(data, *net.input_scale, 8)
    assert inside.all()


def test_zero_point_is_zero_for_inputs_that_are_not_negative():
    assert linear(torch.rand(10, 4) + 1).input_scale.zero == 0
    assert linear(-torch.rand(10, 4) - 1).input_scale.zero == 255
    assert 0 < linear(torch.randn(50, 4)).input_scale.zero < 255
    assert InputScale.from_range(0, 0, 8) == (1.0, 0)


def test_percentile_and_least_error_cut_the_tails():
    data = torch.cat([torch.randn(4000).abs(), torch.tensor([50.0] + [0.0] * 999)]).view(-1, 5)
    full = linear(data, 4)
    cut = linear(data, 4, ranges="percentile", percentile=99.9)
    least = linear(data, 4, ranges="mse")
    assert full.input_range[1] == 50
    assert 2.5 < cut.input_range[1] < 6
    assert least.input_range[1] < 50

    def error(layer):
        values, _ = dequantized_input(data, *layer.input_scale, 4)
        return float((values - data).square().sum())

    assert error(least) <= error(full)
    assert error(least) <= error(cut)


@pytest.mark.parametrize("outlier", [50.0, 1e6, -1e6])
@pytest.mark.parametrize("tail", [0.001, 0.02])
def test_percentiles_are_those_of_the_data_whatever_the_outliers(outlier, tail):
    data = torch.randn(8000)
    data[::7] = 0
    data[3] = outlier
    low, high = linear(
        data.view(-1, 5), ranges="percentile", percentile=100 * (1 - tail)
    ).input_range
    ordered = data.double().sort().values
    cut = round(8000 * tail)
    for found, k in [(low, cut), (high, 7999 - cut)]:
        near = ordered[max(k - 1, 0)], ordered[min(k + 1, 7999)]
        assert abs(found - ordered[k]) <= 0.006 * abs(ordered[k]) + (near[1] - near[0])
    error = linear(data.view(-1, 5), ranges="mse").input_range
    assert max(map(abs, error)) == pytest.approx(abs(outlier), rel=0.6)  # it is most of the error


def test_least_error_keeps_a_uniform_range():
    data = torch.linspace(-1, 1, 5000).view(-1, 5)
    low, high = linear(data, ranges="mse").input_range
    assert low < -0.95
    assert high > 0.95


@pytest.mark.parametrize("encoding", ["offset", "differential", "dual"])
def test_histograms_are_those_of_the_reference(encoding):
    config = rt.Config(rt.CrossbarConfig(rows=16), rt.WeightConfig(encoding=encoding))
    net = rt.ReRAMLinear(30, 5, config=config)
    data = torch.randn(12, 30)
    rt.calibrate(net, [data[:5], data[5:]], show_progress=False)
    data = data[(torch.arange(12) + 1) % 4 != 0]  # a quarter is held back
    assert torch.equal(torch.cat(net.calibration.inputs), data)
    codes = weight_codes(net.weight, weight_scale(net.weight, 8), 8).detach().unsqueeze(0)
    u = net.codes(data)
    expected = reference.histogram(u, codes, torch.zeros(1, dtype=torch.int32), net.geometry)[0]
    assert torch.equal(net.statistics.histogram, expected)
    product = torch.einsum("mgk,gnk->mgn", u.double(), codes.double())
    assert net.statistics.results == product.numel()
    assert net.statistics.square_sum == pytest.approx(float(product.square().sum()))


def test_batches_may_be_pairs_a_tensor_or_a_generator(lenet, batches):
    wanted = rt.calibrate(rt.convert(lenet), batches, show_progress=False)
    both = torch.cat([x for x, _ in batches])
    for form in ((x for x, _ in batches), [list(b) for b in batches], both):
        net = rt.calibrate(rt.convert(lenet), form, show_progress=False)
        assert net.conv2.input_range == wanted.conv2.input_range
    assert wanted.calibration.targets is not None


def test_calibration_leaves_modes_and_weights_alone(lenet, batches):
    net = rt.convert(lenet).train()
    net.conv1.eval()
    before = {k: v.clone() for k, v in lenet.state_dict().items()}
    rt.calibrate(net, batches, show_progress=False)
    assert net.training
    assert not net.conv1.training
    assert all(torch.equal(net.state_dict()[k], v) for k, v in before.items())
    assert all(p.grad is None for p in net.parameters())


class Unused(nn.Module):
    def __init__(self):
        super().__init__()
        self.used, self.unused = nn.Linear(3, 3), nn.Linear(3, 3)

    def forward(self, x):
        return self.used(x)


def test_what_it_refuses(lenet, batches):
    net = rt.convert(lenet)
    with pytest.raises(ValueError, match="batches is empty"):
        rt.calibrate(net, [])
    with pytest.raises(ValueError, match="run reram_torch.convert first"):
        rt.calibrate(lenet, batches)
    with pytest.raises(ValueError, match="ranges must be one of"):
        rt.calibrate(net, batches, ranges="minmax")
    with pytest.raises(ValueError, match="percentile"):
        rt.calibrate(net, batches, ranges="percentile", percentile=0.9)
    with pytest.raises(TypeError, match="floating-point tensor, not torch.int64"):
        rt.calibrate(net, [batches[0][0], batches[0][1]])
    with pytest.raises(ValueError, match=r"batches\[0\] holds NaN"):
        rt.calibrate(net, [torch.full((1, 1, 32, 32), float("nan"))])
    with pytest.raises(ValueError, match="only 1 of 2 batches have targets"):
        rt.calibrate(net, [batches[0], batches[1][0]])
    with pytest.raises(ValueError, match="saw any input"):
        rt.calibrate(net, [torch.empty(0, 1, 32, 32)])
    assert not any(len(m.watchers) for m in rt.crossbar_layers(net).values())


def test_layers_that_see_nothing_are_named():
    net = rt.convert(Unused())
    with pytest.warns(UserWarning, match=r"saw no input: \['unused'\]"):
        rt.calibrate(net, torch.rand(4, 3), show_progress=False)
    assert net.unused.input_range is None
    assert net.eval()(torch.rand(2, 3)).shape == (2, 3)


def test_infinity_inside_the_network_is_named():
    net = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3))
    with torch.no_grad():
        net[0].weight.fill_(1e38)
    with pytest.raises(ValueError, match="the input of layer '1' holds NaN or infinity"):
        rt.calibrate(rt.convert(net), torch.full((2, 3), 1e3), show_progress=False)


def test_loaders_may_reuse_their_buffer():
    buffer = torch.empty(4, 4)
    net = rt.ReRAMLinear(4, 2)
    rt.calibrate(net, (buffer.fill_(k) for k in (1, 2, 3)), show_progress=False)
    assert net.input_range == (1.0, 3.0)


def test_percentiles_count_the_zeros():
    data = torch.cat([torch.zeros(900), torch.linspace(0, 1, 100)]).view(-1, 10)
    [_, high] = linear(data, ranges="percentile", percentile=95).input_range
    assert high == pytest.approx(0.5, abs=0.02)


def test_large_arrays_of_multi_bit_cells():
    config = rt.Config(rt.CrossbarConfig(rows=256, cell_bits=4, dac_bits=4))
    net = rt.calibrate(rt.ReRAMLinear(16, 4, config=config), torch.rand(4, 16))
    assert net.statistics.histogram.shape == (2, 2, 256 * 225 + 1)


def clipping(adc, *, rows=128, encoding="offset"):
    net = nn.Sequential(nn.Linear(300, 8), nn.ReLU(), nn.Linear(8, 2)).eval()
    with torch.no_grad():
        net[0].weight.abs_()
    config = rt.Config(rt.CrossbarConfig(rows, cell_bits=4), rt.WeightConfig(8, encoding), adc=adc)
    return rt.convert(net, config), torch.rand(16, 300) + 0.5


def test_a_configured_adc_that_clips_is_warned_of():
    net, x = clipping(rt.UniformSAR(8))
    message = (
        r"clips bit-line sums of 0 \(\d+\.\d\d% of its conversions\): leave adc out .*"
        r"UniformSAR\(bits=11, step=1\).* or run design_adc"
    )
    with pytest.warns(UserWarning, match=message):
        rt.calibrate(net, x, show_progress=False)
    layer, bins = net[0], net[0].statistics.histogram.sum((0, 1))
    assert clipped_share(layer) == pytest.approx(float(bins[256:].sum() / bins.sum()))
    assert clipped_share(net[2]) == 0  # its sums are small enough


@pytest.mark.parametrize("encoding", ["offset", "differential"])
def test_an_adc_that_converts_what_was_seen_is_not_warned_of(encoding):
    for adc in (None, rt.UniformSAR(12), rt.UniformSAR(10, 4), rt.TwinRange(0, 4, 8, 1, 3)):
        if adc is None or adc.kind == "uniform" or encoding == "offset":
            rt.calibrate(*clipping(adc, encoding=encoding), show_progress=False)


def test_an_adc_that_was_designed_is_not_warned_of():
    net, x = clipping(rt.UniformSAR(8))
    for layer in rt.crossbar_layers(net).values():
        layer.set_adc([rt.UniformSAR(6)])  # somebody wants it so
    rt.calibrate(net, x, show_progress=False)


def test_warnings_point_at_who_calibrates():
    net, x = clipping(rt.UniformSAR(8))
    with pytest.warns(UserWarning, match="clips") as caught:
        rt.calibrate(net, x, show_progress=False)
    assert caught[0].filename == __file__


# --- images held back ---


def images(*sizes):
    """Batches whose images and targets both say which image of all they are."""
    every = torch.arange(float(sum(sizes)))
    return [(x.view(-1, 1).repeat(1, 5), x.long()) for x in every.split(sizes)]


@pytest.mark.parametrize("sizes", [(8,), (4, 4), (1,) * 8, (5, 2, 1), (3, 7, 6)])
@pytest.mark.parametrize("share", [0.25, 0.5, 0.1])
def test_a_share_of_every_stretch_is_held_back_with_its_targets(sizes, share):
    net, total = rt.ReRAMLinear(5, 2), sum(sizes)
    rt.calibrate(net, images(*sizes), held_back=share, show_progress=False)
    used, held = net.calibration, net.calibration.held_back
    for part in (used, held):
        for x, y in zip(part.inputs, part.targets, strict=True):
            assert torch.equal(x[:, 0].long(), y)  # targets follow their images
    kept, back = torch.cat(used.targets).tolist(), torch.cat(held.targets).tolist()
    assert sorted(kept + back) == list(range(total))
    assert len(back) == math.ceil(total * share)
    assert net.input_range[1] == max(kept)  # nothing else was looked at
    # Evenly: so many of the first images that the share rounds to, wherever batches end.
    for count in range(1, total + 1):
        assert abs(sum(k < count for k in back) - count * len(back) / total) < 1


def test_targets_of_images_without_a_batch_follow_them():
    net = rt.ReRAMLinear(5, 2)
    batches = [(torch.full((5,), float(k)), torch.tensor(k)) for k in range(8)]
    rt.calibrate(net, batches, show_progress=False)
    held = net.calibration.held_back
    assert [x.shape for x in held.inputs] == [(5,)] * 2
    assert [int(x[0]) for x in held.inputs] == [int(y) for y in held.targets] == [3, 7]


class Asked(nn.Module):
    """A convolution, and a linear layer that may come first."""

    def __init__(self, first):
        super().__init__()
        self.conv, self.fc, self.first = nn.Conv2d(3, 4, 3), nn.Linear(6, 6), first

    def forward(self, x):
        return self.first(self, x)


@pytest.mark.parametrize(
    ("forward", "shape", "batched"),
    [
        (lambda net, x: net.conv(x), (3, 6, 6), False),
        (lambda net, x: net.conv(x[None]), (3, 6, 6), True),  # the layer gets a batch
        (lambda net, x: net.conv(x), (5, 3, 6, 6), True),
        (lambda net, x: net.fc(x), (6,), False),
        (lambda net, x: net.fc(x), (4, 6), True),
        (lambda net, x: net.fc(x), (4, 3, 6), True),
        (lambda net, x: net.conv(net.fc(x)), (3, 6, 6), True),  # what a linear layer sees first
        (lambda net, x: x, (3, 6, 6), True),  # nobody knows
    ],
)
def test_whether_inputs_are_batches_is_told_by_the_first_layer(forward, shape, batched):
    net = rt.convert(Asked(forward))
    assert are_batched(net, rt.crossbar_layers(net), [Call((torch.rand(shape),), {})]) == batched
    assert not any(len(layer.watchers) for layer in rt.crossbar_layers(net).values())
