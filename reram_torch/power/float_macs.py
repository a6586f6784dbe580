"""Multiply-accumulates of the layers that stay in float.

Counted by forward hooks from shapes alone, not by torch's FlopCounterMode: that one takes longer
than a small network (1.1 ms on LeNet-5's 0.9) and sees no LSTM, no Bilinear, no fused attention.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.nn.utils.rnn import PackedSequence
from torch.utils.hooks import RemovableHandle

from reram_torch.conversion.float_layers import (
    ATTENTIONS,
    float_layers,
    is_transposed_linear,
    mac_layers,
)
from reram_torch.nn.attention import ReRAMMultiheadAttention, macs_of_products
from reram_torch.nn.borrowed import ReRAMShiftedWindowAttention, macs_of_window_products

# What a hook sees: the layer, its arguments by position and by name, and what it gave.
Arguments = tuple[Any, ...]
Names = Mapping[str, Any]


@dataclass(frozen=True)
class FloatLayerReport:
    """What stays in float.

    Attributes:
        kind: the class of a layer; `parameter` of one that a module reads itself.
        weights: how many numbers its matrices hold.
        macs: multiply-accumulates of all inferences; None where they cannot be counted.
    """

    kind: str
    weights: int
    macs: int | None


def input_of(arguments: Arguments, names: Names) -> Any:
    """The first argument of a layer, however it was given."""
    return next(iter((*arguments, *names.values())), None)


def _sizes(*values: Any) -> list[int]:
    """How many numbers each argument holds.

    Raises:
        TypeError: one is no tensor.
    """
    tensors = [v.data if isinstance(v, PackedSequence) else v for v in values]
    if not all(isinstance(t, torch.Tensor) for t in tensors):
        raise TypeError("not a tensor")
    return [t.numel() for t in tensors]


def _operands(arguments: Arguments, names: Names) -> list[Any]:
    """Query, key and value of an attention."""
    order = ("query", "key", "value")
    given = dict(zip(order, arguments, strict=False)) | dict(names)
    return [given.get(name) for name in order]


def _products(layer: nn.MultiheadAttention, arguments: Arguments, names: Names) -> int:
    """Multiply-accumulates of queries by keys, and of scores by values."""
    query, key, value = _operands(arguments, names)
    _sizes(query, key, value)
    return macs_of_products(layer, query, key)


def _attention(layer: nn.MultiheadAttention, arguments: Arguments, names: Names) -> tuple[int, int]:
    """Multiply-accumulates of an attention but for the projection out of it, and of that."""
    query, key, value = _sizes(*_operands(arguments, names))
    products = _products(layer, arguments, names)
    return (query + key + value) * layer.embed_dim + products, query * layer.embed_dim


def macs_of(layer: nn.Module, arguments: Arguments, names: Names, output: Any) -> int:
    """Multiply-accumulates of a call of a layer.

    Raises:
        TypeError: the layer takes or gives something else than tensors, or its kind is unknown.
    """
    if isinstance(layer, ReRAMShiftedWindowAttention):
        _sizes(input_of(arguments, names))
        return macs_of_window_products(layer, input_of(arguments, names))
    if isinstance(layer, nn.RNNBase | nn.RNNCellBase):  # every weight once a step
        matrices = sum(p.numel() for p in layer.parameters(recurse=False) if p.dim() > 1)
        return _sizes(input_of(arguments, names))[0] // layer.input_size * matrices
    if isinstance(layer, nn.ConvTranspose1d | nn.ConvTranspose2d | nn.ConvTranspose3d):
        each = layer.out_channels // layer.groups * math.prod(layer.kernel_size)
        return _sizes(input_of(arguments, names))[0] * each
    if isinstance(layer, nn.Linear):
        each = layer.in_features
    elif isinstance(layer, nn.Conv1d | nn.Conv2d | nn.Conv3d):
        each = layer.in_channels // layer.groups * math.prod(layer.kernel_size)
    elif isinstance(layer, nn.Bilinear):
        each = layer.in1_features * layer.in2_features
    elif is_transposed_linear(layer) and isinstance(layer.weight, torch.Tensor):
        each = layer.weight.shape[0]
    else:
        raise TypeError(f"unknown kind {type(layer).__name__}")
    return _sizes(output)[0] * each


class FloatMacs:
    """Counts what the layers in float of a network multiply.

    Args:
        net: the network.
        called: is told of each call of such a layer, with its input, and says whether it counts.

    Attributes:
        counted: multiply-accumulates by layer; None where a call could not be counted.
    """

    def __init__(self, net: nn.Module, called: Callable[[nn.Module, Any], bool]):
        self._layers = float_layers(net)
        self._hooked = dict(mac_layers(net))
        self._called = called
        self._handles: list[RemovableHandle] = []
        # Looking a row of a table up multiplies nothing; what a module reads itself, nobody sees.
        lookups = (nn.Embedding, nn.EmbeddingBag)
        known = {n for n, m in net.named_modules() if n in self._hooked or isinstance(m, lookups)}
        self.counted: dict[str, int | None] = {
            name: 0 if name in known else None for name in self._layers
        }

    def start(self) -> None:
        """Counts from now on."""
        for name, layer in self._hooked.items():
            if isinstance(layer, ATTENTIONS):  # it sees the input before the layers in it do
                before = self._before
                self._handles.append(layer.register_forward_pre_hook(before, with_kwargs=True))
            hook = self._hook(name)
            self._handles.append(layer.register_forward_hook(hook, with_kwargs=True))

    def stop(self) -> None:
        """Counts no more."""
        while self._handles:
            self._handles.pop().remove()

    def _before(self, layer: nn.Module, arguments: Arguments, names: dict[str, Any]) -> None:
        self._called(layer, input_of(arguments, names))

    def _hook(self, name: str) -> Callable[[nn.Module, Arguments, dict[str, Any], Any], None]:
        def hook(
            layer: nn.Module, arguments: Arguments, names: dict[str, Any], output: Any
        ) -> None:
            if not self._called(layer, input_of(arguments, names)):
                return
            try:
                if isinstance(layer, ReRAMMultiheadAttention):
                    self._add(name, _products(layer, arguments, names))
                elif isinstance(layer, nn.MultiheadAttention):
                    into, out = _attention(layer, arguments, names)
                    self._add(name, into)
                    self._add(f"{name}.out_proj".removeprefix("."), out)
                else:
                    self._add(name, macs_of(layer, arguments, names, output))
            except TypeError:
                self._add(name, None)

        return hook

    def _add(self, name: str, macs: int | None) -> None:
        before = self.counted.get(name)
        self.counted[name] = None if before is None or macs is None else before + macs

    def clear(self) -> None:
        """Forgets what was counted."""
        for name, macs in self.counted.items():
            self.counted[name] = None if macs is None else 0

    def add(self, counted: Mapping[str, int | None]) -> None:
        """Adds what was counted elsewhere."""
        for name, macs in counted.items():
            if name in self.counted:
                self._add(name, macs)

    def reports(self) -> dict[str, FloatLayerReport]:
        """What stays in float, and what it did so far."""
        return {
            name: FloatLayerReport(layer.kind, layer.weights, self.counted[name])
            for name, layer in self._layers.items()
        }
