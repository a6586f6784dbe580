"""What `program` warns of, and the loads that it needs where wires take something."""

from __future__ import annotations

import warnings

import torch

from reram_torch.config.devices import Devices
from reram_torch.nn.base import CrossbarLayer
from reram_torch.nn.line_loads import as_text
from reram_torch.nn.wire_errors import WireError, layer_wire_error

_TILE_CYCLES = 8  # of a layer


def loads_for(layers: dict[str, CrossbarLayer], devices: Devices) -> dict[str, str | None]:
    """How word-lines are loaded, by layer; None where wires take nothing.

    A layer that was loaded with its chip keeps that chip's load. Word-lines of one that never saw
    an input, and so computes nothing, count as always driven.

    Raises:
        RuntimeError: layers with an input range whose load is not known.
    """
    if not devices.cells.wire_ohm:
        return dict.fromkeys(layers)
    found: dict[str, str | None] = {}
    for name, layer in layers.items():
        how, seen = layer.site.programming, layer.statistics
        if seen is not None and seen.loads is not None:
            found[name] = as_text(seen.loads.shares())
        elif how is not None and how.load is not None:
            found[name] = how.load
        elif layer.input_range is None:
            always = torch.full((layer.groups, layer.depth), 255, dtype=torch.uint8)
            found[name] = as_text(always)
    missing = [name for name in layers if name not in found]
    if missing:
        raise RuntimeError(
            f"cells.wire_ohm is {devices.cells.wire_ohm:g}, and what wires take depends on how "
            "inputs load word-lines: run reram_torch.calibrate(net, batches) first (missing for "
            f"{missing})"
        )
    return found


def warn_of_leaks(layers: dict[str, CrossbarLayer], devices: Devices, stacklevel: int) -> None:
    """Warns of offset cells whose leaks nobody subtracts, if they add up to more than a step."""
    cells, worst = devices.cells, (1.0, "", 0.0)
    if cells.dummy_column:
        return
    for name, layer in layers.items():
        g, seen = layer.geometry, layer.statistics
        if g.offset:
            loads = None if seen is None else seen.loads
            driven = min(g.rows, layer.depth) if loads is None else loads.driven()
            leak = (2**g.cell_bits - 1) * cells.off_us / cells.g_max_us * driven
            worst = max(worst, (leak, name, driven))
    leak, name, driven = worst
    if name:
        warnings.warn(
            f"cells of {devices.name!r} conduct {cells.off_us:g} uS when off, and weights are "
            f"'offset': in layer {name!r} leaks of {driven:.0f} driven word-lines add up to "
            f"{leak:.1f} steps of a digit; set cells.dummy_column, or convert with "
            "weights.encoding 'differential'",
            stacklevel=stacklevel + 1,
        )


def wire_errors(
    layers: dict[str, CrossbarLayer], devices: Devices, stacklevel: int
) -> dict[str, WireError]:
    """What wires leave wrong in layers that kept inputs; warns of more than half a step."""
    found = {
        name: layer_wire_error(layer, _TILE_CYCLES, name)
        for name, layer in layers.items()
        if devices.cells.wire_ohm and layer.statistics is not None and layer.input_range is not None
    }
    total = sum(found.values(), WireError())
    if total.off:
        warnings.warn(
            f"wires of {devices.cells.wire_ohm:g} Ohm take of a chip's cells what they take at a "
            f"mean load, which leaves sums wrong: {total} (of a sample of {total.sums}). Fewer "
            "rows or columns and cells that conduct less leave less: see reram_torch.wire_error",
            stacklevel=stacklevel + 1,
        )
    return found
