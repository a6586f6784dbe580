"""Checkpoints of training runs: plain values and tensors in one file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from reram_torch._support.files import replacing
from reram_torch._support.resuming import check_same_settings

_VERSION = 3
_BY_TEST_IMAGES = 2  # whose `best.pt` was chosen by test images


def write_checkpoint(path: Path, state: Mapping[str, Any]) -> None:
    """Writes a checkpoint; a reader, or a kill, finds either the old one or the new one."""
    with replacing(path) as new:
        torch.save({"version": _VERSION, **state}, new)


def read_checkpoint(path: Path, settings: Mapping[str, Any]) -> dict[str, Any]:
    """A checkpoint of a run with these settings.

    Raises:
        ValueError: the file is of another version, or of a run with other settings.
    """
    state = torch.load(path, map_location="cpu", weights_only=True)
    version = state.get("version") if isinstance(state, dict) else None
    if version == _BY_TEST_IMAGES:
        raise ValueError(
            f"{path} is of an earlier version, which trained on all images and chose by the test "
            "images: it cannot be resumed. Train anew in another folder; --weights still loads it"
        )
    if version != _VERSION:
        raise ValueError(f"{path} is not a checkpoint of this version")
    check_same_settings(path, state["settings"], settings, "folder")
    found: dict[str, Any] = state
    return found
