"""The operators: schemas, and which kernel serves which device.

Four operators in the namespace `reram_torch`. The integer ones are the contract:

- `encode_weight`: float weight -> programmed cells, scales (a channel's largest weight over the
  largest code, or those given), the sums of codes, and which slices exist
- `crossbar`: input codes and cells -> shift-add results, comparisons (I, J), and how many
  tile-cycles drove so many word-lines (I, rows + 1)
- `histogram`: input codes and cells -> how often each bit-line sum occurs

`layer` is a whole linear layer or convolution: quantize, `crossbar`, dequantize. Its forward pass
is the exact simulation, its backward pass is straight-through: the gradient of the float layer on
dequantized values, zero where an input was clipped.

`tensors`, `integers` and `floats` are what the dataclasses of `ops.arguments` flatten to. The
reference is the default kernel. On the CPU and on CUDA devices a native library takes over unless
`RERAM_TORCH_BACKEND=reference`; `RERAM_TORCH_BACKEND=native` makes its absence an error.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from reram_torch.ops import arrays, layers

_SCHEMAS = {
    "encode_weight": "(Tensor weight, int groups, int[] geometry, Tensor? scale=None)"
    " -> (Tensor, Tensor, Tensor, Tensor, Tensor)",
    "crossbar": "(Tensor u, Tensor[] tensors, int[] integers, bool count)"
    " -> (Tensor, Tensor, Tensor)",
    "histogram": "(Tensor u, Tensor cells, Tensor edges, Tensor[] chip, int[] integers) -> Tensor",
    "layer": "(Tensor x, Tensor weight, Tensor? bias, Tensor[] tensors, int[] integers,"
    " float[] floats, bool count) -> (Tensor, Tensor, Tensor)",
}
_Kernel = Callable[..., Any]
_KERNELS: dict[str, tuple[_Kernel, dict[str, _Kernel], _Kernel]] = {
    "encode_weight": (arrays.encode_weight, {}, arrays.encode_weight_fake),
    "crossbar": (
        arrays.crossbar_reference,
        {"cpu": arrays.crossbar_native, "cuda": arrays.crossbar_native},
        arrays.crossbar_fake,
    ),
    "histogram": (
        arrays.histogram_reference,
        {"cpu": arrays.histogram_native, "cuda": arrays.histogram_native},
        arrays.histogram_fake,
    ),
    "layer": (layers.layer, {"cpu": layers.layer_cpu}, layers.layer_fake),
}
for _name, (_default, _of_device, _fake) in _KERNELS.items():
    _op = f"reram_torch::{_name}"
    torch.library.define(_op, _SCHEMAS[_name])
    torch.library.impl(_op, "default", _default)
    for _device, _kernel in _of_device.items():
        torch.library.impl(_op, _device, _kernel)
    torch.library.register_fake(_op, _fake)
    torch.library.register_vmap(_op, layers.refuse_vmap)
torch.library.register_autograd(
    "reram_torch::layer", layers.layer_backward, setup_context=layers.setup_context
)
