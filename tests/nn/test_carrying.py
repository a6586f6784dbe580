"""What was put on a layer is on it after convert and revert, or that is refused."""

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations

import reram_torch as rt
from reram_torch.conversion.float_layers import float_layers

CONFIG = rt.Config(rt.CrossbarConfig(rows=16))


def network():
    return nn.Sequential(nn.Conv2d(2, 3, 3), nn.Flatten(), nn.Linear(48, 4))


def calibrated():
    return rt.calibrate(rt.convert(network(), CONFIG), torch.rand(8, 2, 6, 6), show_progress=False)


def test_a_replaced_forward_is_not_lost_by_revert():
    net = calibrated()
    net[2].forward = net[2].forward
    with pytest.raises(ValueError, match=r"layer '2': its forward is replaced on the instance"):
        rt.revert(net)
    del net[2].forward
    assert type(rt.revert(net)[2]) is nn.Linear


def test_a_computed_weight_is_not_in_float_too():
    net = calibrated()
    parametrizations.weight_norm(net[2])
    assert float_layers(net) == {}
