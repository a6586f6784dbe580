"""Whole layers as operators: quantize, `crossbar`, dequantize; straight-through gradients.

The forward pass is the exact simulation. The backward pass is the gradient of the float layer on
dequantized values, zero where an input was clipped. On the CPU the native library does a layer in
one pass, to the same floats; what it does not cover (float64, very deep reductions) and the other
devices go through the `crossbar` operator.
"""

from __future__ import annotations

import torch

from reram_torch._support.checks import check_finite
from reram_torch.crossbar.cells import check_cells
from reram_torch.crossbar.geometry import Geometry
from reram_torch.crossbar.quantization import dequantized_input, dequantized_weight, input_codes
from reram_torch.crossbar.tables import AdcTables, check_table_shapes
from reram_torch.crossbar.windows import windows
from reram_torch.native import cpu
from reram_torch.ops.backends import use_native

# Reductions beyond this are corrected for the zero point in 64 bits: below it, results (at most
# twice 255 * 255 * K in size for any sane table) and corrections (255 * 128 * K) fit 32 together.
WIDE_DEPTH = 8192


# From so many outputs in a group the kernels read a position's channels, not a channel's positions.
WIDE_OUTPUTS = 40


def counts_like(x: torch.Tensor, geometry: list[int]) -> tuple[torch.Tensor, torch.Tensor]:
    """Room for counts, (3, I, J), and drives, (I,)."""
    g = Geometry(*geometry)
    counts = x.new_empty((3, g.cycles, g.slices), dtype=torch.int64)
    return counts, x.new_empty(g.cycles, dtype=torch.int64)


def empty_output(x, weight, stride, padding, dilation, dtype) -> torch.Tensor:
    """Room for a convolution's output, in the memory format of its input as torch's own."""
    size = []
    for d in (0, 1):
        reach = dilation[d] * (weight.shape[2 + d] - 1) + 1
        size.append((x.shape[2 + d] + 2 * padding[d] - reach) // stride[d] + 1)
    last = x.is_contiguous(memory_format=torch.channels_last) and not x.is_contiguous()
    return torch.empty(
        (x.shape[0], weight.shape[0], *size),
        dtype=dtype,
        device=x.device,
        memory_format=torch.channels_last if last else torch.contiguous_format,
    )


def dequantize(acc, channel, scale, code_sums, bias, input_scale, input_zero, depth, out):
    """Shift-add results to outputs.

    Args:
        acc: shift-add results, arranged as `out`.
        channel: shape of a per-channel tensor against `out`.
        scale: s_w by channel; `code_sums`, `bias`: likewise.
        code_sums: sum_k q_w.
        bias: of the layer, or None.
        input_scale: s_x.
        input_zero: z.
        depth: K.
        out: where to write, in the type of `scale`.
    """
    if depth > WIDE_DEPTH:
        acc = acc.long()
    if input_zero:
        acc = acc - input_zero * code_sums.view(channel).to(acc.dtype)
    torch.mul(acc, (scale * input_scale).view(channel), out=out)
    if bias is not None:
        out += bias.to(out.dtype).view(channel)
    return out


def _native_serves(weight: torch.Tensor, scale: torch.Tensor) -> bool:
    depth = weight.numel() // weight.shape[0]
    return use_native() and scale.dtype == torch.float32 and depth <= WIDE_DEPTH


def linear(
    x, weight, bias, cells, scale, code_sums, levels, comparisons, edges, index,
    input_scale, input_zero, geometry, count,
):  # fmt: skip
    """The operator `linear` by way of `crossbar`."""
    check_finite("input", x)
    N, K = weight.shape
    u = input_codes(x, input_scale, input_zero, Geometry(*geometry).input_bits)
    acc, *counts = torch.ops.reram_torch.crossbar(
        u.reshape(-1, 1, K), cells, levels, comparisons, edges, index, N, geometry, count
    )
    y = dequantize(
        acc.view(-1, N), (N,), scale, code_sums, bias, input_scale, input_zero, K,
        x.new_empty((acc.shape[0], N), dtype=scale.dtype),
    )  # fmt: skip
    return y.view(*x.shape[:-1], N).to(x.dtype), *counts


def linear_cpu(
    x, weight, bias, cells, scale, code_sums, levels, comparisons, edges, index,
    input_scale, input_zero, geometry, count,
):  # fmt: skip
    """The operator `linear` on the CPU: one native call where it serves."""
    tables = AdcTables(levels, comparisons, edges, index)
    if not _native_serves(weight, scale):
        return linear(
            x, weight, bias, cells, scale, code_sums, *tables, input_scale, input_zero, geometry,
            count,
        )  # fmt: skip
    N, K = weight.shape
    y, *counts = _forward(
        x.reshape(-1, K, 1, 1), weight[:, :, None, None], bias, cells, scale, code_sums, tables,
        input_scale, input_zero, geometry, count, (1, 1), (0, 0), (1, 1), 1,
    )  # fmt: skip
    return y.view(*x.shape[:-1], N), *counts


def linear_fake(
    x, weight, bias, cells, scale, code_sums, levels, comparisons, edges, index,
    input_scale, input_zero, geometry, count,
):  # fmt: skip
    """Shapes of the operator `linear`."""
    return x.new_empty((*x.shape[:-1], weight.shape[0])), *counts_like(x, geometry)


def conv2d(
    x, weight, bias, cells, scale, code_sums, levels, comparisons, edges, index,
    input_scale, input_zero, geometry, count, stride, padding, dilation, groups,
):  # fmt: skip
    """The operator `conv2d` by way of `crossbar`."""
    check_finite("input", x)
    N, depth = weight.shape[0], weight[0].numel()
    u = input_codes(x, input_scale, input_zero, Geometry(*geometry).input_bits)
    if u.is_cuda:  # neighbouring lanes read neighbouring channels
        u = u.contiguous(memory_format=torch.channels_last)
    u = windows(u, tuple(weight.shape[2:]), stride, padding, dilation, groups, input_zero)
    acc, *counts = torch.ops.reram_torch.crossbar(
        u, cells, levels, comparisons, edges, index, N // groups, geometry, count
    )
    out = empty_output(x, weight, stride, padding, dilation, scale.dtype)
    acc = acc.view(out.shape[0], *out.shape[2:], N).permute(0, 3, 1, 2)
    y = dequantize(acc, (N, 1, 1), scale, code_sums, bias, input_scale, input_zero, depth, out)
    return y.to(x.dtype), *counts


def conv2d_cpu(
    x, weight, bias, cells, scale, code_sums, levels, comparisons, edges, index,
    input_scale, input_zero, geometry, count, stride, padding, dilation, groups,
):  # fmt: skip
    """The operator `conv2d` on the CPU: one native call where it serves."""
    tables = AdcTables(levels, comparisons, edges, index)
    if not _native_serves(weight, scale):
        return conv2d(
            x, weight, bias, cells, scale, code_sums, *tables, input_scale, input_zero, geometry,
            count, stride, padding, dilation, groups,
        )  # fmt: skip
    return _forward(
        x, weight, bias, cells, scale, code_sums, tables, input_scale, input_zero, geometry, count,
        stride, padding, dilation, groups,
    )  # fmt: skip


def conv2d_fake(
    x, weight, bias, cells, scale, code_sums, levels, comparisons, edges, index,
    input_scale, input_zero, geometry, count, stride, padding, dilation, groups,
):  # fmt: skip
    """Shapes of the operator `conv2d`."""
    y = empty_output(x, weight, stride, padding, dilation, x.dtype)
    return y, *counts_like(x, geometry)


def _forward(
    x, weight, bias, cells, scale, code_sums, tables, input_scale, input_zero, geometry, count,
    stride, padding, dilation, groups,
):  # fmt: skip
    g = Geometry(*geometry)
    outputs = weight.shape[0] // groups
    check_cells(g, cells, groups, outputs, weight.numel() // weight.shape[0])
    check_table_shapes(g, tables)  # the native library checks the values
    y = empty_output(x, weight, stride, padding, dilation, torch.float32)
    convolution = cpu.Convolution(
        groups, tuple(weight.shape[2:]), tuple(stride), tuple(padding), tuple(dilation),
        input_scale, input_zero,
    )  # fmt: skip
    counts = cpu.forward(
        x.float(), cells, tables, convolution, g, scale, code_sums,
        None if bias is None else bias.float(), count, y,
    )  # fmt: skip
    return y.to(x.dtype), *counts


def setup_context(ctx, inputs, output):
    """Keeps what both backward passes need."""
    x, weight, bias, _, scale, *_ = inputs
    ctx.save_for_backward(x, weight, scale)
    ctx.has_bias = bias is not None
    input_scale, input_zero, geometry, _, *ctx.convolution = inputs[10:]
    ctx.input = input_scale, input_zero, Geometry(*geometry).input_bits
    ctx.weight_bits = Geometry(*geometry).weight_bits
    ctx.set_materialize_grads(False)


def linear_backward(ctx, grad, *_):
    """Gradients of `linear`'s arguments."""
    nothing = [None] * 11
    if grad is None:
        return None, None, None, *nothing
    x, weight, scale = ctx.saved_tensors
    values, inside = dequantized_input(x, *ctx.input)
    grad_x = grad_w = grad_b = None
    if ctx.needs_input_grad[0]:
        grad_x = (grad @ dequantized_weight(weight, scale, ctx.weight_bits)) * inside
    rows = grad.reshape(-1, grad.shape[-1])
    if ctx.needs_input_grad[1]:
        grad_w = rows.T @ values.reshape(-1, values.shape[-1])
    if ctx.has_bias and ctx.needs_input_grad[2]:
        grad_b = rows.sum(0)
    return grad_x, grad_w, grad_b, *nothing


def conv2d_backward(ctx, grad, *_):
    """Gradients of `conv2d`'s arguments."""
    nothing = [None] * 15
    if grad is None:
        return None, None, None, *nothing
    x, weight, scale = ctx.saved_tensors
    stride, padding, dilation, groups = ctx.convolution
    values, inside = dequantized_input(x, *ctx.input)
    wanted = [*ctx.needs_input_grad[:2], ctx.has_bias and ctx.needs_input_grad[2]]
    grad_x, grad_w, grad_b = torch.ops.aten.convolution_backward(
        grad, values, dequantized_weight(weight, scale, ctx.weight_bits), [weight.shape[0]],
        stride, padding, dilation, False, [0, 0], groups, wanted,
    )  # fmt: skip
    if grad_x is not None:
        grad_x = grad_x * inside
    return grad_x, grad_w, grad_b, *nothing
