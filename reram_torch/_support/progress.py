"""Progress bars, where tqdm is installed."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from typing import Any, Protocol, Self


class Bar(Protocol):
    """A progress bar: goes over something, or is updated by hand inside its block."""

    def __iter__(self) -> Iterator[Any]: ...
    def __enter__(self) -> Self: ...
    def __exit__(self, *_: object) -> None: ...
    def update(self, n: int = 1, /) -> object:
        """Counts units as done."""

    def set_postfix_str(self, text: str, /) -> None:
        """Writes behind the bar."""


class _Silent:
    """What stands in for a bar without tqdm or without a terminal to draw on."""

    def __init__(self, iterable: Iterable[Any] | None):
        self._iterable: Iterable[Any] = () if iterable is None else iterable

    def __iter__(self) -> Iterator[Any]:
        return iter(self._iterable)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        return None

    def update(self, n: int = 1) -> None:
        """Does nothing."""

    def set_postfix_str(self, text: str) -> None:
        """Does nothing."""


def progress(
    iterable: Iterable[Any] | None = None,
    *,
    description: str,
    total: int | None = None,
    unit: str,
    show: bool = True,
    done: int = 0,
) -> Bar:
    """A tqdm bar over `iterable`, or one to be updated by hand.

    Args:
        iterable: what to go through, if anything.
        description: what is being done.
        total: how many units there are, if `iterable` cannot say.
        unit: what is counted.
        show: draw nothing if false.
        done: units that were done before, which do not count for the rate.
    """
    if not show:
        return _Silent(iterable)
    try:
        from tqdm import tqdm
    except ImportError:
        return _Silent(iterable)
    bar: Bar = tqdm(
        iterable, desc=description, total=total, unit=unit, file=sys.stderr, dynamic_ncols=True,
        initial=done,
    )  # fmt: skip
    return bar
