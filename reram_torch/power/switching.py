"""Energy of a SAR ADC's capacitive DAC along each path of a search.

A differential DAC of binary-weighted capacitors makes the thresholds. Between two comparisons some
bottom plates change from one supply to another while the top plates float; what the supplies
deliver follows from the charge on the capacitors, so any order of thresholds has its price, not
only that of a plain binary search.

With B bits, in units of the smallest capacitor C_u, T being the code of a threshold:

- `conventional` (McCreary and Gray, JSSC 1975): 2^B a side. One side holds T, the other its
  complement; between conversions T = 0.
- `monotonic` (Liu, Chang, Huang and Lin, JSSC 2010): 2^(B-1) a side, all at Vref between
  conversions. A threshold rises as capacitors of one side go to ground, and falls as those of the
  other do.
- `vcm` (Zhu et al., JSSC 2010): 2^(B-1) a side, all at Vcm = Vref / 2 between conversions. A
  capacitor goes to Vref on one side as its twin goes to ground.

In a binary search this is the textbook sequence of each scheme. Where a search takes a step that is
no single capacitor, those whose bits change are switched.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from reram_torch._support.checks import check_choice
from reram_torch.adc.base import AdcDesign
from reram_torch.adc.trees import Leaf

SWITCHINGS = ("conventional", "monotonic", "vcm")


class _Dac:
    """Bottom plates of both sides, in units of Vref, through the steps of a search."""

    def __init__(self, scheme: str, bits: int):
        self.scheme, self.bits = scheme, bits
        count = bits if scheme == "conventional" else bits - 1
        self.weights = 1 << np.arange(count)
        self.capacitors = np.append(self.weights, 1).astype(float)  # a dummy makes a power of two
        # The threshold as what one side adds and the other takes; in the middle at first.
        self.start = (0, 0)

    def move(self, state: tuple[int, int], code: int) -> tuple[int, int]:
        """The state in which the threshold is `code`."""
        if self.scheme == "conventional":
            return code, 0
        up, down = state
        step = code - (1 << (self.bits - 1)) - (up - down)
        most = (1 << (self.bits - 1)) - 1
        if step > 0:
            up += step
            down -= max(up - most, 0)  # all of one side is used up: the other gives back
            up = min(up, most)
        else:
            down -= step
            up -= max(down - most, 0)
            down = min(down, most)
        if self.scheme == "vcm":  # a capacitor is raised or lowered, never both
            both = up & down
            up, down = up - both, down - both
        return up, down

    def plates(self, state: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
        """Bottom plates of the two sides, the dummy last."""
        up, down = ((x & self.weights > 0).astype(float) for x in state)
        if self.scheme == "conventional":
            return np.append(up, 0.0), np.append(1.0 - up, 1.0)
        if self.scheme == "monotonic":
            return np.append(1.0 - up, 1.0), np.append(1.0 - down, 1.0)
        half = (up - down) / 2
        return np.append(0.5 - half, 0.5), np.append(0.5 + half, 0.5)

    def energy(self, before: tuple[int, int], after: tuple[int, int]) -> float:
        """What the supplies deliver from one state to the next, C_u * Vref^2."""
        total = 0.0
        for old, new in zip(self.plates(before), self.plates(after), strict=True):
            change = new - old
            top = self.capacitors @ change / self.capacitors.sum()  # it floats
            total += new @ (self.capacitors * (change - top))
        return total


@lru_cache(maxsize=4096)
def switching_energy(design: AdcDesign, lowest: int, highest: int, scheme: str) -> np.ndarray:
    """Energy of the DAC for each bit-line sum.

    It is that of every switch on the sum's path through the search tree, and of the way back to the
    plates' first state. Over a whole cycle of these schemes the way back takes nothing net, since
    all capacitors of a side end on one supply.

    Args:
        design: of the ADC.
        lowest: the smallest bit-line sum.
        highest: the largest.
        scheme: one of `SWITCHINGS`.

    Returns:
        Energy by sum, in units of C_u * Vref^2, (highest - lowest + 1,). The DAC has the bits that
        the range of the sums needs, or more if the design's thresholds do.

    Raises:
        ValueError: an unknown scheme.
    """
    check_choice("switching", scheme, SWITCHINGS)
    root = design.tree(lowest, highest)
    signed = lowest < 0
    reach, todo = max(highest, 1), [(root, lowest, highest)]
    while todo:  # the thresholds that any sum meets
        tree, first, last = todo.pop()
        if first <= last and not isinstance(tree, Leaf):
            reach = max(reach, abs(tree.threshold))
            todo.append((tree.below, first, min(last, tree.threshold - 1)))
            todo.append((tree.above, max(first, tree.threshold), last))
    bits = max(reach.bit_length() + signed, 2)
    origin = 1 << (bits - 1) if signed else 0
    dac = _Dac(scheme, bits)
    found = np.zeros(highest - lowest + 1)
    paths = [(root, lowest, highest, dac.start, 0.0)]
    while paths:
        tree, first, last, state, spent = paths.pop()
        if first > last:
            continue
        if isinstance(tree, Leaf):
            found[first - lowest : last - lowest + 1] = spent + dac.energy(state, dac.start)
            continue
        after = dac.move(state, tree.threshold + origin)
        spent += dac.energy(state, after)
        paths.append((tree.below, first, min(last, tree.threshold - 1), after, spent))
        paths.append((tree.above, max(first, tree.threshold), last, after, spent))
    found.flags.writeable = False  # it is shared
    return found
