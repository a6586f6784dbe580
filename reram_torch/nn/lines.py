"""`ReRAMConv1d`: a convolution along a line, which is one over an image one pixel high."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from reram_torch.config.sections import Config
from reram_torch.nn.carrying import carry_hooks
from reram_torch.nn.layers import ReRAMConv2d
from reram_torch.nn.shells import Shell


class ReRAMConv1d(nn.Module):
    """`torch.nn.Conv1d` on simulated crossbars, as the `ReRAMConv2d` that it holds.

    The weight is a copy, (out_channels, in_channels / groups, 1, kernel_size). Checkpoints of the
    float layer are given that shape as they are loaded.

    Shapes: input (B, in_channels, L) or (in_channels, L), output as torch's.
    """

    def __init__(self, layer: nn.Conv1d, config: Config | None = None):
        super().__init__()
        self.shell = Shell(layer)
        padding: Any = layer.padding if isinstance(layer.padding, str) else (0, *layer.padding)
        self.conv = ReRAMConv2d(
            layer.in_channels, layer.out_channels, (1, layer.kernel_size[0]), (1, layer.stride[0]),
            padding, (1, layer.dilation[0]), layer.groups, layer.bias is not None,
            layer.padding_mode, "meta", config=config,
        )  # fmt: skip
        self.conv.weight, self.conv.bias = _copied(layer.weight.unsqueeze(2)), layer.bias
        self.conv.train(layer.training)
        carry_hooks(layer, self)
        self.shell.lend(self)

    def to_float(self) -> nn.Module:
        """The float layer, with a copy of the weight as it is now, and the hooks."""
        made = self.shell.filled(self)
        made.weight = _copied(self.conv.weight.squeeze(2))
        vars(made)["_parameters"]["bias"] = self.conv.bias
        carry_hooks(self, made)
        return made

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        """The layer on crossbars.

        Raises:
            ValueError: `input` has the wrong shape.
        """
        x = input
        channels = self.conv.in_channels
        if not isinstance(x, torch.Tensor) or x.dim() not in (2, 3) or x.shape[-2] != channels:
            shape = tuple(x.shape) if isinstance(x, torch.Tensor) else type(x).__name__
            raise ValueError(
                f"input must have shape (B, {channels}, L) or ({channels}, L), not {shape}"
            )
        y: torch.Tensor = self.conv(x.unsqueeze(-2))
        return y.squeeze(-2)

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *rest: Any) -> None:
        for name in ("weight", "bias"):
            if prefix + name in state_dict:
                value = state_dict.pop(prefix + name)
                state_dict[f"{prefix}conv.{name}"] = (
                    value.unsqueeze(2) if name == "weight" else value
                )
        super()._load_from_state_dict(state_dict, prefix, *rest)


def _copied(weight: torch.Tensor) -> nn.Parameter:
    return nn.Parameter(weight.detach().clone(), requires_grad=weight.requires_grad)
