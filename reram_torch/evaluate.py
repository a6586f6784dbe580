"""Top-1, counts and time of a network on a data set; and the plain integer network to check it."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import nn

from reram_torch.calibrate import evaluating
from reram_torch.convert import crossbar_layers
from reram_torch.crossbar_layer import CrossbarLayer
from reram_torch.layers import ReRAMConv2d
from reram_torch.progress import progress
from reram_torch.quantize import input_codes, weight_codes


@dataclass(frozen=True)
class Evaluation:
    """What a network did on a data set.

    Attributes:
        scores: outputs of the network, (images, classes).
        labels: (images,).
        seconds: spent in the network.
    """

    scores: torch.Tensor
    labels: torch.Tensor
    seconds: float

    @property
    def images(self) -> int:
        """How many images there were."""
        return len(self.labels)

    @property
    def top1(self) -> float:
        """Share of images whose highest score is that of their label."""
        return float((self.scores.argmax(1) == self.labels).double().mean())

    @property
    def seconds_per_100(self) -> float:
        """Seconds for 100 images."""
        return 100 * self.seconds / self.images


@torch.no_grad()
def evaluate(
    net: nn.Module, batches: Iterable, *, description: str = "evaluate", show_progress: bool = True
) -> Evaluation:
    """Runs a network in eval mode over (input, label) batches.

    Raises:
        ValueError: there are no batches.
    """
    scores, labels, seconds = [], [], 0.0
    total = len(batches.dataset) if hasattr(batches, "dataset") else None
    with (
        evaluating(net),
        progress(description=description, total=total, unit="img", show=show_progress) as bar,
    ):
        for x, y in batches:
            start = time.perf_counter()
            scores.append(net(x).cpu())
            seconds += time.perf_counter() - start
            labels.append(y)
            bar.update(len(y))
    if not labels:
        raise ValueError("no batches to evaluate on")
    return Evaluation(torch.cat(scores), torch.cat(labels), seconds)


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
