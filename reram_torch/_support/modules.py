"""Modules of a network: their mode, and their replacement."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn


def replace_modules(net: nn.Module, by_id: dict[int, nn.Module]) -> nn.Module:
    """Replaces modules, given by the id of the old one, under every name; returns the network."""
    for parent in list(net.modules()):
        for name, child in parent._modules.items():
            if id(child) in by_id:
                setattr(parent, name, by_id[id(child)])
    return by_id.get(id(net), net)


@contextmanager
def evaluating(net: nn.Module) -> Iterator[None]:
    """Eval mode for the block, each module's own mode afterwards."""
    modes = {module: module.training for module in net.modules()}
    net.eval()
    try:
        yield
    finally:
        for module, mode in modes.items():
            module.training = mode


def keep_note(net: nn.Module, name: str, value: object) -> None:
    """Keeps a plain value on a network: torch's types know of tensors and modules only."""
    setattr(net, name, value)
