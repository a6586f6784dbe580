"""Progress bars, where tqdm is installed."""

from __future__ import annotations

import sys


class _Silent:
    """What stands in for a bar without tqdm or without a terminal to draw on."""

    def __init__(self, iterable=None):
        self._iterable = iterable

    def __iter__(self):
        return iter(self._iterable)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        return None

    def update(self, n: int = 1) -> None:
        """Does nothing."""

    def set_postfix_str(self, text: str) -> None:
        """Does nothing."""


def progress(
    iterable=None,
    *,
    description: str,
    total: int | None = None,
    unit: str,
    show: bool = True,
    done: int = 0,
):
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
    return tqdm(
        iterable, desc=description, total=total, unit=unit, file=sys.stderr, dynamic_ncols=True,
        initial=done,
    )  # fmt: skip
