"""Whether the first dimension of a network's inputs is that of images."""

from __future__ import annotations

import torch
from torch import nn

from reram_torch._support.modules import evaluating
from reram_torch.calibration.calls import Call
from reram_torch.nn.base import CrossbarLayer
from reram_torch.nn.watchers import Watcher, watching


class _First(Watcher):
    """Takes note of the first input that any layer gets; what it computes is no inference."""

    computes = hides = True
    batched: bool | None = None

    def compute(self, layer: CrossbarLayer, x: torch.Tensor) -> torch.Tensor:
        """The layer in float."""
        if self.batched is None:
            self.batched = x.dim() != (3 if layer.channels_first else 1)
        return layer.float_forward(x)


def are_batched(net: nn.Module, layers: dict[str, CrossbarLayer], calls: list[Call]) -> bool:
    """Whether inputs are batches: else each is a single image, or a single vector.

    Only where their dimensions leave it open the network is asked: by what its first crossbar layer
    gets of the first input.

    Args:
        net: a converted network.
        layers: of it.
        calls: as `collect` gives them.
    """
    first_input = calls[0].value
    if not isinstance(first_input, torch.Tensor) or first_input.dim() not in (1, 3):
        return True
    first = _First()
    with watching(dict.fromkeys(layers.values(), first)), torch.no_grad(), evaluating(net):
        calls[0].run(net)
    return first.batched is not False
