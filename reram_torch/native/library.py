"""The native libraries: found by name, and refused if they are of another version."""

from __future__ import annotations

import os
from pathlib import Path

from reram_torch._support.files import package_folders

ABI_VERSION = 15


class NativeError(RuntimeError):
    """A native kernel refused its arguments, or its library is not fit."""


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
    for folder in package_folders():
        for name in (f"lib{stem}.so", f"lib{stem}.dylib", f"{stem}.dll"):
            if (folder / name).is_file():
                return folder / name
    return None


def check_version(path: Path, version: int) -> None:
    """Raises NativeError unless a library is of this version of the package."""
    if version != ABI_VERSION:
        raise NativeError(f"{path} was built from another version of the package: reinstall it")
