"""What a run that goes on must share with the one it goes on from."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def difference(was: Mapping[str, Any], now: Mapping[str, Any]) -> str | None:
    """The first setting that differs, with what it was and what it is; None if none does.

    A setting that one side lacks is None there.
    """
    for key in {**now, **was}:
        if was.get(key) != now.get(key):
            return f"{key}={was.get(key)!r}, not {now.get(key)!r}"
    return None


def check_same_settings(
    found: object, was: Mapping[str, Any], now: Mapping[str, Any], other: str
) -> None:
    """Refuses to go on from what a run of other settings left.

    Args:
        found: what it left: a file.
        was: the settings it was made with, plain values by name.
        now: those of the run that would go on.
        other: what the user could choose another one of.

    Raises:
        ValueError: a setting differs; the message says which, what it was, and what it is.
    """
    differs = difference(was, now)
    if differs is not None:
        raise ValueError(
            f"{found} was made with {differs}: resume with the same settings, or give another "
            f"{other}"
        )
