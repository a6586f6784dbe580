"""How the windows of a convolution lie on its input."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F


@dataclass(frozen=True)
class Window:
    """The windows of a convolution; of rows and of columns where there are two numbers.

    Attributes:
        kernel, stride, padding, dilation, groups: as for `torch.nn.Conv2d`.
    """

    kernel: tuple[int, int] = (1, 1)
    stride: tuple[int, int] = (1, 1)
    padding: tuple[int, int] = (0, 0)
    dilation: tuple[int, int] = (1, 1)
    groups: int = 1

    def as_list(self) -> list[int]:
        """The numbers in order, as operators take them."""
        return [*self.kernel, *self.stride, *self.padding, *self.dilation, self.groups]

    @classmethod
    def of_list(cls, numbers: list[int]) -> Window:
        """The inverse of `as_list`."""
        a, b, c, d, e, f, g, h, groups = numbers
        return cls((a, b), (c, d), (e, f), (g, h), groups)

    @property
    def reach(self) -> tuple[int, int]:
        """Rows and columns of the input that the dilated kernel covers."""
        (high, wide), (down, right) = self.kernel, self.dilation
        return down * (high - 1) + 1, right * (wide - 1) + 1

    def output_size(self, rows: int, columns: int) -> tuple[int, int]:
        """Rows and columns of the output for an input of this size; not positive: none fits."""
        padded = rows + 2 * self.padding[0], columns + 2 * self.padding[1]
        high, wide = (
            (size - reach) // step + 1
            for size, reach, step in zip(padded, self.reach, self.stride, strict=True)
        )
        return high, wide

    def over(self, u: torch.Tensor, zero: int) -> torch.Tensor:
        """The windows over input codes, as a view: no code is copied but for padding.

        Args:
            u: uint8 (B, C, H, W).
            zero: the code that padding holds.

        Returns:
            uint8 (B, OH, OW, G, C / G, kh, kw), overlapping.
        """
        B, C, H, W = u.shape
        size = self.output_size(H, W)
        if any(self.padding):
            above, left = self.padding
            u = F.pad(u, (left, left, above, above), value=zero)
        b, c, h, w = u.stride()
        (down, right), (dh, dw), groups = self.stride, self.dilation, self.groups
        return u.as_strided(
            (B, *size, groups, C // groups, *self.kernel),
            (b, h * down, w * right, c * (C // groups), c, h * dh, w * dw),
        )
