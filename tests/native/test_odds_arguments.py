"""The C functions of chips without cells refuse what no odds can be, and touch nothing then."""

import ctypes

import pytest
import torch
from arguments import BAD, GOOD, structure
from hypothesis import given
from hypothesis import strategies as st

from reram_torch.native import cpu
from reram_torch.native.structures import Odds, Problem

pytestmark = pytest.mark.skipif(not cpu.available(), reason="the native library is not built")

NUMBERS = {
    "first": 0, "key": (1, 2), "kinds": 1, "driven_rows": 1, "deltas": 2, "sum_shift": 0,
    "passes": 1,
}  # fmt: skip
BAD_NUMBERS = {
    "first": (-1, 2**63 - 1), "passes": (0, 3), "kinds": (0, -1, 257),
    "driven_rows": (0, -1, 257), "deltas": (0, -2, 3, 2**20), "sum_shift": (-1, 31),
}  # fmt: skip
PARTS = ("kind_of", "hazards", "row_of", "shares", "waits")


def call(values=None, numbers=None, missing=(), index=0, levels=0, **parts):
    """Statuses of both functions on small buffers; are their outputs untouched?"""
    problem = structure(Problem, {**GOOD, **(values or {})})
    arrays = {
        "kind_of": torch.zeros(64, dtype=torch.uint8),
        "hazards": torch.full((8,), 2**32),
        "row_of": torch.zeros(5, dtype=torch.uint8),
        "shares": torch.tensor([2**30, 2**31 - 1], dtype=torch.int32).repeat(64),
        "waits": torch.arange(4096) << 22,
        "u": torch.full((64,), 7, dtype=torch.uint8),
        "cells": torch.zeros(512, dtype=torch.int64),
        "levels": torch.zeros(64, dtype=torch.int32) + levels,
        "comparisons": torch.zeros(64, dtype=torch.uint8),
        "edges": torch.tensor((0, 3), dtype=torch.int32),
        "index": torch.zeros(256, dtype=torch.int32) + index,
        "acc": torch.full((64,), 7, dtype=torch.int32),
        "bins": torch.full((1024,), 7, dtype=torch.int64),
    }
    for name, value in parts.items():
        arrays[name][-1] = value
    at = {k: None if k in missing else t.data_ptr() for k, t in arrays.items()}
    odds = structure(Odds, {**{k: at[k] for k in PARTS}, **NUMBERS, **(numbers or {})})
    tables = [at[k] for k in ("levels", "comparisons", "edges", "index")]
    first, inputs = None if "odds" in missing else ctypes.byref(odds), (at["u"], at["cells"])
    statuses = [
        cpu.library().reram_odds_crossbar(problem, first, *inputs, *tables, at["acc"], None, None),
        cpu.library().reram_odds_histogram(problem, first, *inputs, at["edges"], at["bins"]),
    ]
    return statuses, all(bool((arrays[k] == 7).all()) for k in ("acc", "bins"))


def test_good_odds_run():
    assert call() == ([0, 0], False)
    assert call({"encoding": 1})[0] == [0, 0]
    assert call(numbers={"passes": 2})[0] == [0, 0]


@pytest.mark.parametrize(
    ("missing", "expected"),
    [*((part, [1, 1]) for part in ("odds", *PARTS, "u", "cells", "edges")),
     ("levels", [1, 0]), ("comparisons", [1, 0]), ("index", [1, 0]), ("acc", [1, 0]),
     ("bins", [0, 1])],
)  # fmt: skip
def test_missing_arrays_are_refused(missing, expected):
    assert call(missing=[missing])[0] == expected


@pytest.mark.parametrize(("name", "value"), [(k, v) for k in BAD_NUMBERS for v in BAD_NUMBERS[k]])
def test_bad_numbers_are_refused(name, value):
    assert call(numbers={name: value}) == ([1, 1], True)


@given(st.data())
def test_bad_sizes_are_refused(data):
    fields = data.draw(st.lists(st.sampled_from(sorted(BAD)), min_size=1, unique=True))
    assert call({f: data.draw(st.sampled_from(BAD[f])) for f in fields}) == ([1, 1], True)


@pytest.mark.parametrize(
    ("part", "value"),
    [("kind_of", 1), ("row_of", 1), ("hazards", -1), ("hazards", (32 << 32) + 1), ("waits", -1),
     ("waits", 5), ("waits", (32 << 32) + 1)],
)  # fmt: skip
def test_what_arrays_cannot_hold_is_refused(part, value):
    assert call(**{part: value}) == ([1, 1], True)


def test_speculation_odd_passes_and_tables_that_are_not_there_are_refused():
    assert call({"speculation": 1}) == ([1, 1], True)
    assert call({"positions": (1, 1, 1)}, {"passes": 2}) == ([1, 1], True)
    assert call(index=1)[0] == [1, 0]
    assert call({"isa": 99}) == ([2, 2], True)
    assert cpu.library().reram_odds_crossbar(None, *[None] * 10) == 1
    assert cpu.library().reram_odds_histogram(None, *[None] * 5) == 1


def test_any_sum_may_be_read():
    """What two-bit cells reach at most fits the accumulator, what they may be read as does not."""
    widths = {"slices": 3, "cell_bits": (3, 3, 2, 0, 0, 0, 0, 0), "tables": 2}
    index = torch.tensor([0, 0, 1] * 16 + [0] * 208, dtype=torch.int32)
    levels = torch.zeros(64, dtype=torch.int32)
    assert call(widths, index=index, levels=levels)[0] == [0, 0]
    levels[29 + 4 * 3 + 1] = 2**30  # of 29 sums in each table
    assert call(widths, index=index, levels=levels)[0] == [3, 0]
