"""What of a network is not on crossbars: layers and parameters that stay in float."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import nn
from torch.nn.parameter import is_lazy

from reram_torch.nn.attention import ReRAMMultiheadAttention
from reram_torch.nn.base import CrossbarLayer
from reram_torch.nn.borrowed import ReRAMBorrowedAttention

# Layers that are named as a whole; of others, each parameter is.
LAYER_KINDS = (
    nn.Linear, nn.Bilinear, nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.ConvTranspose1d,
    nn.ConvTranspose2d, nn.ConvTranspose3d, nn.RNNBase, nn.RNNCellBase, nn.MultiheadAttention,
    nn.Embedding, nn.EmbeddingBag,
)  # fmt: skip
# Their weights may have two dimensions, and multiply element by element.
_NORMS = nn.LayerNorm, nn.RMSNorm
_OTHER_KIND = "convert takes Conv1d, Conv2d, Linear, MultiheadAttention, transformers' Conv1D"
_PRODUCTS = "products of two activations: queries by keys, scores by values"
# Modules whose projections are on crossbars, and which multiply what these give.
ATTENTIONS = ReRAMMultiheadAttention, ReRAMBorrowedAttention
# What networks call the number of heads in an attention of their own.
_HEADS = "num_heads", "num_attention_heads", "n_heads", "n_head"


@dataclass(frozen=True)
class FloatLayer:
    """What stays in float: a layer, the products of an attention, a parameter outside any layer.

    Attributes:
        kind: the class of the layer; `parameter` of one that its module reads itself.
        weights: how many of its own numbers lie in parameters of two dimensions or more; each is
            counted once, and those that a layer on crossbars shares are not.
        reason: why it is not on crossbars.
    """

    kind: str
    weights: int
    reason: str


def is_matrix(parameter: torch.Tensor) -> bool:
    """Whether a parameter holds weights: two dimensions or more, or not known yet."""
    return is_lazy(parameter) or parameter.dim() >= 2


def is_layer(module: nn.Module) -> bool:
    """Whether a module in float is named as a whole."""
    return isinstance(module, LAYER_KINDS) or is_transposed_linear(module)


def is_transposed_linear(module: nn.Module) -> bool:
    """Whether a module is Hugging Face's Conv1D, linear with a weight (inputs, outputs)."""
    if type(module).__name__ != "Conv1D":
        return False
    weight = getattr(module, "weight", None)
    return isinstance(weight, torch.Tensor) and not is_lazy(weight) and weight.dim() == 2


def multiplies_activations(module: nn.Module) -> bool:
    """Whether a module is an attention with projections on crossbars, by all that one can see."""
    if isinstance(module, ATTENTIONS):
        return True
    heads = any(isinstance(vars(module).get(name), int) for name in _HEADS)
    projections = (
        isinstance(m, CrossbarLayer) and isinstance(m, nn.Linear) for m in module.children()
    )
    return heads and any(projections)


def weights_on_crossbars(net: nn.Module) -> int:
    """Weights of the crossbar layers, a shared one once."""
    held = {id(m.weight): m.weight for m in net.modules() if isinstance(m, CrossbarLayer)}
    return sum(weight.numel() for weight in held.values())


def float_layers(net: nn.Module, reasons: Mapping[str, str] | None = None) -> dict[str, FloatLayer]:
    """What of a network stays in float, by qualified name.

    Args:
        net: the network, with crossbar layers.
        reasons: why layers are not on crossbars, by name, where that is known.
    """
    reasons = reasons or {}
    crossbars = (m.weight for m in net.modules() if isinstance(m, CrossbarLayer))
    seen: dict[int, torch.Tensor] = {id(weight): weight for weight in crossbars}
    found: dict[str, FloatLayer] = {}
    parametrized: set[str] = set()  # what computes a weight that is named with its layer
    for name, module in net.named_modules():
        if isinstance(module, CrossbarLayer):
            parametrized.add(f"{name}.parametrizations.weight".removeprefix("."))
        if isinstance(module, (CrossbarLayer, *_NORMS)) or name in parametrized:
            continue
        if multiplies_activations(module):
            found[name] = FloatLayer(type(module).__name__, 0, _PRODUCTS)
        elif is_layer(module):
            parametrized.add(f"{name}.parametrizations.weight".removeprefix("."))
            numbers = _own(_weights_of(module), seen)
            if numbers or not isinstance(module, nn.Embedding | nn.EmbeddingBag):
                why = reasons.get(name, _OTHER_KIND)
                found[name] = FloatLayer(type(module).__name__, numbers, why)
            continue
        why = f"{type(module).__name__} reads it itself"
        for key, parameter in module.named_parameters(recurse=False):
            if is_matrix(parameter) and (numbers := _own([parameter], seen)):
                path = f"{name}.{key}" if name else key
                found[path] = FloatLayer("parameter", numbers, why)
    return found


def _own(parameters: list[torch.Tensor], seen: dict[int, torch.Tensor]) -> int:
    """How many numbers parameters hold that were not seen yet; they are now."""
    fresh = {id(p): p for p in parameters if id(p) not in seen}
    seen.update(fresh)
    return sum(0 if is_lazy(p) else p.numel() for p in fresh.values())


def _weights_of(module: nn.Module) -> list[torch.Tensor]:
    """The weights of a layer; one that is computed from others (a parametrization) as it is."""
    weight = getattr(module, "weight", None)
    if isinstance(weight, torch.Tensor) and "weight" not in module._parameters:
        return [weight]
    return [p for p in module.parameters(recurse=False) if is_matrix(p)]


def mac_layers(net: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """The layers in float that multiply when they are called, with their names."""
    for name, module in net.named_modules():
        silent = isinstance(module, CrossbarLayer | nn.Embedding | nn.EmbeddingBag)
        if isinstance(module, ATTENTIONS) or (is_layer(module) and not silent):
            yield name, module
