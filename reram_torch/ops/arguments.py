"""What operators take, as dataclasses; the one place where they are flattened and rebuilt.

An operator's schema knows tensors and lists of numbers only. Whoever calls one flattens one of
these dataclasses, and every kernel begins by rebuilding it. A chip comes last: layers on ideal
devices have none.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import torch

from reram_torch.crossbar.cells import CrossbarWeights
from reram_torch.crossbar.chips import Chip
from reram_torch.crossbar.geometry import Geometry
from reram_torch.crossbar.odds import Odds
from reram_torch.crossbar.quantization import InputScale
from reram_torch.crossbar.tables import AdcTables
from reram_torch.crossbar.windows import Window

_WEIGHTS = len(CrossbarWeights._fields)
_CHIP, _ODDS = 8, 6  # tensors of either kind of chip: an odd one beside them is that of centers
_GEOMETRY = 10  # numbers of `Geometry.as_list`


class Flat(NamedTuple):
    """Arguments as an operator's schema has them."""

    tensors: list[torch.Tensor]
    integers: list[int]
    floats: list[float]


def chip_of(tensors: list[torch.Tensor]) -> Chip | Odds | None:
    """What tensors of a chip are: one with cells, one without, or none where there are no tensors.

    Raises:
        ValueError: they are neither.
    """
    if not tensors:
        return None
    if len(tensors) not in (_CHIP, _ODDS):
        raise ValueError(
            f"a chip has {_CHIP} tensors, or {_ODDS} without cells, not {len(tensors)}"
        )
    return Chip.of_tensors(tensors) if len(tensors) == _CHIP else Odds.of_tensors(tensors)


def _tensors(chip: Chip | Odds | None) -> tuple[torch.Tensor, ...]:
    return () if chip is None else chip.tensors


@dataclass(frozen=True)
class ArrayArguments:
    """What the operator `crossbar` needs beside input codes.

    Attributes:
        cells: programmed, int64 of shape `Geometry.cells_shape`.
        tables: of the ADCs.
        geometry: of the layer.
        outputs: N, of a group.
        centers: of the weights, int16 (G, T, N), where the geometry is centered.
        chip: that holds the weights; None: ideal devices.
    """

    cells: torch.Tensor
    tables: AdcTables
    geometry: Geometry
    outputs: int
    centers: torch.Tensor | None = None
    chip: Chip | Odds | None = None

    def flatten(self) -> tuple[list[torch.Tensor], list[int]]:
        """Tensors and integers, as the schema has them."""
        integers = [self.outputs, self.tables.unit, *self.geometry.as_list()]
        centers = [] if self.centers is None else [self.centers]
        return [self.cells, *self.tables.tensors, *centers, *_tensors(self.chip)], integers

    @classmethod
    def rebuild(cls, tensors: list[torch.Tensor], integers: list[int]) -> ArrayArguments:
        """The inverse of `flatten`."""
        cells, levels, comparisons, edges, index, *others = tensors
        outputs, unit, *geometry = integers
        tables = AdcTables(levels, comparisons, edges, index, unit)
        centers = others.pop(0) if len(others) % 2 else None
        return cls(cells, tables, Geometry.of_list(geometry), outputs, centers, chip_of(others))


# Making these takes as long as a small layer, both ways.
@lru_cache(maxsize=1024)
def _integers(geometry: Geometry, zero: int, unit: int, window: Window | None) -> tuple[int, ...]:
    return *geometry.as_list(), zero, unit, *([] if window is None else window.as_list())


@lru_cache(maxsize=1024)
def _numbers(integers: tuple[int, ...]) -> tuple[Geometry, int, int, Window | None]:
    geometry, (zero, unit, *window) = integers[:_GEOMETRY], integers[_GEOMETRY:]
    return Geometry.of_list(geometry), zero, unit, Window.of_list(window) if window else None


@dataclass(frozen=True)
class LayerArguments:
    """What the operator `layer` needs beside its input and its float parameters.

    Attributes:
        weights: as they lie on crossbars.
        tables: of the ADCs.
        scale: of input codes.
        geometry: of the layer.
        window: of a convolution; None for a linear layer.
        chip: that holds the weights; None: ideal devices.
    """

    weights: CrossbarWeights
    tables: AdcTables
    scale: InputScale
    geometry: Geometry
    window: Window | None = None
    chip: Chip | Odds | None = None

    def flatten(self) -> Flat:
        """Tensors, integers and floats, as the schema has them."""
        integers = _integers(self.geometry, self.scale.zero, self.tables.unit, self.window)
        tensors = [*self.weights, *self.tables.tensors, *_tensors(self.chip)]
        return Flat(tensors, list(integers), [self.scale.scale])

    @classmethod
    def rebuild(
        cls, tensors: list[torch.Tensor], integers: list[int], floats: list[float]
    ) -> LayerArguments:
        """The inverse of `flatten`."""
        geometry, zero, unit, window = _numbers(tuple(integers))
        levels, comparisons, edges, index, *chip = tensors[_WEIGHTS:]
        return cls(
            CrossbarWeights(*tensors[:_WEIGHTS]),
            AdcTables(levels, comparisons, edges, index, unit),
            InputScale(floats[0], zero),
            geometry,
            window,
            chip_of(chip),
        )

    def arrays(self, outputs: int) -> ArrayArguments:
        """The integer part of the layer, with N outputs in a group."""
        cells, centers = self.weights.cells, self.weights.centers
        own = centers if self.geometry.centered else None
        return ArrayArguments(cells, self.tables, self.geometry, outputs, own, self.chip)
