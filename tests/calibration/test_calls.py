"""Batches of any kind: how the network is called with them, and what is held back."""

import collections
import dataclasses

import pytest
import torch
from torch import nn

import reram_torch as rt

Pair = collections.namedtuple("Pair", ["left", "right"])


@dataclasses.dataclass(frozen=True)
class Record:
    """An input of two parts."""

    left: torch.Tensor
    right: torch.Tensor


class Words(nn.Module):
    """Token ids and a mask to class scores, as language models take them."""

    def __init__(self):
        super().__init__()
        self.embedding, self.head = nn.Embedding(20, 8), nn.Linear(8, 3)

    def forward(self, input_ids, attention_mask=None):
        h = self.embedding(input_ids)
        if attention_mask is not None:
            h = h * attention_mask[..., None]
        return {"logits": self.head(h.mean(1))}


class Two(nn.Module):
    """A network of two inputs."""

    def __init__(self):
        super().__init__()
        self.head = nn.Linear(5, 3)

    def forward(self, left, right):
        return self.head(left + right)


class One(Two):
    """The same of one input that holds both."""

    def forward(self, both):
        if isinstance(both, dict):
            return super().forward(both["left"], both["right"])
        return super().forward(both.left, both.right)


class Images(nn.Module):
    """A list of images of any size, as detectors take them, to a list of dicts."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)

    def forward(self, images):
        return [{"boxes": self.conv(x).flatten(1).T[:, :4]} for x in images]


def seen(net, batches, **more):
    """How many items each part of the calibration holds, and the range of the only layer."""
    net = rt.calibrate(rt.convert(net.eval()), batches, show_progress=False, **more)
    data, [layer] = net.calibration, rt.crossbar_layers(net).values()
    return len(data), len(data.held_back or ()), layer.input_range


def test_token_ids_dicts_and_labels_are_told_apart():
    torch.manual_seed(0)
    net, ids, mask = Words(), torch.randint(20, (8, 6)), torch.ones(8, 6).long()
    alone = seen(net, [ids])
    assert alone[:2] == (6, 2)
    labels = torch.arange(8) % 3
    forms = [
        [(ids, labels)],
        [{"input_ids": ids}],
        [{"input_ids": ids, "attention_mask": mask}],
        [{"input_ids": ids, "labels": labels}],
        [collections.UserDict(input_ids=ids, attention_mask=mask)],  # as BatchEncoding is one
        [{"input_ids": ids[:3]}, {"input_ids": ids[3:]}],
    ]
    assert all(seen(net, form) == alone for form in forms)
    made = rt.calibrate(rt.convert(net), forms[3], show_progress=False)
    assert torch.equal(made.calibration.held_back.targets[0], labels[[3, 7]])
    [held] = made.calibration.held_back.inputs
    assert torch.equal(held["input_ids"], ids[[3, 7]])


def test_several_inputs_are_given_as_the_network_takes_them():
    torch.manual_seed(0)
    left, right, labels = torch.rand(8, 5), torch.rand(8, 5), torch.arange(8) % 3
    plain = seen(Two(), [(left, right)])
    assert plain[:2] == (6, 2)
    for net, batch in [
        (Two(), (left, right, labels)),
        (Two(), {"left": left, "right": right, "label": labels}),
        (One(), Record(left, right)),
        (One(), Pair(left, right)),
        (One(), {"one": 1, "left": left, "right": right}),
        (nn.DataParallel(Two()), (left, right)),
    ]:
        assert seen(net, [batch]) == plain
    told = seen(
        Two(), [torch.stack([left, right], 1)], forward=lambda net, x: net(x[:, 0], x[:, 1])
    )
    assert told == plain


def test_lists_of_items_are_cut_between_items():
    torch.manual_seed(0)
    images = [torch.rand(3, 8 + k, 9) for k in range(8)]
    whole = seen(Images(), [(images,)])
    assert whole[:2] == (6, 2)
    assert seen(Images(), [(images, [{"boxes": k} for k in range(8)])]) == whole
    assert whole[2][1] == max(float(x.max()) for k, x in enumerate(images) if k not in (3, 7))


def test_what_cannot_be_cut_is_held_back_as_a_whole():
    batches = [(torch.rand(4, 5), torch.rand(1, 5)) for _ in range(8)]
    assert seen(Two(), batches)[:2] == (24, 8)
    assert seen(Two(), batches[:1])[:2] == (4, 0)


def test_calls_that_cannot_be_guessed_are_refused():
    x = torch.rand(4, 5)
    for net, batch, message in [
        (Two(), (x,) * 4, "how Two takes 4 values cannot be guessed.* needs 2: give forward="),
        (nn.Linear(5, 3), [x] * 3, "takes 3 values .* needs one argument: give forward="),
        (Two(), {"left": x, "rihgt": x}, r"\['rihgt'\] are no parameters .*\['left', 'right'\]"),
        (Two(), "text", "must hold a tensor, not str"),
    ]:
        with pytest.raises(TypeError, match=rf"batches\[0\]: .*{message}"):
            rt.calibrate(rt.convert(net), [batch], show_progress=False)
    with pytest.raises(ValueError, match=r"batches\[1\] holds NaN"):
        rt.calibrate(rt.convert(Two()), [(x, x), (x, x * torch.nan)], show_progress=False)


def test_tensors_that_the_loader_uses_again_are_kept_as_they_were():
    buffer = {"input_ids": torch.zeros(4, 6).long()}

    def batches():
        for k in range(3):
            buffer["input_ids"].fill_(k)
            yield buffer

    net = rt.calibrate(rt.convert(Words()), batches(), held_back=0, show_progress=False)
    assert [int(x["input_ids"][0, 0]) for x in net.calibration.inputs] == [0, 1, 2]
