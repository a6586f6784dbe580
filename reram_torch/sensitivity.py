"""How much each layer's errors matter to what the network says, and what is left of their mean."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

from reram_torch.calibrate import Calibration, evaluating
from reram_torch.crossbar_layer import CrossbarLayer

_IMAGES = 64  # that sensitivities are measured on
_NOISE = 0.01  # of the signal's power, small enough for the effect to be in proportion


def layer_sensitivities(
    net: nn.Module, layers: dict[str, CrossbarLayer], data: Calibration, seed: int = 0
) -> dict[str, float]:
    """What noise in each layer's results does to the network's output, in float.

    White noise of 1% of the power of a layer's results (bias excluded) is added to them, one layer
    at a time; the effect is the divergence (Kullback-Leibler) of the class probabilities, or, where
    the output is not (B, classes), its relative squared change. Deterministic for a seed.

    Args:
        net: a converted network.
        layers: those to measure.
        data: the first images of it are used.
        seed: of the noise.

    Returns:
        For each layer, the effect over the relative power of the noise.
    """
    inputs, left = [], _IMAGES
    for x in data.inputs:
        inputs.append(x[:left])
        left -= len(inputs[-1])
        if left <= 0:
            break
    noisy: list[CrossbarLayer | None] = [None]

    def compute(layer: CrossbarLayer, x: torch.Tensor) -> torch.Tensor:
        y = layer._float(x)
        if layer is not noisy[0]:
            return y
        shape = (-1, *[1] * (y.dim() - 2)) if layer.channels_first and y.dim() > 2 else (-1,)
        signal = y if layer.bias is None else y - layer.bias.view(shape)
        power = signal.square().mean().sqrt() * _NOISE**0.5
        noise = torch.randn(y.shape, generator=generator).to(y)
        return y + power * noise

    found = {}
    with torch.no_grad(), evaluating(net):
        for layer in layers.values():
            layer._observer = compute
        try:
            clean = [net(x) for x in inputs]
            for name, layer in layers.items():
                noisy[0], generator = layer, torch.Generator().manual_seed(seed)
                effect = [_change(a, net(x)) for a, x in zip(clean, inputs, strict=True)]
                found[name] = sum(effect) / len(effect) / _NOISE
        finally:
            for layer in layers.values():
                layer._observer = None
    # White noise understates what coarse ADCs do to a layer: none may be given up.
    least = 0.3 * max(found.values(), default=0.0)
    return {name: max(value, least, 1e-12) for name, value in found.items()}


def _change(clean: torch.Tensor, noisy: torch.Tensor) -> float:
    if isinstance(clean, torch.Tensor) and clean.dim() == 2 and clean.shape[1] > 1:
        a, b = F.log_softmax(clean.double(), 1), F.log_softmax(noisy.double(), 1)
        return float((a.exp() * (a - b)).sum(1).mean())
    if not isinstance(clean, torch.Tensor):
        raise ValueError("the network's output must be a tensor for its layers to be weighed")
    return float((noisy - clean).double().square().sum() / clean.double().square().sum())


def fold_mean_errors(net: nn.Module, layers: dict[str, CrossbarLayer], data: Calibration) -> None:
    """Adds to each layer's bias what its ADCs leave out on average, by channel.

    Mean errors are the same in every tile, cycle and position and add up in amplitude, so they
    break accuracy first; a constant for each channel undoes them at no cost. The layers' inputs are
    those of the network as corrected so far.

    Args:
        net: a converted network with its ADCs in place.
        layers: those to correct; what they were corrected by before is replaced.
        data: what to measure on.
    """
    totals = {layer: [0.0, 0] for layer in layers.values()}

    def compute(layer: CrossbarLayer, x: torch.Tensor) -> torch.Tensor:
        layer.correction = None
        exact, _ = layer._simulate(x, layer.lossless_tables(), False)
        made, _ = layer._simulate(x, layer.tables(), False)
        error = (exact - made).double()
        channel = error.dim() - 3 if layer.channels_first else error.dim() - 1
        others = [d for d in range(error.dim()) if d != channel]
        total = totals[layer]
        total[0] = total[0] + error.sum(others)
        total[1] += error.numel() // error.shape[channel]
        correction = (total[0] / total[1]).to(layer.weight.dtype)
        layer.correction = correction
        shape = (-1, 1, 1) if layer.channels_first else (-1,)
        return made + correction.view(shape)

    with torch.no_grad(), evaluating(net):
        for layer in layers.values():
            layer._observer = compute
        try:
            for x in data.inputs:
                net(x)
        finally:
            for layer in layers.values():
                layer._observer = None
