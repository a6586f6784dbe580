"""`ReRAMConv2dSame`: a convolution that pads an input by what its size asks for."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from reram_torch.nn.layers import ReRAMConv2d


class ReRAMConv2dSame(ReRAMConv2d):
    """timm's `Conv2dSame` on simulated crossbars: padded as TensorFlow's `SAME` is.

    An input of n pixels in a row gives n / stride outputs, rounded up; of an odd number of pixels
    of padding one more lies to the right, or below. `padding` is ignored, as timm's is.

    Shapes: input (B, in_channels, H, W) or (in_channels, H, W), output as timm's.
    """

    def _pads(self, x: torch.Tensor) -> list[int]:
        pads: list[int] = []
        for k in (1, 0):  # of a row, then of a column
            size, stride = x.shape[k - 2], self.stride[k]
            reach = (-(-size // stride) - 1) * stride + self._window((0, 0)).reach[k]
            missing = max(reach - size, 0)
            pads += [missing // 2, missing - missing // 2]
        return pads

    def float_forward(self, x: torch.Tensor) -> torch.Tensor:
        """What timm's own layer gives."""
        padded = F.pad(x, self._pads(x))
        return F.conv2d(padded, self.weight, self.bias, self.stride, 0, self.dilation, self.groups)
