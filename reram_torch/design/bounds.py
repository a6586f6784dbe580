"""How far the ADCs in place are from the best that any comparator-based search could do."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from torch import nn

from reram_torch.calibration.encodings import entropy
from reram_torch.config.sections import SearchConfig
from reram_torch.design.layer_designer import LayerDesigner
from reram_torch.design.loads import layer_loads, slices_of
from reram_torch.nn.base import CrossbarLayer
from reram_torch.nn.networks import crossbar_layers
from reram_torch.nn.statistics import Statistics
from reram_torch.power.counts import BASELINE_COMPARISONS, baseline_conversions
from reram_torch.power.search_prices import COMPARISONS
from reram_torch.power.technology import load_technology

_FINEST = "cycle+slice+activity"
_HALVINGS = 30


@dataclass(frozen=True)
class Bound:
    """Comparisons per bit-line sum of one layer, or of all; those skipped count as none.

    Attributes:
        name: qualified name of the layer, or `total`.
        sums: bit-line sums of the calibration data.
        baseline: comparisons of the ISAAC baseline on the same data.
        made: comparisons of the ADCs in place.
        error: their squared error over the layer's signal (not of the total).
        entropy: of the sums, bits: no lossless search that knows nothing else needs fewer.
        given: the entropy given slice, cycle and activity bucket: nor does one that knows these.
        lossless: the best lossless trees by slice, cycle and activity; below `given` + 2.
        optimal: the best trees by slice, cycle and activity with at most the same error.
    """

    name: str
    sums: int
    baseline: float
    made: float
    error: float
    entropy: float
    given: float
    lossless: float
    optimal: float


def adc_bound(net: nn.Module) -> list[Bound]:
    """Entropies and optimal trees beside what the ADCs in place do, on the calibration histograms.

    Args:
        net: a converted network, calibrated in this session.

    Returns:
        One entry for each layer, and the total.

    Raises:
        RuntimeError: the network was not calibrated in this session.
        ValueError: some of its crossbars speculate.
    """
    tried = [n for n, m in crossbar_layers(net).items() if m.geometry.speculation]
    if tried:
        raise ValueError(
            "adc_bound knows no bound where sums are recovered, as with the crossbar.speculation "
            f"of {tried}"
        )
    found = [
        _layer_bound(name, layer, layer.statistics)
        for name, layer in crossbar_layers(net).items()
        if layer.statistics is not None
    ]
    if not found:
        raise RuntimeError("adc_bound needs histograms: run reram_torch.calibrate(net, batches)")
    sums = sum(b.sums for b in found)
    means = {
        key: sum(getattr(b, key) * b.sums for b in found) / sums
        for key in ("baseline", "made", "entropy", "given", "lossless", "optimal")
    }
    return [*found, Bound("total", sums, error=float("nan"), **means)]


def bound_table(bounds: list[Bound]) -> str:
    """The bounds as text, comparisons per bit-line sum."""
    head = ("layer", "in place", "optimal", "lossless", "H(S | all)", "H(S)", "error")
    rows = [
        (b.name, *(f"{x:.3f}" for x in (b.made, b.optimal, b.lossless, b.given, b.entropy)),
         "" if np.isnan(b.error) else f"{b.error:.1e}")
        for b in bounds
    ]  # fmt: skip
    wide = max(len(row[0]) for row in [head, *rows])
    lines = [
        f"{row[0]:{wide}}" + "".join(f"{cell:>12}" for cell in row[1:]) for row in [head, *rows]
    ]
    return "\n".join(lines)


def _layer_bound(name: str, layer: CrossbarLayer, statistics: Statistics) -> Bound:
    seen = statistics.by_activity.double().numpy()
    there = seen[:, :, slices_of(layer)]
    sums = float(there.sum())
    made, error = _in_place(layer, statistics, seen)
    # Error and comparisons are those of this layer alone: its price needs no sensitivity.
    config = SearchConfig("search_tree", _FINEST, lossless=True, objective="comparisons")
    search = LayerDesigner(layer, config, 1.0, COMPARISONS, load_technology("isaac").array)
    lossless = search.at(0.0).comparisons
    conversions = baseline_conversions(layer.depth, statistics.results)
    baseline = conversions * BASELINE_COMPARISONS
    driven = there[1:]  # the first bucket is that of no driven word-line
    return Bound(
        name, int(sums), baseline / sums, made / sums, error,
        entropy(there.sum((0, 1, 2))[None]) / sums,
        entropy(driven.reshape(-1, seen.shape[-1])) / sums, lossless / sums,
        _same_error(search, error, sums) / sums,
    )  # fmt: skip


def _in_place(
    layer: CrossbarLayer, statistics: Statistics, seen: np.ndarray
) -> tuple[float, float]:
    """Comparisons and relative squared error of the ADCs in use."""
    g, tables = layer.geometry, layer.tables()
    edges = np.array(statistics.edges)
    # A bucket of the histogram is converted as the fewest of its word-lines would be.
    bucket = np.searchsorted(tables.edges.cpu().numpy(), edges, "right") - 1
    index = tables.index.cpu().numpy()[bucket]  # (B, I, J)
    levels = tables.levels.cpu().numpy() / tables.unit
    made = tables.comparisons.cpu().numpy()
    weight = layer_loads(layer, _FINEST)
    values = np.arange(g.lowest, g.highest + 1)
    comparisons = error = 0.0
    for b, i, j in np.ndindex(index.shape):
        if index[b, i, j] < 0 or weight.index[b, i, j] < 0:
            if index[b, i, j] >= 0:  # sums of nothing, all zero
                comparisons += float(seen[b, i, j] @ made[index[b, i, j]])
            continue
        load = weight.loads[weight.index[b, i, j]]
        comparisons += float(load.counts @ made[index[b, i, j]])
        error += float(load.square @ (levels[index[b, i, j]] - values) ** 2.0)
    return comparisons, error


def _same_error(search: LayerDesigner, error: float, sums: float) -> float:
    """Comparisons of the cheapest optimal trees that err no more."""
    best = search.at(0.0).comparisons
    low, high = -60.0, 30.0  # log2 of the price of all sums
    for _ in range(_HALVINGS if error > 0 else 0):
        middle = (low + high) / 2
        found = search.at(2.0**middle / sums)
        if found.error <= error * (1 + 1e-9):
            low, best = middle, min(best, found.comparisons)
        else:
            high = middle
        if high - low < 0.05:
            break
    return best
