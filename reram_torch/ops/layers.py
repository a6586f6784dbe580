"""A whole layer as one operator: quantize, `crossbar`, dequantize; straight-through gradients.

The forward pass is the exact simulation. The backward pass is the gradient of the float layer on
dequantized values, zero where an input was clipped; its own gradient is that of the same network of
straight-through estimators. On the CPU the native library does a layer in
one pass, to the same floats; what it does not cover (float64, very deep reductions) and the other
devices go through the `crossbar` operator.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, NamedTuple

import torch

from reram_torch._support.checks import check_finite
from reram_torch.crossbar.cells import check_cells
from reram_torch.crossbar.counting import empty_counts
from reram_torch.crossbar.quantization import (
    dequantized_input,
    dequantized_weight,
    in_passes,
    input_codes,
)
from reram_torch.crossbar.tables import check_table_shapes
from reram_torch.crossbar.windows import Window
from reram_torch.native import cpu
from reram_torch.native.structures import WITHOUT_DATA
from reram_torch.ops.arguments import LayerArguments
from reram_torch.ops.arrays import Results
from reram_torch.ops.backends import use_native

# Reductions beyond this, half of it in half units, are corrected for the zero point in 64 bits:
# below it, results (at most twice 255 * 255 * K in size for any sane table) and corrections (255 *
# 128 * K) fit 32 together.
WIDE_DEPTH = 8192
Tensors = list[torch.Tensor]


def layer(
    x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None,
    tensors: Tensors, integers: list[int], floats: list[float], count: bool,
) -> Results:  # fmt: skip
    """The operator `layer` by way of `crossbar`."""
    a = LayerArguments.rebuild(tensors, integers, floats)
    check_finite("input", x)
    N, K = weight.shape[0], weight.shape[1:].numel()
    signed = a.geometry.signed_inputs
    u = in_passes(input_codes(x, *a.scale, a.geometry.input_bits, signed=signed))
    if a.window is None:
        u, outputs = u.reshape(-1, 1, K), N
    else:
        if u.is_cuda:  # neighbouring lanes read neighbouring channels
            u = u.contiguous(memory_format=torch.channels_last)
        u, outputs = a.window.over(u, a.scale.zero), N // a.window.groups
    arrays = a.arrays(outputs).flatten()
    acc, *counts = torch.ops.reram_torch.crossbar(u, *arrays, count)
    if signed:
        positive, negative = acc.chunk(2)
        acc = positive - negative
    out = empty_output(x, N, a.window, a.weights.scale.dtype)
    if a.window is None:
        y = dequantize(acc.view(-1, N), a, K, bias, out.view(-1, N)).view(out.shape)
    else:
        acc = acc.view(out.shape[0], *out.shape[2:], N).permute(0, 3, 1, 2)
        y = dequantize(acc, a, K, bias, out)
    return y.to(x.dtype), *counts


class _NativeCall(NamedTuple):
    """A call of the native library, but for where its tensors lie.

    Attributes:
        structures: what the library is told.
        output: shape and strides of the output.
        made, driven: shapes of the counts.
    """

    structures: cpu.Structures
    output: tuple[torch.Size, tuple[int, ...]]
    made: torch.Size
    driven: torch.Size


# Checking and preparing these takes as long as a small layer.
@lru_cache(maxsize=4096)
def _native_call(
    integers: tuple[int, ...], scale: float, weight: torch.Size,
    x: tuple[torch.Size, tuple[int, ...]], kinds: tuple[tuple[torch.Size, torch.dtype], ...],
    run: tuple[str, int],
) -> _NativeCall | None:  # fmt: skip
    """The call for tensors of these shapes, strides and types; None where it does not serve."""
    tensors = [torch.empty(shape, dtype=dtype, device="meta") for shape, dtype in kinds]
    a = LayerArguments.rebuild(tensors, list(integers), [scale])
    g, window, N, K = a.geometry, a.window or Window(), weight[0], weight[1:].numel()
    one_pass = not g.signed_inputs and not g.centered and a.weights.scale.dtype == torch.float32
    if not one_pass or K * a.tables.unit > WIDE_DEPTH or a.chip is not None:
        return None
    check_cells(g, a.weights.cells, window.groups, N // window.groups, K)
    check_table_shapes(g, a.tables)  # the native library checks the values
    given = torch.empty_strided(*x, device="meta")
    y = empty_output(given, N, a.window, torch.float32)
    # A linear layer is a convolution of images of one pixel.
    if a.window is None:
        images, out = given.view(-1, K, 1, 1), y.view(-1, N, 1, 1)
    else:
        images, out = given, y
    structures = cpu.layer_structures(g, window, images, out, a.scale, a.tables, *run)
    made, driven = empty_counts(y, g)
    return _NativeCall(structures, (y.shape, y.stride()), made.shape, driven.shape)


def layer_cpu(
    x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None,
    tensors: Tensors, integers: list[int], floats: list[float], count: bool,
) -> Results:  # fmt: skip
    """The operator `layer` on the CPU: one native call where it serves."""
    call, given = None, x
    if use_native():
        given = _readable(x.float(), weight)
        kinds = tuple([(t.shape, t.dtype) for t in tensors])
        run = cpu.isa(), torch.get_num_threads()
        strided = given.shape, given.stride()
        call = _native_call(tuple(integers), floats[0], weight.shape, strided, kinds, run)
    if call is None:
        return layer(x, weight, bias, tensors, integers, floats, count)
    y = given.new_empty_strided(*call.output)
    make = given.new_empty if count else given.new_zeros
    counts = make(call.made, dtype=torch.int64), make(call.driven, dtype=torch.int64)
    cells, scale, sums, _, _, *tables = tensors
    own = None if bias is None else bias.float()
    operands = cells, *tables, scale, sums
    cpu.forward(call.structures, given, operands, own, y, counts if count else None)
    return y if y.dtype == x.dtype else y.to(x.dtype), *counts


def _readable(x: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    """An input as the library reads it: contiguous, images along channels or columns at least."""
    along_one = weight.dim() == 4 and 1 in (x.stride(1), x.stride(3))
    return x if along_one else x.contiguous()


def layer_fake(
    x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None,
    tensors: Tensors, integers: list[int], floats: list[float], count: bool,
) -> Results:  # fmt: skip
    """Shapes of the operator `layer`."""
    a = LayerArguments.rebuild(tensors, integers, floats)
    y = empty_output(x, weight.shape[0], a.window, x.dtype)
    return y, *empty_counts(x, a.geometry)


def refuse_vmap(*_: Any) -> None:
    """Raises RuntimeError: a batch goes through an operator as one."""
    raise RuntimeError(WITHOUT_DATA)


def empty_output(
    x: torch.Tensor, outputs: int, window: Window | None, dtype: torch.dtype
) -> torch.Tensor:
    """Room for a layer's output; a convolution's has the memory format of its input, as torch's."""
    if window is None:
        return x.new_empty((*x.shape[:-1], outputs), dtype=dtype)
    last = x.is_contiguous(memory_format=torch.channels_last) and not x.is_contiguous()
    return torch.empty(
        (x.shape[0], outputs, *window.output_size(*x.shape[2:])),
        dtype=dtype,
        device=x.device,
        memory_format=torch.channels_last if last else torch.contiguous_format,
    )


def dequantize(
    acc: torch.Tensor, a: LayerArguments, depth: int, bias: torch.Tensor | None, out: torch.Tensor
) -> torch.Tensor:
    """Shift-add results to outputs, s_x * s_w * (acc / unit - z * sum_k q_w) + bias.

    Args:
        acc: shift-add results in units of 1 / unit, arranged as `out`, channels second.
        a: of the layer.
        depth: K.
        bias: (N,), or None.
        out: where to write, in the type of the weights' scale.
    """
    channel = (-1, *[1] * (out.dim() - 2))
    unit = a.tables.unit
    if depth * unit > WIDE_DEPTH:
        acc = acc.long()
    if a.scale.zero:
        acc = acc - unit * a.scale.zero * a.weights.code_sums.view(channel).to(acc.dtype)
    scale = a.weights.scale * a.scale.scale
    if unit > 1:
        scale = scale / unit  # a power of two: exact
    torch.mul(acc, scale.view(channel), out=out)
    if bias is not None:
        out += bias.to(out.dtype).view(channel)
    return out


# --- straight-through gradients ------------------------------------------------------------------


def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Results) -> None:
    """Keeps what the backward pass needs."""
    x, weight, bias, tensors, integers, floats, _ = inputs
    a = LayerArguments.rebuild(tensors, integers, floats)
    ctx.save_for_backward(x, weight, a.weights.scale)
    ctx.has_bias, ctx.tensors = bias is not None, len(tensors)
    ctx.input, ctx.signed = (*a.scale, a.geometry.input_bits), a.geometry.signed_inputs
    ctx.weight_bits, ctx.window = a.geometry.weight_bits, a.window
    ctx.set_materialize_grads(False)


def layer_backward(ctx: Any, grad: torch.Tensor | None, *_: Any) -> tuple[Any, ...]:
    """Gradients of input, weight and bias; the other arguments have none."""
    of_tensors = [None] * ctx.tensors
    if grad is None:
        return None, None, None, of_tensors, None, None, None
    x, weight, scale = ctx.saved_tensors
    values, inside = dequantized_input(x.detach(), *ctx.input, signed=ctx.signed)
    on_crossbars = dequantized_weight(weight.detach(), scale, ctx.weight_bits)
    if torch.is_grad_enabled():  # gradients of gradients: straight through here too
        values = values + (x - x.detach()) * inside
        on_crossbars = on_crossbars + (weight - weight.detach())
    wanted = [*ctx.needs_input_grad[:2], ctx.has_bias and ctx.needs_input_grad[2]]
    backward = _linear_backward if ctx.window is None else _convolution_backward
    grad_x, grad_w, grad_b = backward(grad, values, on_crossbars, wanted, ctx.window)
    if grad_x is not None:
        grad_x = grad_x * inside
    return grad_x, grad_w, grad_b, of_tensors, None, None, None


def _linear_backward(
    grad: torch.Tensor, values: torch.Tensor, weight: torch.Tensor, wanted: list[bool], _: None
) -> tuple[torch.Tensor | None, torch.Tensor | None, torch.Tensor | None]:
    rows = grad.reshape(-1, grad.shape[-1])
    return (
        grad @ weight if wanted[0] else None,
        rows.T @ values.reshape(-1, values.shape[-1]) if wanted[1] else None,
        rows.sum(0) if wanted[2] else None,
    )


def _convolution_backward(
    grad: torch.Tensor, values: torch.Tensor, weight: torch.Tensor, wanted: list[bool], w: Window
) -> tuple[torch.Tensor | None, torch.Tensor | None, torch.Tensor | None]:
    found: tuple[torch.Tensor, torch.Tensor, torch.Tensor]
    found = torch.ops.aten.convolution_backward(
        grad, values, weight, [weight.shape[0]], w.stride, w.padding, w.dilation, False, [0, 0],
        w.groups, wanted,
    )  # fmt: skip
    return found
