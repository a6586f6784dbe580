"""Masks of multi-head attention, as torch takes them."""

from __future__ import annotations

import torch
import torch.nn.functional as F


def merged_mask(
    attn_mask: torch.Tensor | None,
    key_padding_mask: torch.Tensor | None,
    numbers: tuple[int, int, int, int],
    batched: bool,
    added: int,
    dtype: torch.dtype,
) -> torch.Tensor | None:
    """What is added to the scores (B, heads, L, S + added), or None.

    Args:
        attn_mask: (L, S) or (B * heads, L, S).
        key_padding_mask: (B, S), or (S,) of an input without a batch.
        numbers: B, heads, L and S.
        batched: whether the input has a batch.
        added: keys at the end that every query may look at.
        dtype: the type of the scores.

    Raises:
        TypeError: a mask is neither boolean nor floating-point.
        ValueError: a mask has a wrong shape.
    """
    B, heads, L, S = numbers
    mask = None
    if attn_mask is not None:
        _check(attn_mask, "attn_mask", ((L, S), (B * heads, L, S)))
        mask = _additive(attn_mask, dtype)
        mask = mask.view(1, 1, L, S) if mask.dim() == 2 else mask.reshape(B, heads, L, S)
    if key_padding_mask is not None:
        _check(key_padding_mask, "key_padding_mask", ((B, S) if batched else (S,),))
        padding = _additive(key_padding_mask, dtype).reshape(B, 1, 1, S)
        mask = padding if mask is None else mask + padding
    return mask if mask is None else F.pad(mask, (0, added))


def _check(mask: torch.Tensor, name: str, shapes: tuple[tuple[int, ...], ...]) -> None:
    if mask.dtype != torch.bool and not mask.is_floating_point():
        raise TypeError(f"{name} must be boolean or floating-point, not {mask.dtype}")
    if tuple(mask.shape) not in shapes:
        may = " or ".join(map(str, shapes))
        raise ValueError(f"{name} must have shape {may}, not {tuple(mask.shape)}")


def _additive(mask: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """A boolean mask forbids where it is true."""
    if mask.dtype != torch.bool:
        return mask
    return torch.zeros_like(mask, dtype=dtype).masked_fill_(mask, -torch.inf)
