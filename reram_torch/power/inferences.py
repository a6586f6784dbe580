"""How many inferences a call of a network is, from what it is given and what its first layer sees.

A call's first tensor says it, wherever it lies in the arguments. It is a batch, and counts its
first dimension, unless the first layer that is called shows otherwise:

- the layer takes one item (a `Conv2d` three dimensions, a `Linear` one, a recurrent layer two): the
  call is one inference, unless the network goes through a larger batch item by item;
- the tensor has the dimensions of one item and the layer gets a batch: the layer's batch counts;
- the layer has its batch in the second dimension (`batch_first=False`) and gets the tensor as it
  is: that dimension counts.

A list of items, as detection networks take it, counts its length.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from typing import Any

import torch
from torch import nn

from reram_torch._support.trees import First, first_tensor
from reram_torch.nn.borrowed import ReRAMShiftedWindowAttention

# Dimensions of one item.
_ITEM_DIMENSIONS: tuple[tuple[tuple[type[nn.Module], ...], int], ...] = (
    ((nn.Linear, nn.Bilinear, nn.RNNCellBase), 1),
    ((nn.Conv1d, nn.ConvTranspose1d, nn.RNNBase, nn.MultiheadAttention), 2),
    ((nn.Conv2d, nn.ConvTranspose2d, ReRAMShiftedWindowAttention), 3),
    ((nn.Conv3d, nn.ConvTranspose3d), 4),
)


def inferences_of(given: First) -> int:
    """Inferences of a call as its first tensor says, without a layer."""
    return given.tensor.shape[0] if given.tensor.dim() else 1


def inferences_at(given: First, layer: nn.Module, x: torch.Tensor) -> int:
    """Inferences of a call whose first layer gets `x`; see above."""
    item = next((n for kinds, n in _ITEM_DIMENSIONS if isinstance(layer, kinds)), None)
    if item is None:
        return inferences_of(given)
    tensor, listed = given
    if listed and tensor.dim() == item:
        return listed
    if x.dim() == item:
        whole = tensor.dim() <= item or tensor.numel() == x.numel()
        return 1 if whole else tensor.shape[0]
    batch = 1 if getattr(layer, "batch_first", True) is False else 0
    if tensor.dim() == item or tensor.shape == x.shape:
        return x.shape[batch]
    return inferences_of(given)


class InferenceCounter:
    """Counts inferences, call by call.

    Attributes:
        count: inferences so far.
        untold: calls of the network that held no tensor.
    """

    def __init__(self) -> None:
        self.count = self.untold = 0
        self._given: First | None = None  # of the call whose first layer is to come

    def network_called(self, arguments: Iterable[Any]) -> None:
        """Counts a call of the network."""
        self._given = first_tensor(arguments)
        if self._given is None:
            self.untold += 1
        else:
            self.count += inferences_of(self._given)

    def layer_called(self, layer: nn.Module, x: torch.Tensor) -> None:
        """Counts the call better, if this is its first layer."""
        if self._given is not None:
            self.count += inferences_at(self._given, layer, x) - inferences_of(self._given)
            self._given = None

    def known(self, given: int | None) -> int:
        """The inferences of a report: those given, or those counted; 0 where nobody can tell.

        Warns:
            UserWarning: a call held no tensor, and nothing is given.
        """
        if given is not None:
            return given
        if not self.untold:
            return self.count
        warnings.warn(
            "the network was called with nothing that holds a tensor, so that its inferences were "
            "not counted: pass them, as meter.report(inferences=...)",
            stacklevel=3,
        )
        return 0
