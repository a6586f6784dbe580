"""What wires leave wrong: sums of arrays as the nodal equations have them, against a chip's."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from reram_torch._support.checks import check_int
from reram_torch._support.progress import progress
from reram_torch.crossbar.cells import read_back
from reram_torch.nn.base import CrossbarLayer
from reram_torch.nn.line_loads import digits_of_input
from reram_torch.nn.networks import crossbar_layers


@dataclass(frozen=True)
class WireError:
    """How far sums are from those of the nodal equations, in steps of a digit.

    Attributes:
        sums: that were compared.
        squares: of their errors, added up.
        largest: of the errors.
        off: errors above half a step.
    """

    sums: int = 0
    squares: float = 0.0
    largest: float = 0.0
    off: int = 0

    @property
    def rms(self) -> float:
        """The root mean square error."""
        return math.sqrt(self.squares / max(1, self.sums))

    @property
    def share_off(self) -> float:
        """The share of sums that are off by more than half a step."""
        return self.off / max(1, self.sums)

    def __add__(self, other: WireError) -> WireError:
        return WireError(
            self.sums + other.sums,
            self.squares + other.squares,
            max(self.largest, other.largest),
            self.off + other.off,
        )

    @classmethod
    def of(cls, errors: np.ndarray) -> WireError:
        """Of these errors."""
        sizes = np.abs(errors)
        off = int((sizes > 0.5).sum())
        return cls(errors.size, float((errors**2).sum()), float(sizes.max(initial=0.0)), off)

    def __str__(self) -> str:
        return (
            f"rms {self.rms:.3f} steps, largest {self.largest:.2f}, "
            f"{self.share_off:.2%} off by more than half a step"
        )


def wire_error(
    net: nn.Module, *, tile_cycles: int = 32, show_progress: bool = True
) -> dict[str, WireError]:
    """What a chip's fixed attenuation leaves of the errors that wires make, by layer.

    A chip has one attenuation for each cell, at the mean load of calibration. What wires take
    depends on which word-lines are driven: this solves the nodal equations for tile-cycles drawn
    from inputs that calibration kept, with the word-lines gated as they were, and compares every
    sum of their arrays. Tile-cycles that drive nothing are left out.

    Args:
        net: a calibrated network, programmed onto a chip with wires (`cells.wire_ohm`).
        tile_cycles: of each layer that are drawn.
        show_progress: draw a tqdm bar if tqdm is installed.

    Returns:
        the errors of the layers that saw inputs, by qualified name; add them up for the network's.

    Raises:
        ValueError: no crossbar layers, no wires, or `tile_cycles` below 1.
        RuntimeError: a layer has an input range, but no inputs of a calibration.
        ImportError: scipy is missing.
    """
    check_int("tile_cycles", tile_cycles, 1, 1 << 20)
    layers = {n: la for n, la in crossbar_layers(net).items() if la.input_range is not None}
    bar = progress(layers.items(), description="wires", unit="layer", show=show_progress)
    with bar:
        return {name: layer_wire_error(layer, tile_cycles, name) for name, layer in bar}


def layer_wire_error(layer: CrossbarLayer, tile_cycles: int, name: str) -> WireError:
    """The same of a layer."""
    how, seen = layer.site.programming, layer.statistics
    if how is None or how.load is None:
        raise ValueError(
            f"{name} must lie on a chip whose cells.wire_ohm is above 0: run reram_torch.program"
        )
    if seen is None or seen.loads is None:
        raise RuntimeError(
            f"{name} has no inputs to look at: run reram_torch.calibrate(net, batches) first"
        )
    g, outputs = layer.geometry, layer.outputs // layer.groups
    wired = how.wired(read_back(layer.encoded().cells, g, outputs, layer.depth).cpu(), g)
    digits = digits_of_input(seen.loads.codes, g)  # (I, M, G, K)
    rows = [wired.wiring.word_lines(tile) for tile in range(wired.tiles)]
    if not rows:
        return WireError()
    driven = torch.stack([digits[..., part].sum(-1) > 0 for part in rows], -1).nonzero()
    if not len(driven):
        return WireError()
    generator, total = torch.Generator().manual_seed(0), WireError()
    picked = driven[torch.randint(len(driven), (tile_cycles,), generator=generator)]
    for group, tile in sorted({(g, t) for _, _, g, t in picked.tolist()}):
        i, m, _, _ = picked[(picked[:, 2:] == torch.tensor([group, tile])).all(1)].unbind(1)
        patterns = digits[i, m, group, rows[tile]].double().numpy()
        largest = np.array([2**width - 1 for width in g.dac_widths])[i.numpy()]
        errors = wired.errors(tile, group, patterns) * largest[:, None]
        total += WireError.of(errors)
    return total
