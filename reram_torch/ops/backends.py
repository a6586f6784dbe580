"""Which backend serves tensors of a device."""

from __future__ import annotations

import os
import warnings
from functools import cache

import torch

from reram_torch._support.checks import check_choice
from reram_torch.native import cpu, cuda
from reram_torch.native.library import NativeError

_NEEDED = {"cpu": "a C++ compiler", "cuda": "nvcc on the PATH"}


def use_native(device: str = "cpu") -> bool:
    """Whether tensors of a kind of device go to its native library.

    Raises:
        NativeError: `RERAM_TORCH_BACKEND=native`, and the library was not built or the device
            cannot run it.
        ValueError: the variable holds another word.

    Warns:
        RuntimeWarning: once, if the CUDA library is there and the device cannot run it.
    """
    wanted = os.environ.get("RERAM_TORCH_BACKEND") or "auto"
    check_choice("RERAM_TORCH_BACKEND", wanted, ("auto", "native", "reference"))
    if wanted == "reference":
        return False
    library = {"cpu": cpu, "cuda": cuda}.get(device)
    built = library is not None and library.available()
    unfit = cuda.unfitness() if built and device == "cuda" else None
    if wanted == "native" and not built:
        raise NativeError(
            f"RERAM_TORCH_BACKEND=native, but the native library for {device} tensors was not "
            f"built: reinstall with {_NEEDED.get(device, 'support for this device')}"
        )
    if wanted == "native" and unfit:
        raise NativeError(f"RERAM_TORCH_BACKEND=native, but the CUDA library cannot run: {unfit}")
    if unfit:
        _warn_of(unfit)
    return built and not unfit


@cache
def _warn_of(unfit: str) -> None:
    warnings.warn(
        f"CUDA tensors go through the reference, which is slow: {unfit}",
        RuntimeWarning,
        stacklevel=3,
    )


def backend(device: str = "cpu") -> str:
    """What serves tensors of a kind of device: `native (<how>)` or `reference`.

    Args:
        device: `cpu` or `cuda`.

    Raises:
        NativeError: as `RERAM_TORCH_BACKEND` or `RERAM_TORCH_ISA` demand what is not there.
        ValueError: one of the variables holds an unknown word.
    """
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
