"""The C interface: whatever it is handed, it answers with a status and touches nothing."""

import ctypes

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from reram_torch.native import cpu, library, structures

pytestmark = pytest.mark.skipif(not cpu.available(), reason="the native library is not built")

GOOD = {
    "positions": (1, 2, 1), "groups": 1, "depth": (5, 1, 1), "outputs": 3,
    "u_stride_position": (10, 5, 5), "u_stride_group": 5, "u_stride_depth": (1, 1, 1),
    "rows": 4, "cell_bits": 1, "dac_bits": 1, "weight_bits": 8, "input_bits": 8,
    "encoding": 0, "tables": 1, "buckets": 1, "isa": 0, "threads": 1,
}  # fmt: skip
BAD = {
    "positions": ((-1, 1, 1), (2**62, 1, 1), (2**20, 2**20, 1), (2**31, 2**31, 2**31), (1, 1, -1)),
    "depth": ((0, 1, 1), (5, -1, 1), (2**40, 1, 1), (2**22, 2, 1), (2**21, 2**21, 2**21)),
    "groups": (0, -1, 2**40), "outputs": (0, -1, 2**40), "rows": (0, -1, 5000),
    "cell_bits": (0, 5), "dac_bits": (0, 5), "weight_bits": (0, 9), "input_bits": (0, 9),
    "encoding": (-1, 3), "tables": (0, -1, 2**20), "buckets": (0, -1, 256),
    "threads": (0, -1, 2**30),
}  # fmt: skip
GOOD_LAYER = {
    "image_rows": 2, "image_columns": 1, "x_strides": (10, 1, 5, 5), "y_strides": (6, 2, 1, 1),
    "stride": (1, 1), "padding": (0, 0), "dilation": (1, 1), "input_scale": 1.0, "input_zero": 0,
}  # fmt: skip
BAD_LAYER = {
    "image_rows": (0, -3, 1, 2**40), "image_columns": (0, -1, 2**40), "stride": ((0, 1), (2, 1)),
    "padding": ((-1, 0), (2**30, 0)), "dilation": ((0, 1), (1, -1)),
    "input_scale": (0.0, -1.0, float("nan")), "input_zero": (-1, 256),
}  # fmt: skip


def structure(kind, values):
    """A ctypes structure with its arrays made of tuples."""
    types = dict(kind._fields_)
    return kind(**{k: types[k](*v) if isinstance(v, tuple) else v for k, v in values.items()})


def call(values, missing=None, edges=(0, 3), index=0, layer=None, x=1.0):
    """Statuses of the four functions on small buffers filled with a mark; are they untouched?"""
    problem = structure(structures.Problem, {**GOOD, **values})
    layer = structure(structures.Layer, {**GOOD_LAYER, **(layer or {})})
    buffers = {
        "u": torch.full((64,), 7, dtype=torch.uint8),
        "x": torch.full((64,), x),
        "codes": torch.full((64,), 7, dtype=torch.int8),
        "cells": torch.full((512,), 7, dtype=torch.int64),
        "levels": torch.zeros(64, dtype=torch.int32),
        "comparisons": torch.zeros(64, dtype=torch.uint8),
        "edges": torch.tensor(edges, dtype=torch.int32),
        "index": torch.full((256,), index, dtype=torch.int32),
        "scale": torch.ones(8),
        "code_sums": torch.zeros(8, dtype=torch.int32),
        "acc": torch.full((64,), 7, dtype=torch.int32),
        "y": torch.full((64,), 7.0),
        "bins": torch.full((1024,), 7, dtype=torch.int64),
    }
    at = {k: None if k == missing else b.data_ptr() for k, b in buffers.items()}
    library, pointer = cpu.library(), ctypes.byref(problem)
    tables = [at[k] for k in ("cells", "levels", "comparisons", "edges", "index")]
    statuses = [
        library.reram_crossbar(pointer, at["u"], *tables, at["acc"], None, None),
        library.reram_forward(
            pointer, ctypes.byref(layer), at["x"], *tables, at["scale"], at["code_sums"], None,
            at["y"], None, None,
        ),
        library.reram_histogram(pointer, at["u"], at["cells"], at["edges"], at["bins"]),
    ]  # fmt: skip
    untouched = all(bool((buffers[k] == 7).all()) for k in ("acc", "y", "bins"))
    statuses.append(library.reram_program(pointer, at["codes"], at["cells"]))
    return statuses, untouched and bool((buffers["cells"] == 7).all())


def test_a_good_problem_runs():
    statuses, untouched = call({})
    assert statuses == [0, 0, 0, 0]
    assert not untouched


@given(st.data())
def test_bad_sizes_are_refused(data):
    fields = data.draw(st.lists(st.sampled_from(sorted(BAD)), min_size=1, unique=True))
    values = {f: data.draw(st.sampled_from(BAD[f])) for f in fields}
    assert call(values) == ([1, 1, 1, 1], True)


@given(st.data())
def test_bad_layers_are_refused(data):
    fields = data.draw(st.lists(st.sampled_from(sorted(BAD_LAYER)), min_size=1, unique=True))
    layer = {f: data.draw(st.sampled_from(BAD_LAYER[f])) for f in fields}
    assert call({}, layer=layer)[0] == [0, 1, 0, 0]


def test_windows_beyond_the_image_are_refused():
    assert call({"positions": (1, 3, 1)})[0][1] == 1
    assert call({"depth": (5, 2, 1)})[0][1] == 1


@pytest.mark.parametrize("x", [float("nan"), float("inf"), -float("inf")])
def test_inputs_that_are_not_finite_are_told(x):
    assert call({}, x=x)[0] == [0, 5, 0, 0]


@pytest.mark.parametrize(
    ("missing", "expected"),
    [
        ("u", [1, 0, 1, 0]), ("x", [0, 1, 0, 0]), ("cells", [1, 1, 1, 1]),
        ("levels", [1, 1, 0, 0]), ("comparisons", [1, 1, 0, 0]), ("edges", [1, 1, 1, 0]),
        ("index", [1, 1, 0, 0]), ("acc", [1, 0, 0, 0]), ("scale", [0, 1, 0, 0]),
        ("code_sums", [0, 1, 0, 0]), ("y", [0, 1, 0, 0]), ("bins", [0, 0, 1, 0]),
        ("codes", [0, 0, 0, 1]),
    ],
)  # fmt: skip
def test_missing_buffers_are_refused(missing, expected):
    assert call({}, missing)[0] == expected


@pytest.mark.parametrize("isa", [-1, 3, 99])
def test_unknown_instruction_sets_are_refused(isa):
    assert call({"isa": isa})[0][:3] == [2, 2, 2]


@pytest.mark.parametrize("edges", [(1, 2), (0, 0), (0, -3)])
def test_edges_that_do_not_rise_from_zero_are_refused(edges):
    assert call({"buckets": 2}, edges=edges)[0] == [1, 1, 1, 0]


@pytest.mark.parametrize("index", [-2, -1, 1, 10**6])
def test_indices_of_no_table_are_refused(index):
    assert call({"buckets": 2}, index=index)[0] == [1, 1, 0, 0]


def test_no_problem_is_refused():
    library = cpu.library()
    assert library.reram_crossbar(None, *[None] * 9) == 1
    assert library.reram_forward(None, None, *[None] * 12) == 1
    assert library.reram_histogram(None, *[None] * 4) == 1
    assert library.reram_program(None, *[None] * 2) == 1
    assert library.reram_fingerprint(None, 5) == library.reram_fingerprint(None, 0)


def test_libraries_of_another_version_are_refused(monkeypatch):
    monkeypatch.setattr(library, "ABI_VERSION", library.ABI_VERSION + 1)
    cpu.library.cache_clear()
    try:
        with pytest.raises(library.NativeError, match="another version"):
            cpu.isa()
    finally:
        cpu.library.cache_clear()
