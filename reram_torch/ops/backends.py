"""Which backend serves tensors of a device."""

from __future__ import annotations

import os

import torch

from reram_torch._support.checks import check_choice
from reram_torch.native import cpu, cuda, library


def use_native(device: str = "cpu") -> bool:
    """Whether tensors of a kind of device go to its native library.

    Raises:
        NativeError: `RERAM_TORCH_BACKEND=native` and the library was not built.
        ValueError: the variable holds another word.
    """
    wanted = os.environ.get("RERAM_TORCH_BACKEND") or "auto"
    check_choice("RERAM_TORCH_BACKEND", wanted, ("auto", "native", "reference"))
    built, needed = {
        "cpu": (cpu.available, "a C++ compiler"),
        "cuda": (cuda.available, "nvcc on the PATH"),
    }.get(device, (lambda: False, "support for this device"))
    if wanted == "native" and not built():
        raise library.NativeError(
            f"RERAM_TORCH_BACKEND=native, but the native library for {device} tensors was not "
            f"built: reinstall with {needed}"
        )
    return wanted != "reference" and built()


def backend(device: str = "cpu") -> str:
    """What serves tensors of a kind of device: `native (<how>)` or `reference`."""
    if not use_native(device):
        return "reference"
    return f"native ({cuda.product() if device == 'cuda' else cpu.isa()})"


def fingerprint(tensor: torch.Tensor) -> int | None:
    """A hash of a tensor's content, or None where hashing would cost more than encoding."""
    if tensor.device.type != "cpu":
        return None
    if cpu.available():
        return cpu.fingerprint(tensor)
    return hash(tensor.detach().contiguous().view(torch.uint8).numpy().tobytes())
