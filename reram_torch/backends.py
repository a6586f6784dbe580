"""Which backend serves tensors of a device."""

from __future__ import annotations

import os

import torch

from reram_torch import native, native_cuda
from reram_torch.validate import check_choice


def use_native(device: str = "cpu") -> bool:
    """Whether tensors of a kind of device go to its native library.

    Raises:
        NativeError: `RERAM_TORCH_BACKEND=native` and the library was not built.
        ValueError: the variable holds another word.
    """
    wanted = os.environ.get("RERAM_TORCH_BACKEND") or "auto"
    check_choice("RERAM_TORCH_BACKEND", wanted, ("auto", "native", "reference"))
    built, needed = {
        "cpu": (native.available, "a C++ compiler"),
        "cuda": (native_cuda.available, "nvcc on the PATH"),
    }.get(device, (lambda: False, "support for this device"))
    if wanted == "native" and not built():
        raise native.NativeError(
            f"RERAM_TORCH_BACKEND=native, but the native library for {device} tensors was not "
            f"built: reinstall with {needed}"
        )
    return wanted != "reference" and built()


def backend(device: str = "cpu") -> str:
    """What serves tensors of a kind of device: `native (<how>)` or `reference`."""
    if not use_native(device):
        return "reference"
    return f"native ({native_cuda.product() if device == 'cuda' else native.isa()})"


def fingerprint(tensor: torch.Tensor) -> int | None:
    """A hash of a tensor's content, or None where hashing would cost more than encoding."""
    if tensor.device.type != "cpu":
        return None
    if native.available():
        return native.fingerprint(tensor)
    return hash(tensor.detach().contiguous().view(torch.uint8).numpy().tobytes())
