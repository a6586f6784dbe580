"""How many bytes the tables of a layer take."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from reram_torch.adc.base import AdcDesign
from reram_torch.adc.uniform import UniformSAR

_BITS = 8  # of a byte


def table_bytes(designs: Sequence[AdcDesign], index: np.ndarray, lowest: int, highest: int) -> int:
    """Bytes of the tables that a layer's ADCs search by, and of what says which to use.

    Equal designs are stored once, and a directory points at them by activity bucket, cycle and
    slice, as far as it depends on these; where every design is one word, the words may stand in the
    directory's place. A plain SAR has none.

    Args:
        designs: of the layer.
        index: which design converts, (B, I, J); -1: nothing is converted.
        lowest: the smallest sum.
        highest: the largest.
    """
    distinct = used_designs(designs, index)
    if is_plain(distinct):
        return 0
    words = [design.words(lowest, highest) for design in distinct]
    stored = sum(w.number * w.bits for w in words)
    if not stored:
        return 0
    place = {design: k for k, design in enumerate(distinct)}
    index = np.array([*(place.get(design, -1) for design in designs), -1])[index]
    entries = directory_entries(index)
    choices = len(distinct) + int((_looked_up(index) < 0).any())
    bits: int = stored + entries * (choices - 1).bit_length()
    if all(w.number <= 1 for w in words):
        bits = min(bits, entries * max(w.bits for w in words))
    return -(-bits // _BITS)


def used_designs(designs: Sequence[AdcDesign], index: np.ndarray) -> list[AdcDesign]:
    """The designs that convert anything, equal ones once."""
    used = sorted(set(index.ravel().tolist()) - {-1})
    return list(dict.fromkeys(designs[k] for k in used))


def is_plain(designs: Sequence[AdcDesign]) -> bool:
    """Whether distinct designs are a single plain SAR ADC, which nothing has to program."""
    return len(designs) == 1 and isinstance(designs[0], UniformSAR)


def directory_entries(index: np.ndarray) -> int:
    """Entries that tell every use of a table apart: axes that nothing depends on do not count.

    Args:
        index: as for `table_bytes`.
    """
    rows, entries = _looked_up(index), 1
    for axis in range(3):
        first = np.take(rows, [0], axis)
        if (rows != first).any():
            entries *= rows.shape[axis]
    return entries


def _looked_up(index: np.ndarray) -> np.ndarray:
    """The buckets that have entries: one that converts nothing needs none."""
    rows: np.ndarray = index[(index >= 0).any((1, 2))]
    return rows
