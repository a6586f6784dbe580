"""Modules that hand the weights of their layers to a function, past the layers' forward."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from reram_torch.nn.base import CrossbarLayer
from reram_torch.nn.carrying import carry_hooks
from reram_torch.nn.shells import Shell


class _Stand:
    """Stands for a layer's weight: multiplying by it calls the layer."""

    def __init__(self, layer: CrossbarLayer):
        self._layer = layer

    @classmethod
    def __torch_function__(
        cls,
        function: Any,
        _: Any,
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> torch.Tensor:
        if function is not F.linear:
            raise TypeError(f"{function} reads a weight that lies on crossbars; F.linear may")
        return _linear(*args, **(kwargs or {}))


def _linear(input: torch.Tensor, weight: _Stand, bias: torch.Tensor | None = None) -> torch.Tensor:
    """The layer's output, with another bias where it is given one."""
    layer = weight._layer
    y: torch.Tensor = layer(input)
    if bias is layer.bias:
        return y
    own = 0 if layer.bias is None else layer.bias
    return y + ((0 if bias is None else bias) - own)


class _Layer:
    """A layer as the function's caller sees it."""

    def __init__(self, layer: CrossbarLayer):
        self._layer = layer
        self.weight, self.bias = _Stand(layer), layer.bias

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        y: torch.Tensor = self._layer(x)
        return y


class _View:
    """A module whose layers' weights call the layers."""

    def __init__(self, module: ReRAMBorrowedAttention):
        self._module = module

    def __getattr__(self, name: str) -> Any:
        module = self._module
        method = getattr(module.kind, name, None)
        if callable(method):
            return method.__get__(self)
        value = getattr(module, name)
        return _Layer(value) if name in LENT and isinstance(value, CrossbarLayer) else value


# Layers of these attentions that a function multiplies by.
LENT = "qkv", "proj"


class ReRAMBorrowedAttention(nn.Module):
    """An attention of another library that multiplies by its layers' weights, on crossbars.

    The original's own forward runs, and calls the layers where it would multiply by their weights.
    Scores, and their product with the values, stay in float.

    Shapes: input and output as the original's.
    """

    def __init__(self, attention: nn.Module):
        super().__init__()
        self.shell = Shell(attention)
        self.shell.lend(self)
        _move(attention, self)

    @property
    def kind(self) -> type[nn.Module]:
        """The original's class."""
        return self.shell.kind

    def forward(self, *args: Any, **kwargs: Any) -> torch.Tensor:
        """What the original gives, its projections computed by the crossbar layers."""
        y: torch.Tensor = self.kind.forward(_View(self), *args, **kwargs)
        return y

    def to_float(self) -> nn.Module:
        """The original, with parameters, layers and hooks as they are now."""
        made = self.shell.filled(self)
        _move(self, made)
        return made


class ReRAMShiftedWindowAttention(ReRAMBorrowedAttention):
    """torchvision's `ShiftedWindowAttention`, of either version, with its layers on crossbars.

    Shapes: input and output (B, H, W, C).
    """

    window_size: list[int]


def _move(source: nn.Module, target: nn.Module) -> None:
    for name in ("_parameters", "_buffers", "_modules"):
        getattr(target, name).update(getattr(source, name))
    target._non_persistent_buffers_set = set(source._non_persistent_buffers_set)
    carry_hooks(source, target)


def macs_of_window_products(layer: ReRAMShiftedWindowAttention, x: torch.Tensor) -> int:
    """Multiply-accumulates of queries by keys, and of scores by values, in windows."""
    B, H, W, C = x.shape
    high, wide = layer.window_size
    tokens = high * wide
    return 2 * B * math.ceil(H / high) * math.ceil(W / wide) * tokens * tokens * C
