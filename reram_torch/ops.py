"""The operators: schemas, fake kernels, autograd, and which backend serves them.

Five operators in the namespace `reram_torch`. The integer ones are the contract:

- `encode_weight`: float weight -> programmed cells, scales, and the sums of codes
- `crossbar`: input codes and cells -> shift-add results and counts
- `histogram`: input codes and cells -> how often each bit-line sum occurs

`linear` and `conv2d` are whole layers: quantize, `crossbar`, dequantize. Their forward pass is the
exact simulation, their backward pass is straight-through: the gradient of the float layer on
dequantized values, zero where an input was clipped.

The reference is the default kernel. On the CPU the native library takes over unless
`RERAM_TORCH_BACKEND=reference`; `RERAM_TORCH_BACKEND=native` makes its absence an error.
"""

from __future__ import annotations

import os

import torch
import torch.nn.functional as F

from reram_torch import mapping, native, reference
from reram_torch.mapping import Geometry
from reram_torch.quantize import (
    dequantized_input,
    dequantized_weight,
    input_codes,
    weight_codes,
    weight_scale,
)
from reram_torch.validate import check_choice, check_finite

# Reductions beyond this are corrected for the zero point in 64 bits: below it, results (at most
# twice 255 * 255 * K in size for any sane table) and corrections (255 * 128 * K) fit 32 together.
WIDE_DEPTH = 8192

_ENCODED = "Tensor cells, Tensor scale, Tensor code_sums"
_ADC = "Tensor levels, Tensor comparisons"
_INPUT = "float input_scale, int input_zero"
_SCHEMAS = {
    "encode_weight": "(Tensor weight, int groups, int[] geometry) -> (Tensor, Tensor, Tensor)",
    "crossbar": f"(Tensor u, Tensor cells, {_ADC}, int outputs, int[] geometry, bool count)"
    " -> (Tensor, Tensor)",
    "histogram": "(Tensor u, Tensor cells, int outputs, int[] geometry) -> Tensor",
    "linear": f"(Tensor x, Tensor weight, Tensor? bias, {_ENCODED}, {_ADC}, {_INPUT},"
    " int[] geometry, bool count) -> (Tensor, Tensor)",
    "conv2d": f"(Tensor x, Tensor weight, Tensor? bias, {_ENCODED}, {_ADC}, {_INPUT},"
    " int[] geometry, bool count, int[2] stride, int[2] padding, int[2] dilation, int groups)"
    " -> (Tensor, Tensor)",
}
for _name, _schema in _SCHEMAS.items():
    torch.library.define(f"reram_torch::{_name}", _schema)


def use_native() -> bool:
    """Whether CPU tensors go to the native library.

    Raises:
        NativeError: `RERAM_TORCH_BACKEND=native` and the library was not built.
        ValueError: the variable holds another word.
    """
    wanted = os.environ.get("RERAM_TORCH_BACKEND") or "auto"
    check_choice("RERAM_TORCH_BACKEND", wanted, ("auto", "native", "reference"))
    if wanted == "native" and not native.available():
        raise native.NativeError(
            "RERAM_TORCH_BACKEND=native, but the native library was not built: "
            "reinstall with a C++ compiler"
        )
    return wanted != "reference" and native.available()


def backend() -> str:
    """What serves CPU tensors: `native (<instruction set>)` or `reference`."""
    return f"native ({native.isa()})" if use_native() else "reference"


def fingerprint(tensor: torch.Tensor) -> int | None:
    """A hash of a tensor's content, or None where hashing would cost more than encoding."""
    if tensor.device.type != "cpu":
        return None
    if native.available():
        return native.fingerprint(tensor)
    return hash(tensor.detach().contiguous().view(torch.uint8).numpy().tobytes())


# --- integer operators ---------------------------------------------------------------------------


@torch.library.impl("reram_torch::encode_weight", "default")
def _encode_weight(
    weight: torch.Tensor, groups: int, geometry: list[int]
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    check_finite("weight", weight)
    g = Geometry(*geometry)
    scale = weight_scale(weight, g.weight_bits)
    codes = weight_codes(weight, scale, g.weight_bits)
    codes = codes.reshape(groups, weight.shape[0] // groups, -1)
    on_cpu = weight.device.type == "cpu"
    room = native if on_cpu and use_native() else mapping
    return room.program(codes, g), scale, codes.sum(-1, dtype=torch.int32)


@torch.library.register_fake("reram_torch::encode_weight")
def _(weight, groups, geometry):
    g = Geometry(*geometry)
    N = weight.shape[0]
    depth = weight[0].numel()
    scale_type = torch.float64 if weight.dtype == torch.float64 else torch.float32
    return (
        weight.new_empty(g.cells_shape(groups, N // groups, depth), dtype=torch.int64),
        weight.new_empty(N, dtype=scale_type),
        weight.new_empty((groups, N // groups), dtype=torch.int32),
    )


def _check_integer_args(u, cells, outputs, geometry, levels=None, comparisons=None):
    """Everything that the kernels take for granted; they read raw memory."""
    if u.dtype != torch.uint8 or u.dim() != 3:
        raise TypeError(f"u must be uint8 of shape (M, G, K), not {u.dtype} of {tuple(u.shape)}")
    expected = geometry.cells_shape(u.shape[1], outputs, u.shape[2])
    if cells.dtype != torch.int64 or tuple(cells.shape) != expected:
        raise ValueError(
            f"cells must be int64 of shape {expected}, not {cells.dtype} of {tuple(cells.shape)}"
        )
    values = geometry.highest - geometry.lowest + 1
    for name, table, dtype in (
        ("levels", levels, torch.int32),
        ("comparisons", comparisons, torch.uint8),
    ):
        if table is None:
            continue
        shapes = [(1, values), (geometry.slices, values)]
        if table.dtype != dtype or tuple(table.shape) not in shapes:
            raise ValueError(
                f"{name} must be {dtype} of shape {shapes[0]} or {shapes[1]}, "
                f"not {table.dtype} of {tuple(table.shape)}"
            )
    if levels is not None and levels.shape != comparisons.shape:
        raise ValueError(
            f"levels and comparisons must have one shape, not {tuple(levels.shape)} "
            f"and {tuple(comparisons.shape)}"
        )


@torch.library.impl("reram_torch::crossbar", "default")
def _crossbar_reference(u, cells, levels, comparisons, outputs, geometry, count):
    g = Geometry(*geometry)
    _check_integer_args(u, cells, outputs, g, levels, comparisons)
    codes = mapping.read_back(cells, g, outputs, u.shape[2])
    acc, counts = reference.crossbar(u, codes, levels, comparisons, g)
    return acc, counts if count else torch.zeros_like(counts)


@torch.library.impl("reram_torch::crossbar", "cpu")
def _crossbar_cpu(u, cells, levels, comparisons, outputs, geometry, count):
    if not use_native():
        return _crossbar_reference(u, cells, levels, comparisons, outputs, geometry, count)
    g = Geometry(*geometry)
    _check_integer_args(u, cells, outputs, g, levels, comparisons)
    mapping.check_accumulator(g, u.shape[2], levels)
    return native.crossbar(u, cells, levels, comparisons, outputs, g, count)


@torch.library.register_fake("reram_torch::crossbar")
def _(u, cells, levels, comparisons, outputs, geometry, count):
    M, G, _ = u.shape
    counts = u.new_empty((2, Geometry(*geometry).slices), dtype=torch.int64)
    return u.new_empty((M, G, outputs), dtype=torch.int32), counts


@torch.library.impl("reram_torch::histogram", "default")
def _histogram_reference(u, cells, outputs, geometry):
    g = Geometry(*geometry)
    _check_integer_args(u, cells, outputs, g)
    return reference.histogram(u, mapping.read_back(cells, g, outputs, u.shape[2]), g)


@torch.library.impl("reram_torch::histogram", "cpu")
def _histogram_cpu(u, cells, outputs, geometry):
    if not use_native():
        return _histogram_reference(u, cells, outputs, geometry)
    g = Geometry(*geometry)
    _check_integer_args(u, cells, outputs, g)
    return native.histogram(u, cells, outputs, g)


@torch.library.register_fake("reram_torch::histogram")
def _(u, cells, outputs, geometry):
    g = Geometry(*geometry)
    shape = (g.cycles, g.slices, g.highest - g.lowest + 1)
    return u.new_empty(shape, dtype=torch.int64)


# --- layers --------------------------------------------------------------------------------------


def unfold_codes(
    u: torch.Tensor,
    kernel: tuple[int, int],
    stride: list[int],
    padding: list[int],
    dilation: list[int],
    groups: int,
    zero: int,
) -> torch.Tensor:
    """im2col of input codes, uint8 (B, C, H, W) -> (B * OH * OW, G, C/G * kh * kw)."""
    if any(padding):
        u = F.pad(u, (padding[1], padding[1], padding[0], padding[0]), value=zero)
    B, C, H, W = u.shape
    kh, kw = kernel
    OH = (H - dilation[0] * (kh - 1) - 1) // stride[0] + 1
    OW = (W - dilation[1] * (kw - 1) - 1) // stride[1] + 1
    b, c, h, w = u.stride()
    windows = u.as_strided(
        (B, OH, OW, C, kh, kw),
        (b, h * stride[0], w * stride[1], c, h * dilation[0], w * dilation[1]),
    )
    return windows.reshape(B * OH * OW, groups, C // groups * kh * kw)


def _output_size(x, weight, stride, padding, dilation) -> list[int]:
    return [
        (x.shape[2 + d] + 2 * padding[d] - dilation[d] * (weight.shape[2 + d] - 1) - 1)
        // stride[d]
        + 1
        for d in (0, 1)
    ]


def _dequantize(acc, scale, code_sums, bias, input_scale, input_zero, depth, dtype):
    """(M, G, N) shift-add results to (M, G * N) outputs."""
    acc = acc.flatten(1)
    if depth > WIDE_DEPTH:
        acc = acc.long()
    if input_zero:
        acc = acc - input_zero * code_sums.flatten().to(acc.dtype)
    y = acc * (scale * input_scale)
    if bias is not None:
        y += bias.to(y.dtype)
    return y.to(dtype)


@torch.library.impl("reram_torch::linear", "default")
def _linear(
    x, weight, bias, cells, scale, code_sums, levels, comparisons,
    input_scale, input_zero, geometry, count,
):  # fmt: skip
    check_finite("input", x)
    N, K = weight.shape
    u = input_codes(x, input_scale, input_zero, Geometry(*geometry).input_bits)
    acc, counts = torch.ops.reram_torch.crossbar(
        u.reshape(-1, 1, K), cells, levels, comparisons, N, geometry, count
    )
    y = _dequantize(acc, scale, code_sums, bias, input_scale, input_zero, K, x.dtype)
    return y.view(*x.shape[:-1], N), counts


@torch.library.register_fake("reram_torch::linear")
def _(x, weight, bias, cells, scale, code_sums, levels, comparisons, input_scale, input_zero,
      geometry, count):  # fmt: skip
    counts = x.new_empty((2, Geometry(*geometry).slices), dtype=torch.int64)
    return x.new_empty((*x.shape[:-1], weight.shape[0])), counts


@torch.library.impl("reram_torch::conv2d", "default")
def _conv2d(
    x, weight, bias, cells, scale, code_sums, levels, comparisons,
    input_scale, input_zero, geometry, count, stride, padding, dilation, groups,
):  # fmt: skip
    check_finite("input", x)
    N, depth = weight.shape[0], weight[0].numel()
    u = unfold_codes(
        input_codes(x, input_scale, input_zero, Geometry(*geometry).input_bits),
        tuple(weight.shape[2:]), stride, padding, dilation, groups, input_zero,
    )  # fmt: skip
    acc, counts = torch.ops.reram_torch.crossbar(
        u, cells, levels, comparisons, N // groups, geometry, count
    )
    y = _dequantize(acc, scale, code_sums, bias, input_scale, input_zero, depth, x.dtype)
    size = _output_size(x, weight, stride, padding, dilation)
    y = y.view(x.shape[0], *size, N).permute(0, 3, 1, 2)
    return y.contiguous(memory_format=_memory_format(x)), counts


def _memory_format(x: torch.Tensor) -> torch.memory_format:
    """Of a convolution's output, as torch's own: that of its input."""
    if x.is_contiguous() or not x.is_contiguous(memory_format=torch.channels_last):
        return torch.contiguous_format
    return torch.channels_last


@torch.library.register_fake("reram_torch::conv2d")
def _(x, weight, bias, cells, scale, code_sums, levels, comparisons, input_scale, input_zero,
      geometry, count, stride, padding, dilation, groups):  # fmt: skip
    size = _output_size(x, weight, stride, padding, dilation)
    counts = x.new_empty((2, Geometry(*geometry).slices), dtype=torch.int64)
    y = torch.empty(
        (x.shape[0], weight.shape[0], *size),
        dtype=x.dtype,
        device=x.device,
        memory_format=_memory_format(x),
    )
    return y, counts


# --- straight-through gradients ------------------------------------------------------------------


def _setup_context(ctx, inputs, output):
    x, weight, bias, *_ = inputs
    ctx.save_for_backward(x, weight)
    ctx.has_bias = bias is not None
    ctx.input = inputs[8], inputs[9], Geometry(*inputs[10]).input_bits
    ctx.weight_bits = Geometry(*inputs[10]).weight_bits
    ctx.convolution = inputs[12:]
    ctx.set_materialize_grads(False)


def _linear_backward(ctx, grad, _):
    nothing = [None] * 9
    if grad is None:
        return None, None, None, *nothing
    x, weight = ctx.saved_tensors
    values, inside = dequantized_input(x, *ctx.input)
    grad_x = grad_w = grad_b = None
    if ctx.needs_input_grad[0]:
        grad_x = (grad @ dequantized_weight(weight, ctx.weight_bits)) * inside
    rows = grad.reshape(-1, grad.shape[-1])
    if ctx.needs_input_grad[1]:
        grad_w = rows.T @ values.reshape(-1, values.shape[-1])
    if ctx.has_bias and ctx.needs_input_grad[2]:
        grad_b = rows.sum(0)
    return grad_x, grad_w, grad_b, *nothing


def _conv2d_backward(ctx, grad, _):
    nothing = [None] * 13
    if grad is None:
        return None, None, None, *nothing
    x, weight = ctx.saved_tensors
    stride, padding, dilation, groups = ctx.convolution
    values, inside = dequantized_input(x, *ctx.input)
    wanted = [*ctx.needs_input_grad[:2], ctx.has_bias and ctx.needs_input_grad[2]]
    grad_x, grad_w, grad_b = torch.ops.aten.convolution_backward(
        grad, values, dequantized_weight(weight, ctx.weight_bits), [weight.shape[0]],
        stride, padding, dilation, False, [0, 0], groups, wanted,
    )  # fmt: skip
    if grad_x is not None:
        grad_x = grad_x * inside
    return grad_x, grad_w, grad_b, *nothing


torch.library.register_autograd(
    "reram_torch::linear", _linear_backward, setup_context=_setup_context
)
torch.library.register_autograd(
    "reram_torch::conv2d", _conv2d_backward, setup_context=_setup_context
)
