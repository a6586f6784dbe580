"""Data sets as torch has them, whose type does not say that they have a length."""

from __future__ import annotations

from collections.abc import Sized
from typing import Any

from torch.utils.data import Dataset


def length(data: Dataset[Any]) -> int:
    """How many items a data set has.

    Raises:
        TypeError: it does not say.
    """
    if not isinstance(data, Sized):
        raise TypeError(f"a data set of type {type(data).__name__} has no length")
    return len(data)
