"""Which backend serves CPU tensors."""

from __future__ import annotations

import os

import torch

from reram_torch import native
from reram_torch.validate import check_choice


def use_native() -> bool:
    """Whether CPU tensors go to the native library.

    Raises:
        NativeError: `RERAM_TORCH_BACKEND=native` and the library was not built.
        ValueError: the variable holds another word.
    """
    wanted = os.environ.get("RERAM_TORCH_BACKEND") or "auto"
    check_choice("RERAM_TORCH_BACKEND", wanted, ("auto", "native", "reference"))
    if wanted == "native" and not native.available():
        raise native.NativeError(
            "RERAM_TORCH_BACKEND=native, but the native library was not built: "
            "reinstall with a C++ compiler"
        )
    return wanted != "reference" and native.available()


def backend() -> str:
    """What serves CPU tensors: `native (<instruction set>)` or `reference`."""
    return f"native ({native.isa()})" if use_native() else "reference"


def fingerprint(tensor: torch.Tensor) -> int | None:
    """A hash of a tensor's content, or None where hashing would cost more than encoding."""
    if tensor.device.type != "cpu":
        return None
    if native.available():
        return native.fingerprint(tensor)
    return hash(tensor.detach().contiguous().view(torch.uint8).numpy().tobytes())
