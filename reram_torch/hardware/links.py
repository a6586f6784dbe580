"""Searches as words that name each other: nodes, runs and levels."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeAlias

from reram_torch.adc.base import AdcDesign
from reram_torch.adc.intervals import Intervals
from reram_torch.adc.trees import ESCAPE, Leaf, Node, Tree, from_depths
from reram_torch.hardware.formats import Format


@dataclass(frozen=True)
class Run:
    """A plain search of `bits` comparisons, the first threshold of whose codes is `first`.

    Code k begins at first + k * step, but for the lowest, which takes all sums below, too; its
    level is the middle of the `step` sums from there.
    """

    first: int
    step: int
    bits: int

    @property
    def trial(self) -> int:
        """The DAC's code of the first comparison."""
        return self.first - 1 + (self.step << self.bits - 1)

    @property
    def last(self) -> int:
        """The last sum of the highest code."""
        return self.first - 1 + (self.step << self.bits)

    @property
    def place(self) -> int:
        """That of the first trial bit."""
        return self.step.bit_length() + self.bits - 2

    @property
    def aligned(self) -> bool:
        """Whether its bits take the place of zeros of its first threshold."""
        return self.first % (self.step << self.bits) == 0

    def tree(self) -> Tree:
        """The comparisons that the hardware makes, from the codes that the DAC shows."""
        return self._tree(self.trial, self.place)

    def _tree(self, code: int, place: int) -> Tree:
        step = self.step.bit_length() - 1
        if place < step:  # what the last step has left, a half of the step away from the last code
            return Leaf(code + (0 if step == 0 else 0.5))
        away = 1 << place - 1 if place else 0
        below, above = code - away, code + away + (place == 0)
        return Node(code + 1, self._tree(below, place - 1), self._tree(above, place - 1))


Part: TypeAlias = "Leaf | Run | Fork"


@dataclass(frozen=True)
class Fork:
    """A node of a search over parts."""

    code: int  # of the DAC: sums above it go on above
    below: Part
    above: Part


def parts_of(design: AdcDesign, lowest: int, highest: int) -> Part:
    """The search of a design, with runs where it has ranges of bit cycles.

    Raises:
        ValueError: a range whose levels are not the middles of its codes.
    """
    if not isinstance(design, Intervals):
        return _forked(design.tree(lowest, highest), [])
    ends = [_end(design, k) for k in range(len(design.starts))]
    names = [Leaf(k) for k in range(len(ends))]
    return _forked(from_depths(design.starts, names, design.depths), ends)


def _forked(tree: Tree, ends: list[Leaf | Run]) -> Part:
    if isinstance(tree, Leaf):
        return ends[int(tree.level)] if ends else tree
    return Fork(tree.threshold - 1, _forked(tree.below, ends), _forked(tree.above, ends))


def _end(design: Intervals, k: int) -> Leaf | Run:
    assert design.offsets is not None  # since __post_init__
    step, level = design.steps[k], design.starts[k] + design.offsets[k]
    if not design.bits[k]:
        return Leaf(level)
    first = math.ceil(level - step / 2)
    middle = first + (step - 1) / 2
    if level != middle:
        raise ValueError(
            f"{design.kind}: the range from {design.starts[k]} has levels {level:g} + k * {step}, "
            f"but words decode to the middle of {step} sums, {middle:g} + k * {step}: "
            "offsets of ranges with bits must lie half a unit lower"
        )
    return Run(first, step, design.bits[k])


def tree_of(part: Part) -> Tree:
    """The search tree of parts."""
    if isinstance(part, Leaf):
        return part
    if isinstance(part, Run):
        return part.tree()
    return Node(part.code + 1, tree_of(part.below), tree_of(part.above))


def stored(part: Part) -> list[Part]:
    """The parts that take a word, in the order of their addresses: the first begins the search."""
    found, k = [part], 0
    while k < len(found):
        at = found[k]
        if isinstance(at, Fork):
            found += [each for each in (at.below, at.above) if not isinstance(each, Leaf)]
        k += 1
    return found


def codes_of(part: Part) -> Iterator[int]:
    """The lowest and highest codes and levels that words of parts have to hold."""
    for at in stored(part):
        if isinstance(at, Run):
            yield from (at.first, at.last)
        elif isinstance(at, Fork):
            yield at.code
            yield from (_split(leaf)[0] for leaf, _ in _leaves(at))
        elif at.level != ESCAPE:
            yield _split(at)[0]


def payload_of(part: Part, *, escapes: bool) -> int:
    """Bits of a link's payload that the levels ask for.

    Raises:
        ValueError: a level lies on the wrong side of the code that leads to it.
    """
    most = 0
    for at in stored(part):
        if not isinstance(at, Fork):
            continue
        for leaf, above in _leaves(at):
            distance, half = _distance(leaf, at.code, above=above)
            full = escapes and half and distance & distance + 1 == 0  # all ones: an escape's
            most = max(most, distance.bit_length() + int(full))
    return most + 1


def _leaves(fork: Fork) -> Iterator[tuple[Leaf, bool]]:
    """The levels that a node's links name, and whether they are above it."""
    for leaf, above in ((fork.below, False), (fork.above, True)):
        if isinstance(leaf, Leaf) and leaf.level != ESCAPE:
            yield leaf, above


def _split(leaf: Part) -> tuple[int, int]:
    """A level as a whole number and, less than that, a half or none."""
    assert isinstance(leaf, Leaf)
    whole = math.ceil(leaf.level)
    return whole, int(whole != leaf.level)


def _distance(leaf: Leaf, code: int, *, above: bool) -> tuple[int, int]:
    """How far a level lies above the threshold, code + 1, or below the code; and its half."""
    whole, half = _split(leaf)
    distance = whole - code - 1 if above else code - whole
    if distance < 0:
        side = "above" if above else "below"
        raise ValueError(
            f"the level {leaf.level:g} {side} the threshold {code + 1} lies on its other side: "
            "words hold levels within the sums that get them"
        )
    return distance, half


def linked_words(part: Part, made: Format) -> list[int]:
    """The words of a search.

    Raises:
        ValueError: a field is too small for it.
    """
    parts = stored(part)
    address = {id(at): k for k, at in enumerate(parts)}
    if len(parts) > made.words:
        raise ValueError(f"{made.kind}: {len(parts)} words exceed the {made.words} of a table")
    words = []
    for at in parts:
        if isinstance(at, Fork):
            links = {"code": made.code(at.code)}
            for name, to, above in (("below", at.below, False), ("above", at.above, True)):
                ends = isinstance(to, Leaf)
                links[f"{name}_ends"] = int(ends)
                links[name] = _payload(to, at.code, made, above) if ends else address[id(to)]
            words.append(made.packed(links))
            continue
        if isinstance(at, Run):
            code = at.trial
            rest = {"place": 0 if made.aligned else at.place, "half": int(at.step > 1)}
            rest["step"] = at.step.bit_length() - 1
        else:
            if at.level == ESCAPE:
                raise ValueError(f"{made.kind}: a search that recovers every sum has no words")
            code, half = _split(at)
            rest = {"single": 1, "half": half}
        low = made.packed(rest, made.other_fields)
        words.append(made.packed({"other": 1, "code": made.code(code)}) | low)
    return words


def _payload(leaf: Part, code: int, made: Format, above: bool) -> int:
    assert isinstance(leaf, Leaf)
    most = (1 << made.payload - 1) - 1
    if leaf.level == ESCAPE:
        distance, half = most, 1
    else:
        distance, half = _distance(leaf, code, above=above)
        if distance > most or (made.escapes and (distance, half) == (most, 1)):
            raise ValueError(f"{made.kind}: a level {distance} from its code exceeds the payload")
    return (distance if above else most - distance) << 1 | half


def parts_from(words: tuple[int, ...], made: Format, at: int = 0) -> Part:
    """The search that words hold: the inverse of `linked_words`."""
    fields = made.unpacked(words[at])
    code = made.value(fields["code"])
    if fields["other"]:
        low = words[at] & ((1 << 2 * (1 + made.payload)) - 1)
        rest = made.unpacked(low, made.other_fields)
        if rest["single"]:
            return Leaf(code - rest["half"] / 2)
        step = rest["step"]
        place = rest["place"]
        if made.aligned:
            place = (~code & code + 1).bit_length() - 1
        bits = place - step + 1
        return Run(code + 1 - (1 << place), 1 << step, bits)
    ends = []
    most = (1 << made.payload - 1) - 1
    for name, above in (("below", False), ("above", True)):
        payload = fields[name]
        if not fields[f"{name}_ends"]:
            ends.append(parts_from(words, made, payload))
            continue
        distance = payload >> 1 if above else most - (payload >> 1)
        if made.escapes and payload & 1 and distance == most:
            ends.append(Leaf(ESCAPE))
            continue
        level = code + 1 + distance if above else code - distance
        ends.append(Leaf(level - (payload & 1) / 2))
    return Fork(code, *ends)
