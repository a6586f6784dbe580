"""The CUDA library: found, loaded and called through ctypes, on the current stream.

The same functions as `native`, on tensors of a CUDA device. Nothing here waits for the device or
reads its memory, so that a forward pass may be captured into a CUDA graph.
"""

from __future__ import annotations

import ctypes
import os
from functools import cache
from pathlib import Path

import torch

from reram_torch._support.checks import check_choice
from reram_torch.crossbar.geometry import Geometry, sizes
from reram_torch.crossbar.tables import AdcTables, no_counts
from reram_torch.native import cpu, library

PRODUCTS = ("tensor_cores", "popcount")


@cache
def library_path() -> Path | None:
    """Where the library lies, or None if it was not built.

    `RERAM_TORCH_CUDA_LIBRARY` names another build.

    Raises:
        NativeError: the variable names no file.
    """
    return library.find_library("reram_crossbar_cuda", "RERAM_TORCH_CUDA_LIBRARY")


def load(path: Path) -> ctypes.CDLL:
    """A build of the library, with the types of its functions.

    Raises:
        NativeError: it is of another version.
    """
    library = ctypes.CDLL(str(path))
    if library.reram_cuda_abi_version() != library.ABI_VERSION:
        raise library.NativeError(
            f"{path} was built from another version of the package: reinstall it"
        )
    pointer, problem = ctypes.c_void_p, ctypes.POINTER(cpu._Problem)
    library.reram_cuda_status_text.restype = ctypes.c_char_p
    library.reram_cuda_workspace.argtypes = [problem]
    library.reram_cuda_workspace.restype = ctypes.c_int64
    library.reram_cuda_crossbar.argtypes = [problem, ctypes.c_int32, *[pointer] * 11]
    library.reram_cuda_histogram.argtypes = [problem, ctypes.c_int32, *[pointer] * 6]
    library.reram_cuda_program.argtypes = [problem, *[pointer] * 3]
    return library


@cache
def _library() -> ctypes.CDLL:
    path = library_path()
    if path is None:
        raise library.NativeError("the CUDA library was not built: reinstall with nvcc on the PATH")
    return load(path)


def available() -> bool:
    """Whether the CUDA library was built."""
    return library_path() is not None


def product() -> str:
    """How bit-line sums are made: on tensor cores, or as `RERAM_TORCH_CUDA_PRODUCT` says.

    Raises:
        ValueError: the variable holds another word.
    """
    wanted = os.environ.get("RERAM_TORCH_CUDA_PRODUCT") or PRODUCTS[0]
    check_choice("RERAM_TORCH_CUDA_PRODUCT", wanted, PRODUCTS)
    return wanted


def _call(name: str, device: torch.device, *arguments) -> None:
    """Puts the work of a C function on the current stream of `device`."""
    if device.type == "cuda":
        with torch.cuda.device(device):
            stream = torch.cuda.current_stream().cuda_stream
            status = getattr(_library(), name)(*arguments, stream)
    else:  # the emulation of the tests
        status = getattr(_library(), name)(*arguments, None)
    if status:
        text = _library().reram_cuda_status_text(status).decode()
        raise library.NativeError(f"CUDA crossbar kernel: {text}")


def _workspace(problem: cpu._Problem, device: torch.device) -> torch.Tensor:
    size = _library().reram_cuda_workspace(problem)
    return torch.empty(size, dtype=torch.uint8, device=device)


def _on_one_device(u: torch.Tensor, *others: torch.Tensor) -> None:
    for other in others:
        if other.device != u.device:
            raise ValueError(f"tensors on {u.device} and {other.device}: move them to one device")


def crossbar(
    u: torch.Tensor,
    cells: torch.Tensor,
    tables: AdcTables,
    outputs: int,
    geometry: Geometry,
    count: bool,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """`reference.crossbar` on programmed cells; counts stay zero unless `count`.

    Unlike elsewhere, what only the device could check is taken for granted: `mapping.check_tables`
    and `mapping.check_accumulator` of the same tables on the CPU.

    Raises:
        NativeError: the kernel refused its arguments.
    """
    _on_one_device(u, cells, *tables)
    M, G, K = sizes(u)
    acc = torch.empty(M, G, outputs, dtype=torch.int32, device=u.device)
    counts, drives = no_counts(geometry, u.device)
    cells, *tables = (t.contiguous() for t in (cells, *tables))
    problem = cpu._problem_of(u, geometry, outputs, len(tables[0]), len(tables[2]))
    workspace = _workspace(problem, u.device)
    _call(
        "reram_cuda_crossbar", u.device, problem, PRODUCTS.index(product()),
        u.data_ptr(), cells.data_ptr(), *(t.data_ptr() for t in tables),
        acc.data_ptr(), *((counts[1].data_ptr(), drives.data_ptr()) if count else (None, None)),
        workspace.data_ptr(),
    )  # fmt: skip
    if count:
        counts[0] = geometry.conversions_per_cycle(K, M, G * outputs) - counts[2]
    return acc, counts, drives


def histogram(
    u: torch.Tensor, cells: torch.Tensor, edges: torch.Tensor, outputs: int, geometry: Geometry
) -> torch.Tensor:
    """`reference.histogram` on programmed cells."""
    _on_one_device(u, cells, edges)
    values = geometry.highest - geometry.lowest + 1
    shape = (len(edges), geometry.cycles, geometry.slices, values)
    bins = torch.zeros(shape, dtype=torch.int64, device=u.device)
    cells, edges = cells.contiguous(), edges.contiguous()
    problem = cpu._problem_of(u, geometry, outputs, buckets=len(edges))
    workspace = _workspace(problem, u.device)
    _call(
        "reram_cuda_histogram", u.device, problem, PRODUCTS.index(product()),
        u.data_ptr(), cells.data_ptr(), edges.data_ptr(), bins.data_ptr(), workspace.data_ptr(),
    )  # fmt: skip
    return bins


def program(codes: torch.Tensor, geometry: Geometry) -> torch.Tensor:
    """`mapping.program`."""
    G, N, K = codes.shape
    codes = codes.contiguous()
    shape = geometry.cells_shape(G, N, K)
    cells = torch.empty(shape, dtype=torch.int64, device=codes.device)
    problem = cpu._problem(geometry, (0, 1, 1), G, (K, 1, 1), N)
    _call("reram_cuda_program", codes.device, problem, codes.data_ptr(), cells.data_ptr())
    return cells
