"""The windows of a convolution over input codes."""

from __future__ import annotations

import torch
import torch.nn.functional as F


def windows(
    u: torch.Tensor,
    kernel: tuple[int, int],
    stride: list[int],
    padding: list[int],
    dilation: list[int],
    groups: int,
    zero: int,
) -> torch.Tensor:
    """The windows of a convolution over input codes, as a view: no code is copied but for padding.

    Args:
        u: uint8 (B, C, H, W).
        kernel: kh, kw.
        stride: of the convolution.
        padding: likewise.
        dilation: likewise.
        groups: likewise.
        zero: the code that padding holds.

    Returns:
        uint8 (B, OH, OW, G, C / G, kh, kw), overlapping.
    """
    if any(padding):
        u = F.pad(u, (padding[1], padding[1], padding[0], padding[0]), value=zero)
    B, C, H, W = u.shape
    OH, OW = (
        (size - d * (k - 1) - 1) // s + 1
        for size, k, s, d in zip((H, W), kernel, stride, dilation, strict=True)
    )
    b, c, h, w = u.stride()
    return u.as_strided(
        (B, OH, OW, groups, C // groups, *kernel),
        (b, h * stride[0], w * stride[1], c * (C // groups), c, h * dilation[0], w * dilation[1]),
    )
