"""Hooks on saving and loading go with a layer, to crossbars and back."""

import pytest
import torch
from torch import nn

import reram_torch as rt


def hooked(layer):
    """A network of a layer whose hooks say what they saw."""
    net, seen = nn.Sequential(layer), []
    layer.register_state_dict_pre_hook(lambda module, *_: seen.append(("saving", module)))
    layer.register_state_dict_post_hook(lambda module, *_: seen.append(("saved", module)))
    layer.register_load_state_dict_pre_hook(lambda module, *_: seen.append(("loading", module)))
    layer.register_load_state_dict_post_hook(lambda module, _: seen.append(("loaded", module)))
    return net, seen


@pytest.mark.parametrize(
    "layer",
    [nn.Linear(4, 3), nn.Conv2d(4, 3, 3), nn.Conv1d(4, 3, 3), nn.MultiheadAttention(4, 2)],
    ids=lambda layer: type(layer).__name__,
)
def test_hooks_of_a_state_go_with_the_layer(layer):
    net, seen = hooked(layer)
    for step in (
        lambda net: rt.convert(net, inplace=True),
        lambda net: rt.revert(net, inplace=True),
    ):
        net = step(net)
        seen.clear()
        net.load_state_dict(net.state_dict())
        assert seen == [(what, net[0]) for what in ("saving", "saved", "loading", "loaded")]
    assert isinstance(net[0], type(layer))
    assert torch.equal(net.state_dict()[next(iter(net.state_dict()))], next(net.parameters()))
