"""The plain integer network, which a lossless crossbar must equal."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
import torch.nn.functional as F
from torch import nn

from reram_torch.crossbar.quantization import input_codes, weight_codes
from reram_torch.nn.base import CrossbarLayer
from reram_torch.nn.layers import ReRAMConv2d
from reram_torch.nn.networks import crossbar_layers


@contextmanager
def plain_integer(net: nn.Module) -> Iterator[None]:
    """Inside the block, layers compute their integer products without crossbars or ADCs.

    The products of the codes are taken by torch in float64, where they are exact. What a lossless
    crossbar gives must be identical to this.
    """
    layers = crossbar_layers(net).values()
    try:
        for layer in layers:
            layer._observer = _integer_layer
        yield
    finally:
        for layer in layers:
            layer._observer = None


def _integer_layer(layer: CrossbarLayer, x: torch.Tensor) -> torch.Tensor:
    scale, zero = layer._input_scale
    bits = layer.config.inputs.bits
    encoded = layer.encoded()
    codes = weight_codes(layer.weight, encoded.scale, layer.config.weights.bits).double()
    if isinstance(layer, ReRAMConv2d):
        padded, padding = layer._padded(x)
        # Codes less the zero point: padding with nothing is then padding with zero.
        u = input_codes(padded, scale, zero, bits).double() - zero
        acc = F.conv2d(u, codes, None, layer.stride, padding, layer.dilation, layer.groups)
        shape = (-1, 1, 1)
    else:
        u = input_codes(x, scale, zero, bits).double() - zero
        acc = F.linear(u, codes)
        shape = (-1,)
    y = acc.to(torch.int64) * (encoded.scale * scale).view(shape)
    if layer.bias is not None:
        y = y + layer.bias.view(shape)
    y = y.to(x.dtype)
    return y.squeeze(0) if y.dim() == 4 and x.dim() == 3 else y
