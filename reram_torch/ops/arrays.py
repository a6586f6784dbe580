"""The integer operators: weights to cells, codes to shift-add results, codes to histograms."""

from __future__ import annotations

from types import ModuleType

import torch

from reram_torch._support.checks import check_finite
from reram_torch.crossbar import cells as by_torch
from reram_torch.crossbar.cells import CrossbarWeights, check_cells, read_back
from reram_torch.crossbar.counting import empty_counts, no_counts
from reram_torch.crossbar.geometry import Geometry, sizes
from reram_torch.crossbar.quantization import weight_codes, weight_scale
from reram_torch.crossbar.tables import check_table_shapes, check_tables
from reram_torch.native import cpu, cuda
from reram_torch.ops import reference
from reram_torch.ops.arguments import ArrayArguments
from reram_torch.ops.backends import use_native

Results = tuple[torch.Tensor, torch.Tensor, torch.Tensor]


def library_for(x: torch.Tensor) -> ModuleType | None:
    """The native functions for tensors of this device, or None for the reference."""
    if not use_native(x.device.type):
        return None
    return cuda if x.is_cuda else cpu


# --- encode_weight ---


def encode_weight(
    weight: torch.Tensor, groups: int, geometry: list[int], scale: torch.Tensor | None = None
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Float weights as `CrossbarWeights`, with their own scales or those given."""
    check_finite("weight", weight)
    g = Geometry(*geometry)
    scale = weight_scale(weight, g.weight_bits) if scale is None else scale.clone()
    codes = weight_codes(weight, scale, g.weight_bits)
    codes = codes.reshape(groups, weight.shape[0] // groups, -1)
    library = library_for(weight)
    if library is None:
        cells = by_torch.program(codes, g)
    else:
        cells = codes.new_empty(g.cells_shape(*codes.shape), dtype=torch.int64)
        library.program(g, codes, cells)
    return cells, scale, codes.sum(-1, dtype=torch.int32)


def encode_weight_fake(
    weight: torch.Tensor, groups: int, geometry: list[int], scale: torch.Tensor | None = None
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Shapes of `encode_weight`."""
    g = Geometry(*geometry)
    N = weight.shape[0]
    scale_type = torch.float64 if weight.dtype == torch.float64 else torch.float32
    shape = g.cells_shape(groups, N // groups, weight[0].numel())
    return CrossbarWeights(
        weight.new_empty(shape, dtype=torch.int64),
        weight.new_empty(N, dtype=scale_type),
        weight.new_empty((groups, N // groups), dtype=torch.int32),
    )


# --- crossbar ---


def _check(u: torch.Tensor, cells: torch.Tensor, outputs: int, geometry: Geometry) -> None:
    """What the kernels take for granted; they read raw memory."""
    if u.dtype != torch.uint8 or u.dim() not in (3, 7):
        raise TypeError(
            "u must be uint8 of shape (M, G, K), or windows in seven dimensions, "
            f"not {u.dtype} of {tuple(u.shape)}"
        )
    _, G, K = sizes(u)
    check_cells(geometry, cells, G, outputs, K)


def crossbar_reference(
    u: torch.Tensor, tensors: list[torch.Tensor], integers: list[int], count: bool
) -> Results:
    """The operator `crossbar` by the reference."""
    a = ArrayArguments.rebuild(tensors, integers)
    g = a.geometry
    _check(u, a.cells, a.outputs, g)
    check_tables(g, a.tables)
    codes = read_back(a.cells, g, a.outputs, sizes(u)[2])
    acc, *counts = reference.crossbar(u, codes, a.tables, g)
    return acc, *(counts if count else no_counts(g, u.device))


def crossbar_native(
    u: torch.Tensor, tensors: list[torch.Tensor], integers: list[int], count: bool
) -> Results:
    """The operator `crossbar` by the library of the device, where there is one."""
    library = library_for(u)
    if library is None:
        return crossbar_reference(u, tensors, integers, count)
    a = ArrayArguments.rebuild(tensors, integers)
    g = a.geometry
    _check(u, a.cells, a.outputs, g)
    M, G, _ = sizes(u)
    # The values: the CPU's library checks them; for a device, whoever made the tables did.
    check_table_shapes(g, a.tables)
    acc = torch.empty(M, G, a.outputs, dtype=torch.int32, device=u.device)
    counts = no_counts(g, u.device)
    library.crossbar(g, u, a.cells, a.tables, acc, counts if count else None)
    return acc, *counts


def crossbar_fake(
    u: torch.Tensor, tensors: list[torch.Tensor], integers: list[int], count: bool
) -> Results:
    """Shapes of the operator `crossbar`."""
    a = ArrayArguments.rebuild(tensors, integers)
    M, G, _ = sizes(u)
    acc = u.new_empty((M, G, a.outputs), dtype=torch.int32)
    return acc, *empty_counts(u, a.geometry)


# --- histogram ---


def histogram_reference(
    u: torch.Tensor, cells: torch.Tensor, edges: torch.Tensor, integers: list[int]
) -> torch.Tensor:
    """The operator `histogram` by the reference."""
    outputs, *numbers = integers
    g = Geometry(*numbers)
    _check(u, cells, outputs, g)
    return reference.histogram(u, read_back(cells, g, outputs, sizes(u)[2]), edges, g)


def histogram_native(
    u: torch.Tensor, cells: torch.Tensor, edges: torch.Tensor, integers: list[int]
) -> torch.Tensor:
    """The operator `histogram` by the library of the device, where there is one."""
    library = library_for(u)
    if library is None:
        return histogram_reference(u, cells, edges, integers)
    outputs, *numbers = integers
    g = Geometry(*numbers)
    _check(u, cells, outputs, g)
    bins = torch.zeros(_histogram_shape(edges, g), dtype=torch.int64, device=u.device)
    library.histogram(g, u, cells, edges, outputs, bins)
    return bins


def histogram_fake(
    u: torch.Tensor, cells: torch.Tensor, edges: torch.Tensor, integers: list[int]
) -> torch.Tensor:
    """Shape of the operator `histogram`."""
    return u.new_empty(_histogram_shape(edges, Geometry(*integers[1:])), dtype=torch.int64)


def _histogram_shape(edges: torch.Tensor, g: Geometry) -> tuple[int, int, int, int]:
    return edges.shape[0], g.cycles, g.slices, g.values
