"""The CUDA library: the functions of `cpu` on tensors of a CUDA device, on the current stream.

Nothing here waits for the device or reads its memory, so that a forward pass may be captured into a
CUDA graph. What only the device could check is taken for granted: `crossbar.tables.check_tables`
and `check_accumulator` of the same tables on the CPU.
"""

from __future__ import annotations

import ctypes
import os
from functools import cache
from pathlib import Path
from typing import Any

import torch

from reram_torch._support.checks import check_choice
from reram_torch.native.library import NativeError, check_version, find_library
from reram_torch.native.structures import (
    Arrays,
    Chip,
    Counted,
    Odds,
    OnChip,
    Problem,
    Run,
    Tables,
    WithOdds,
    addresses,
    chip_structure,
    code_problem,
    odds_structure,
    programming_problem,
)

PRODUCTS = ("tensor_cores", "popcount")


@cache
def library_path() -> Path | None:
    """Where the library lies, or None if it was not built.

    `RERAM_TORCH_CUDA_LIBRARY` names another build.

    Raises:
        NativeError: the variable names no file.
    """
    return find_library("reram_crossbar_cuda", "RERAM_TORCH_CUDA_LIBRARY")


def load(path: Path) -> ctypes.CDLL:
    """A build of the library, with the types of its functions.

    Raises:
        NativeError: it is of another version.
    """
    loaded = ctypes.CDLL(str(path))
    check_version(path, loaded.reram_cuda_abi_version())
    pointer, problem = ctypes.c_void_p, ctypes.POINTER(Problem)
    loaded.reram_cuda_status_text.restype = ctypes.c_char_p
    loaded.reram_cuda_fitness.argtypes = []
    loaded.reram_cuda_fitness.restype = ctypes.c_int32
    loaded.reram_cuda_workspace.argtypes = [problem]
    loaded.reram_cuda_workspace.restype = ctypes.c_int64
    loaded.reram_cuda_crossbar.argtypes = [problem, ctypes.c_int32, *[pointer] * 11]
    loaded.reram_cuda_histogram.argtypes = [problem, ctypes.c_int32, *[pointer] * 6]
    chip = ctypes.POINTER(Chip)
    loaded.reram_cuda_chip_crossbar.argtypes = [problem, chip, *[pointer] * 10]
    loaded.reram_cuda_chip_histogram.argtypes = [problem, chip, *[pointer] * 5]
    odds = ctypes.POINTER(Odds)
    loaded.reram_cuda_odds_crossbar.argtypes = [problem, ctypes.c_int32, odds, *[pointer] * 11]
    loaded.reram_cuda_odds_histogram.argtypes = [problem, ctypes.c_int32, odds, *[pointer] * 6]
    loaded.reram_cuda_program.argtypes = [problem, *[pointer] * 3]
    return loaded


@cache
def library() -> ctypes.CDLL:
    """The library that was built with the package.

    Raises:
        NativeError: it was not built, or is of another version.
    """
    path = library_path()
    if path is None:
        raise NativeError("the CUDA library was not built: reinstall with nvcc on the PATH")
    return load(path)


def available() -> bool:
    """Whether the library was built."""
    return library_path() is not None


@cache
def unfitness() -> str | None:
    """Why the current device cannot run the library, or None if it can.

    Asked once: neither driver nor devices change while a process runs.
    """
    status = library().reram_cuda_fitness()
    return status_text(status) if status else None


def product() -> str:
    """How bit-line sums are made: on tensor cores, or as `RERAM_TORCH_CUDA_PRODUCT` says.

    Raises:
        ValueError: the variable holds another word.
    """
    wanted = os.environ.get("RERAM_TORCH_CUDA_PRODUCT") or PRODUCTS[0]
    check_choice("RERAM_TORCH_CUDA_PRODUCT", wanted, PRODUCTS)
    return wanted


def _call(name: str, device: torch.device, *arguments: Any) -> None:
    """Puts the work of a C function on the current stream of `device`."""
    if device.type == "cuda":
        with torch.cuda.device(device):
            stream = torch.cuda.current_stream().cuda_stream
            status = getattr(library(), name)(*arguments, stream)
    else:  # the emulation of the tests
        status = getattr(library(), name)(*arguments, None)
    if status:
        raise NativeError(f"CUDA crossbar kernel: {status_text(status)}")


def status_text(status: int) -> str:
    """A status of the library in words."""
    text: bytes = library().reram_cuda_status_text(status)
    return text.decode()


def _workspace(problem: Problem, device: torch.device) -> torch.Tensor:
    size = library().reram_cuda_workspace(problem)
    return torch.empty(size, dtype=torch.uint8, device=device)


def _on_one_device(first: torch.Tensor, *others: torch.Tensor) -> list[int]:
    for other in others:
        if other.device != first.device:  # two CUDA devices count as two
            raise ValueError(
                f"tensors on {first.device} and {other.device}: move them to one device"
            )
    return addresses(first.device.type, first, *others)


def crossbar(
    arrays: Arrays,
    u: torch.Tensor,
    cells: torch.Tensor,
    tables: Tables,
    acc: torch.Tensor,
    counted: Counted | None,
) -> None:
    """Writes the shift-add results of input codes to `acc`, int32 (M, G, N), and adds counts.

    Raises:
        ValueError: the tensors lie on different devices.
        NativeError: the kernel refused its arguments.
    """
    cells, *arranged = (t.contiguous() for t in (cells, *tables.tensors))
    at = _on_one_device(u, cells, *arranged, acc)
    run = Run(len(arranged[0]), len(arranged[2]), tables.unit)
    problem = code_problem(arrays, u, acc.shape[2], run)
    workspace = _workspace(problem, u.device)
    counters = [None, None] if counted is None else _on_one_device(*counted)
    _call(
        "reram_cuda_crossbar", u.device, problem, PRODUCTS.index(product()), *at, *counters,
        workspace.data_ptr(),
    )  # fmt: skip


def histogram(
    arrays: Arrays,
    u: torch.Tensor,
    cells: torch.Tensor,
    edges: torch.Tensor,
    outputs: int,
    bins: torch.Tensor,
) -> None:
    """Adds how often each bit-line sum of input codes occurs to `bins`, int64 (B, I, J, V)."""
    cells, edges = cells.contiguous(), edges.contiguous()
    at = _on_one_device(u, cells, edges, bins)
    problem = code_problem(arrays, u, outputs, Run(buckets=len(edges)))
    workspace = _workspace(problem, u.device)
    _call(
        "reram_cuda_histogram", u.device, problem, PRODUCTS.index(product()), *at,
        workspace.data_ptr(),
    )  # fmt: skip


def _parts(chip: OnChip | WithOdds, u: torch.Tensor) -> list[torch.Tensor]:
    """The tensors of a chip, contiguous; all but the numbers lie where the input does."""
    *parts, numbers = (t.contiguous() for t in chip.tensors)
    _on_one_device(u, *(part for part in parts if part.numel()))
    return [*parts, numbers]


def chip_crossbar(
    arrays: Arrays,
    u: torch.Tensor,
    chip: OnChip,
    tables: Tables,
    acc: torch.Tensor,
    counted: Counted | None,
) -> None:
    """`crossbar` of weights on a chip.

    Raises:
        ValueError: the tensors lie on different devices.
        NativeError: the kernel refused its arguments.
    """
    parts, arranged = _parts(chip, u), [t.contiguous() for t in tables.tensors]
    at = _on_one_device(u, *arranged, acc)
    run = Run(len(arranged[0]), len(arranged[2]), tables.unit)
    problem = code_problem(arrays, u, acc.shape[2], run)
    workspace = _workspace(problem, u.device)
    counters = [None, None] if counted is None else _on_one_device(*counted)
    _call(
        "reram_cuda_chip_crossbar", u.device, problem, chip_structure(u.device.type, parts), *at,
        *counters, workspace.data_ptr(),
    )  # fmt: skip


def chip_histogram(
    arrays: Arrays,
    u: torch.Tensor,
    chip: OnChip,
    edges: torch.Tensor,
    outputs: int,
    bins: torch.Tensor,
) -> None:
    """Adds how often each sum is read on a chip to `bins`, int64 (B, I + R, J, V)."""
    parts, edges = _parts(chip, u), edges.contiguous()
    at = _on_one_device(u, edges, bins)
    problem = code_problem(arrays, u, outputs, Run(buckets=len(edges)))
    workspace = _workspace(problem, u.device)
    _call(
        "reram_cuda_chip_histogram", u.device, problem, chip_structure(u.device.type, parts), *at,
        workspace.data_ptr(),
    )  # fmt: skip


def odds_crossbar(
    arrays: Arrays,
    u: torch.Tensor,
    cells: torch.Tensor,
    odds: WithOdds,
    tables: Tables,
    acc: torch.Tensor,
    counted: Counted | None,
) -> None:
    """`crossbar` where conversions err.

    Raises:
        ValueError: the tensors lie on different devices.
        NativeError: the kernel refused its arguments.
    """
    parts = _parts(odds, u)
    cells, *arranged = (t.contiguous() for t in (cells, *tables.tensors))
    at = _on_one_device(u, cells, *arranged, acc)
    run = Run(len(arranged[0]), len(arranged[2]), tables.unit)
    problem = code_problem(arrays, u, acc.shape[2], run)
    workspace = _workspace(problem, u.device)
    counters = [None, None] if counted is None else _on_one_device(*counted)
    _call(
        "reram_cuda_odds_crossbar", u.device, problem, PRODUCTS.index(product()),
        odds_structure(u.device.type, parts), *at, *counters, workspace.data_ptr(),
    )  # fmt: skip


def odds_histogram(
    arrays: Arrays,
    u: torch.Tensor,
    cells: torch.Tensor,
    odds: WithOdds,
    edges: torch.Tensor,
    outputs: int,
    bins: torch.Tensor,
) -> None:
    """Adds how often each sum is read where conversions err to `bins`, int64 (B, I, J, V)."""
    parts, cells, edges = _parts(odds, u), cells.contiguous(), edges.contiguous()
    at = _on_one_device(u, cells, edges, bins)
    problem = code_problem(arrays, u, outputs, Run(buckets=len(edges)))
    workspace = _workspace(problem, u.device)
    _call(
        "reram_cuda_odds_histogram", u.device, problem, PRODUCTS.index(product()),
        odds_structure(u.device.type, parts), *at, workspace.data_ptr(),
    )  # fmt: skip


def program(arrays: Arrays, codes: torch.Tensor, cells: torch.Tensor) -> None:
    """Writes weight codes, int8 or int16 (G, N, K), to the bits of their cells."""
    codes = codes.to(torch.int16).contiguous()
    problem = programming_problem(arrays, codes)
    _call("reram_cuda_program", codes.device, problem, *_on_one_device(codes, cells))
