"""The crossbar layers of a network."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from torch import nn

from reram_torch.nn.base import CrossbarLayer
from reram_torch.nn.statistics import Statistics


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


def histograms_of(layers: dict[str, CrossbarLayer], what: str) -> dict[str, Statistics]:
    """What calibration saw of the layers that have an input range, by name.

    Args:
        layers: of a network.
        what: needs them, in the error.

    Raises:
        RuntimeError: one of these layers has no histogram, or there is none of them.
    """
    used = {name: layer for name, layer in layers.items() if layer.input_range is not None}
    seen = {n: layer.statistics for n, layer in used.items() if layer.statistics is not None}
    missing = [name for name in used if name not in seen]
    if missing or not used:
        raise RuntimeError(
            f"{what} needs bit-line histograms: run reram_torch.calibrate(net, batches) "
            f"first (missing for {missing or list(layers)})"
        )
    return seen
