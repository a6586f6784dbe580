"""Any search tree, by its leaves."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from reram_torch.adc.base import (
    AdcDesign,
    Storage,
    Words,
    check_halves,
    check_integers,
    check_starts,
    node_bits,
    register_adc,
    sum_bits,
)
from reram_torch.adc.trees import ESCAPE, Leaf, Tables, Tree, check_depths, from_depths


@register_adc
@dataclass(frozen=True)
class SearchTree(AdcDesign):
    """Any binary search tree, by its leaves; `design_adc` finds the best.

    Args:
        starts: the first sum of each leaf, rising; the first also takes all sums below. The others
            are the thresholds.
        levels: the level that each leaf decodes to, a multiple of 1/2.
        depths: comparisons that end in each leaf; they determine the tree.
    """

    starts: tuple[int, ...] = (0,)
    levels: tuple[float, ...] = (0,)
    depths: tuple[int, ...] = (0,)

    kind: ClassVar[str] = "search_tree"
    limits: ClassVar[tuple[str, ...]] = ("leaves", "depth", "grid")

    def __post_init__(self) -> None:
        starts, depths = check_integers("SearchTree", starts=self.starts, depths=self.depths)
        [levels] = check_halves("SearchTree", escapes=True, levels=self.levels)
        for name, value in (("starts", starts), ("levels", levels), ("depths", depths)):
            object.__setattr__(self, name, value)
            check_starts("SearchTree", self.starts, len(value))
        if not all(0 <= depth <= 255 for depth in self.depths):
            raise ValueError(f"SearchTree.depths must be 0 to 255, not {list(self.depths)}")
        check_depths(self.depths)

    @property
    def escapes(self) -> bool:
        """Whether the sums of a leaf are recovered: one of an infinite level."""
        return ESCAPE in self.levels

    def tree(self, lowest: int, highest: int) -> Tree:
        """The search tree; the same for all sums."""
        del lowest, highest
        return from_depths(self.starts, [Leaf(level) for level in self.levels], self.depths)

    def tables(self, lowest: int, highest: int) -> Tables:
        """See `AdcDesign`: as many values as each leaf has."""
        ends = np.clip([*self.starts[1:], highest + 1], lowest, highest + 1)
        values = np.diff(ends, prepend=lowest)
        level = np.repeat(np.array(self.levels, dtype=float), values)
        return Tables(lowest, level, np.repeat(np.array(self.depths, dtype=np.uint8), values))

    def thresholds(self, lowest: int, highest: int) -> Sequence[int] | np.ndarray:
        """See `AdcDesign`: where leaves begin, if all of them do within these sums."""
        inner = self.starts[1:]
        if inner and not lowest < inner[0] <= inner[-1] <= highest:
            return super().thresholds(lowest, highest)
        return inner

    def payload(self, value: int, comparisons: int) -> int:
        """None: every comparison finds the leaf."""
        del value, comparisons
        return 0

    def storage(self, lowest: int, highest: int, codes: int) -> Storage:
        """Each node's threshold and two successors; each leaf's level."""
        nodes, width = codes - 1, sum_bits(lowest, highest)
        successor = max(nodes + codes - 1, 1).bit_length()
        return Storage(nodes, nodes * (width + 2 * successor), codes * width)

    def words(self, lowest: int, highest: int) -> Words:
        """One for each node."""
        return Words(max(len(self.starts) - 1, 1), node_bits(lowest, highest))
