"""The integer operators: weights to cells, codes to shift-add results, codes to histograms."""

from __future__ import annotations

from types import ModuleType

import torch

from reram_torch._support.checks import check_finite
from reram_torch.crossbar import cells as by_torch
from reram_torch.crossbar.cells import CrossbarWeights, check_cells, read_back, slices_of
from reram_torch.crossbar.centers import centers_of, less_centers, no_centers, of_centers
from reram_torch.crossbar.chips import Chip, check_chip
from reram_torch.crossbar.counting import empty_counts, no_counts
from reram_torch.crossbar.geometry import Geometry, sizes
from reram_torch.crossbar.odds import Odds, check_odds
from reram_torch.crossbar.quantization import weight_codes, weight_scale
from reram_torch.crossbar.tables import check_accumulator, check_table_shapes, check_tables
from reram_torch.native import cpu, cuda
from reram_torch.ops import reference
from reram_torch.ops.arguments import ArrayArguments, chip_of
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
) -> tuple[torch.Tensor, ...]:
    """Float weights as `CrossbarWeights`, with their own scales or those given."""
    check_finite("weight", weight)
    g = Geometry.of_list(geometry)
    scale = weight_scale(weight, g.weight_bits) if scale is None else scale.clone()
    codes = weight_codes(weight, scale, g.weight_bits)
    codes = codes.reshape(groups, weight.shape[0] // groups, -1)
    sums, centers = codes.sum(-1, dtype=torch.int32), no_centers(codes)
    if g.centered:
        centers = centers_of(codes, g)
        codes = less_centers(codes, centers, g.rows)
    library = library_for(weight)
    if library is None:
        cells = by_torch.program(codes, g)
    else:
        cells = codes.new_empty(g.cells_shape(*codes.shape), dtype=torch.int64)
        library.program(g, codes, cells)
    return CrossbarWeights(cells, scale, sums, centers, slices_of(cells, g))


def encode_weight_fake(
    weight: torch.Tensor, groups: int, geometry: list[int], scale: torch.Tensor | None = None
) -> tuple[torch.Tensor, ...]:
    """Shapes of `encode_weight`."""
    g = Geometry.of_list(geometry)
    N = weight.shape[0]
    scale_type = torch.float64 if weight.dtype == torch.float64 else torch.float32
    shape = g.cells_shape(groups, N // groups, weight[0].numel())
    return CrossbarWeights(
        weight.new_empty(shape, dtype=torch.int64),
        weight.new_empty(N, dtype=scale_type),
        weight.new_empty((groups, N // groups), dtype=torch.int32),
        weight.new_empty((groups, shape[1] if g.centered else 0, N // groups), dtype=torch.int16),
        weight.new_empty(g.slices, dtype=torch.bool),
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


def _check_centers(u: torch.Tensor, a: ArrayArguments) -> None:
    """Raises ValueError unless there are centers where the geometry has them, of its shape."""
    _, G, K = sizes(u)
    wanted = (G, a.geometry.tiles(K), a.outputs) if a.geometry.centered else None
    found = None if a.centers is None else tuple(a.centers.shape)
    if found != wanted:
        raise ValueError(f"centers must be of shape {wanted}, not {found}")


def crossbar_reference(
    u: torch.Tensor, tensors: list[torch.Tensor], integers: list[int], count: bool
) -> Results:
    """The operator `crossbar` by the reference."""
    a = ArrayArguments.rebuild(tensors, integers)
    g = a.geometry
    _check(u, a.cells, a.outputs, g)
    _check_centers(u, a)
    check_tables(g, a.tables)
    check_accumulator(g, sizes(u)[2], a.tables, ideal=a.chip is None)
    _check_chip(u, a.chip, a.outputs, g)
    codes = read_back(a.cells, g, a.outputs, sizes(u)[2])
    acc, *counts = reference.crossbar(u, codes, a.tables, g, a.chip)
    _add_centers(acc, u, a)
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
    _check_centers(u, a)
    _check_chip(u, a.chip, a.outputs, g)
    M, G, _ = sizes(u)
    # The values: the CPU's library checks them; for a device, whoever made the tables did.
    check_table_shapes(g, a.tables)
    acc = torch.empty(M, G, a.outputs, dtype=torch.int32, device=u.device)
    counts = no_counts(g, u.device)
    counted = counts if count else None
    if a.chip is None:
        library.crossbar(g, u, a.cells, a.tables, acc, counted)
    elif isinstance(a.chip, Odds):
        library.odds_crossbar(g, u, a.cells, a.chip, a.tables, acc, counted)
    else:
        library.chip_crossbar(g, u, a.chip, a.tables, acc, counted)
    _add_centers(acc, u, a)
    return acc, *counts


def _check_chip(
    u: torch.Tensor, chip: Chip | Odds | None, outputs: int, geometry: Geometry
) -> None:
    """Raises ValueError unless a chip's tensors are as the kernels take them."""
    if isinstance(chip, Odds):
        check_odds(geometry, chip)
    elif chip is not None:
        _, G, K = sizes(u)
        check_chip(geometry, chip, G, outputs, K)


def _add_centers(acc: torch.Tensor, u: torch.Tensor, a: ArrayArguments) -> None:
    """Adds what was subtracted from the weights to the results."""
    if a.centers is not None and acc.numel():
        codes, mask = u.reshape(sizes(u)), 2**a.geometry.input_bits - 1
        acc += a.tables.unit * of_centers(codes, a.centers, a.geometry.rows, mask)


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
    u: torch.Tensor, cells: torch.Tensor, edges: torch.Tensor, chip: list[torch.Tensor],
    integers: list[int],
) -> torch.Tensor:  # fmt: skip
    """The operator `histogram` by the reference."""
    outputs, *numbers = integers
    g = Geometry.of_list(numbers)
    _check(u, cells, outputs, g)
    found = chip_of(chip)
    _check_chip(u, found, outputs, g)
    codes = read_back(cells, g, outputs, sizes(u)[2])
    return reference.histogram(u, codes, edges, g, found)


def histogram_native(
    u: torch.Tensor, cells: torch.Tensor, edges: torch.Tensor, chip: list[torch.Tensor],
    integers: list[int],
) -> torch.Tensor:  # fmt: skip
    """The operator `histogram` by the library of the device, where there is one."""
    library = library_for(u)
    if library is None:
        return histogram_reference(u, cells, edges, chip, integers)
    outputs, *numbers = integers
    g = Geometry.of_list(numbers)
    _check(u, cells, outputs, g)
    bins = torch.zeros(_histogram_shape(edges, g), dtype=torch.int64, device=u.device)
    found = chip_of(chip)
    _check_chip(u, found, outputs, g)
    if found is None:
        library.histogram(g, u, cells, edges, outputs, bins)
    elif isinstance(found, Odds):
        library.odds_histogram(g, u, cells, found, edges, outputs, bins)
    else:
        library.chip_histogram(g, u, found, edges, outputs, bins)
    return bins


def histogram_fake(
    u: torch.Tensor, cells: torch.Tensor, edges: torch.Tensor, chip: list[torch.Tensor],
    integers: list[int],
) -> torch.Tensor:  # fmt: skip
    """Shape of the operator `histogram`."""
    return u.new_empty(_histogram_shape(edges, Geometry.of_list(integers[1:])), dtype=torch.int64)


def _histogram_shape(edges: torch.Tensor, g: Geometry) -> tuple[int, int, int, int]:
    return edges.shape[0], g.phases, g.slices, g.values
