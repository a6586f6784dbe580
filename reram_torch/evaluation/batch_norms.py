"""Batch norms whose statistics are taken anew on the chip that a network is on."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn
from torch.optim.swa_utils import update_bn

from reram_torch.calibration.calls import Call
from reram_torch.calibration.held import Calibration


class _Called(nn.Module):
    """A network that is given calls."""

    def __init__(self, net: nn.Module):
        super().__init__()
        self.net = net

    def forward(self, call: Call) -> Any:
        return call.run(self.net)


def check_batch_norms(net: nn.Module) -> Calibration:
    """The images that batch norms of a network can be estimated on.

    Raises:
        ValueError: it has no batch norms with running statistics.
        RuntimeError: it was not calibrated in this session.
    """
    if not _norms(net):
        raise ValueError(
            "batch_norms=True needs batch norms with running statistics, of which this network "
            "has none (were they folded into convolutions?)"
        )
    held: Calibration | None = getattr(net, "calibration", None)
    if held is None or not held.calls:
        raise RuntimeError(
            "batch_norms=True needs the images of calibration: run reram_torch.calibrate(net, ...) "
            "in this session"
        )
    return held


def _norms(net: nn.Module) -> list[nn.Module]:
    kind = nn.modules.batchnorm._BatchNorm
    return [m for m in net.modules() if isinstance(m, kind) and m.track_running_stats]


@contextmanager
def estimated_anew(net: nn.Module) -> Iterator[None]:
    """Inside the block batch norms have the statistics of calibration images as layers are now."""
    data = check_batch_norms(net)
    before = [(m, {k: v.clone() for k, v in m.named_buffers()}) for m in _norms(net)]
    modes = {module: module.training for module in net.modules()}
    try:
        with torch.no_grad():
            update_bn(data.calls, _Called(net))
        for module, mode in modes.items():
            module.training = mode
        yield
    finally:
        for norm, buffers in before:
            for name, value in buffers.items():
                norm.get_buffer(name).copy_(value)
        for module, mode in modes.items():
            module.training = mode
