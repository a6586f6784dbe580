"""The crossbar layers of a network."""

from __future__ import annotations

from torch import nn

from reram_torch.nn.base import CrossbarLayer


def crossbar_layers(net: nn.Module) -> dict[str, CrossbarLayer]:
    """The crossbar layers of a network by qualified name; a shared one once.

    Raises:
        ValueError: there is none.
    """
    found = {name: m for name, m in net.named_modules() if isinstance(m, CrossbarLayer)}
    if not found:
        raise ValueError("no crossbar layers in this network: run reram_torch.convert first")
    return found
