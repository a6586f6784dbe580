"""ADC designs by their kind: registered, read from tables of values, compiled."""

from __future__ import annotations

import dataclasses
from functools import lru_cache

import numpy as np

from reram_torch._support.checks import check_choice
from reram_torch.adc.designs import Intervals, SearchTree, TwinRange, UniformSAR
from reram_torch.adc.trees import Leaf, Tables

AdcDesign = UniformSAR | TwinRange | Intervals | SearchTree


DESIGNS: dict[str, type] = {
    design.kind: design for design in (UniformSAR, TwinRange, Intervals, SearchTree)
}


def design_from_dict(values: dict, where: str = "adc") -> AdcDesign:
    """An ADC design from its `kind` and parameters, as in a TOML table.

    Raises:
        ValueError: an unknown kind or key, or a parameter out of range.
    """
    values = dict(values)
    kind = values.pop("kind", None)
    check_choice(f"{where}.kind", kind, tuple(sorted(DESIGNS)))
    known = [field.name for field in dataclasses.fields(DESIGNS[kind])]
    unknown = sorted(set(values) - set(known))
    if unknown:
        raise ValueError(f"{where}: unknown key {unknown[0]!r} for kind {kind!r}; known: {known}")
    return DESIGNS[kind](**values)


def design_to_dict(design: AdcDesign) -> dict:
    """The inverse of `design_from_dict`."""
    return {"kind": design.kind, **dataclasses.asdict(design)}


@lru_cache(maxsize=4096)
def compile_tables(design: AdcDesign, lowest: int, highest: int) -> Tables:
    """The tables of a design over the sums `lowest` to `highest`, both included."""
    level = np.empty(highest - lowest + 1, dtype=np.int32)
    comparisons = np.empty_like(level, dtype=np.uint8)
    # (subtree, first sum, last sum, depth); only what the sums can reach is visited.
    todo = [(design.tree(lowest, highest), lowest, highest, 0)]
    while todo:
        tree, first, last, depth = todo.pop()
        if first > last:
            continue
        if isinstance(tree, Leaf):
            level[first - lowest : last - lowest + 1] = tree.level
            comparisons[first - lowest : last - lowest + 1] = depth
        else:
            todo.append((tree.below, first, min(last, tree.threshold - 1), depth + 1))
            todo.append((tree.above, max(first, tree.threshold), last, depth + 1))
    return Tables(lowest, level, comparisons)
