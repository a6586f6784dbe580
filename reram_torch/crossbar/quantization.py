"""Float tensors to codes and back (docs/definition.md)."""

from __future__ import annotations

import struct
from typing import NamedTuple

import torch


class InputScale(NamedTuple):
    """Input quantization: u = clamp(round(x / scale) + zero, lowest code, highest code)."""

    scale: float
    zero: int

    @classmethod
    def from_range(cls, low: float, high: float, bits: int) -> InputScale:
        """The scale that spreads [low, high], widened to hold zero, over unsigned codes.

        `zero` is 0 if `low` is not negative. A range of nothing but zero gets scale 1.
        """
        low, high = min(float(low), 0.0), max(float(high), 0.0)
        most = 2**bits - 1
        scale = _as_float32((high - low) / most)
        if scale == 0.0:  # constant zero, or too small for float32
            return cls(1.0, 0)
        return cls(scale, min(max(round(-low / scale), 0), most))

    @classmethod
    def symmetric(cls, low: float, high: float, bits: int) -> InputScale:
        """The scale that spreads [low, high] over signed codes of so many bits of magnitude."""
        scale = _as_float32(max(-float(low), float(high), 0.0) / (2**bits - 1))
        return cls(scale if scale else 1.0, 0)


def over_largest(x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Each position over its largest input in size, and that, (..., 1): 1 where all are zero.

    The gradient takes the largest for a constant, as it does the scale of codes.
    """
    x = _computing(x)
    largest = x.detach().abs().amax(-1, keepdim=True)
    largest = torch.where(largest > 0, largest, torch.ones_like(largest))
    return x / largest, largest


def scaled_back(y: torch.Tensor, largest: torch.Tensor, bias: torch.Tensor | None) -> torch.Tensor:
    """Outputs of positions that `over_largest` divided, (..., N), and a bias."""
    y = y * largest.to(y.dtype)
    return y if bias is None else y + bias


def _as_float32(value: float) -> float:
    found: float = struct.unpack("f", struct.pack("f", value))[0]
    return found


def _computing(x: torch.Tensor) -> torch.Tensor:
    """`x` in a type that quantization is exact in: float16 and bfloat16 become float32."""
    return x if x.dtype == torch.float64 else x.float()


def _divide(x: torch.Tensor, divisor: float) -> torch.Tensor:
    """`x` over a number, rounded once on every device.

    By a number, torch's CUDA kernels multiply with its reciprocal, which rounds twice and would
    give other codes than the CPU; by a tensor they divide.
    """
    if x.is_cuda:
        return x / torch.full((), divisor, dtype=x.dtype, device=x.device)
    return x / divisor


def input_codes(
    x: torch.Tensor, scale: float, zero: int, bits: int, *, signed: bool = False
) -> torch.Tensor:
    """Codes of activations, shape of `x`: uint8; signed ones int8, with `bits` of magnitude."""
    low, dtype = (1 - 2**bits, torch.int8) if signed else (0, torch.uint8)
    return _divide(_computing(x), scale).round_().add_(zero).clamp_(low, 2**bits - 1).to(dtype)


def in_passes(codes: torch.Tensor) -> torch.Tensor:
    """Input codes as word-lines see them, uint8 (passes * B, ...): unsigned ones as they are.

    Of signed ones, int8 (B, ...), the magnitudes of the positive, then those of the negative.
    """
    if codes.dtype == torch.uint8:
        return codes
    # channels_last stays: windows over codes are read by their strides
    applied = torch.cat([codes.clamp(min=0), codes.clamp(max=0).neg_()])
    return applied.view(torch.uint8)


def dequantized_input(
    x: torch.Tensor, scale: float, zero: int, bits: int, *, signed: bool = False
) -> tuple[torch.Tensor, torch.Tensor]:
    """The values that the codes of `x` stand for, and where `x` was not clipped (bool)."""
    codes = _divide(_computing(x), scale).round_().add_(zero)
    clipped = codes.clamp(1 - 2**bits if signed else 0, 2**bits - 1)
    return (clipped - zero).mul_(scale).to(x.dtype), codes == clipped


def largest_code(bits: int) -> int:
    """The largest code of a weight; the smallest is its opposite."""
    found: int = 2 ** (bits - 1) - 1
    return found


def weight_scale(weight: torch.Tensor, bits: int) -> torch.Tensor:
    """Per-channel scale s_w, shape (N,): max |W[n]| / (2^(b-1) - 1), 1 for a channel of zeros."""
    scale = _divide(_computing(weight).abs().flatten(1).amax(1), largest_code(bits))
    return torch.where(scale > 0, scale, torch.ones_like(scale))


def weight_codes(weight: torch.Tensor, scale: torch.Tensor, bits: int) -> torch.Tensor:
    """Signed codes of weights: int8, shape of `weight`, symmetric about zero."""
    most = largest_code(bits)
    per_channel = scale.view(-1, *[1] * (weight.dim() - 1))
    return (_computing(weight) / per_channel).round_().clamp_(-most, most).to(torch.int8)


def dequantized_weight(weight: torch.Tensor, scale: torch.Tensor, bits: int) -> torch.Tensor:
    """The values that the codes of `weight` stand for."""
    codes = weight_codes(weight, scale, bits)
    return (codes * scale.view(-1, *[1] * (weight.dim() - 1))).to(weight.dtype)
