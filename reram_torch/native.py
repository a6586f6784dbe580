"""The native library: found, loaded and called through ctypes. Nothing else knows ctypes."""

from __future__ import annotations

import ctypes
import os
from functools import cache
from pathlib import Path

import torch

from reram_torch.mapping import AdcTables, Geometry

ABI_VERSION = 3
ISAS = ("portable", "avx2", "avx512")
ERRORS = {
    1: "an argument is out of range",
    2: "this machine lacks the instruction set",
    4: "out of memory",
}
_OVERFLOW = 3


class _Problem(ctypes.Structure):
    """`reram_problem` of csrc/reram_crossbar.h."""

    _fields_ = [
        *((name, ctypes.c_int64) for name in ("positions", "groups", "depth", "outputs")),
        *((f"u_stride_{name}", ctypes.c_int64) for name in ("position", "group", "depth")),
        *(
            (name, ctypes.c_int32)
            for name in (
                "rows",
                "cell_bits",
                "dac_bits",
                "weight_bits",
                "input_bits",
                "encoding",
                "tables",
                "buckets",
                "isa",
                "threads",
            )
        ),
    ]


class NativeError(RuntimeError):
    """A native kernel refused its arguments."""


@cache
def library_path() -> Path | None:
    """Where the library lies, or None if it was not built.

    `RERAM_TORCH_LIBRARY` names another build, such as one with sanitizers.

    Raises:
        NativeError: the variable names no file.
    """
    import reram_torch

    other = os.environ.get("RERAM_TORCH_LIBRARY")
    if other:
        if not Path(other).is_file():
            raise NativeError(f"RERAM_TORCH_LIBRARY={other!r} is no file")
        return Path(other)
    names = ("libreram_crossbar.so", "libreram_crossbar.dylib", "reram_crossbar.dll")
    # An editable install keeps the library and the Python files in different folders.
    for folder in reram_torch.__path__:
        for name in names:
            if (Path(folder) / name).is_file():
                return Path(folder) / name
    return None


@cache
def _library() -> ctypes.CDLL:
    path = library_path()
    if path is None:
        raise NativeError("the native library was not built: reinstall with a C++ compiler")
    library = ctypes.CDLL(str(path))
    if library.reram_abi_version() != ABI_VERSION:
        raise NativeError(f"{path} was built from another version of the package: reinstall it")
    pointer, problem = ctypes.c_void_p, ctypes.POINTER(_Problem)
    library.reram_crossbar.argtypes = [problem, *[pointer] * 8]
    library.reram_histogram.argtypes = [problem, *[pointer] * 4]
    library.reram_program.argtypes = [problem, *[pointer] * 2]
    library.reram_fingerprint.argtypes = [pointer, ctypes.c_int64]
    library.reram_fingerprint.restype = ctypes.c_uint64
    return library


def available() -> bool:
    """Whether the native library was built."""
    return library_path() is not None


def isa() -> str:
    """The instruction set in use: the widest there is, or `RERAM_TORCH_ISA` if that is set.

    Raises:
        NativeError: the variable names an unknown or unavailable instruction set.
    """
    best = _library().reram_best_isa()
    wanted = os.environ.get("RERAM_TORCH_ISA", "")
    if not wanted:
        return ISAS[best]
    if wanted not in ISAS[: best + 1]:
        raise NativeError(
            f"RERAM_TORCH_ISA={wanted!r}: this machine and build have {list(ISAS[: best + 1])}"
        )
    return wanted


def _problem(
    geometry: Geometry, u: torch.Tensor, outputs: int, tables: int = 1, buckets: int = 1
) -> _Problem:
    M, G, K = u.shape
    g = geometry
    return _Problem(
        M, G, K, outputs, u.stride(0), u.stride(1), u.stride(2),
        g.rows, g.cell_bits, g.dac_bits, g.weight_bits, g.input_bits, g.encoding,
        tables, buckets, ISAS.index(isa()), torch.get_num_threads(),
    )  # fmt: skip


def _check(status: int, depth: int = 0) -> None:
    if status == _OVERFLOW:
        raise ValueError(f"a reduction over {depth} inputs could overflow the 32-bit accumulator")
    if status:
        raise NativeError(f"native crossbar kernel: {ERRORS.get(status, f'error {status}')}")


def crossbar(
    u: torch.Tensor,
    cells: torch.Tensor,
    tables: AdcTables,
    outputs: int,
    geometry: Geometry,
    count: bool,
) -> tuple[torch.Tensor, torch.Tensor]:
    """`reference.crossbar` on programmed cells; counts stay zero unless `count`.

    Raises:
        ValueError: the accumulator could overflow.
        NativeError: the kernel refused its arguments.
    """
    M, G, K = u.shape
    acc = torch.empty(M, G, outputs, dtype=torch.int32)
    counts = torch.zeros(3, geometry.slices, dtype=torch.int64)
    cells, levels, comparisons, edges, index = (t.contiguous() for t in (cells, *tables))
    status = _library().reram_crossbar(
        _problem(geometry, u, outputs, len(levels), len(edges)),
        u.data_ptr(),
        cells.data_ptr(),
        levels.data_ptr(),
        comparisons.data_ptr(),
        edges.data_ptr(),
        index.data_ptr(),
        acc.data_ptr(),
        counts[1].data_ptr() if count else None,
    )
    _check(status, K)
    if count:
        counts[0] = geometry.conversions_per_slice(K, M, G * outputs) - counts[2]
    return acc, counts


def histogram(
    u: torch.Tensor, cells: torch.Tensor, edges: torch.Tensor, outputs: int, geometry: Geometry
) -> torch.Tensor:
    """`reference.histogram` on programmed cells."""
    values = geometry.highest - geometry.lowest + 1
    shape = (len(edges), geometry.cycles, geometry.slices, values)
    bins = torch.zeros(shape, dtype=torch.int64)
    cells, edges = cells.contiguous(), edges.contiguous()
    status = _library().reram_histogram(
        _problem(geometry, u, outputs, buckets=len(edges)),
        u.data_ptr(),
        cells.data_ptr(),
        edges.data_ptr(),
        bins.data_ptr(),
    )
    _check(status)
    return bins


def program(codes: torch.Tensor, geometry: Geometry) -> torch.Tensor:
    """`mapping.program`."""
    G, N, K = codes.shape
    codes = codes.contiguous()
    cells = torch.empty(geometry.cells_shape(G, N, K), dtype=torch.int64)
    problem = _problem(geometry, codes.new_empty(0, G, K), N)
    _check(_library().reram_program(problem, codes.data_ptr(), cells.data_ptr()))
    return cells


def fingerprint(tensor: torch.Tensor) -> int:
    """A 64-bit hash of a CPU tensor's content."""
    tensor = tensor.detach().contiguous()
    size = tensor.numel() * tensor.element_size()
    return _library().reram_fingerprint(tensor.data_ptr(), size)
