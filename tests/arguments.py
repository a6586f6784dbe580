"""Arguments of the C interfaces, good and bad, and calls with them on small buffers."""

import ctypes

import torch

from reram_torch.native import cpu, structures

GOOD = {
    "positions": (1, 2, 1), "groups": 1, "depth": (5, 1, 1), "outputs": 3,
    "u_stride_position": (10, 5, 5), "u_stride_group": 5, "u_stride_depth": (1, 1, 1),
    "rows": 4, "weight_bits": 8, "input_bits": 8, "slices": 8, "cycles": 8,
    "cell_bits": (1,) * 8, "dac_bits": (1,) * 8,
    "encoding": 0, "tables": 1, "buckets": 1, "speculation": 0, "unit": 1, "isa": 0, "threads": 1,
}  # fmt: skip
BAD = {
    "positions": ((-1, 1, 1), (2**62, 1, 1), (2**20, 2**20, 1), (2**31, 2**31, 2**31), (1, 1, -1)),
    "depth": ((0, 1, 1), (5, -1, 1), (2**40, 1, 1), (2**22, 2, 1), (2**21, 2**21, 2**21)),
    "groups": (0, -1, 2**40), "outputs": (0, -1, 2**40), "rows": (0, -1, 5000),
    "cell_bits": ((0,) * 8, (5,) * 8, (2,) * 8), "dac_bits": ((0,) * 8, (5,) * 8, (4,) * 8),
    "slices": (0, 9), "cycles": (0, -1, 9), "weight_bits": (0, 9), "input_bits": (0, 9),
    "encoding": (-1, 3), "tables": (0, -1, 2**20), "buckets": (0, -1, 256),
    "unit": (0, -1, 3), "speculation": (-1, 2),
    "threads": (0, -1, 2**30),
}  # fmt: skip
GOOD_LAYER = {
    "image_rows": 2, "image_columns": 1, "x_strides": (10, 1, 5, 5), "y_strides": (6, 2, 1, 1),
    "stride": (1, 1), "padding": (0, 0), "dilation": (1, 1), "input_scale": 1.0, "input_zero": 0,
}  # fmt: skip
OWN_TO_THE_CPU = ("isa", "threads")  # CUDA does not read them


def structure(kind, values):
    """A ctypes structure with its arrays made of tuples."""
    types = dict(kind._fields_)
    return kind(**{k: types[k](*v) if isinstance(v, tuple) else v for k, v in values.items()})


def call_cpu(values, missing=None, edges=(0, 3), index=0, layer=None, x=1.0):
    """Statuses of the four functions on small buffers filled with a mark; are they untouched?"""
    problem = structure(structures.Problem, {**GOOD, **values})
    layer = structure(structures.Layer, {**GOOD_LAYER, **(layer or {})})
    buffers = {
        "u": torch.full((64,), 7, dtype=torch.uint8),
        "x": torch.full((64,), x),
        "codes": torch.full((64,), 7, dtype=torch.int16),
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


def call_cuda(library, values):
    """Statuses of the three CUDA functions on a buffer of the host; is it untouched?"""
    problem = structure(structures.Problem, {**GOOD, **values})
    room = torch.full((4096,), 7, dtype=torch.uint8)
    at = room.data_ptr()
    statuses = [
        library.reram_cuda_crossbar(problem, 0, *[at] * 10, None),
        library.reram_cuda_histogram(problem, 0, *[at] * 5, None),
        library.reram_cuda_program(problem, at, at, None),
    ]
    return statuses, bool((room == 7).all())
