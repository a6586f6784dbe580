"""The native libraries: found by name, checked for their version."""

from __future__ import annotations

import os
from pathlib import Path

import reram_torch

ABI_VERSION = 6


class NativeError(RuntimeError):
    """A native kernel refused its arguments."""


def find_library(stem: str, variable: str) -> Path | None:
    """Where a library of the package lies, or None if it was not built.

    Args:
        stem: its name without the platform's prefix and suffix.
        variable: of the environment, that may name another build.

    Raises:
        NativeError: the variable names no file.
    """
    other = os.environ.get(variable)
    if other:
        if not Path(other).is_file():
            raise NativeError(f"{variable}={other!r} is no file")
        return Path(other)
    # An editable install keeps the library and the Python files in different folders.
    for folder in reram_torch.__path__:
        for name in (f"lib{stem}.so", f"lib{stem}.dylib", f"{stem}.dll"):
            if (Path(folder) / name).is_file():
                return Path(folder) / name
    return None
