"""Sums that a configured ADC cannot convert, in what calibration saw."""

from __future__ import annotations

import warnings
from collections.abc import Mapping

import numpy as np

from reram_torch.adc.base import compile_tables
from reram_torch.crossbar.tables import lossless_adc
from reram_torch.nn.base import CrossbarLayer

_NAMED = 5  # layers that a warning names


def clipped_share(layer: CrossbarLayer) -> float:
    """The share of a layer's conversions in calibration that its configured ADC clips.

    A sum is clipped where it lies further beyond the last level than rounding would take it: by
    more than half the distance of the last two levels. Zero where the configuration names no ADC,
    where another one is in place, or where calibration saw nothing.
    """
    configured, statistics, g = layer.config.adc, layer.statistics, layer.geometry
    if configured is None or statistics is None or layer.adc != (configured,):
        return 0.0  # with sums that are recovered, there are two ADCs
    levels = np.unique(compile_tables(configured, g.lowest, g.highest).level)
    first, last = levels[[0, -1]]
    below, above = (levels[[1, -1]] - levels[[0, -2]]) / 2 if len(levels) > 1 else (0.0, 0.0)
    sums = np.arange(g.lowest, g.highest + 1)
    bins = statistics.histogram[: g.cycles].sum((0, 1)).numpy()
    clipped = bins[(sums < first - below) | (sums > last + above)].sum()
    return float(clipped / max(bins.sum(), 1))


def warn_of_clipping(layers: Mapping[str, CrossbarLayer], stacklevel: int) -> None:
    """Warns of configured ADCs that clip sums which calibration saw, naming the remedy."""
    shares = {name: clipped_share(layer) for name, layer in layers.items()}
    worst = sorted((n for n in shares if shares[n]), key=lambda name: -shares[name])
    if not worst:
        return
    named = ", ".join(f"{name} ({shares[name]:.2%} of its conversions)" for name in worst[:_NAMED])
    more = f" and {len(worst) - _NAMED} more" if len(worst) > _NAMED else ""
    layer = layers[worst[0]]
    warnings.warn(
        f"the configured ADC, {layer.config.adc}, clips bit-line sums of {named}{more}: leave adc "
        f"out of the configuration for a plain SAR that converts every sum "
        f"({lossless_adc(layer.geometry)}), or run design_adc next",
        stacklevel=stacklevel + 1,
    )
