"""Folding of batch norms into the convolutions that they follow."""

from __future__ import annotations

from collections import Counter
from typing import Any, NamedTuple

import torch
from torch import fx, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.utils.fusion import fuse_conv_bn_weights

from reram_torch._support.lasting import lasting
from reram_torch._support.modules import replace_modules

_NORMS = nn.BatchNorm2d, nn.SyncBatchNorm  # the same in eval mode


class Fold(NamedTuple):
    """Convolutions with the batch norm they took in; batch norms that stayed, with the reason."""

    folded: dict[str, str]
    not_folded: dict[str, str]


class _Tracer(fx.Tracer):
    """Traces through containers only: whatever torch defines is a leaf."""

    def is_leaf_module(self, module: nn.Module, name: str) -> bool:
        return isinstance(module, nn.Conv2d | nn.Linear | _BatchNorm) or super().is_leaf_module(
            module, name
        )


def fold_batch_norms(net: nn.Module, convolutions: list[str]) -> Fold:
    """Folds, in place, each batch norm that directly and solely follows a named convolution.

    Args:
        net: the network, in eval mode.
        convolutions: qualified names of the layers on crossbars; batch norms after those that are
            no Conv2d stay, with the reason.

    Raises:
        ValueError: the network is in training mode, or torch.fx cannot trace it.
    """
    if net.training:
        raise ValueError("fold_bn needs a network in eval mode: call model.eval() first")
    try:
        graph = _Tracer().trace(net)
    except Exception as error:
        raise ValueError(
            f"fold_bn needs a network that torch.fx can trace ({error}); convert without it"
        ) from error
    modules = dict(net.named_modules(remove_duplicate=False))
    calls = Counter(id(modules[n.target]) for n in graph.nodes if n.op == "call_module")
    owners = Counter(id(p) for m in set(modules.values()) for p in m.parameters(recurse=False))
    read = {id(p) for p in _read_parameters(graph, net)}
    allowed = {id(modules[name]) for name in convolutions}
    folded: dict[str, str] = {}
    not_folded: dict[str, str] = {}
    for node in graph.nodes:
        if node.op != "call_module" or not isinstance(modules[node.target], _BatchNorm):
            continue
        source = node.args[0] if node.args else None
        if not (isinstance(source, fx.Node) and source.op == "call_module"):
            continue
        conv, norm = modules[source.target], modules[node.target]
        if id(conv) not in allowed:
            continue
        if not isinstance(conv, nn.Conv2d):
            not_folded[str(node.target)] = (
                f"{source.target} is linear, and the norm is over dimension 1, which need not be "
                "that of its outputs"
            )
            continue
        parameters = {id(p) for m in (conv, norm) for p in m.parameters(recurse=False)}
        why = _why_not(source, conv, norm, calls)
        if any(owners[p] > 1 for p in parameters):
            why = why or "a parameter is shared with another layer"
        if parameters & read:
            why = why or "a parameter is read elsewhere in the graph"
        if why:
            not_folded[str(node.target)] = why
            continue
        _fold(conv, norm)
        replace_modules(net, {id(norm): nn.Identity()})
        folded[str(source.target)] = str(node.target)
    return Fold(folded, not_folded)


def _fold(conv: nn.Conv2d, norm: _BatchNorm) -> None:
    assert norm.running_mean is not None  # `_why_not` has looked
    assert norm.running_var is not None
    biases = [bias for bias in (conv.bias, norm.bias) if bias is not None] or [conv.weight]
    trains = any(bias.requires_grad for bias in biases)  # torch's own would be that of no bias
    with lasting():
        conv.weight, conv.bias = fuse_conv_bn_weights(
            conv.weight, conv.bias, norm.running_mean, norm.running_var, norm.eps,
            norm.weight, norm.bias,
        )  # fmt: skip
    conv.bias.requires_grad_(trains)


def _read_parameters(graph: fx.Graph, net: nn.Module) -> list[torch.Tensor]:
    """Parameters that the graph reads directly rather than through their layer."""
    found: list[torch.Tensor] = []
    for node in graph.nodes:
        if node.op == "get_attr":
            value: Any = net
            for part in node.target.split("."):
                value = getattr(value, part)
            found.append(value)
    return found


def _why_not(source: fx.Node, conv: nn.Conv2d, norm: _BatchNorm, calls: Counter[int]) -> str | None:
    if len(source.users) > 1:
        return f"the output of {source.target} is used elsewhere too"
    if calls[id(conv)] > 1:
        return f"{source.target} is called {calls[id(conv)]} times"
    if calls[id(norm)] > 1:
        return f"it is called {calls[id(norm)]} times"
    if type(norm) not in _NORMS:
        return f"it is a subclass, {type(norm).__name__}"
    if norm.running_mean is None:
        return "it keeps no running statistics"
    if norm.training:
        return "it is in training mode"
    if "forward" in vars(norm):
        return "its forward is replaced on the instance"
    if conv._forward_hooks or norm._forward_hooks or norm._forward_pre_hooks:
        return "a hook reads what lies between them"
    return None
