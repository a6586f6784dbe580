"""Linear layers whose weights are (inputs, outputs) in the float network."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from reram_torch.config.sections import Config
from reram_torch.nn.carrying import carry_hooks
from reram_torch.nn.layers import ReRAMLinear
from reram_torch.nn.shells import Shell


class TransposedLinear(ReRAMLinear):
    """Hugging Face's Conv1D on simulated crossbars: y = x W + b.

    The weight is a copy, (outputs, inputs) as that of any `ReRAMLinear`; a float checkpoint, which
    knows no crossbars, is transposed as it is loaded. One is told by its metadata's version, where
    it lacks this layer's state, or by having neither.
    """

    _version = 2  # of a float layer: 1

    @classmethod
    def from_float(cls, layer: nn.Module, config: Config | None = None) -> TransposedLinear:
        """The crossbar layer of a float layer, with its hooks and a copy of its weight."""
        weight: Any = layer.weight
        bias: Any = layer.bias
        inputs, outputs = weight.shape
        made = cls(inputs, outputs, bias is not None, "meta", config=config)
        made.shell = Shell(layer)
        made.shell.lend(made)
        made.weight, made.bias = _turned(weight), bias
        carry_hooks(layer, made)
        return made

    def to_float(self) -> nn.Module:
        """The float layer, with a copy of the weight as it is now, and the hooks."""
        assert self.shell is not None  # it came from a float layer
        made = self.shell.filled(self)
        made.weight = _turned(self.weight)
        vars(made)["_parameters"]["bias"] = self.bias
        carry_hooks(self, made)
        return made

    def _load_from_state_dict(
        self, state_dict: dict[str, Any], prefix: str, metadata: dict[str, Any], *rest: Any
    ) -> None:
        weight = state_dict.get(prefix + "weight")
        own = prefix + "_extra_state" in state_dict or metadata.get("version") == self._version
        if weight is not None and not own and weight.dim() == 2:
            state_dict[prefix + "weight"] = weight.t()
        super()._load_from_state_dict(state_dict, prefix, metadata, *rest)


def _turned(weight: torch.Tensor) -> nn.Parameter:
    turned = weight.detach().t().clone(memory_format=torch.contiguous_format)
    return nn.Parameter(turned, requires_grad=weight.requires_grad)
