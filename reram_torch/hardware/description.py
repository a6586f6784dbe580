"""What a search tree does on data, and what it asks of the hardware."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from reram_torch.adc.base import AdcDesign, compile_tables
from reram_torch.adc.trees import Leaf


@dataclass(frozen=True)
class Code:
    """One word of an ADC's code.

    Attributes:
        first: the first sum that gets it.
        last: the last one.
        level: what it decodes to.
        flag: outcomes of the comparisons that find an interval (of a search tree: all of them),
            `1` for a sum at or above the threshold.
        payload: outcomes of the bit cycles within the interval.
    """

    first: int
    last: int
    level: float
    flag: str
    payload: str


@dataclass(frozen=True)
class Hardware:
    """What an ADC does and needs.

    Attributes:
        codes: its code, by rising sums; a prefix code, so that words need no separator.
        worst_case: the most comparisons that a conversion takes.
        thresholds: thresholds to store; those that a binary-weighted DAC makes by itself, bit by
            bit, are not counted.
        table_bits: to store the search: each stored threshold, and for a search tree each node's
            two successors.
        decoder_bits: entries of the decoder times the bits of a level; a plain ADC needs none, and
            an interval stores where it begins, a shift and the number of its bits.
        comparisons: mean on the histogram, or None without one.
        mean_square_error: of the levels on the histogram, likewise.
    """

    codes: tuple[Code, ...]
    worst_case: int
    thresholds: int
    table_bits: int
    decoder_bits: int
    comparisons: float | None
    mean_square_error: float | None


def describe_adc(
    design: AdcDesign, lowest: int, highest: int, histogram: np.ndarray | None = None
) -> Hardware:
    """Describes an ADC for sums from `lowest` to `highest`.

    Args:
        design: any design.
        lowest: the smallest bit-line sum.
        highest: the largest.
        histogram: how often each sum occurs, (highest - lowest + 1,).

    Raises:
        ValueError: a histogram of another size, or an empty one.
    """
    tables = compile_tables(design, lowest, highest)
    comparisons = error = None
    if histogram is not None:
        histogram = np.asarray(histogram, dtype=float)
        if histogram.shape != tables.level.shape or histogram.sum() <= 0:
            raise ValueError(
                f"histogram must hold counts of the {len(tables.level)} sums from {lowest} to "
                f"{highest}, not {histogram.sum():g} in shape {histogram.shape}"
            )
        off = tables.level - np.arange(lowest, highest + 1)
        comparisons = float(histogram @ tables.comparisons / histogram.sum())
        error = float(histogram @ off.astype(float) ** 2 / histogram.sum())
    codes = _codes(design, lowest, highest)
    worst, stored = int(tables.comparisons.max()), design.storage(lowest, highest, len(codes))
    return Hardware(codes, worst, *stored, comparisons, error)


def _codes(design: AdcDesign, lowest: int, highest: int) -> tuple[Code, ...]:
    found, todo = [], [(design.tree(lowest, highest), lowest, highest, "")]
    while todo:
        tree, first, last, path = todo.pop()
        if first > last:
            continue
        if isinstance(tree, Leaf):
            cut = len(path) - design.payload(first, len(path))
            found.append(Code(first, last, tree.level, path[:cut], path[cut:]))
            continue
        todo.append((tree.above, max(first, tree.threshold), last, path + "1"))
        todo.append((tree.below, first, min(last, tree.threshold - 1), path + "0"))
    return tuple(found)
