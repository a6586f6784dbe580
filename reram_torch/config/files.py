"""Configurations and other TOML files by name."""

from __future__ import annotations

import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from reram_torch._support.files import package_folders
from reram_torch.config.sections import Config

T = TypeVar("T")


def config_folders() -> list[Path]:
    """Where configurations lie: beside the package in a source tree, inside it when installed."""
    beside = [Path(__file__).resolve().parents[2] / "configs"]  # a source tree
    installed = [folder / "configs" for folder in package_folders()]
    return [p for p in beside + installed if (p / "isaac.toml").is_file()]


def read_toml(path: Path, make: Callable[[dict], T]) -> T:
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
    return sorted({p.stem for folder in config_folders() for p in folder.glob("*.toml")})


def load_config(name: str | Path) -> Config:
    """A configuration by name (see `config_names`) or from a TOML file.

    Raises:
        FileNotFoundError: neither a known name nor a file.
        ValueError: the file is not TOML, or has unknown keys or values out of range.
    """
    path = Path(name)
    if path.suffix != ".toml":
        found = [f / f"{name}.toml" for f in config_folders() if (f / f"{name}.toml").is_file()]
        if not found:
            raise FileNotFoundError(
                f"no configuration named {str(name)!r}; known: {config_names()}, "
                "or give the path of a .toml file"
            )
        path = found[0]
    elif not path.is_file():
        raise FileNotFoundError(f"no configuration file {str(path)!r}")
    return read_toml(path, Config.from_dict)
