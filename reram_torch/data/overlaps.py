"""What two texts share, or two lists of them."""

from __future__ import annotations

from reram_torch.data.texts import Record

LONG = 32  # characters of a line that says something: headings and braces recur
MOST = 0.05  # of a text: lines that recur by chance, such as licences, hold less
_SHOWN = 60  # characters of a line in a message


def _long_lines(text: str) -> list[str]:
    return [line for each in text.splitlines() if len(line := each.strip()) >= LONG]


def shared_lines(test: str, other: str) -> tuple[float, str]:
    """The share of a text's characters in long lines that another text has, too; and one of them.

    Args:
        test: what is tested on.
        other: what it must not be part of.

    Returns:
        the share, of the characters in long lines; and such a line, or nothing.
    """
    there, own = set(_long_lines(other)), _long_lines(test)
    both = [line for line in own if line in there]
    total = sum(map(len, own))
    return (sum(map(len, both)) / total if total else 0.0), (both[0][:_SHOWN] if both else "")


def without_lines(text: str, test: str) -> str:
    """A text without the long lines that another one has, too."""
    there = set(_long_lines(test))
    kept = [line for line in text.splitlines(keepends=True) if line.strip() not in there]
    return "".join(kept)


def shared_records(test: list[Record], other: list[Record], *, both: bool) -> list[Record]:
    """The records of `other` with a text that `test` has, too.

    Args:
        test: what is tested on.
        other: what it must not be among.
        both: compare the second values, too: they are texts, not labels.
    """
    there = {t for r in test for t in ((r.first, r.second) if both else (r.first,))}
    return [r for r in other if r.first in there or (both and r.second in there)]
