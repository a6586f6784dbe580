"""The optimal searches of the CPU library."""

from __future__ import annotations

import ctypes
from typing import NamedTuple

import numpy as np
import torch

from reram_torch.native.cpu import isa, library
from reram_torch.native.library import NativeError
from reram_torch.native.structures import ISAS

_NO_MEMORY = 4


class Cuts(NamedTuple):
    """Where thresholds may be.

    Attributes:
        starts: where each shape's cuts begin among all, and their number, int64 (shapes + 1,).
        values: the first value of a table, its possible thresholds and its end; int32.
        shape: of each table, int32 (T,).
    """

    starts: np.ndarray
    values: np.ndarray
    shape: np.ndarray


class Rules(NamedTuple):
    """What searches may be, as `reram_searches` of csrc's reram_search.h has it."""

    lowest: int
    runs: bool = False
    aligned: bool = False
    depth: int = -1
    leaves: int = 0
    intervals: int = 0


class Ends(NamedTuple):
    """The ends of the best searches, in order.

    Attributes:
        number: of each table, int32 (T,); 0: no search is within the limits, -1: none that is could
            be found in time.
        first: value of each end, int32 (T, most); valid up to the table's number, as all that
            follow.
        depth: comparisons that find each, int32.
        level: the first of each, float64.
        shift: log2 of a run's step; -1: a single level; -2: an escape; int8.
    """

    number: np.ndarray
    first: np.ndarray
    depth: np.ndarray
    level: np.ndarray
    shift: np.ndarray


class _Searches(ctypes.Structure):
    """`reram_searches` of csrc's reram_search.h."""

    _fields_ = (
        ("tables", ctypes.c_int64),
        ("values", ctypes.c_int64),
        ("shapes", ctypes.c_int64),
        ("most", ctypes.c_int64),
        ("lowest", ctypes.c_int32),
        ("runs", ctypes.c_int32),
        ("aligned", ctypes.c_int32),
        ("depth", ctypes.c_int32),
        ("leaves", ctypes.c_int32),
        ("intervals", ctypes.c_int32),
        ("isa", ctypes.c_int32),
        ("threads", ctypes.c_int32),
    )


def searches(
    counts: np.ndarray,
    errors: np.ndarray,
    escape: np.ndarray | None,
    prices: np.ndarray,
    cuts: Cuts,
    rules: Rules,
) -> Ends:
    """The best search of each table; every table on one thread, whatever their number.

    Args:
        counts: conversions, (T, V).
        errors: weight of a squared error; one that is infinite allows its table none at all.
        escape: cost of an escape, or None: searches do not escape.
        prices: of a comparison, of a conversion that starts and of a word, (T, 3).
        cuts: where thresholds may be.
        rules: what searches may be.

    Raises:
        ValueError: an array has another shape than the counts ask for.
        NativeError: the library refused its arguments.
        MemoryError: there is not enough.
    """
    T, V = counts.shape
    for name, array, shape in (
        ("errors", errors, (T, V)), ("escape", escape, (T, V)), ("prices", prices, (T, 3)),
        ("cuts.shape", cuts.shape, (T,)),
    ):  # fmt: skip
        if array is not None and array.shape != shape:
            raise ValueError(f"{name} must have the shape {shape}, not {array.shape}")
    shapes = len(cuts.starts) - 1
    most = max(int(np.diff(cuts.starts).max(initial=2)) - 1, 1)
    given = [
        None if array is None else np.ascontiguousarray(array, dtype)
        for array, dtype in (
            (cuts.starts, np.int64), (cuts.values, np.int32), (cuts.shape, np.int32),
            (counts, np.float64), (errors, np.float64), (escape, np.float64),
            (prices, np.float64),
        )
    ]  # fmt: skip
    found = Ends(
        np.zeros(T, np.int32),
        *(np.empty((T, most), kind) for kind in (np.int32, np.int32, np.float64, np.int8)),
    )
    problem = _Searches(
        T, V, shapes, most, rules.lowest, rules.runs, rules.aligned, rules.depth, rules.leaves,
        rules.intervals, ISAS.index(isa()), torch.get_num_threads(),
    )  # fmt: skip
    at = (None if array is None else array.ctypes.data for array in (*given, *found))
    status = library().reram_search(ctypes.byref(problem), *map(ctypes.c_void_p, at))
    if status == _NO_MEMORY:
        raise MemoryError(f"searches of {T} tables of {most} groups of values")
    if status:
        raise NativeError(f"native searches: error {status} for {T} tables of {V} values")
    return found
