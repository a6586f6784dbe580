"""Designs as the words that controllers load, and back."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from reram_torch.adc import (
    ActivitySAR,
    AdcDesign,
    Intervals,
    SearchTree,
    SpeculativeSAR,
    TwinRange,
    UniformSAR,
)
from reram_torch.adc.base import full_bits
from reram_torch.adc.trees import ESCAPE, Tables, compiled, grid_code
from reram_torch.hardware.formats import Format
from reram_torch.hardware.links import (
    Run,
    codes_of,
    linked_words,
    parts_from,
    parts_of,
    payload_of,
    stored,
    tree_of,
)


def kind_of(design: AdcDesign) -> str:
    """The kind of controller that searches by a design.

    Raises:
        ValueError: there is none.
    """
    kinds: list[tuple[type[AdcDesign], str]] = [
        (ActivitySAR, "activity"), (UniformSAR, "programmable"), (TwinRange, "twin_range"),
        (Intervals, "segmented"), (SearchTree, "search_tree"),
    ]  # fmt: skip
    for cls, kind in kinds:
        if isinstance(design, cls):
            return kind
    if isinstance(design, SpeculativeSAR):
        raise ValueError(
            "a 'speculative' design has no words: a programmable SAR does not tell the codes that "
            "are recovered from others; search_tree and segmented words do"
        )
    raise ValueError(
        f"a {design.kind!r} design has no words: there is no controller of its kind; a SearchTree "
        "of the same leaves has"
    )


def format_of(designs: Sequence[AdcDesign], lowest: int, highest: int) -> Format:
    """The smallest format that holds the words of some designs.

    Args:
        designs: of one kind of controller.
        lowest: the smallest sum.
        highest: the largest.

    Raises:
        ValueError: designs of several kinds, or one that has no words.
    """
    kinds = sorted({kind_of(design) for design in designs})
    if len(kinds) != 1:
        raise ValueError(f"an ADC has a controller of one kind, not of {kinds or 'none'}")
    [kind] = kinds
    if kind in ("segmented", "search_tree"):
        return _linked_format(kind, designs, lowest, highest)
    signed = lowest < 0
    bits = 2
    for design in designs:
        bits = max(bits, _bits_of(design, lowest, highest))
    return Format(kind, bits, signed)


def _bits_of(design: AdcDesign, lowest: int, highest: int) -> int:
    """Bits of the codes that a SAR shows."""
    if isinstance(design, ActivitySAR):
        return _needed(design, lowest, highest)
    if isinstance(design, UniformSAR):
        return design.bits + _log(design.step) + (not design.bits)
    assert isinstance(design, TwinRange)
    tops, at_end = _tops(design), design.end <= highest or design.bias <= lowest
    spans = [design.bias, design.end, *_dense_codes(design)]
    return max(tops[0] + at_end, tops[1], full_bits(lowest, max(map(abs, spans))))


def _linked_format(kind: str, designs: Sequence[AdcDesign], lowest: int, highest: int) -> Format:
    parts = [parts_of(design, lowest, highest) for design in designs]
    codes = [code for part in parts for code in codes_of(part)]
    low, high = min(codes, default=0), max(codes, default=1)
    signed = low < 0
    bits = max(high.bit_length() + signed, (-low - 1).bit_length() + 1 if signed else 0, 2)
    runs = [at for part in parts for at in stored(part) if isinstance(at, Run)]
    words = max(len(stored(part)) for part in parts)
    aligned = kind == "segmented" and all(run.aligned for run in runs)
    escapes = any(design.escapes for design in designs)
    places = (bits - 1).bit_length()
    described = 2 + places * (2 if kind == "segmented" and not aligned else 1)
    levels = max(payload_of(part, escapes=escapes) for part in parts)
    payload = max(levels, (words - 1).bit_length(), -(-described // 2) - 1, 2)
    return Format(kind, bits, signed, payload, words, aligned, escapes)


def words_of(design: AdcDesign, made: Format, lowest: int, highest: int) -> tuple[int, ...]:
    """The words of a design.

    An `activity_sar` has one, which its activity unit holds: the comparisons that it makes.

    Args:
        design: of the format's kind.
        made: their format.
        lowest: the smallest sum.
        highest: the largest.

    Raises:
        ValueError: the design is of another kind, or exceeds the format.
    """
    kind = "programmable" if made.kind == "plain" else made.kind
    if kind_of(design) != kind:
        raise ValueError(
            f"words of a {made.kind!r} controller do not hold a {design.kind!r} design"
        )
    if isinstance(design, ActivitySAR):
        return (made.packed({"comparisons": _needed(design, lowest, highest)}),)
    if isinstance(design, UniformSAR):
        if kind != made.kind:
            return ()
        return (made.packed(_uniform(design, lowest)),)
    if isinstance(design, TwinRange):
        return (made.packed(_twin_range(design, made, lowest, highest)),)
    return tuple(linked_words(parts_of(design, lowest, highest), made))


def _log(step: int) -> int:
    return step.bit_length() - 1


def _needed(design: ActivitySAR, lowest: int, highest: int) -> int:
    return int(design.tables(lowest, highest).comparisons.max())


def _uniform(design: UniformSAR, lowest: int) -> dict[str, int]:
    if not design.bits:
        return {"none": 1, "step": 0 if lowest < 0 else _log(design.step)}
    return {"top": design.bits + _log(design.step) - 1, "step": _log(design.step)}


def _tops(design: TwinRange) -> tuple[int, int]:
    """Bits of a range, its step's included: of R1 and of the rest."""
    step = _log(design.step)
    return design.n1 + step, design.n2 + step + design.m


def _dense_codes(design: TwinRange) -> tuple[int, int]:
    """The first and the last level of R1, but for halves."""
    first = grid_code(design.bias, design.step)
    return first * design.step, (first + (1 << design.n1) - 1) * design.step


def _twin_range(design: TwinRange, made: Format, lowest: int, highest: int) -> dict[str, int]:
    design.tree(lowest, highest)  # which refuses a range outside the sums
    below = design.bias > lowest
    top1, top2 = _tops(design)
    half = design.step // 2
    start = design.bias + half - (0 < half <= -design.bias)  # below zero codes are mirrored
    return {
        "start": start & ((1 << made.bits) - 1),
        "below": int(below), "above": int(design.end <= highest or not below),
        "top1": top1, "step1": _log(design.step),
        "top2": top2, "step2": _log(design.step) + design.m,
    }  # fmt: skip


def tables_of(words: tuple[int, ...], made: Format, lowest: int, highest: int) -> Tables:
    """What a controller makes of each sum, from its words alone.

    Args:
        words: of one table.
        made: their format.
        lowest: the smallest sum.
        highest: the largest.
    """
    if made.linked:
        return compiled(tree_of(parts_from(words, made)), lowest, highest)
    sums = np.arange(lowest, highest + 1)
    if made.kind == "plain":
        return _searched(sums, made, made.bits - 1, 0)
    fields = made.unpacked(words[0])
    if made.kind == "activity":
        return _searched(sums, made, fields["comparisons"] - 1, 0)
    if made.kind == "programmable":
        if not fields["none"]:
            return _searched(sums, made, fields["top"], fields["step"])
        level = np.full(len(sums), 0 if made.signed else ((1 << fields["step"]) - 1) / 2)
        return Tables(lowest, level, np.zeros(len(sums), dtype=np.uint8))
    return _twin_searched(sums, made, fields)


def _searched(
    sums: np.ndarray, made: Format, top: int, step: int, base: int | None = None
) -> Tables:
    """A SAR's bits from `top` down to `step`, on top of a base; by default of all sums."""
    if base is None:
        base = -(1 << top) if made.signed and top >= step else 0
    decided = np.full(len(sums), base)
    for place in range(top, step - 1, -1):
        trial = decided + (1 << place)
        half = (1 << step) // 2
        # A code above zero begins half a step below it, one below zero ends half a step above.
        shown = trial - half - ((trial > 0) | (step == 0))
        decided = np.where(sums > shown, trial, decided)
    away = np.sign(decided) * 0.5 if step else np.zeros(len(sums))
    comparisons = np.full(len(sums), max(top - step + 1, 0), dtype=np.uint8)
    return Tables(int(sums[0]), decided - away, comparisons)


def _twin_searched(sums: np.ndarray, made: Format, fields: dict[str, int]) -> Tables:
    step1, step2 = fields["step1"], fields["step2"]
    top1, top2 = fields["top1"], fields["top2"]
    start = made.value(fields["start"])
    bias = start - (1 << step1) // 2 + (start < 0 < step1)
    inside = np.full(len(sums), True)
    if fields["below"]:
        inside &= sums >= bias
    if fields["above"]:
        inside &= sums < bias + (1 << top1)
    base = start >> step1 << step1
    dense = _searched(sums, made, top1 - 1, step1, base)
    rest = _searched(sums, made, top2 - 1, step2)
    level = np.where(inside, dense.level, rest.level)
    made_there = np.where(inside, dense.comparisons, rest.comparisons)
    found = fields["below"] + fields["above"]
    return Tables(int(sums[0]), level, (made_there + found).astype(np.uint8))


def escapes_of(tables: Tables) -> np.ndarray:
    """Which sums of a table are recovered, bool (V,)."""
    found: np.ndarray = tables.level == ESCAPE
    return found
