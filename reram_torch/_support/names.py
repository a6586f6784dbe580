"""Names that a user may misspell, refused in one wording."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterable


def known_names(asked: str, known: Collection[str]) -> str:
    """The end of a refusal: the names that there are, and the closest to the one asked for."""
    close = difflib.get_close_matches(asked, known, n=1)
    return f"known: {list(known)}" + (f"; did you mean {close[0]!r}?" if close else "")


def check_keys(where: str, keys: Iterable[str], known: Collection[str], kind: str = "key") -> None:
    """Refuses keys of a table that it does not have.

    Args:
        where: the table, for the message; empty for that of a whole file.
        keys: what was given.
        known: what there is.
        kind: what a key is called.

    Raises:
        ValueError: one of the keys is not known.
    """
    unknown = sorted(set(keys) - set(known))
    if unknown:
        at = f"{where}: " if where else ""
        raise ValueError(f"{at}unknown {kind} {unknown[0]!r}; {known_names(unknown[0], known)}")
