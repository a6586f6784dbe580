"""`torch.func` over crossbar layers."""

import pytest
import torch
from torch import nn

import reram_torch as rt


def test_transforms_of_torch_func_are_refused_and_calls_by_value_are_not():
    net, x = (
        rt.convert(nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 2))),
        torch.rand(6, 4),
    )
    rt.calibrate(net, x, show_progress=False)
    values = {name: p.detach() for name, p in net.named_parameters()}

    def loss(values, x):
        return torch.func.functional_call(net, values, (x,)).sum()

    assert torch.equal(loss(values, x), net(x).sum())
    for call in (
        lambda: torch.func.grad(loss)(values, x),
        lambda: torch.func.jacrev(loss)(values, x),
        lambda: torch.func.vmap(net)(x),
        lambda: torch.func.vmap(torch.func.grad(loss), (None, 0))(values, x),
    ):
        with pytest.raises(
            RuntimeError, match=r"torch.func .* does not go through crossbar layers"
        ):
            call()
