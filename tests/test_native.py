"""The C interface: whatever it is handed, it answers with a status and touches nothing."""

import ctypes

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from reram_torch import native

pytestmark = pytest.mark.skipif(not native.available(), reason="the native library is not built")

GOOD = {
    "positions": 2, "groups": 1, "depth": 5, "outputs": 3,
    "u_stride_position": 5, "u_stride_group": 5, "u_stride_depth": 1,
    "rows": 4, "cell_bits": 1, "dac_bits": 1, "weight_bits": 8, "input_bits": 8,
    "encoding": 0, "tables": 1, "buckets": 1, "isa": 0, "threads": 1,
}  # fmt: skip
BAD = {
    "positions": (-1, 2**62), "groups": (0, -1, 2**40), "depth": (0, -5, 2**40),
    "outputs": (0, -1, 2**40), "rows": (0, -1, 5000), "cell_bits": (0, 5), "dac_bits": (0, 5),
    "weight_bits": (0, 9), "input_bits": (0, 9), "encoding": (-1, 3),
    "tables": (0, -1, 2**20), "buckets": (0, -1, 256),
    "threads": (0, -1, 2**30),
}  # fmt: skip


def call(values, missing=None, edges=(0, 3), index=0):
    """Statuses of the three functions on small buffers filled with a mark; are they untouched?"""
    problem = native._Problem(**{**GOOD, **values})
    buffers = {
        "u": torch.full((64,), 7, dtype=torch.uint8),
        "codes": torch.full((64,), 7, dtype=torch.int8),
        "cells": torch.full((512,), 7, dtype=torch.int64),
        "levels": torch.zeros(64, dtype=torch.int32),
        "comparisons": torch.zeros(64, dtype=torch.uint8),
        "edges": torch.tensor(edges, dtype=torch.int32),
        "index": torch.full((256,), index, dtype=torch.int32),
        "acc": torch.full((64,), 7, dtype=torch.int32),
        "bins": torch.full((1024,), 7, dtype=torch.int64),
    }
    at = {k: None if k == missing else b.data_ptr() for k, b in buffers.items()}
    library = native._library()
    pointer = ctypes.byref(problem)
    statuses = [
        library.reram_crossbar(
            pointer,
            at["u"],
            at["cells"],
            at["levels"],
            at["comparisons"],
            at["edges"],
            at["index"],
            at["acc"],
            None,
        ),
        library.reram_histogram(pointer, at["u"], at["cells"], at["edges"], at["bins"]),
    ]
    untouched = bool((buffers["acc"] == 7).all() and (buffers["bins"] == 7).all())
    statuses.append(library.reram_program(pointer, at["codes"], at["cells"]))
    return statuses, untouched and bool((buffers["cells"] == 7).all())


def test_a_good_problem_runs():
    statuses, untouched = call({})
    assert statuses == [0, 0, 0]
    assert not untouched


@given(st.data())
def test_bad_sizes_are_refused(data):
    fields = data.draw(st.lists(st.sampled_from(sorted(BAD)), min_size=1, unique=True))
    values = {f: data.draw(st.sampled_from(BAD[f])) for f in fields}
    assert call(values) == ([1, 1, 1], True)


@pytest.mark.parametrize(
    "missing", ["u", "cells", "levels", "comparisons", "edges", "index", "acc", "bins", "codes"]
)
def test_missing_buffers_are_refused(missing):
    statuses, _ = call({}, missing)
    expected = {
        "u": [1, 1, 0], "cells": [1, 1, 1], "levels": [1, 0, 0], "comparisons": [1, 0, 0],
        "edges": [1, 1, 0], "index": [1, 0, 0], "acc": [1, 0, 0],
        "bins": [0, 1, 0], "codes": [0, 0, 1],
    }  # fmt: skip
    assert statuses == expected[missing]


@pytest.mark.parametrize("isa", [-1, 3, 99])
def test_unknown_instruction_sets_are_refused(isa):
    assert call({"isa": isa})[0][:2] == [2, 2]


@pytest.mark.parametrize("edges", [(1, 2), (0, 0), (0, -3)])
def test_edges_that_do_not_rise_from_zero_are_refused(edges):
    assert call({"buckets": 2}, edges=edges)[0] == [1, 1, 0]


@pytest.mark.parametrize("index", [-2, -1, 1, 10**6])
def test_indices_of_no_table_are_refused(index):
    assert call({"buckets": 2}, index=index)[0] == [1, 0, 0]


def test_no_problem_is_refused():
    library = native._library()
    assert library.reram_crossbar(None, *[None] * 8) == 1
    assert library.reram_histogram(None, *[None] * 4) == 1
    assert library.reram_program(None, *[None] * 2) == 1
    assert library.reram_fingerprint(None, 5) == library.reram_fingerprint(None, 0)


def test_libraries_of_another_version_are_refused(monkeypatch):
    monkeypatch.setattr(native, "ABI_VERSION", native.ABI_VERSION + 1)
    native._library.cache_clear()
    try:
        with pytest.raises(native.NativeError, match="another version"):
            native.isa()
    finally:
        native._library.cache_clear()
