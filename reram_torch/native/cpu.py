"""The CPU library: one thin function for each of its own.

Tensors that are written to are made by the caller. Counts are comparisons, int64 (I, J), and
tile-cycles by driven word-lines, int64 (I, R + 1).
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
    Chip,
    Counted,
    Input,
    Layer,
    Odds,
    OnChip,
    Problem,
    Run,
    Tables,
    Windows,
    WithOdds,
    addresses,
    chip_structure,
    code_problem,
    depth_of,
    layer_problem,
    odds_structure,
    programming_problem,
)

_ERRORS = {
    1: "an argument is out of range",
    2: "this machine lacks the instruction set",
    4: "out of memory",
}
_OVERFLOW, _NOT_FINITE = 3, 5
Structures = tuple[Problem, Layer]  # of a whole layer's call


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
    chip = ctypes.POINTER(Chip)
    loaded.reram_chip_crossbar.argtypes = [problem, chip, *[pointer] * 8]
    loaded.reram_chip_histogram.argtypes = [problem, chip, *[pointer] * 3]
    odds = ctypes.POINTER(Odds)
    loaded.reram_odds_crossbar.argtypes = [problem, odds, *[pointer] * 9]
    loaded.reram_odds_histogram.argtypes = [problem, odds, *[pointer] * 4]
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


def _run(tables: int = 1, buckets: int = 1, unit: int = 1) -> Run:
    return Run(tables, buckets, unit, isa(), torch.get_num_threads())


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
    tables: Tables,
    acc: torch.Tensor,
    counted: Counted | None,
) -> None:
    """Writes the shift-add results of input codes to `acc`, int32 (M, G, N), and the counts.

    Raises:
        ValueError: the accumulator could overflow, or a tensor is not on the CPU.
        NativeError: the kernel refused its arguments.
    """
    cells, *arranged = (t.contiguous() for t in (cells, *tables.tensors))
    run = _run(len(arranged[0]), len(arranged[2]), tables.unit)
    problem = code_problem(arrays, u, acc.shape[2], run)
    status = library().reram_crossbar(
        problem, *addresses("cpu", u, cells, *arranged, acc), *_counters(counted)
    )
    _check(status, problem)


def layer_structures(
    arrays: Arrays,
    windows: Windows,
    x: torch.Tensor,
    y: torch.Tensor,
    quantized: tuple[float, int],
    tables: Tables,
    isa: str,
    threads: int,
) -> Structures:
    """What `forward` is told of a layer: sizes and strides, and how it runs.

    Args:
        arrays: the geometry.
        windows: of the convolution.
        x: float32 (B, C, H, W), contiguous along channels or columns.
        y: float32 (B, N, OH, OW), any strides.
        quantized: s_x and z.
        tables: of the ADCs.
        isa: one of `ISAS`.
        threads: at most.
    """
    levels, _, edges, _ = tables.tensors
    run = Run(levels.shape[0], edges.shape[0], tables.unit, isa, threads)
    given = Input(x.shape, x.stride(), y.shape, y.stride(), *quantized)
    return layer_problem(arrays, windows, given, run)


def forward(
    structures: Structures,
    x: torch.Tensor,
    operands: Sequence[torch.Tensor],
    bias: torch.Tensor | None,
    y: torch.Tensor,
    counted: Counted | None,
) -> None:
    """A whole layer, float32 images to float32 images: fills `y` and the counts.

    Args:
        structures: of tensors with these shapes and strides, by `layer_structures`.
        x: the input.
        operands: cells, levels, comparisons, edges, index, s_w by channel (float32), and
            sum_k q_w by channel (int32).
        bias: float32 (N,), or None.
        y: where the output goes.
        counted: where counts go, if they are wanted.

    Raises:
        ValueError: `x` holds NaN or infinity, the accumulator could overflow, or a tensor is not
            on the CPU.
        NativeError: the kernel refused its arguments.
    """
    operands = [t.contiguous() for t in operands]
    bias = None if bias is None else bias.contiguous()
    *at, to = addresses("cpu", x, *operands, y)
    biased = None if bias is None else addresses("cpu", bias)[0]
    status = library().reram_forward(*structures, *at, biased, to, *_counters(counted))
    if status == _NOT_FINITE:
        check_finite("input", x)
    _check(status, structures[0])


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
        ValueError: the accumulator could overflow, or a tensor is not on the CPU.
        NativeError: the kernel refused its arguments.
    """
    parts = [t.contiguous() for t in chip.tensors]
    arranged = [t.contiguous() for t in tables.tensors]
    run = _run(len(arranged[0]), len(arranged[2]), tables.unit)
    problem = code_problem(arrays, u, acc.shape[2], run)
    at = addresses("cpu", u, *arranged, acc)
    status = library().reram_chip_crossbar(
        problem, chip_structure("cpu", parts), *at, *_counters(counted)
    )
    _check(status, problem)


def chip_histogram(
    arrays: Arrays,
    u: torch.Tensor,
    chip: OnChip,
    edges: torch.Tensor,
    outputs: int,
    bins: torch.Tensor,
) -> None:
    """Adds how often each sum is read on a chip to `bins`, int64 (B, I + R, J, V).

    Raises:
        ValueError: a tensor is not on the CPU.
        NativeError: the kernel refused its arguments.
    """
    parts, edges = [t.contiguous() for t in chip.tensors], edges.contiguous()
    problem = code_problem(arrays, u, outputs, _run(buckets=len(edges)))
    at = addresses("cpu", u, edges, bins)
    _check(library().reram_chip_histogram(problem, chip_structure("cpu", parts), *at), problem)


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
        ValueError: the accumulator could overflow, or a tensor is not on the CPU.
        NativeError: the kernel refused its arguments.
    """
    parts = [t.contiguous() for t in odds.tensors]
    cells, *arranged = (t.contiguous() for t in (cells, *tables.tensors))
    run = _run(len(arranged[0]), len(arranged[2]), tables.unit)
    problem = code_problem(arrays, u, acc.shape[2], run)
    at = addresses("cpu", u, cells, *arranged, acc)
    status = library().reram_odds_crossbar(
        problem, odds_structure("cpu", parts), *at, *_counters(counted)
    )
    _check(status, problem)


def odds_histogram(
    arrays: Arrays,
    u: torch.Tensor,
    cells: torch.Tensor,
    odds: WithOdds,
    edges: torch.Tensor,
    outputs: int,
    bins: torch.Tensor,
) -> None:
    """Adds how often each sum is read where conversions err to `bins`, int64 (B, I, J, V).

    Raises:
        ValueError: a tensor is not on the CPU.
        NativeError: the kernel refused its arguments.
    """
    parts = [t.contiguous() for t in odds.tensors]
    cells, edges = cells.contiguous(), edges.contiguous()
    problem = code_problem(arrays, u, outputs, _run(buckets=len(edges)))
    at = addresses("cpu", u, cells, edges, bins)
    _check(library().reram_odds_histogram(problem, odds_structure("cpu", parts), *at), problem)


def program(arrays: Arrays, codes: torch.Tensor, cells: torch.Tensor) -> None:
    """Writes weight codes, int8 or int16 (G, N, K), to the bits of their cells."""
    codes = codes.to(torch.int16).contiguous()
    problem = programming_problem(arrays, codes)
    _check(library().reram_program(problem, *addresses("cpu", codes, cells)), problem)


def fingerprint(tensor: torch.Tensor) -> int:
    """A 64-bit hash of a CPU tensor's content."""
    tensor = tensor.detach().contiguous()
    [address] = addresses("cpu", tensor)
    found: int = library().reram_fingerprint(address, tensor.numel() * tensor.element_size())
    return found
