"""What is counted on crossbars, and what follows from it.

Two counts are kept: the comparisons made, and how many word-lines each tile-cycle drove. A
tile-cycle is one cycle of one tile of a group at one position, whatever its bit-lines. Drives,
activity buckets and how many conversions started all follow from the latter and the tables.

With speculation recoveries are counted by input bit after the cycles: their comparisons, and the
tiles that were driven again, all of their arrays, since a sum of some bit-line escaped. How many of
their conversions started follows from nothing else, and is counted besides.
"""

from __future__ import annotations

import numpy as np
import torch

from reram_torch.crossbar.geometry import Geometry
from reram_torch.crossbar.tables import AdcTables

Counts = tuple[torch.Tensor, torch.Tensor]


def empty_counts(x: torch.Tensor, geometry: Geometry) -> Counts:
    """Room for counts on the device of a tensor.

    Returns:
        made, int64 (I + 2 R, J): A/D operations by cycle and slice, by recovered bit and slice, and
        the recoveries' conversions that started, likewise; and driven, int64 (I + R, rows + 1):
        tile-cycles that drove exactly so many word-lines, by cycle and recovered bit.
    """
    made, driven = _shapes(geometry)
    return x.new_empty(made, dtype=torch.int64), x.new_empty(driven, dtype=torch.int64)


def no_counts(geometry: Geometry, device: torch.device | None = None) -> Counts:
    """The same, all zero."""
    made, driven = _shapes(geometry)
    zeros = torch.zeros(made, dtype=torch.int64, device=device)
    return zeros, zeros.new_zeros(driven)


def _shapes(g: Geometry) -> tuple[tuple[int, int], tuple[int, int]]:
    return (g.phases + g.recoveries, g.slices), (g.phases, g.rows + 1)


def started(tables: AdcTables) -> np.ndarray:
    """Where a conversion starts, bool (B, I + R, J): where its table can make a comparison.

    A table with a single leaf decodes every sum to one level: nothing starts, as with index -1.
    """
    makes = np.append(tables.comparisons.cpu().numpy().any(1), False)  # -1 reads the last one
    found: np.ndarray = makes[tables.index.cpu().numpy()]
    return found


def tile_cycles(edges: np.ndarray, driven: np.ndarray) -> np.ndarray:
    """Tile-cycles of each activity bucket, by cycle, int64 (I, B).

    Args:
        edges: fewest driven word-lines of each bucket, rising from 0, (B,).
        driven: tile-cycles by driven word-lines, int64 (I, rows + 1).
    """
    bucket = np.searchsorted(edges, np.arange(driven.shape[1]), "right") - 1
    found: np.ndarray = driven @ (bucket[:, None] == np.arange(len(edges))).astype(np.int64)
    return found


def conversions_of(
    geometry: Geometry, tables: AdcTables, outputs: int, driven: np.ndarray, present: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Conversions that started, and bit-line sums that needed none.

    Args:
        geometry: of the layer.
        tables: of its ADCs.
        outputs: N, of a group.
        driven: tile-cycles by driven word-lines, int64 (I + R, rows + 1).
        present: which slices exist, bool (J,): others have no bit-lines.

    Returns:
        both, int64 (I, J): those of the cycles.
    """
    driven = driven[: geometry.cycles]
    each = outputs * len(geometry.signs)
    sums = each * tile_cycles(tables.edges.cpu().numpy(), driven)  # of a slice, (I, B)
    starts = started(tables)[:, : geometry.cycles].astype(np.int64)
    made = np.einsum("ib,bij->ij", sums, starts)
    return made, sums.sum(1, keepdims=True) * present - made
