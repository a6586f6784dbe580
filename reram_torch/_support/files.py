"""Files: those of the package, and files that are there whole or not at all."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def package_folders() -> list[Path]:
    """The folders of the package: an editable install keeps what was built apart."""
    return [Path(folder) for folder in sys.modules[__name__.partition(".")[0]].__path__]


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A path to write to; it becomes `path` at the end of the block.

    A reader, or a kill, finds either the old file or the new one.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    new = path.with_name(path.name + ".new")
    yield new
    new.replace(path)


def write_atomically(path: Path, text: str) -> None:
    """Writes a text file so that no one finds a part of it."""
    with replacing(path) as new:
        new.write_text(text, encoding="utf-8")
