"""Numbers of devices: times, tables over target conductances and times, and between their lines."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import numpy as np

from reram_torch._support.checks import check_number

Numbers = tuple[float, ...]
_SECONDS = {"s": 1.0, "min": 60.0, "h": 3600.0, "d": 86400.0, "y": 365.25 * 86400.0}


def seconds(time: float | str) -> float:
    """A time in seconds, from a number or as in "1s", "30min", "12h", "2d", "10y".

    Raises:
        ValueError: neither, or not finite and at least 0.
    """
    value: object = time
    if isinstance(time, str):
        number = time.strip().rstrip("abcdefghijklmnopqrstuvwxyz ")
        unit = time.strip()[len(number) :].strip()
        try:
            value = float(number) * _SECONDS[unit or "s"]
        except (ValueError, KeyError):
            raise ValueError(
                f"time must be a number of seconds, or one with a unit of {list(_SECONDS)}, as in "
                f"'1d', not {time!r}"
            ) from None
    check_number("time", value, 0, math.inf)
    assert isinstance(value, int | float)
    return float(value)


def numbers(name: str, values: object, low: float = 0.0) -> Numbers:
    """A list of finite numbers as a tuple.

    Raises:
        ValueError: it is not that, or one is below `low`.
    """
    if not isinstance(values, list | tuple):
        raise ValueError(f"{name} must be a list of numbers, not {values!r}")
    for k, value in enumerate(values):
        check_number(f"{name}[{k}]", value, low, math.inf)
    return tuple(float(value) for value in values)


def rising(name: str, values: object) -> Numbers:
    """The same of numbers that rise from 0 or above.

    Raises:
        ValueError: they do not, or there are none.
    """
    found = numbers(name, values)
    if not found or any(a >= b for a, b in itertools.pairwise(found)):
        raise ValueError(f"{name} must be a list of rising numbers, not {values!r}")
    return found


def table(name: str, rows: object, shape: tuple[int, int], low: float) -> tuple[Numbers, ...]:
    """A list of so many lists of so many numbers, as tuples.

    Raises:
        ValueError: it is not that, or one is below `low`.
    """
    if not isinstance(rows, list | tuple) or len(rows) != shape[0]:
        raise ValueError(f"{name} must be {shape[0]} lists, one for each time, not {rows!r}")
    found = tuple(numbers(f"{name}[{k}]", row, low) for k, row in enumerate(rows))
    for k, row in enumerate(found):
        if len(row) != shape[1]:
            raise ValueError(
                f"{name}[{k}] must have {shape[1]} numbers, one for each target, not {len(row)}"
            )
    return found


def at_time(name: str, rows: Sequence[Numbers], times_s: Numbers, time_s: float) -> np.ndarray:
    """A row between those of a table by time, linear in the logarithm of time.

    Raises:
        ValueError: the time lies outside those of the table.
    """
    values = np.array(rows, dtype=np.float64)
    if time_s in times_s:
        found: np.ndarray = values[times_s.index(time_s)]
        return found
    if not times_s[0] < time_s < times_s[-1]:
        raise ValueError(
            f"time must lie within those of {name}, from {times_s[0]:g} to {times_s[-1]:g} s, not "
            f"{time_s:g} s"
        )
    logs = np.log(np.maximum(times_s, 1e-300))
    k = int(np.searchsorted(times_s, time_s)) - 1
    share = (math.log(time_s) - logs[k]) / (logs[k + 1] - logs[k])
    between: np.ndarray = values[k] + share * (values[k + 1] - values[k])
    return between


def over_targets(name: str, targets: Numbers, values: np.ndarray, at: np.ndarray) -> np.ndarray:
    """Values of a table at other targets, linear between its own.

    Raises:
        ValueError: a target lies outside those of the table.
    """
    low, high = at.min(), at.max()
    room = 1e-9 * targets[-1]  # a share of g_max, times g_max, may round
    if low < targets[0] - room or high > targets[-1] + room:
        raise ValueError(
            f"{name} must cover the targets from {low:g} to {high:g}, not only those from "
            f"{targets[0]:g} to {targets[-1]:g}"
        )
    found: np.ndarray = np.interp(at, targets, values)
    return found
