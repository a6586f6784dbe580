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
from reram_torch.mapping import AdcTables, Geometry
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
_ADC = "Tensor levels, Tensor comparisons, Tensor edges, Tensor index"
_INPUT = "float input_scale, int input_zero"
_SCHEMAS = {
    "encode_weight": "(Tensor weight, int groups, int[] geometry) -> (Tensor, Tensor, Tensor)",
    "crossbar": f"(Tensor u, Tensor cells, {_ADC}, int outputs, int[] geometry, bool count)"
    " -> (Tensor, Tensor)",
    "histogram": "(Tensor u, Tensor cells, Tensor edges, int outputs, int[] geometry) -> Tensor",
    "linear": f"(Tensor x, Tensor weight, Tensor? bias, {_ENCODED}, {_ADC}, {_INPUT},"
    " int[] geometry, bool count) -> (Tensor, Tensor)",
    "conv2d": f"(Tensor x, Tensor weight, Tensor? bias, {_ENCODED}, {_ADC}, {_INPUT},"
    " int[] geometry, bool count, int[2] stride, int[2] padding, int[2] dilation, int groups)"
    " -> (Tensor, Tensor)",
}


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


def _encode_weight_fake(weight, groups, geometry):
    g = Geometry(*geometry)
    N = weight.shape[0]
    depth = weight[0].numel()
    scale_type = torch.float64 if weight.dtype == torch.float64 else torch.float32
    return (
        weight.new_empty(g.cells_shape(groups, N // groups, depth), dtype=torch.int64),
        weight.new_empty(N, dtype=scale_type),
        weight.new_empty((groups, N // groups), dtype=torch.int32),
    )


def _check_integer_args(u, cells, outputs, geometry):
    """What the kernels take for granted; they read raw memory."""
    if u.dtype != torch.uint8 or u.dim() != 3:
        raise TypeError(f"u must be uint8 of shape (M, G, K), not {u.dtype} of {tuple(u.shape)}")
    expected = geometry.cells_shape(u.shape[1], outputs, u.shape[2])
    if cells.dtype != torch.int64 or tuple(cells.shape) != expected:
        raise ValueError(
            f"cells must be int64 of shape {expected}, not {cells.dtype} of {tuple(cells.shape)}"
        )


def _crossbar_reference(u, cells, levels, comparisons, edges, index, outputs, geometry, count):
    g, tables = Geometry(*geometry), AdcTables(levels, comparisons, edges, index)
    _check_integer_args(u, cells, outputs, g)
    mapping.check_tables(g, tables)
    codes = mapping.read_back(cells, g, outputs, u.shape[2])
    acc, counts = reference.crossbar(u, codes, tables, g)
    return acc, counts if count else torch.zeros_like(counts)


def _crossbar_cpu(u, cells, levels, comparisons, edges, index, outputs, geometry, count):
    if not use_native():
        return _crossbar_reference(
            u, cells, levels, comparisons, edges, index, outputs, geometry, count
        )
    g, tables = Geometry(*geometry), AdcTables(levels, comparisons, edges, index)
    _check_integer_args(u, cells, outputs, g)
    mapping.check_table_shapes(g, tables)  # the native library checks the values
    return native.crossbar(u, cells, tables, outputs, g, count)


def _counts_like(x, geometry):
    return x.new_empty((3, Geometry(*geometry).slices), dtype=torch.int64)


def _crossbar_fake(u, cells, levels, comparisons, edges, index, outputs, geometry, count):
    M, G, _ = u.shape
    return u.new_empty((M, G, outputs), dtype=torch.int32), _counts_like(u, geometry)


def _histogram_reference(u, cells, edges, outputs, geometry):
    g = Geometry(*geometry)
    _check_integer_args(u, cells, outputs, g)
    codes = mapping.read_back(cells, g, outputs, u.shape[2])
    return reference.histogram(u, codes, edges, g)


def _histogram_cpu(u, cells, edges, outputs, geometry):
    if not use_native():
        return _histogram_reference(u, cells, edges, outputs, geometry)
    g = Geometry(*geometry)
    _check_integer_args(u, cells, outputs, g)
    return native.histogram(u, cells, edges, outputs, g)


def _histogram_fake(u, cells, edges, outputs, geometry):
    g = Geometry(*geometry)
    shape = (edges.shape[0], g.cycles, g.slices, g.highest - g.lowest + 1)
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
    """im2col of input codes, uint8 (B, C, H, W) -> (B * OH * OW, G, C/G * kh * kw), strided.

    Laid out with the positions innermost: copying whole rows of pixels is several times faster
    than gathering each position's inputs, and the kernel reads any strides.
    """
    if any(padding):
        u = F.pad(u, (padding[1], padding[1], padding[0], padding[0]), value=zero)
    B, C, H, W = u.shape
    kh, kw = kernel
    OH = (H - dilation[0] * (kh - 1) - 1) // stride[0] + 1
    OW = (W - dilation[1] * (kw - 1) - 1) // stride[1] + 1
    b, c, h, w = u.stride()
    windows = u.as_strided(
        (C, kh, kw, B, OH, OW),
        (c, h * dilation[0], w * dilation[1], b, h * stride[0], w * stride[1]),
    ).contiguous()
    return windows.view(groups, C // groups * kh * kw, B * OH * OW).permute(2, 0, 1)


def _empty_output(x, weight, stride, padding, dilation, dtype) -> torch.Tensor:
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


def _dequantize(acc, channel, scale, code_sums, bias, input_scale, input_zero, depth, out):
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


def _linear(
    x, weight, bias, cells, scale, code_sums, levels, comparisons, edges, index,
    input_scale, input_zero, geometry, count,
):  # fmt: skip
    check_finite("input", x)
    N, K = weight.shape
    u = input_codes(x, input_scale, input_zero, Geometry(*geometry).input_bits)
    acc, counts = torch.ops.reram_torch.crossbar(
        u.reshape(-1, 1, K), cells, levels, comparisons, edges, index, N, geometry, count
    )
    y = _dequantize(
        acc.view(-1, N), (N,), scale, code_sums, bias, input_scale, input_zero, K,
        x.new_empty((acc.shape[0], N), dtype=scale.dtype),
    )  # fmt: skip
    return y.view(*x.shape[:-1], N).to(x.dtype), counts


def _linear_fake(
    x, weight, bias, cells, scale, code_sums, levels, comparisons, edges, index,
    input_scale, input_zero, geometry, count,
):  # fmt: skip
    return x.new_empty((*x.shape[:-1], weight.shape[0])), _counts_like(x, geometry)


def _conv2d(
    x, weight, bias, cells, scale, code_sums, levels, comparisons, edges, index,
    input_scale, input_zero, geometry, count, stride, padding, dilation, groups,
):  # fmt: skip
    check_finite("input", x)
    N, depth = weight.shape[0], weight[0].numel()
    u = unfold_codes(
        input_codes(x, input_scale, input_zero, Geometry(*geometry).input_bits),
        tuple(weight.shape[2:]), stride, padding, dilation, groups, input_zero,
    )  # fmt: skip
    acc, counts = torch.ops.reram_torch.crossbar(
        u, cells, levels, comparisons, edges, index, N // groups, geometry, count
    )
    out = _empty_output(x, weight, stride, padding, dilation, scale.dtype)
    acc = acc.view(out.shape[0], *out.shape[2:], N).permute(0, 3, 1, 2)
    y = _dequantize(acc, (N, 1, 1), scale, code_sums, bias, input_scale, input_zero, depth, out)
    return y.to(x.dtype), counts


def _conv2d_fake(
    x, weight, bias, cells, scale, code_sums, levels, comparisons, edges, index,
    input_scale, input_zero, geometry, count, stride, padding, dilation, groups,
):  # fmt: skip
    y = _empty_output(x, weight, stride, padding, dilation, x.dtype)
    return y, _counts_like(x, geometry)


# --- straight-through gradients ------------------------------------------------------------------


def _setup_context(ctx, inputs, output):
    x, weight, bias, *_ = inputs
    ctx.save_for_backward(x, weight)
    ctx.has_bias = bias is not None
    input_scale, input_zero, geometry, _, *ctx.convolution = inputs[10:]
    ctx.input = input_scale, input_zero, Geometry(*geometry).input_bits
    ctx.weight_bits = Geometry(*geometry).weight_bits
    ctx.set_materialize_grads(False)


def _linear_backward(ctx, grad, _):
    nothing = [None] * 11
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
    nothing = [None] * 15
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


# --- registration --------------------------------------------------------------------------------

_KERNELS = {
    "encode_weight": (_encode_weight, None, _encode_weight_fake),
    "crossbar": (_crossbar_reference, _crossbar_cpu, _crossbar_fake),
    "histogram": (_histogram_reference, _histogram_cpu, _histogram_fake),
    "linear": (_linear, None, _linear_fake),
    "conv2d": (_conv2d, None, _conv2d_fake),
}
for _name, (_default, _cpu, _fake) in _KERNELS.items():
    _op = f"reram_torch::{_name}"
    torch.library.define(_op, _SCHEMAS[_name])
    torch.library.impl(_op, "default", _default)
    if _cpu is not None:
        torch.library.impl(_op, "cpu", _cpu)
    torch.library.register_fake(_op, _fake)
for _name, _backward in (("linear", _linear_backward), ("conv2d", _conv2d_backward)):
    torch.library.register_autograd(
        f"reram_torch::{_name}", _backward, setup_context=_setup_context
    )
