"""Which input encoding is the cheaper for a layer."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np

from reram_torch.calibration.calls import Call
from reram_torch.calibration.histograms import BitLineWatcher
from reram_torch.config.sections import AUTO, INPUT_ENCODINGS
from reram_torch.crossbar.tables import lossless_adc
from reram_torch.nn.base import CrossbarLayer

ITEMS = 32  # of the calibration data, which are enough to tell encodings apart
# Signed codes of a range of one side only are twice as coarse as affine ones.
COARSER = 1.5

Spans = dict[str, tuple[float, float]]  # of a layer's inputs, by encoding


def entropy(histograms: np.ndarray) -> float:
    """Bits that it takes to tell all values apart, each row knowing its own distribution."""
    total = histograms.sum(1, keepdims=True)
    share = np.divide(histograms, total, out=np.ones_like(histograms), where=histograms > 0)
    return float(-(histograms * np.log2(share)).sum())


def left_open(layers: Iterable[CrossbarLayer]) -> list[CrossbarLayer]:
    """The layers whose encoding is for calibration to choose."""
    return [
        layer
        for layer in layers
        if layer.config.inputs.encoding == AUTO and (layer.input_range or (0.0,))[0] < 0
    ]


def first_items(calls: list[Call]) -> list[Call]:
    """The first calls that hold `ITEMS`, or all."""
    seen = np.cumsum([len(call) for call in calls])
    return calls[: int(np.searchsorted(seen, ITEMS)) + 1]


def choose_encodings(
    spans: dict[CrossbarLayer, Spans], sweep: Callable[[dict[CrossbarLayer, BitLineWatcher]], None]
) -> None:
    """Gives each layer the encoding with which a lossless search needs fewer comparisons.

    Compared are the entropies of the bit-line sums given slice, cycle and activity, on the same
    inputs: no lossless search that knows these makes fewer comparisons. Sign-magnitude codes whose
    step is more than `COARSER` times that of the affine ones are not looked at.

    Args:
        spans: of the layers whose encoding is open, the ranges by encoding.
        sweep: runs the network under watchers.
    """
    designed = {layer: layer.bank.snapshot() for layer in spans}
    for layer in spans:
        layer.set_adc([lossless_adc(layer.geometry)])  # what is designed may not fit other cycles
    found: dict[str, dict[CrossbarLayer, float]] = {}
    steps: dict[str, dict[CrossbarLayer, float]] = {}
    for encoding in INPUT_ENCODINGS:
        for layer, span in spans.items():
            layer.set_input_range(*span[encoding], encoding)
        watchers = {layer: BitLineWatcher(layer) for layer in spans}
        sweep(watchers)
        found[encoding] = {layer: _bits(watcher) for layer, watcher in watchers.items()}
        steps[encoding] = {layer: layer.input_scale.scale for layer in spans}
    affine, signed = INPUT_ENCODINGS
    for layer, span in spans.items():
        fine = steps[signed][layer] <= COARSER * steps[affine][layer]
        fewer = found[signed][layer] < found[affine][layer]
        chosen = signed if fine and fewer else affine
        before = designed[layer]
        encoding = signed if before.geometry.signed_inputs else affine
        layer.set_input_range(*span[encoding], encoding)
        layer.bank.restore(before)
        layer.set_input_range(*span[chosen], chosen)


def _bits(watcher: BitLineWatcher) -> float:
    if watcher.statistics is None:
        return 0.0  # it saw nothing
    cycles = watcher.tables.index.shape[1] - watcher.recoveries
    driven = watcher.statistics.by_activity[1:, :cycles].double().numpy()
    return entropy(driven.reshape(-1, driven.shape[-1]))
