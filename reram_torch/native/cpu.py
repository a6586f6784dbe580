"""The CPU library: one thin function for each of its own.

Tensors that are written to are made by the caller. Tables are given in the order of
`crossbar.tables.AdcTables`: levels, comparisons, edges, index. Counts are int64 (2, I, J),
comparisons and skipped conversions, and come with drives, int64 (I,).
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import torch

from reram_torch._support.checks import check_finite
from reram_torch.native.library import NativeError, check_version, find_library
from reram_torch.native.structures import (
    ISAS,
    Arrays,
    Counted,
    Input,
    Layer,
    Problem,
    Run,
    Windows,
    addresses,
    code_problem,
    depth_of,
    layer_problem,
    programming_problem,
)

_ERRORS = {
    1: "an argument is out of range",
    2: "this machine lacks the instruction set",
    4: "out of memory",
}
_OVERFLOW, _NOT_FINITE = 3, 5


@cache
def library_path() -> Path | None:
    """Where the library lies, or None if it was not built.

    `RERAM_TORCH_LIBRARY` names another build, such as one with sanitizers.

    Raises:
        NativeError: the variable names no file.
    """
    return find_library("reram_crossbar", "RERAM_TORCH_LIBRARY")


@cache
def library() -> ctypes.CDLL:
    """The library, with the types of its functions.

    Raises:
        NativeError: it was not built, or is of another version.
    """
    path = library_path()
    if path is None:
        raise NativeError("the native library was not built: reinstall with a C++ compiler")
    loaded = ctypes.CDLL(str(path))
    check_version(path, loaded.reram_abi_version())
    pointer, problem = ctypes.c_void_p, ctypes.POINTER(Problem)
    loaded.reram_crossbar.argtypes = [problem, *[pointer] * 9]
    loaded.reram_forward.argtypes = [problem, ctypes.POINTER(Layer), *[pointer] * 12]
    loaded.reram_histogram.argtypes = [problem, *[pointer] * 4]
    loaded.reram_program.argtypes = [problem, *[pointer] * 2]
    loaded.reram_team.argtypes = [ctypes.c_int32]
    loaded.reram_fingerprint.argtypes = [pointer, ctypes.c_int64]
    loaded.reram_fingerprint.restype = ctypes.c_uint64
    return loaded


def available() -> bool:
    """Whether the library was built."""
    return library_path() is not None


def isa() -> str:
    """The instruction set in use: the widest there is, or `RERAM_TORCH_ISA` if that is set.

    Raises:
        NativeError: the variable names an unknown or unavailable instruction set.
    """
    best = library().reram_best_isa()
    wanted = os.environ.get("RERAM_TORCH_ISA", "")
    if not wanted:
        return ISAS[best]
    if wanted not in ISAS[: best + 1]:
        raise NativeError(
            f"RERAM_TORCH_ISA={wanted!r}: this machine and build have {list(ISAS[: best + 1])}"
        )
    return wanted


def _run(tables: int = 1, buckets: int = 1) -> Run:
    return Run(tables, buckets, isa(), torch.get_num_threads())


def _check(status: int, problem: Problem) -> None:
    if status == _OVERFLOW:
        raise ValueError(
            f"a reduction over {depth_of(problem)} inputs could overflow the 32-bit accumulator"
        )
    if status:
        raise NativeError(f"native crossbar kernel: {_ERRORS.get(status, f'error {status}')}")


def _counters(counted: Counted | None) -> list[int | None]:
    return [None, None] if counted is None else [*addresses("cpu", *counted)]


def crossbar(
    arrays: Arrays,
    u: torch.Tensor,
    cells: torch.Tensor,
    tables: Sequence[torch.Tensor],
    acc: torch.Tensor,
    counted: Counted | None,
) -> None:
    """Writes the shift-add results of input codes to `acc`, int32 (M, G, N), and adds counts.

    Raises:
        ValueError: the accumulator could overflow, or a tensor is not on the CPU.
        NativeError: the kernel refused its arguments.
    """
    cells, *tables = (t.contiguous() for t in (cells, *tables))
    problem = code_problem(arrays, u, acc.shape[2], _run(len(tables[0]), len(tables[2])))
    status = library().reram_crossbar(
        problem, *addresses("cpu", u, cells, *tables, acc), *_counters(counted)
    )
    _check(status, problem)


def forward(
    arrays: Arrays,
    windows: Windows,
    quantized: tuple[float, int],
    x: torch.Tensor,
    operands: Sequence[torch.Tensor],
    bias: torch.Tensor | None,
    y: torch.Tensor,
    counted: Counted | None,
) -> None:
    """A whole layer, float32 images to float32 images: fills `y` and adds counts.

    Args:
        arrays: the geometry.
        windows: of the convolution.
        quantized: s_x and z.
        x: float32 (B, C, H, W).
        operands: cells, levels, comparisons, edges, index, s_w by channel (float32), sum_k q_w by
            channel (int32).
        bias: float32 (N,), or None.
        y: float32 (B, N, OH, OW), any strides.
        counted: what to add counts to, if they are wanted.

    Raises:
        ValueError: `x` holds NaN or infinity, the accumulator could overflow, or a tensor is not
            on the CPU.
        NativeError: the kernel refused its arguments.
    """
    if x.stride(3) != 1 and x.stride(1) != 1:
        x = x.contiguous()
    operands = [t.contiguous() for t in operands]
    bias = None if bias is None else bias.contiguous()
    given = Input(x.shape, x.stride(), y.shape, y.stride(), *quantized)
    run = _run(operands[1].shape[0], operands[3].shape[0])
    problem, layer = layer_problem(arrays, windows, given, run)
    *at, to = addresses("cpu", x, *operands, y)
    biased = None if bias is None else addresses("cpu", bias)[0]
    status = library().reram_forward(problem, layer, *at, biased, to, *_counters(counted))
    if status == _NOT_FINITE:
        check_finite("input", x)
    _check(status, problem)


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
    problem = code_problem(arrays, u, outputs, _run(buckets=len(edges)))
    _check(library().reram_histogram(problem, *addresses("cpu", u, cells, edges, bins)), problem)


def program(arrays: Arrays, codes: torch.Tensor, cells: torch.Tensor) -> None:
    """Writes weight codes, int8 (G, N, K), to the bits of their cells."""
    codes = codes.contiguous()
    problem = programming_problem(arrays, codes)
    _check(library().reram_program(problem, *addresses("cpu", codes, cells)), problem)


def fingerprint(tensor: torch.Tensor) -> int:
    """A 64-bit hash of a CPU tensor's content."""
    tensor = tensor.detach().contiguous()
    [address] = addresses("cpu", tensor)
    found: int = library().reram_fingerprint(address, tensor.numel() * tensor.element_size())
    return found
