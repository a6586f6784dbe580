"""What counts as one inference."""

import collections
from dataclasses import dataclass

import pytest
import torch
from torch import nn

import reram_torch as rt


class Called(nn.Module):
    """A network whose forward is a function of its layers and of what it is given."""

    def __init__(self, forward, **layers):
        super().__init__()
        self.layers = nn.ModuleDict(layers)
        self.function = forward

    def forward(self, *args, **kwargs):
        return self.function(self.layers, *args, **kwargs)


def ready(net):
    """On crossbars, with ranges set by hand: `calibrate` feeds one tensor."""
    net = rt.convert(net.eval())
    for layer in rt.crossbar_layers(net).values():
        layer.set_input_range(-1.0, 1.0)
    return net


def counted(net, *args, **kwargs):
    net = ready(net)
    with torch.no_grad(), rt.PowerMeter(net) as meter:
        net(*args, **kwargs)
    return meter.inferences


def pooled(layers, x):
    return layers["fc"](layers["conv"](x).mean((-2, -1)))


CNN = {"conv": nn.Conv2d(3, 4, 3), "fc": nn.Linear(4, 2)}


def mlp():
    return nn.Sequential(nn.Linear(64, 5), nn.ReLU(), nn.Linear(5, 2))


@pytest.mark.parametrize(("shape", "count"), [((5, 3, 8, 8), 5), ((3, 8, 8), 1), ((1, 3, 8, 8), 1)])
def test_images(shape, count):
    assert counted(Called(pooled, **CNN), torch.rand(shape)) == count


@pytest.mark.parametrize(("shape", "count"), [((64,), 1), ((3, 64), 3), ((2, 7, 64), 2)])
def test_vectors_and_sequences_of_them(shape, count):
    assert counted(mlp(), torch.rand(shape)) == count


@pytest.mark.parametrize(
    ("forward", "shape", "count"),
    [
        (lambda layers, x: pooled(layers, x[None]), (3, 8, 8), 1),
        (lambda layers, x: pooled(layers, x[:, None].expand(-1, 3, -1, -1)), (6, 8, 8), 6),
        (lambda layers, x: [pooled(layers, image) for image in x], (6, 3, 8, 8), 6),
        (lambda layers, x: pooled(layers, torch.cat([x, x], -1)), (3, 8, 8), 1),
        (lambda layers, x: pooled(layers, x.flatten(0, 1)), (2, 5, 3, 8, 8), 2),  # videos
    ],
)
def test_what_a_network_does_first(forward, shape, count):
    assert counted(Called(forward, **CNN), torch.rand(shape)) == count


def test_one_image_through_linear_layers_only():
    flat = Called(lambda layers, x: layers["fc"](x.flatten()), fc=nn.Linear(64, 2))
    assert counted(flat, torch.rand(8, 8)) == 1
    flat = Called(lambda layers, x: layers["fc"](x.flatten(1)), fc=nn.Linear(64, 2))
    assert counted(flat, torch.rand(6, 8, 8)) == 6


def test_layers_in_float_show_it_too():
    net = Called(
        lambda layers, x: layers["fc"](layers["stem"](x).mean((-3, -2, -1))),
        stem=nn.Conv3d(1, 4, 3), fc=nn.Linear(4, 2),
    )  # fmt: skip
    assert counted(net, torch.rand(1, 5, 8, 8)) == 1
    assert counted(net, torch.rand(7, 1, 5, 8, 8)) == 7


@pytest.mark.parametrize(
    ("batch_first", "shape", "count"),
    [(True, (3, 9, 6), 3), (False, (9, 3, 6), 3), (True, (9, 6), 1), (False, (9, 6), 1)],
)
def test_recurrent_layers(batch_first, shape, count):
    net = Called(
        lambda layers, x: layers["fc"](layers["rnn"](x)[0]),
        rnn=nn.LSTM(6, 4, batch_first=batch_first), fc=nn.Linear(4, 2),
    )  # fmt: skip
    assert counted(net, torch.rand(shape)) == count


@pytest.mark.parametrize(("shape", "count"), [((3, 9), 3), ((1, 9), 1)])
def test_token_ids(shape, count):
    net = nn.Sequential(nn.Embedding(10, 6), nn.Linear(6, 4))
    assert counted(net, torch.randint(10, shape)) == count


def test_packed_sequences_count_the_sequences():
    net = Called(
        lambda layers, x: layers["fc"](layers["rnn"](x)[0].data),
        rnn=nn.GRU(6, 4), fc=nn.Linear(4, 2),
    )  # fmt: skip
    packed = nn.utils.rnn.pack_sequence([torch.rand(5, 6), torch.rand(3, 6)])
    assert counted(net, packed) == 2


@dataclass
class Sample:
    name: str
    image: torch.Tensor


def test_wherever_the_tensor_lies():
    x = torch.rand(5, 3, 8, 8)
    assert counted(Called(pooled, **CNN), x=x) == 5
    named = Called(lambda layers, batch, flag=None: pooled(layers, batch["image"]), **CNN)
    assert counted(named, {"name": "a", "image": x, "mask": torch.rand(9, 2)}) == 5
    assert counted(named, collections.UserDict(image=x)) == 5
    assert counted(named, batch={"image": x}) == 5
    flagged = Called(lambda layers, scale, x: pooled(layers, scale * x), **CNN)
    assert counted(flagged, torch.tensor(2.0), x) == 5
    sampled = Called(lambda layers, sample: pooled(layers, sample.image), **CNN)
    assert counted(sampled, Sample("a", x)) == 5


def test_lists_of_images_count_their_length():
    images = [torch.rand(3, 8, 8) for _ in range(4)]
    stacked = Called(lambda layers, x, targets=None: pooled(layers, torch.stack(x)), **CNN)
    assert counted(stacked, images) == 4
    assert counted(stacked, images, [{"boxes": torch.rand(7, 4)}] * 4) == 4
    alone = Called(lambda layers, x: [pooled(layers, image) for image in x], **CNN)
    assert counted(alone, images) == 4
    of_dicts = Called(lambda layers, x: pooled(layers, torch.stack([d["x"] for d in x])), **CNN)
    assert counted(of_dicts, [{"x": image} for image in images[:1]]) == 1


def test_several_batches_in_a_list_are_one():
    several = Called(lambda layers, x: pooled(layers, x[0] + x[1]), **CNN)
    assert counted(several, [torch.rand(5, 3, 8, 8), torch.rand(5, 3, 8, 8)]) == 5


def test_calls_without_a_tensor_are_said_not_to_be_counted():
    net = ready(Called(lambda layers, seed: pooled(layers, torch.rand(2, 3, 8, 8)), **CNN))
    with torch.no_grad(), rt.PowerMeter(net) as meter:
        net("a photograph")
    assert meter.inferences == 0
    with pytest.warns(UserWarning, match=r"pass them, as meter.report\(inferences=...\)"):
        report = meter.report()
    assert report.conversions > 0
    assert report.per_inference(report.energy_pj) != report.per_inference(report.energy_pj)  # NaN
    assert report.to_dict()["energy_pj_per_inference"] is None
    assert meter.report(inferences=2).per_inference(report.energy_pj) == report.energy_pj / 2
    again = rt.PowerMeter(net)
    again.load_state_dict(meter.state_dict())
    with pytest.warns(UserWarning, match="inferences"):
        again.report()


def test_counts_add_up_over_calls():
    net = ready(Called(pooled, **CNN))
    with torch.no_grad(), rt.PowerMeter(net) as meter:
        for shape in ((3, 8, 8), (5, 3, 8, 8), (3, 8, 8)):
            net(torch.rand(shape))
    assert meter.inferences == 7
    assert meter.report().inferences == 7
