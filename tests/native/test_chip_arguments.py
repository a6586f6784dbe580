"""The C functions of chips refuse what no chip can be, and touch nothing then."""

import ctypes

import pytest
import torch
from arguments import BAD, GOOD, structure
from hypothesis import given
from hypothesis import strategies as st

from reram_torch.native import cpu
from reram_torch.native.structures import Chip, Problem

pytestmark = pytest.mark.skipif(not cpu.available(), reason="the native library is not built")

NUMBERS = {
    "first": 0, "key": (1, 2), "columns_per_adc": 1, "sigma_rows": 1, "sigma_columns": 1,
    "sigma_shift": 0, "passes": 1,
}  # fmt: skip
BAD_NUMBERS = {
    "first": (-1, 2**63 - 1), "columns_per_adc": (0, -1), "passes": (0, 3),
    "sigma_rows": (0, -1, 257), "sigma_columns": (0, -1, 2**31 - 1), "sigma_shift": (-1, 32),
}  # fmt: skip


def call(values=None, numbers=None, missing=(), sigma_of=0, index=0):
    """Statuses of both functions on small buffers; are their outputs untouched?"""
    problem = structure(Problem, {**GOOD, **(values or {})})
    parts = {
        "conductances": torch.full((2 * 4 * 64,), 7, dtype=torch.int16),
        "gains": torch.full((64,), 65536, dtype=torch.int32),
        "offsets": torch.zeros(64, dtype=torch.int32),
        "mismatch": torch.zeros(1024, dtype=torch.int32),
        "sigmas": torch.ones(1, dtype=torch.int32),
        "sigma_of": torch.full((5,), sigma_of, dtype=torch.uint8),
        "normal": torch.zeros(2, 65536, dtype=torch.int16),
    }
    others = {
        "u": torch.full((64,), 7, dtype=torch.uint8),
        "levels": torch.zeros(64, dtype=torch.int32),
        "comparisons": torch.zeros(64, dtype=torch.uint8),
        "edges": torch.tensor((0, 3), dtype=torch.int32),
        "index": torch.full((256,), index, dtype=torch.int32),
        "acc": torch.full((64,), 7, dtype=torch.int32),
        "bins": torch.full((1024,), 7, dtype=torch.int64),
    }
    at = {k: None if k in missing else t.data_ptr() for k, t in {**parts, **others}.items()}
    chip = structure(Chip, {**{k: at[k] for k in parts}, **NUMBERS, **(numbers or {})})
    tables = [at[k] for k in ("levels", "comparisons", "edges", "index")]
    library = cpu.library()
    first = None if "chip" in missing else ctypes.byref(chip)
    statuses = [
        library.reram_chip_crossbar(
            problem, first, at["u"], *tables, at["acc"], None, None
        ),
        library.reram_chip_histogram(problem, first, at["u"], at["edges"], at["bins"]),
    ]  # fmt: skip
    return statuses, all(bool((others[k] == 7).all()) for k in ("acc", "bins"))


def test_a_good_chip_runs():
    assert call() == ([0, 0], False)
    assert call({"encoding": 1})[0] == [0, 0]


@pytest.mark.parametrize("missing", ["gains", "offsets", "mismatch", "normal"])
def test_parts_may_be_missing(missing):
    assert call(missing=[missing])[0] == [0, 0]


@pytest.mark.parametrize(
    ("missing", "expected"),
    [("chip", [1, 1]), ("conductances", [1, 1]), ("sigmas", [1, 1]), ("sigma_of", [1, 1]),
     ("u", [1, 1]), ("levels", [1, 0]), ("comparisons", [1, 0]), ("edges", [1, 1]),
     ("index", [1, 0]), ("acc", [1, 0]), ("bins", [0, 1])],
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


def test_rows_of_no_sigma_odd_passes_and_tables_that_are_not_there_are_refused():
    assert call(sigma_of=1) == ([1, 1], True)
    assert call({"positions": (1, 1, 1)}, {"passes": 2}) == ([1, 1], True)
    assert call(index=1)[0] == [1, 0]
    assert call({"isa": 99}) == ([2, 2], True)
    assert cpu.library().reram_chip_crossbar(None, *[None] * 9) == 1
    assert cpu.library().reram_chip_histogram(None, *[None] * 4) == 1
