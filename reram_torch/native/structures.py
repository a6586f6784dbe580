"""The structures of csrc's C interface, and how they are filled."""

from __future__ import annotations

import ctypes
import math
from collections.abc import Sequence
from typing import NamedTuple, Protocol

import torch

ISAS = ("portable", "avx2", "avx512")
WITHOUT_DATA = (
    "a tensor without data of its own reached a crossbar: torch.func (grad, vmap, jacrev, ...) "
    "does not go through crossbar layers; use autograd (backward, torch.autograd.grad) on a batch"
)
Counted = tuple[torch.Tensor, torch.Tensor]  # comparisons (I, J), driven (I, R + 1), to add to


class Arrays(Protocol):
    """What the libraries ask of a geometry (`crossbar.geometry.Geometry`); hashable."""

    @property
    def rows(self) -> int: ...  # noqa: D102
    @property
    def cell_widths(self) -> tuple[int, ...]: ...  # noqa: D102
    @property
    def dac_widths(self) -> tuple[int, ...]: ...  # noqa: D102
    @property
    def weight_bits(self) -> int: ...  # noqa: D102
    @property
    def input_bits(self) -> int: ...  # noqa: D102
    @property
    def encoding(self) -> int: ...  # noqa: D102
    @property
    def speculation(self) -> bool: ...  # noqa: D102
    def __hash__(self) -> int: ...


class Windows(Protocol):
    """What they ask of a convolution (`crossbar.windows.Window`); hashable."""

    @property
    def kernel(self) -> tuple[int, int]: ...  # noqa: D102
    @property
    def stride(self) -> tuple[int, int]: ...  # noqa: D102
    @property
    def padding(self) -> tuple[int, int]: ...  # noqa: D102
    @property
    def dilation(self) -> tuple[int, int]: ...  # noqa: D102
    @property
    def groups(self) -> int: ...  # noqa: D102
    def __hash__(self) -> int: ...


class Tables(Protocol):
    """What they ask of ADC tables (`crossbar.tables.AdcTables`)."""

    @property
    def tensors(self) -> tuple[torch.Tensor, ...]:
        """Levels, comparisons, edges, index."""

    @property
    def unit(self) -> int: ...  # noqa: D102


class OnChip(Protocol):
    """What they ask of a chip (`crossbar.chips.Chip`)."""

    @property
    def tensors(self) -> tuple[torch.Tensor, ...]:
        """Conductances, gains, offsets, mismatch, sigmas, sigma_of, normal; and numbers.

        These are columns of an ADC, the shift of sigmas, two of the key, the first position and
        passes. Absent parts are empty.
        """


class WithOdds(Protocol):
    """What they ask of a chip without cells (`crossbar.odds.Odds`)."""

    @property
    def tensors(self) -> tuple[torch.Tensor, ...]:
        """kind_of, hazards, row_of, shares, waits; and numbers.

        These are the shift of sums, two of the key, the first position and passes.
        """


class Problem(ctypes.Structure):
    """`reram_problem` of csrc's reram_crossbar.h."""

    _fields_ = (
        ("positions", ctypes.c_int64 * 3),
        ("groups", ctypes.c_int64),
        ("depth", ctypes.c_int64 * 3),
        ("outputs", ctypes.c_int64),
        ("u_stride_position", ctypes.c_int64 * 3),
        ("u_stride_group", ctypes.c_int64),
        ("u_stride_depth", ctypes.c_int64 * 3),
        ("rows", ctypes.c_int32),
        ("weight_bits", ctypes.c_int32),
        ("input_bits", ctypes.c_int32),
        ("slices", ctypes.c_int32),
        ("cycles", ctypes.c_int32),
        ("cell_bits", ctypes.c_int32 * 8),
        ("dac_bits", ctypes.c_int32 * 8),
        ("encoding", ctypes.c_int32),
        ("tables", ctypes.c_int32),
        ("buckets", ctypes.c_int32),
        ("speculation", ctypes.c_int32),
        ("unit", ctypes.c_int32),
        ("isa", ctypes.c_int32),
        ("threads", ctypes.c_int32),
    )


class Chip(ctypes.Structure):
    """`reram_chip` of csrc's reram_crossbar.h."""

    _fields_ = (
        ("conductances", ctypes.c_void_p),
        ("gains", ctypes.c_void_p),
        ("offsets", ctypes.c_void_p),
        ("mismatch", ctypes.c_void_p),
        ("sigmas", ctypes.c_void_p),
        ("sigma_of", ctypes.c_void_p),
        ("normal", ctypes.c_void_p),
        ("first", ctypes.c_int64),
        ("key", ctypes.c_uint32 * 2),
        ("columns_per_adc", ctypes.c_int32),
        ("sigma_rows", ctypes.c_int32),
        ("sigma_columns", ctypes.c_int32),
        ("sigma_shift", ctypes.c_int32),
        ("passes", ctypes.c_int32),
    )


class Odds(ctypes.Structure):
    """`reram_odds` of csrc's reram_crossbar.h."""

    _fields_ = (
        ("kind_of", ctypes.c_void_p),
        ("hazards", ctypes.c_void_p),
        ("row_of", ctypes.c_void_p),
        ("shares", ctypes.c_void_p),
        ("waits", ctypes.c_void_p),
        ("first", ctypes.c_int64),
        ("key", ctypes.c_uint32 * 2),
        ("kinds", ctypes.c_int32),
        ("driven_rows", ctypes.c_int32),
        ("deltas", ctypes.c_int32),
        ("sum_shift", ctypes.c_int32),
        ("passes", ctypes.c_int32),
    )


class Layer(ctypes.Structure):
    """`reram_layer` of csrc's reram_crossbar.h."""

    _fields_ = (
        ("image_rows", ctypes.c_int64),
        ("image_columns", ctypes.c_int64),
        ("x_strides", ctypes.c_int64 * 4),
        ("y_strides", ctypes.c_int64 * 4),
        ("stride", ctypes.c_int32 * 2),
        ("padding", ctypes.c_int32 * 2),
        ("dilation", ctypes.c_int32 * 2),
        ("input_scale", ctypes.c_float),
        ("input_zero", ctypes.c_int32),
    )


class Run(NamedTuple):
    """How much a call has to choose from, and how it runs.

    Attributes:
        tables: ADC tables.
        buckets: of activity.
        unit: levels count in 1 / unit.
        isa: one of `ISAS`; a device does not read it.
        threads: at most; likewise.
    """

    tables: int = 1
    buckets: int = 1
    unit: int = 1
    isa: str = ISAS[0]
    threads: int = 1


class Input(NamedTuple):
    """An input of a whole layer, float32 (B, C, H, W), and its output (B, N, OH, OW).

    Attributes:
        x_shape, x_strides, y_shape, y_strides: in elements.
        scale, zero: s_x and z.
    """

    x_shape: tuple[int, ...]
    x_strides: tuple[int, ...]
    y_shape: tuple[int, ...]
    y_strides: tuple[int, ...]
    scale: float
    zero: int


def code_problem(arrays: Arrays, u: torch.Tensor, outputs: int, run: Run) -> Problem:
    """The problem of input codes (M, G, K), or of windows of codes in seven dimensions."""
    if u.dim() == 3:
        u = u[:, None, None, :, :, None, None]
    sizes, strides = u.shape, u.stride()
    return _problem(arrays, (*sizes, outputs), strides, run)


def programming_problem(arrays: Arrays, codes: torch.Tensor) -> Problem:
    """The problem of programming weight codes (G, N, K)."""
    G, N, K = codes.shape
    return _problem(arrays, (0, 1, 1, G, K, 1, 1, N), (0,) * 7, Run())


def _problem(arrays: Arrays, sizes: Sequence[int], strides: Sequence[int], run: Run) -> Problem:
    """From the seven sizes and strides of windows, and the outputs of a group after the sizes."""
    a, three, eight = arrays, ctypes.c_int64 * 3, ctypes.c_int32 * 8
    return Problem(
        three(*sizes[:3]), sizes[3], three(*sizes[4:7]), sizes[7],
        three(*strides[:3]), strides[3], three(*strides[4:]),
        a.rows, a.weight_bits, a.input_bits, len(a.cell_widths), len(a.dac_widths),
        eight(*a.cell_widths), eight(*a.dac_widths), a.encoding,
        run.tables, run.buckets, a.speculation, run.unit, ISAS.index(run.isa), run.threads,
    )  # fmt: skip


def layer_problem(
    arrays: Arrays, windows: Windows, given: Input, run: Run
) -> tuple[Problem, Layer]:
    """The structures of a whole layer's call."""
    w, x_shape, y_shape = windows, given.x_shape, given.y_shape
    sizes = (
        y_shape[0], *y_shape[2:], w.groups, x_shape[1] // w.groups, *w.kernel,
        y_shape[1] // w.groups,
    )  # fmt: skip
    two, four = ctypes.c_int32 * 2, ctypes.c_int64 * 4
    layer = Layer(
        *x_shape[2:], four(*given.x_strides), four(*given.y_strides), two(*w.stride),
        two(*w.padding), two(*w.dilation), given.scale, given.zero,
    )  # fmt: skip
    return _problem(arrays, sizes, (0,) * 7, run), layer


def chip_structure(device: str, tensors: Sequence[torch.Tensor]) -> Chip:
    """What the libraries are told of a chip; its tensors, contiguous, must outlive the call.

    Args:
        device: where all but the numbers lie.
        tensors: as `OnChip` has them.

    Raises:
        ValueError: a tensor lies elsewhere.
    """
    *parts, numbers = tensors
    found = iter(addresses(device, *(part for part in parts if part.numel())))
    at = [next(found) if part.numel() else None for part in parts]
    columns_per_adc, sigma_shift, low, high, first, passes = numbers.tolist()
    sizes = columns_per_adc, *parts[4].shape, sigma_shift, passes
    return Chip(*at, first, (ctypes.c_uint32 * 2)(low, high), *sizes)


def odds_structure(device: str, tensors: Sequence[torch.Tensor]) -> Odds:
    """What the libraries are told of odds; their tensors, contiguous, must outlive the call.

    Args:
        device: where all but the numbers lie.
        tensors: as `WithOdds` has them.

    Raises:
        ValueError: a tensor lies elsewhere.
    """
    *parts, numbers = tensors
    sum_shift, low, high, first, passes = numbers.tolist()
    kinds, driven_rows, deltas, _ = parts[3].shape
    sizes = kinds, driven_rows, deltas, sum_shift, passes
    return Odds(*addresses(device, *parts), first, (ctypes.c_uint32 * 2)(low, high), *sizes)


def depth_of(problem: Problem) -> int:
    """K of a problem."""
    return math.prod(problem.depth)


def addresses(device: str, *tensors: torch.Tensor) -> list[int]:
    """Where tensors lie.

    Raises:
        ValueError: one of them is not on this kind of device, whose memory the library reads.
        RuntimeError: one of them has no memory.
    """
    for tensor in tensors:
        if not (tensor.is_cpu if device == "cpu" else tensor.device.type == device):
            raise ValueError(
                f"a tensor on {tensor.device} among tensors on {device}: move all to one device"
            )
    try:
        return [tensor.data_ptr() for tensor in tensors]
    except RuntimeError as error:
        raise RuntimeError(f"{WITHOUT_DATA} ({error})") from error
