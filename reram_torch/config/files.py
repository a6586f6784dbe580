"""Configurations and other TOML files by name."""

from __future__ import annotations

import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from reram_torch._support.files import package_folders
from reram_torch._support.names import known_names
from reram_torch.config.sections import Config

T = TypeVar("T")
# Where files of each kind lie in `configs`, and those that are there to be copied only.
_KINDS = {
    "configuration": "",
    "technology": "technology",
    "experiment": "experiments",
    "devices": "devices",
}
_TEMPLATES = {"template"}


def config_folders() -> list[Path]:
    """Where configurations lie: beside the package in a source tree, inside it when installed."""
    beside = [Path(__file__).resolve().parents[2] / "configs"]  # a source tree
    installed = [folder / "configs" for folder in package_folders()]
    return [p for p in beside + installed if (p / "isaac.toml").is_file()]


def toml_names(kind: str) -> list[str]:
    """The names that `find_toml` knows of a kind, a key of `_KINDS`."""
    found = {p.stem for f in config_folders() for p in (f / _KINDS[kind]).glob("*.toml")}
    return sorted(found - _TEMPLATES)


def find_toml(kind: str, name: str | Path) -> Path:
    """A file of a kind by name (see `toml_names`), or the path of any file itself.

    Raises:
        FileNotFoundError: neither a known name nor a file.
    """
    known, path = toml_names(kind), Path(name)
    if str(name) in known:
        files = (f / _KINDS[kind] / f"{name}.toml" for f in config_folders())
        return next(file for file in files if file.is_file())
    if path.is_file():
        return path
    if path.suffix == ".toml":
        raise FileNotFoundError(f"no {kind} file {str(name)!r}")
    raise FileNotFoundError(
        f"no {kind} named {str(name)!r}, nor a file of this path; {known_names(str(name), known)}"
    )


def read_toml(path: Path, make: Callable[[dict[str, Any]], T]) -> T:
    """What `make` makes of a TOML file; its ValueErrors and TypeErrors name the file.

    Raises:
        ValueError: the file is not TOML, or `make` refuses it.
    """
    try:
        return make(tomllib.loads(path.read_text(encoding="utf-8")))
    except (ValueError, TypeError) as error:  # TOMLDecodeError is a ValueError
        raise ValueError(f"{path}: {error}") from error


def config_names() -> list[str]:
    """The names that `load_config` knows."""
    return toml_names("configuration")


def load_config(name: str | Path) -> Config:
    """A configuration by name (see `config_names`) or from a TOML file.

    Raises:
        FileNotFoundError: neither a known name nor a file.
        ValueError: the file is not TOML, or has unknown keys or values out of range.
    """
    return read_toml(find_toml("configuration", name), Config.from_dict)
