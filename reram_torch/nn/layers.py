"""`ReRAMLinear` and `ReRAMConv2d`: torch's layers, computed on simulated crossbars."""

from __future__ import annotations

from functools import lru_cache
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import nn

from reram_torch.config.sections import Config
from reram_torch.crossbar.windows import Window
from reram_torch.nn.base import CrossbarLayer


# torch declares that a Linear has a bias, which may be None.
class ReRAMLinear(CrossbarLayer, nn.Linear):  # type: ignore[misc]
    """`torch.nn.Linear` on simulated crossbars.

    Args:
        in_features, out_features, bias, device, dtype: as for `torch.nn.Linear`.
        config: the arrays, codes and ADC; `Config()`, the ISAAC baseline, if not given.

    Shapes: input (*, in_features), output (*, out_features), any leading dimensions.
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        bias: bool = True,
        device: Any = None,
        dtype: torch.dtype | None = None,
        *,
        config: Config | None = None,
    ):
        nn.Linear.__init__(self, in_features, out_features, bias, device=device, dtype=dtype)
        self._setup(config)

    @classmethod
    def from_float(cls, layer: nn.Linear, config: Config | None = None) -> ReRAMLinear:
        """The crossbar layer of a float layer, sharing its parameters and hooks."""
        made = cls(
            layer.in_features, layer.out_features, layer.bias is not None, "meta", config=config
        )
        made._came_from(layer)
        return made

    def _float_layer(self) -> nn.Linear:
        return nn.Linear(self.in_features, self.out_features, self.bias is not None, "meta")

    def check_input(self, x: torch.Tensor) -> None:
        """Raises TypeError or ValueError unless the layer can take an input."""
        super().check_input(x)
        if x.dim() == 0 or x.shape[-1] != self.in_features:
            raise ValueError(f"input must have shape (*, {self.in_features}), not {tuple(x.shape)}")

    def windowed(self, x: torch.Tensor) -> tuple[torch.Tensor, Window | None]:
        """The input itself: there are no windows."""
        return x, None

    def float_forward(self, x: torch.Tensor) -> torch.Tensor:
        """What torch's own layer gives."""
        return F.linear(x, self.weight, self.bias)


class ReRAMConv2d(CrossbarLayer, nn.Conv2d):
    """`torch.nn.Conv2d` on simulated crossbars; each group is mapped separately.

    Args:
        in_channels ... dtype: as for `torch.nn.Conv2d`.
        config: the arrays, codes and ADC; `Config()`, the ISAAC baseline, if not given.

    Shapes: input (B, in_channels, H, W) or (in_channels, H, W), output as torch's.
    """

    kernel_size: tuple[int, int]
    stride: tuple[int, int]
    dilation: tuple[int, int]
    channels_first = True

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int | tuple[int, int],
        stride: int | tuple[int, int] = 1,
        padding: str | int | tuple[int, int] = 0,
        dilation: int | tuple[int, int] = 1,
        groups: int = 1,
        bias: bool = True,
        padding_mode: Literal["zeros", "reflect", "replicate", "circular"] = "zeros",
        device: Any = None,
        dtype: torch.dtype | None = None,
        *,
        config: Config | None = None,
    ):
        nn.Conv2d.__init__(
            self, in_channels, out_channels, kernel_size, stride, padding, dilation, groups,
            bias, padding_mode, device, dtype,
        )  # fmt: skip
        self._setup(config)

    @classmethod
    def from_float(cls, layer: nn.Conv2d, config: Config | None = None) -> ReRAMConv2d:
        """The crossbar layer of a float layer, sharing its parameters and hooks."""
        made = cls(**_conv_args(layer), device="meta", config=config)
        made._came_from(layer)
        return made

    def _float_layer(self) -> nn.Conv2d:
        return nn.Conv2d(**_conv_args(self), device="meta")

    def check_input(self, x: torch.Tensor) -> None:
        """Raises TypeError or ValueError unless the layer can take an input."""
        super().check_input(x)
        if x.dim() not in (3, 4) or x.shape[-3] != self.in_channels:
            raise ValueError(
                f"input must have shape (B, {self.in_channels}, H, W) or "
                f"({self.in_channels}, H, W), not {tuple(x.shape)}"
            )
        left, right, above, below = self._pads(x)
        size = x.shape[-2] + above + below, x.shape[-1] + left + right
        reach = self._window((0, 0)).reach
        if size[0] < reach[0] or size[1] < reach[1]:
            raise ValueError(
                f"input of {x.shape[-2]} x {x.shape[-1]} pixels, padded to {size[0]} x {size[1]}, "
                f"is smaller than the dilated kernel of {reach[0]} x {reach[1]}"
            )

    def _pads(self, x: torch.Tensor) -> list[int]:
        """Pixels to the left, to the right, above and below that an input is padded with."""
        return self._reversed_padding_repeated_twice

    def _window(self, padding: tuple[int, int]) -> Window:
        return _window(self.kernel_size, self.stride, padding, self.dilation, self.groups)

    def windowed(self, x: torch.Tensor) -> tuple[torch.Tensor, Window | None]:
        """A batch with such padding as the operator cannot do itself, and windows with the rest."""
        x = x if x.dim() == 4 else x.unsqueeze(0)
        pads = self._pads(x)
        if self.padding_mode != "zeros":
            return F.pad(x, pads, mode=self.padding_mode), self._window((0, 0))
        if pads[0] == pads[1] and pads[2] == pads[3]:
            return x, self._window((pads[2], pads[0]))
        return F.pad(x, pads), self._window((0, 0))  # 'same' with an even kernel

    def float_forward(self, x: torch.Tensor) -> torch.Tensor:
        """What torch's own layer gives."""
        y: torch.Tensor = self._conv_forward(x, self.weight, self.bias)
        return y


@lru_cache(maxsize=1024)
def _window(
    kernel: tuple[int, int],
    stride: tuple[int, int],
    padding: tuple[int, int],
    dilation: tuple[int, int],
    groups: int,
) -> Window:
    """Windows that are made once, since every call asks for them."""
    return Window(kernel, stride, padding, dilation, groups)


def _conv_args(layer: nn.Conv2d) -> dict[str, Any]:
    names = ("in_channels", "out_channels", "kernel_size", "stride", "padding", "dilation",
             "groups", "padding_mode")  # fmt: skip
    return {**{name: getattr(layer, name) for name in names}, "bias": layer.bias is not None}
