"""What the ADCs of a network convert on real inputs, in order."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import nn

from reram_torch.crossbar.cells import read_back
from reram_torch.crossbar.geometry import bit_places, sizes
from reram_torch.nn.base import CrossbarLayer
from reram_torch.nn.networks import crossbar_layers
from reram_torch.ops.reference import arrays_of, tile_cycles


def real_conversions(net: nn.Module, x: torch.Tensor, limit: int) -> dict[str, np.ndarray]:
    """The conversions of each layer on some inputs: as many as asked for, or all.

    Those of a position come phase by phase, slice by slice, column by column.

    Args:
        net: a converted network.
        x: a batch that it takes.
        limit: conversions of a layer.

    Returns:
        for each layer int64 (n, 4): driven word-lines, phase, slice, bit-line sum.
    """
    layers = crossbar_layers(net)
    inputs = layer_inputs(net, x)
    return {name: conversions_of(layers[name], taken, limit) for name, taken in inputs.items()}


def layer_inputs(net: nn.Module, x: torch.Tensor) -> dict[str, torch.Tensor]:
    """What each layer takes for some inputs of a converted network, the first time that it runs."""
    found: dict[str, torch.Tensor] = {}
    handles = []
    for name, layer in crossbar_layers(net).items():

        def look(layer: nn.Module, inputs: tuple[Any, ...], name: str = name) -> None:
            del layer
            found.setdefault(name, inputs[0])

        handles.append(layer.register_forward_pre_hook(look))
    try:
        with torch.no_grad():
            net(x)
    finally:
        for handle in handles:
            handle.remove()
    return found


def conversions_of(layer: CrossbarLayer, x: torch.Tensor, limit: int) -> np.ndarray:
    """The conversions of a layer on an input, as `real_conversions` gives them."""
    g, u = layer.geometry, layer.codes(x)
    M, G, K = sizes(u)
    outputs = layer.outputs // G
    codes = read_back(layer.encoded().cells, g, outputs, K)
    each = g.slices * g.cycles * outputs * G * g.tiles(K) * len(g.signs)
    # Positions from all over the input.
    at = torch.linspace(0, M - 1, min(M, -(-limit // each))).long()
    u = u.reshape(M, G, K)[at]
    rows = []
    for cycle, _ in tile_cycles(u, arrays_of(u, codes, g, None), g):
        for j in range(g.slices):
            for sums in cycle.sums[j]:
                inside = sums.clamp(g.lowest, g.highest)
                row = torch.empty(*sums.shape, 4, dtype=torch.int64)
                row[..., 0], row[..., 1] = cycle.activity, cycle.index
                row[..., 2], row[..., 3] = j, inside
                rows.append(row.flatten(0, 2))
    return torch.cat(rows)[:limit].numpy()


def sampled(stream: np.ndarray, limit: int) -> np.ndarray:
    """Some of a stream's conversions: from all over it, but as they come, a tile-cycle's slice.

    Args:
        stream: int (n, 4), as `real_conversions` gives it.
        limit: conversions, about.
    """
    begins = np.append(True, (stream[1:, :3] != stream[:-1, :3]).any(1))
    run = begins.cumsum() - 1
    runs = int(run[-1]) + 1 if len(run) else 0
    taken = max(1, round(runs * limit / max(len(stream), limit)))
    kept = np.zeros(runs, dtype=bool)
    kept[np.linspace(0, runs - 1, taken).astype(int)] = True
    found: np.ndarray = stream[kept[run]]
    return found


def driven_lines(layer: CrossbarLayer, x: torch.Tensor, limit: int) -> np.ndarray:
    """Which word-lines of a layer's first array are driven, cycle by cycle, bool (n, rows).

    Args:
        layer: of a converted network.
        x: what it takes.
        limit: cycles, at most.
    """
    g, u = layer.geometry, layer.codes(x)
    M, G, K = sizes(u)
    at = torch.linspace(0, M - 1, min(M, -(-limit // g.cycles))).long()
    here = u.reshape(M, G, K)[at, 0, : g.rows].int()
    lines = torch.zeros(len(at), g.cycles, g.rows, dtype=torch.bool)
    for i, (below, mask) in enumerate(bit_places(g.dac_widths)):
        lines[:, i, : here.shape[1]] = (here >> below & mask) > 0
    return lines.flatten(0, 1)[:limit].numpy()
