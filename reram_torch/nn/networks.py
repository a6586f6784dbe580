"""The crossbar layers of a network."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

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


@contextmanager
def unchanged_on_error(layers: Iterable[CrossbarLayer]) -> Iterator[None]:
    """Leaves calibration and ADCs of layers exactly as they were if the block raises."""
    back = [layer.snapshot() for layer in layers]
    try:
        yield
    except BaseException:
        for put_back in back:
            put_back()
        raise
