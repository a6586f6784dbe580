"""A layer's ADCs: their designs, the tables they compile to, and what makes up for their errors."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch

from reram_torch._support.lasting import lasting
from reram_torch.adc.base import AdcDesign, compile_tables, design_from_dict, design_to_dict
from reram_torch.crossbar.geometry import Geometry
from reram_torch.crossbar.tables import AdcTables, check_accumulator, check_tables


class BankState(NamedTuple):
    """What an `AdcBank` holds."""

    designs: tuple[AdcDesign, ...]
    tables: AdcTables
    correction: torch.Tensor | None
    geometry: Geometry


class AdcBank:
    """The ADCs of one layer.

    Args:
        geometry: of the layer.
        depth: K.
        design: converts everything at first.

    Attributes:
        designs: in use: one, one for each slice, or those that an index tells apart.
        ideal: devices are; others may bring any bit-line to any sum of the tables.
    """

    def __init__(self, geometry: Geometry, depth: int, design: AdcDesign):
        self._geometry, self._depth, self._first = geometry, depth, design
        self._correction: torch.Tensor | None = None
        self.ideal = True
        # Slices that exist, the tables of all, and those of these.
        self._kept: tuple[tuple[bool, ...], AdcTables, AdcTables] | None = None
        self.set([design])

    def set(
        self,
        designs: Sequence[AdcDesign],
        edges: Sequence[int] = (0,),
        index: Sequence[Any] | np.ndarray | torch.Tensor | None = None,
    ) -> None:
        """Puts designs in place, as `CrossbarLayer.set_adc` says."""
        designs, g = tuple(designs), self._geometry
        if isinstance(index, torch.Tensor):
            index = index.tolist()
        if index is None and len(designs) == 1 and tuple(edges) == (0,):
            told = designs[0].by_activity(g.rows, g.largest_sums(1))
            if told is not None:
                edges, designs, index = told
        if index is None:
            if len(designs) not in (1, g.slices):
                raise ValueError(
                    f"designs must be one or one for each of {g.slices} slices, not {len(designs)}"
                )
            slices = np.arange(g.slices) % len(designs)
            index = np.repeat(np.tile(slices, (1, g.phases, 1)), len(edges), 0)
            if any(design.escapes for design in designs):
                if not g.speculation:
                    raise ValueError(
                        "a design escapes, but nothing recovers its sums: crossbar.speculation is "
                        f"false ({next(d for d in designs if d.escapes)})"
                    )
                final = [not g.recovered_bits(i) for i in range(g.cycles)] + [True] * g.recoveries
                index += len(designs) * np.array(final)[:, None]
                designs = (*designs, *(design.final() for design in designs))
        compiled = [compile_tables(design, g.lowest, g.highest) for design in designs]
        with lasting():
            tables = AdcTables.of_levels(
                np.stack([t.level for t in compiled]),
                np.stack([t.comparisons for t in compiled]),
                np.array(edges, dtype=np.int32),
                np.array(index, dtype=np.int32),
            )
        check_tables(g, tables, skips=False)
        check_accumulator(g, self._depth, tables, ideal=self.ideal)
        self.designs, self._tables = designs, tables
        self.correction = None  # it was that of other ADCs

    def serve(self, *, ideal: bool) -> None:
        """Goes over to ideal devices, or to others.

        Raises:
            ValueError: the ADCs in place could overflow the accumulator there.
        """
        check_accumulator(self._geometry, self._depth, self._tables, ideal=ideal)
        self.ideal = ideal

    def fit(self, geometry: Geometry) -> None:
        """Goes over to other input codes, which may take other cycles.

        Warns:
            UserWarning: the designs differ by cycle, and so give way to the first one of all.
        """
        if geometry == self._geometry:
            return
        index, edges = self._tables.index, self._tables.edges.tolist()
        alike = bool((index == index[:, :1]).all())
        if not alike and geometry.phases != self._geometry.phases:
            warnings.warn(
                f"ADCs by cycle, of {self._geometry.cycles} cycles, do not fit input codes of "
                f"{geometry.cycles}: {self._first} takes their place",
                stacklevel=4,
            )
            self._geometry = geometry
            self.set([self._first])
            return
        self._geometry = geometry
        if alike:
            index = index[:, :1].expand(-1, geometry.phases, -1)
        self.set(self.designs, edges, index)

    def tables(self, device: torch.device, present: torch.Tensor) -> AdcTables:
        """The look-up tables in use, on a device, with no table for slices that do not exist.

        Args:
            device: of the layer.
            present: which slices have a cell that holds anything, bool (J,).
        """
        if self._tables.levels.device != device:
            with lasting():
                self._tables = self._tables.to(device)
        if torch.compiler.is_compiling() or present.device.type != "cpu":
            return self._tables.of_slices(present)
        which = tuple(present.tolist())
        if self._kept is None or self._kept[0] != which or self._kept[1] is not self._tables:
            with lasting():
                own = self._tables if all(which) else self._tables.of_slices(present)
            self._kept = which, self._tables, own
        return self._kept[2]

    @property
    def correction(self) -> torch.Tensor | None:
        """By channel, what is added to the bias against the ADCs' mean errors, or None."""
        return self._correction

    @correction.setter
    def correction(self, value: torch.Tensor | None) -> None:
        if value is not None and value.is_inference():
            with lasting():
                value = value.clone()
        self._correction = value

    def corrected(self, bias: torch.Tensor | None, weight: torch.Tensor) -> torch.Tensor | None:
        """A bias with the correction of the ADCs' mean errors, beside these weights."""
        if self.correction is None:
            return bias
        if self.correction.device != weight.device:
            with lasting():
                self.correction = self.correction.to(weight.device)
        correction = self.correction.to(weight.dtype)
        return correction if bias is None else bias + correction

    def snapshot(self) -> BankState:
        """What is in place, for `restore`."""
        return BankState(self.designs, self._tables, self.correction, self._geometry)

    def restore(self, state: BankState) -> None:
        """Puts a snapshot back."""
        self.designs, self._tables, self.correction, self._geometry = state

    def to_dict(self) -> dict[str, Any]:
        """What is in place, as plain values."""
        correction = self.correction
        return {
            "adc": [design_to_dict(d) for d in self.designs],
            "edges": self._tables.edges.tolist(),
            "index": self._tables.index.tolist(),
            "correction": None if correction is None else correction.tolist(),
        }

    def load_dict(self, state: dict[str, Any], dtype: torch.dtype) -> None:
        """The inverse of `to_dict`; the correction is of this type."""
        self.set([design_from_dict(d) for d in state["adc"]], state["edges"], state["index"])
        if state.get("correction") is not None:
            self.correction = torch.tensor(state["correction"], dtype=dtype)
