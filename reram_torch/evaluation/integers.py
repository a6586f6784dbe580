"""The plain integer network, which a lossless crossbar must equal."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
import torch.nn.functional as F
from torch import nn

from reram_torch.crossbar.quantization import scaled_back, weight_codes
from reram_torch.nn.base import CrossbarLayer
from reram_torch.nn.networks import crossbar_layers
from reram_torch.nn.watchers import Watcher, watching
from reram_torch.ops.layers import empty_output


@contextmanager
def plain_integer(net: nn.Module) -> Iterator[None]:
    """Inside the block, layers compute their integer products without crossbars or ADCs.

    The products of the codes are taken by torch in float64, where they are exact. What a lossless
    crossbar gives must be identical to this. A meter goes on counting what the crossbars do with
    the inputs that layers get.
    """
    with watching(dict.fromkeys(crossbar_layers(net).values(), _Integers())):
        yield


class _Integers(Watcher):
    computes = True

    def compute(self, layer: CrossbarLayer, x: torch.Tensor) -> torch.Tensor:
        scale, zero = layer.input_scale
        encoded = layer.encoded()
        codes = weight_codes(layer.weight, encoded.scale, layer.config.weights.bits).double()
        scaled, largest = layer.scaled(x)
        padded, window = layer.windowed(scaled)
        # Signed, or less the zero point: padding with nothing is then padding with zero.
        u = layer.quantizer.codes(padded, layer.log_input_step).double() - zero
        if window is None:
            acc = F.linear(u, codes)
        else:
            w = window
            acc = F.conv2d(u, codes, None, w.stride, w.padding, w.dilation, w.groups)
        y = acc.to(torch.int64) * (encoded.scale * scale).view(layer.per_channel)
        if largest is not None:
            y = scaled_back(y, largest, layer.bias)
        elif layer.bias is not None:
            y = y + layer.bias.view(layer.per_channel)
        # In memory as the crossbars' results lie: what torch does next may round by that.
        y = empty_output(padded, layer.outputs, window, x.dtype).copy_(y)
        return y if y.dim() == x.dim() else y.squeeze(0)
