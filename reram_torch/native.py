"""The native library: found, loaded and called through ctypes. Nothing else knows ctypes."""

from __future__ import annotations

import ctypes
import math
import os
from collections.abc import Sequence
from functools import cache, lru_cache
from pathlib import Path
from typing import NamedTuple

import torch

from reram_torch import mapping
from reram_torch.mapping import AdcTables, Geometry, no_counts
from reram_torch.validate import check_finite

ABI_VERSION = 7
ISAS = ("portable", "avx2", "avx512")
ERRORS = {
    1: "an argument is out of range",
    2: "this machine lacks the instruction set",
    4: "out of memory",
}
_OVERFLOW, _NOT_FINITE = 3, 5


class _Problem(ctypes.Structure):
    """`reram_problem` of csrc/reram_crossbar.h."""

    _fields_ = [
        ("positions", ctypes.c_int64 * 3),
        ("groups", ctypes.c_int64),
        ("depth", ctypes.c_int64 * 3),
        ("outputs", ctypes.c_int64),
        ("u_stride_position", ctypes.c_int64 * 3),
        ("u_stride_group", ctypes.c_int64),
        ("u_stride_depth", ctypes.c_int64 * 3),
        ("rows", ctypes.c_int32),
        ("cell_bits", ctypes.c_int32),
        ("dac_bits", ctypes.c_int32),
        ("weight_bits", ctypes.c_int32),
        ("input_bits", ctypes.c_int32),
        ("encoding", ctypes.c_int32),
        ("tables", ctypes.c_int32),
        ("buckets", ctypes.c_int32),
        ("isa", ctypes.c_int32),
        ("threads", ctypes.c_int32),
    ]


class _Layer(ctypes.Structure):
    """`reram_layer` of csrc/reram_crossbar.h."""

    _fields_ = [
        ("image_rows", ctypes.c_int64),
        ("image_columns", ctypes.c_int64),
        ("x_strides", ctypes.c_int64 * 4),
        ("y_strides", ctypes.c_int64 * 4),
        ("stride", ctypes.c_int32 * 2),
        ("padding", ctypes.c_int32 * 2),
        ("dilation", ctypes.c_int32 * 2),
        ("input_scale", ctypes.c_float),
        ("input_zero", ctypes.c_int32),
    ]


class Convolution(NamedTuple):
    """What `forward` needs to know of a layer beside its tensors; hashable.

    Attributes:
        groups, kernel, stride, padding, dilation: as for `torch.nn.Conv2d`.
        input_scale, input_zero: s_x and z.
    """

    groups: int
    kernel: tuple[int, ...]
    stride: tuple[int, ...]
    padding: tuple[int, ...]
    dilation: tuple[int, ...]
    input_scale: float
    input_zero: int


class NativeError(RuntimeError):
    """A native kernel refused its arguments."""


def find_library(stem: str, variable: str) -> Path | None:
    """Where a library of the package lies, or None if it was not built.

    Args:
        stem: its name without the platform's prefix and suffix.
        variable: of the environment, that may name another build.

    Raises:
        NativeError: the variable names no file.
    """
    import reram_torch

    other = os.environ.get(variable)
    if other:
        if not Path(other).is_file():
            raise NativeError(f"{variable}={other!r} is no file")
        return Path(other)
    # An editable install keeps the library and the Python files in different folders.
    for folder in reram_torch.__path__:
        for name in (f"lib{stem}.so", f"lib{stem}.dylib", f"{stem}.dll"):
            if (Path(folder) / name).is_file():
                return Path(folder) / name
    return None


@cache
def library_path() -> Path | None:
    """Where the library lies, or None if it was not built.

    `RERAM_TORCH_LIBRARY` names another build, such as one with sanitizers.

    Raises:
        NativeError: the variable names no file.
    """
    return find_library("reram_crossbar", "RERAM_TORCH_LIBRARY")


@cache
def _library() -> ctypes.CDLL:
    path = library_path()
    if path is None:
        raise NativeError("the native library was not built: reinstall with a C++ compiler")
    library = ctypes.CDLL(str(path))
    if library.reram_abi_version() != ABI_VERSION:
        raise NativeError(f"{path} was built from another version of the package: reinstall it")
    pointer, problem = ctypes.c_void_p, ctypes.POINTER(_Problem)
    library.reram_crossbar.argtypes = [problem, *[pointer] * 9]
    library.reram_forward.argtypes = [problem, ctypes.POINTER(_Layer), *[pointer] * 12]
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
    geometry: Geometry,
    positions: Sequence[int],
    groups: int,
    depth: Sequence[int],
    outputs: int,
    strides: Sequence[int] = (0,) * 7,
    tables: int = 1,
    buckets: int = 1,
    threads: int = 1,
    isa: str = ISAS[0],
) -> _Problem:
    g, three = geometry, ctypes.c_int64 * 3
    return _Problem(
        three(*positions), groups, three(*depth), outputs,
        three(*strides[:3]), strides[3], three(*strides[4:]),
        g.rows, g.cell_bits, g.dac_bits, g.weight_bits, g.input_bits, g.encoding,
        tables, buckets, ISAS.index(isa), threads,
    )  # fmt: skip


def _problem_of(
    u: torch.Tensor, geometry: Geometry, outputs: int, tables: int = 1, buckets: int = 1
) -> _Problem:
    """The problem of input codes (M, G, K), or of windows of codes in seven dimensions."""
    if u.dim() == 3:
        u = u[:, None, None, :, :, None, None]
    positions, groups, depth = u.shape[:3], u.shape[3], u.shape[4:]
    return _problem(
        geometry, positions, groups, depth, outputs, u.stride(), tables, buckets,
        torch.get_num_threads(), isa() if available() else ISAS[0],
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
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """`reference.crossbar` on programmed cells; counts stay zero unless `count`.

    Raises:
        ValueError: the accumulator could overflow.
        NativeError: the kernel refused its arguments.
    """
    M, G, K = mapping.sizes(u)
    acc = torch.empty(M, G, outputs, dtype=torch.int32)
    counts, drives = no_counts(geometry)
    cells, *tables = (t.contiguous() for t in (cells, *tables))
    status = _library().reram_crossbar(
        _problem_of(u, geometry, outputs, len(tables[0]), len(tables[2])),
        u.data_ptr(),
        cells.data_ptr(),
        *(t.data_ptr() for t in tables),
        acc.data_ptr(),
        *((counts[1].data_ptr(), drives.data_ptr()) if count else (None, None)),
    )
    _check(status, K)
    if count:
        counts[0] = geometry.conversions_per_cycle(K, M, G * outputs) - counts[2]
    return acc, counts, drives


# Building these takes as long as a small layer.
@lru_cache(maxsize=1024)
def _layer_problem(
    geometry: Geometry,
    convolution: Convolution,
    x_shape: tuple[int, ...],
    x_strides: tuple[int, ...],
    y_shape: tuple[int, ...],
    y_strides: tuple[int, ...],
    tables: int,
    buckets: int,
    threads: int,
    isa: str,
) -> tuple[_Problem, _Layer, int]:
    """The structures of a layer's call, and the conversions of one slice in one cycle."""
    c, outputs = convolution, y_shape[1] // convolution.groups
    positions, depth = (y_shape[0], *y_shape[2:]), (x_shape[1] // c.groups, *c.kernel)
    two, four = ctypes.c_int32 * 2, ctypes.c_int64 * 4
    problem = _problem(
        geometry, positions, c.groups, depth, outputs, tables=tables, buckets=buckets,
        threads=threads, isa=isa,
    )  # fmt: skip
    layer = _Layer(
        *x_shape[2:], four(*x_strides), four(*y_strides), two(*c.stride), two(*c.padding),
        two(*c.dilation), c.input_scale, c.input_zero,
    )  # fmt: skip
    made = geometry.conversions_per_cycle(math.prod(depth), math.prod(positions), y_shape[1])
    return problem, layer, made


def forward(
    x: torch.Tensor,
    cells: torch.Tensor,
    tables: AdcTables,
    convolution: Convolution,
    geometry: Geometry,
    scale: torch.Tensor,
    code_sums: torch.Tensor,
    bias: torch.Tensor | None,
    count: bool,
    y: torch.Tensor,
) -> tuple[torch.Tensor, torch.Tensor]:
    """A whole layer, float32 images to float32 images: fills `y`, returns counts and drives.

    Args:
        x: (B, C, H, W), float32.
        cells: as for `crossbar`.
        tables: likewise.
        convolution: what the layer does.
        geometry: as for `crossbar`.
        scale: s_w by channel, float32 (N,).
        code_sums: sum_k q_w by channel, int32 of N elements.
        bias: float32 (N,), or None.
        count: whether to count; counts stay zero otherwise.
        y: (B, N, OH, OW), float32, any strides.

    Raises:
        ValueError: `x` holds NaN or infinity, or the accumulator could overflow.
        NativeError: the kernel refused its arguments.
    """
    if x.stride(3) != 1 and x.stride(1) != 1:
        x = x.contiguous()
    operands = [t.contiguous() for t in (cells, *tables, scale, code_sums)]
    bias = None if bias is None else bias.contiguous()
    counts, drives = no_counts(geometry)
    problem, layer, made = _layer_problem(
        geometry, convolution, x.shape, x.stride(), y.shape, y.stride(),
        tables.levels.shape[0], tables.edges.shape[0], torch.get_num_threads(), isa(),
    )  # fmt: skip
    status = _library().reram_forward(
        problem, layer, x.data_ptr(), *(t.data_ptr() for t in operands),
        None if bias is None else bias.data_ptr(), y.data_ptr(),
        *((counts[1].data_ptr(), drives.data_ptr()) if count else (None, None)),
    )  # fmt: skip
    if status:
        if status == _NOT_FINITE:
            check_finite("input", x)
        _check(status, math.prod(problem.depth))
    if count:
        counts[0] = made - counts[2]
    return counts, drives


def histogram(
    u: torch.Tensor, cells: torch.Tensor, edges: torch.Tensor, outputs: int, geometry: Geometry
) -> torch.Tensor:
    """`reference.histogram` on programmed cells."""
    values = geometry.highest - geometry.lowest + 1
    shape = (len(edges), geometry.cycles, geometry.slices, values)
    bins = torch.zeros(shape, dtype=torch.int64)
    cells, edges = cells.contiguous(), edges.contiguous()
    status = _library().reram_histogram(
        _problem_of(u, geometry, outputs, buckets=len(edges)),
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
    problem = _problem(geometry, (0, 1, 1), G, (K, 1, 1), N)
    _check(_library().reram_program(problem, codes.data_ptr(), cells.data_ptr()))
    return cells


def fingerprint(tensor: torch.Tensor) -> int:
    """A 64-bit hash of a CPU tensor's content."""
    tensor = tensor.detach().contiguous()
    size = tensor.numel() * tensor.element_size()
    return _library().reram_fingerprint(tensor.data_ptr(), size)
