"""The version of the package, installed or not."""

from __future__ import annotations

import tomllib
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from reram_torch._support.files import package_folders


def package_version() -> str:
    """The version as installed, or as a source tree that was not installed states it.

    `unknown` where there is neither.
    """
    name = __name__.partition(".")[0]
    try:
        return version(name)
    except PackageNotFoundError:
        pass
    for folder in package_folders():
        stated = _stated_version(folder.parent / "pyproject.toml", name)
        if stated is not None:
            return stated
    return "unknown"


def _stated_version(path: Path, name: str) -> str | None:
    if not path.is_file():
        return None
    project = tomllib.loads(path.read_text(encoding="utf-8")).get("project", {})
    return str(project["version"]) if project.get("name") == name else None
