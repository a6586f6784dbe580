"""Calibration through one module and design through another."""

import pytest
import torch
from torch import nn

import reram_torch as rt

CONFIG = rt.Config(rt.CrossbarConfig(rows=16))


@pytest.fixture
def net():
    return rt.convert(nn.Sequential(nn.Linear(40, 12), nn.ReLU(), nn.Linear(12, 4)), CONFIG)


class Wrapper(nn.Module):
    def __init__(self, module):
        super().__init__()
        self.module = module

    def forward(self, x):
        return self.module(x)


def design(net):
    return rt.design_adc(net, "twin_range", granularity="slice", reduction=3.0)


def settled(net):
    layers = rt.crossbar_layers(net).values()
    return [
        (layer.adc, None if (c := layer.correction) is None else c.tolist()) for layer in layers
    ]


@pytest.mark.parametrize("wrap", [nn.DataParallel, Wrapper])
def test_a_wrapper_of_what_was_calibrated_is_designed_as_that_is(net, wrap):
    rt.calibrate(net, torch.rand(32, 40), show_progress=False)
    found = design(wrap(net))
    through = settled(net)
    wanted = design(net)
    assert found.error == wanted.error
    assert through == settled(net)


@pytest.mark.parametrize("wrap", [nn.DataParallel, Wrapper])
def test_what_was_calibrated_in_a_wrapper_is_named(net, wrap):
    wrapper = rt.calibrate(wrap(net), torch.rand(32, 40), show_progress=False)
    with pytest.raises(RuntimeError, match="calibrated as part of another module"):
        design(net)
    design(wrapper)


def test_a_part_does_not_stand_for_the_whole(net):
    more = nn.Sequential(net, rt.convert(nn.Linear(4, 3), CONFIG))
    rt.calibrate(more, torch.rand(32, 40), show_progress=False)
    del more.calibration
    rt.calibrate(net, torch.rand(32, 40), show_progress=False)
    with pytest.raises(RuntimeError, match="this Sequential were calibrated as part of another"):
        design(more)
