"""The operators: schemas, fake kernels, autograd, and which backend serves them.

Five operators in the namespace `reram_torch`. The integer ones are the contract:

- `encode_weight`: float weight -> programmed cells, scales (a channel's largest weight over the
  largest code, or those given), and the sums of codes
- `crossbar`: input codes and cells -> shift-add results, counts (3, I, J) of conversions, of
  comparisons and of skipped conversions, and driven word-lines (I,)
- `histogram`: input codes and cells -> how often each bit-line sum occurs

`linear` and `conv2d` are whole layers: quantize, `crossbar`, dequantize. Their forward pass is the
exact simulation, their backward pass is straight-through: the gradient of the float layer on
dequantized values, zero where an input was clipped.

The reference is the default kernel. On the CPU and on CUDA devices a native library takes over
unless `RERAM_TORCH_BACKEND=reference`; `RERAM_TORCH_BACKEND=native` makes its absence an error.
"""

from __future__ import annotations

import torch

from reram_torch._support.checks import check_finite
from reram_torch.crossbar.cells import check_cells, read_back
from reram_torch.crossbar.geometry import Geometry, sizes
from reram_torch.crossbar.quantization import weight_codes, weight_scale
from reram_torch.crossbar.tables import AdcTables, check_table_shapes, check_tables, no_counts
from reram_torch.ops import reference
from reram_torch.ops.backends import use_native
from reram_torch.ops.layers import (
    conv2d,
    conv2d_backward,
    conv2d_cpu,
    conv2d_fake,
    counts_like,
    linear,
    linear_backward,
    linear_cpu,
    linear_fake,
    setup_context,
)

_ENCODED = "Tensor cells, Tensor scale, Tensor code_sums"


_ADC = "Tensor levels, Tensor comparisons, Tensor edges, Tensor index"


_INPUT = "float input_scale, int input_zero"


_SCHEMAS = {
    "encode_weight": "(Tensor weight, int groups, int[] geometry, Tensor? scale=None)"
    " -> (Tensor, Tensor, Tensor)",
    "crossbar": f"(Tensor u, Tensor cells, {_ADC}, int outputs, int[] geometry, bool count)"
    " -> (Tensor, Tensor, Tensor)",
    "histogram": "(Tensor u, Tensor cells, Tensor edges, int outputs, int[] geometry) -> Tensor",
    "linear": f"(Tensor x, Tensor weight, Tensor? bias, {_ENCODED}, {_ADC}, {_INPUT},"
    " int[] geometry, bool count) -> (Tensor, Tensor, Tensor)",
    "conv2d": f"(Tensor x, Tensor weight, Tensor? bias, {_ENCODED}, {_ADC}, {_INPUT},"
    " int[] geometry, bool count, int[2] stride, int[2] padding, int[2] dilation, int groups)"
    " -> (Tensor, Tensor, Tensor)",
}


def _encode_weight(
    weight: torch.Tensor, groups: int, geometry: list[int], scale: torch.Tensor | None = None
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    check_finite("weight", weight)
    g = Geometry(*geometry)
    scale = weight_scale(weight, g.weight_bits) if scale is None else scale.clone()
    codes = weight_codes(weight, scale, g.weight_bits)
    codes = codes.reshape(groups, weight.shape[0] // groups, -1)
    room = _room(weight) or mapping
    return room.program(codes, g), scale, codes.sum(-1, dtype=torch.int32)


def _encode_weight_fake(weight, groups, geometry, scale=None):
    g = Geometry(*geometry)
    N = weight.shape[0]
    depth = weight[0].numel()
    scale_type = torch.float64 if weight.dtype == torch.float64 else torch.float32
    return (
        weight.new_empty(g.cells_shape(groups, N // groups, depth), dtype=torch.int64),
        weight.new_empty(N, dtype=scale_type),
        weight.new_empty((groups, N // groups), dtype=torch.int32),
    )


def _room(x: torch.Tensor):
    """The native functions for tensors of this device, or None for the reference."""
    if not use_native(x.device.type):
        return None
    return native_cuda if x.is_cuda else native


def _check_integer_args(u, cells, outputs, geometry):
    """What the kernels take for granted; they read raw memory."""
    if u.dtype != torch.uint8 or u.dim() not in (3, 7):
        raise TypeError(
            "u must be uint8 of shape (M, G, K), or windows in seven dimensions, "
            f"not {u.dtype} of {tuple(u.shape)}"
        )
    _, G, K = sizes(u)
    check_cells(geometry, cells, G, outputs, K)


def _crossbar_reference(u, cells, levels, comparisons, edges, index, outputs, geometry, count):
    g, tables = Geometry(*geometry), AdcTables(levels, comparisons, edges, index)
    _check_integer_args(u, cells, outputs, g)
    check_tables(g, tables)
    codes = read_back(cells, g, outputs, sizes(u)[2])
    acc, *counts = reference.crossbar(u, codes, tables, g)
    return acc, *(counts if count else no_counts(g, u.device))


def _crossbar_native(u, cells, levels, comparisons, edges, index, outputs, geometry, count):
    room = _room(u)
    if room is None:
        return _crossbar_reference(
            u, cells, levels, comparisons, edges, index, outputs, geometry, count
        )
    g, tables = Geometry(*geometry), AdcTables(levels, comparisons, edges, index)
    _check_integer_args(u, cells, outputs, g)
    # The values: the CPU's library checks them; for a device, whoever made the tables did.
    check_table_shapes(g, tables)
    return room.crossbar(u, cells, tables, outputs, g, count)


def _crossbar_fake(u, cells, levels, comparisons, edges, index, outputs, geometry, count):
    M, G, _ = sizes(u)
    return u.new_empty((M, G, outputs), dtype=torch.int32), *counts_like(u, geometry)


def _histogram_reference(u, cells, edges, outputs, geometry):
    g = Geometry(*geometry)
    _check_integer_args(u, cells, outputs, g)
    codes = read_back(cells, g, outputs, sizes(u)[2])
    return reference.histogram(u, codes, edges, g)


def _histogram_native(u, cells, edges, outputs, geometry):
    room = _room(u)
    if room is None:
        return _histogram_reference(u, cells, edges, outputs, geometry)
    g = Geometry(*geometry)
    _check_integer_args(u, cells, outputs, g)
    return room.histogram(u, cells, edges, outputs, g)


def _histogram_fake(u, cells, edges, outputs, geometry):
    g = Geometry(*geometry)
    shape = (edges.shape[0], g.cycles, g.slices, g.highest - g.lowest + 1)
    return u.new_empty(shape, dtype=torch.int64)


_KERNELS = {
    "encode_weight": (_encode_weight, {}, _encode_weight_fake),
    "crossbar": (
        _crossbar_reference,
        {"cpu": _crossbar_native, "cuda": _crossbar_native},
        _crossbar_fake,
    ),
    "histogram": (
        _histogram_reference,
        {"cpu": _histogram_native, "cuda": _histogram_native},
        _histogram_fake,
    ),
    "linear": (linear, {"cpu": linear_cpu}, linear_fake),
    "conv2d": (conv2d, {"cpu": conv2d_cpu}, conv2d_fake),
}


for _name, (_default, _of_device, _fake) in _KERNELS.items():
    _op = f"reram_torch::{_name}"
    torch.library.define(_op, _SCHEMAS[_name])
    torch.library.impl(_op, "default", _default)
    for _device, _kernel in _of_device.items():
        torch.library.impl(_op, _device, _kernel)
    torch.library.register_fake(_op, _fake)


for _name, _backward in (
    ("linear", linear_backward),
    ("conv2d", conv2d_backward),
):
    torch.library.register_autograd(f"reram_torch::{_name}", _backward, setup_context=setup_context)
