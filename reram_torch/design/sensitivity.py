"""How much each layer's errors matter to what the network says, and what is left of their mean."""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import torch
from torch import nn

from reram_torch._support.modules import evaluating
from reram_torch.calibration.calls import Call
from reram_torch.calibration.held import Calibration
from reram_torch.crossbar.tables import AdcTables
from reram_torch.design.heads import Outlet
from reram_torch.design.outputs import change
from reram_torch.nn.base import CrossbarLayer
from reram_torch.nn.watchers import Watcher, watching

Compute = Callable[[CrossbarLayer, torch.Tensor], torch.Tensor]
Disturbance = Callable[[CrossbarLayer, torch.Tensor, torch.Tensor], torch.Tensor]

_IMAGES = 32  # that sensitivities are measured on
_NOISE = 0.01  # of the signal's power, small enough for the effect to be in proportion


def layer_sensitivities(
    net: nn.Module, layers: dict[str, CrossbarLayer], data: Calibration, seed: int = 0
) -> dict[str, float]:
    """What noise in each layer's results does to the network's output, in float.

    White noise of 1% of the power of a layer's results (bias excluded) is added to them, one layer
    at a time; the effect is `outputs.change` of the output. Deterministic for a seed.

    Args:
        net: a converted network.
        layers: those to measure.
        data: the first images of it are used.
        seed: of the noise.

    Returns:
        For each layer, the effect over the relative power of the noise. Nothing is made up where
        that is zero for all layers, or not finite for one.
    """

    def noise(layer: CrossbarLayer, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        signal = y if layer.bias is None else y - layer.bias.view(layer.per_channel)
        power = signal.square().mean().sqrt() * _NOISE**0.5
        generator = generators.setdefault(layer, torch.Generator().manual_seed(seed))
        found: torch.Tensor = power * torch.randn(y.shape, generator=generator).to(y)
        return found

    generators: dict[CrossbarLayer, torch.Generator] = {}
    found = {n: e / _NOISE for n, e in _effects(net, layers, data, noise).items()}
    largest = max(found.values(), default=0.0)
    if not largest > 0 or not all(map(math.isfinite, found.values())):
        return found
    # White noise understates what coarse ADCs do to a layer: none may be given up.
    return {name: max(value, 0.3 * largest, 1e-12) for name, value in found.items()}


def adc_effects(
    net: nn.Module, layers: dict[str, CrossbarLayer], data: Calibration, *, folded: bool
) -> dict[str, float]:
    """What the errors of each layer's ADCs do to the network's output, the rest in float.

    Args:
        net: a converted network with its ADCs in place.
        layers: those to measure.
        data: the first images of it are used.
        folded: the mean error of each channel does not count.

    Returns:
        For each layer, the effect, as `layer_sensitivities` measures it.
    """

    def errors(layer: CrossbarLayer, x: torch.Tensor, _: torch.Tensor) -> torch.Tensor:
        error = _adc_error(layer, x)
        return error - error.mean(_others(layer, error), keepdim=True) if folded else error

    return _effects(net, layers, data, errors)


class Change:
    """What all ADCs in place do to a network's output, against lossless ones.

    Args:
        net: a converted network.
        layers: of it; what lossless ones make of data is kept.
    """

    def __init__(self, net: nn.Module, layers: dict[str, CrossbarLayer]):
        self._net, self._layers, self._outlet = net, layers, Outlet(net)
        self._lossless: dict[int, list[Any]] = {}

    def of(self, data: Calibration) -> float:
        """The change on the first images of some data, as `layer_sensitivities` measures it."""
        calls, outlet = _first(data), self._outlet

        def lossless(layer: CrossbarLayer, x: torch.Tensor) -> torch.Tensor:
            return _uncorrected(layer, x, layer.lossless_tables())

        with torch.no_grad(), evaluating(self._net):
            made = [outlet.run(call).compared for call in calls]
            if id(data) not in self._lossless:
                with _observed(self._layers, lossless):
                    self._lossless[id(data)] = [outlet.run(call).compared for call in calls]
        pairs = zip(self._lossless[id(data)], made, strict=True)
        return sum(change(a, b) for a, b in pairs) / len(calls)


def _effects(
    net: nn.Module, layers: dict[str, CrossbarLayer], data: Calibration, disturbance: Disturbance
) -> dict[str, float]:
    """The change of the output as a disturbance is added to the results of one layer at a time."""
    calls, outlet = _first(data), Outlet(net)
    disturbed: CrossbarLayer | None = None

    def compute(layer: CrossbarLayer, x: torch.Tensor) -> torch.Tensor:
        y = layer.float_forward(x)
        return y + disturbance(layer, x, y) if layer is disturbed else y

    found = {}
    with torch.no_grad(), evaluating(net), _observed(layers, compute):
        clean = [outlet.run(call).compared for call in calls]
        for name, layer in layers.items():
            disturbed = layer
            pairs = zip(clean, calls, strict=True)
            effect = [change(a, outlet.run(call).compared) for a, call in pairs]
            found[name] = sum(effect) / len(effect)
    return found


class _Computing(Watcher):
    """The layers compute something else for a while; what they do then is no inference."""

    computes = hides = True

    def __init__(self, function: Compute):
        self.function = function

    def compute(self, layer: CrossbarLayer, x: torch.Tensor) -> torch.Tensor:
        return self.function(layer, x)


def _observed(layers: dict[str, CrossbarLayer], compute: Compute) -> AbstractContextManager[None]:
    return watching(dict.fromkeys(layers.values(), _Computing(compute)))


def _first(data: Calibration) -> list[Call]:
    calls, left = [], _IMAGES
    for call in data.calls:
        calls.append(call.pick(slice(left)))
        left -= len(calls[-1])
        if left <= 0:
            break
    return calls


def _spread(data: Calibration, images: int) -> list[Call]:
    """About so many images, as many of each batch."""
    every = max(1, len(data) // images)
    return [call.pick(slice(None, None, every)) for call in data.calls]


def _adc_error(layer: CrossbarLayer, x: torch.Tensor) -> torch.Tensor:
    """What a layer's ADCs, without correction, add to its results."""
    exact = _uncorrected(layer, x, layer.lossless_tables())
    return _uncorrected(layer, x, layer.tables()) - exact


def _uncorrected(layer: CrossbarLayer, x: torch.Tensor, tables: AdcTables) -> torch.Tensor:
    return layer.simulate(x, tables, corrected=False)[0]


def _others(layer: CrossbarLayer, y: torch.Tensor) -> list[int]:
    """All dimensions of a layer's results but the channels'."""
    channel = y.dim() - 3 if layer.channels_first else y.dim() - 1
    return [d for d in range(y.dim()) if d != channel]


def fold_mean_errors(
    net: nn.Module,
    layers: dict[str, CrossbarLayer],
    data: Calibration,
    images: int | None = None,
) -> None:
    """Adds to each layer's bias what its ADCs leave out on average, by channel.

    Mean errors are the same in every tile, cycle and position and add up in amplitude, so they
    break accuracy first; a constant for each channel undoes them at no cost. The layers' inputs are
    those of the network as corrected so far.

    Args:
        net: a converted network with its ADCs in place.
        layers: those to correct; what they were corrected by before is replaced.
        data: what to measure on.
        images: so many of it, spread over it; None: all.
    """
    totals: dict[CrossbarLayer, torch.Tensor] = {}  # by channel
    results = dict.fromkeys(layers.values(), 0)

    def compute(layer: CrossbarLayer, x: torch.Tensor) -> torch.Tensor:
        exact = _uncorrected(layer, x, layer.lossless_tables())
        made = _uncorrected(layer, x, layer.tables())
        error = (exact - made).double()
        channels = error.sum(_others(layer, error))
        total: torch.Tensor = totals.get(layer, 0.0) + channels
        totals[layer] = total
        results[layer] += error.numel() // len(channels)
        correction = (total / results[layer]).to(layer.weight.dtype)
        layer.bank.correction = correction
        y: torch.Tensor = made + correction.view(layer.per_channel)
        return y

    with torch.no_grad(), evaluating(net), _observed(layers, compute):
        for call in data.calls if images is None else _spread(data, images):
            call.run(net)
