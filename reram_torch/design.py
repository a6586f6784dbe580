"""`design_adc`: one budget of A/D operations, shared out over all layers of a network."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from reram_torch import backends
from reram_torch.adc import AdcDesign
from reram_torch.calibrate import Calibration, collect, evaluating, lossless_adc
from reram_torch.config import SearchConfig
from reram_torch.convert import crossbar_layers
from reram_torch.crossbar_layer import CrossbarLayer
from reram_torch.layer_search import LayerSearch
from reram_torch.power import BASELINE_COMPARISONS, baseline_conversions
from reram_torch.progress import progress
from reram_torch.sensitivity import fold_mean_errors, layer_sensitivities

_BISECTIONS = 12
_PRICES = -40.0, 30.0  # log2 of the price of all comparisons of the baseline
_FIRST_PRICE, _TRIALS = -3.0, 40


@dataclass(frozen=True)
class AdcSearch:
    """What `design_adc` found.

    Attributes:
        reduction: A/D operations saved over the ISAAC baseline, on the calibration histograms.
        drop: top-1 lost on the calibration data against lossless crossbars, or None if it was not
            measured; without targets, the share of predictions that changed.
        designs: the ADCs of each layer, by qualified name.
    """

    reduction: float
    drop: float | None
    designs: dict[str, tuple[AdcDesign, ...]]


def design_adc(
    net: nn.Module,
    design: str,
    *,
    reduction: float | None = None,
    max_drop: float | None = None,
    lossless: bool = False,
    granularity: str = "slice",
    leaves: int | None = None,
    depth: int | None = None,
    grid: int = 1,
    batches: Iterable | None = None,
    seed: int = 0,
    show_progress: bool = True,
) -> AdcSearch:
    """Chooses the ADCs of every layer under one budget, and puts them in place.

    Each layer's error is that of its bit-line sums, weighed by their significance squared
    (4^(i * dac_bits + j * cell_bits)), measured against the mean square of the layer's results, and
    weighed by what noise in this layer does to the network's output (`layer_sensitivities`). The
    ADCs minimise the errors of all layers plus a price for each comparison, and the price is the
    one that meets the budget. What trees and intervals leave of each channel's mean error is then
    folded into the layer's bias (`CrossbarLayer.correction`). Deterministic, given the calibration
    data and `seed`.

    Args:
        net: a converted and calibrated network.
        design: `uniform`, `twin_range`, `intervals` (up to four) or `search_tree` (the optimum).
        reduction: meet this reduction on the calibration histograms, with the least error.
        max_drop: the largest reduction that loses at most this much top-1 against lossless
            crossbars, on the batches that `calibrate` held back (on all if there were none).
            Without targets, at most this share of predictions changes.
        lossless: no error at all, and the fewest comparisons without one.
        granularity: what an ADC's tables depend on: `slice`, `cycle` and `activity` (the number of
            driven word-lines, in buckets; with none nothing is converted), joined by `+`, or
            `layer` for one table in all.
        leaves: of a search tree at most.
        depth: comparisons of a conversion by a search tree at most.
        grid: thresholds of a search tree are multiples of this.
        batches: what to measure `max_drop` on instead.
        seed: of the noise that measures the layers' effect.
        show_progress: draw a tqdm bar if tqdm is installed.

    Raises:
        ValueError: not exactly one of the budgets, or one out of reach; an unknown design; no
            crossbar layers.
        RuntimeError: the network was not calibrated in this session, or its weights changed since.
    """
    search = SearchConfig(design, granularity, reduction, max_drop, lossless, leaves, depth, grid)
    layers = crossbar_layers(net)
    problem = _Problem(net, layers, search, seed)
    if max_drop is None:
        problem.apply(0.0 if lossless else problem.price_of(reduction))
        if problem.folds and getattr(net, "calibration", None) is not None and not lossless:
            fold_mean_errors(net, problem.layers, net.calibration)
        return AdcSearch(problem.reduction, None, problem.designs())
    seen = getattr(net, "calibration", None)
    data = (seen and seen.held_back) or seen if batches is None else collect(batches)
    if data is None or not data.inputs:
        raise RuntimeError("max_drop needs data: run reram_torch.calibrate, or give batches=")
    return _largest_reduction(net, problem, data, max_drop, show_progress)


class _Problem:
    """The searches of all layers of a network, and the reduction that a price leads to."""

    def __init__(
        self,
        net: nn.Module,
        layers: dict[str, CrossbarLayer],
        search: SearchConfig,
        seed: int,
    ):
        self.layers = {n: m for n, m in layers.items() if m.input_range is not None}
        missing = [n for n, m in self.layers.items() if m._statistics is None]
        if missing or not self.layers:
            raise RuntimeError(
                "design_adc needs bit-line histograms: run reram_torch.calibrate(net, batches) "
                f"first (missing for {missing or list(layers)})"
            )
        changed = [
            n
            for n, m in self.layers.items()
            if m._statistics.fingerprint != backends.fingerprint(m.weight)
        ]
        if changed:
            raise RuntimeError(
                f"the weights of {changed} changed since reram_torch.calibrate: calibrate again"
            )
        data = getattr(net, "calibration", None)
        if data is not None and data.inputs:
            self.sensitivities = layer_sensitivities(net, self.layers, data, seed)
        else:  # a loaded network
            self.sensitivities = dict.fromkeys(self.layers, 1.0)
        self.searches = {
            n: LayerSearch(m, search, self.sensitivities[n]) for n, m in self.layers.items()
        }
        conversions = sum(
            baseline_conversions(m.geometry, int(m._statistics.by_activity.sum()))
            for m in self.layers.values()
        )
        self.baseline = conversions * BASELINE_COMPARISONS
        self.price = 0.0
        # Uniform and twin-range tables are chosen so that their mean errors cancel already.
        self.folds = search.design in ("intervals", "search_tree")
        # With limits there may be no tree without an error.
        limited = search.leaves or search.depth or search.grid > 1
        self.careful = 2.0 ** _PRICES[0] if limited else 0.0

    def reduction_at(self, price: float) -> float:
        """Reduction on the calibration histograms at a price for the baseline's comparisons."""
        made = sum(s.at(price / self.baseline).comparisons for s in self.searches.values())
        return self.baseline / made if made else float("inf")

    @property
    def reduction(self) -> float:
        """Reduction of what is in place."""
        return self.reduction_at(self.price)

    def price_of(self, reduction: float) -> float:
        """The lowest price that reaches a reduction, to 0.1% of the reduction.

        Raises:
            ValueError: no price does.
        """
        if self.reduction_at(self.careful) >= reduction:
            return self.careful
        low, high = _PRICES
        most = self.reduction_at(2.0**high)
        if most < reduction:
            raise ValueError(
                f"reduction={reduction} is out of reach: this design reaches at most {most:.3f}"
            )
        # Few layers or coarse designs make steps: interpolation takes turns with halving.
        middle, below, above = _FIRST_PRICE, None, None
        for k in range(_TRIALS):
            found = self.reduction_at(2.0**middle)
            if reduction <= found < reduction * 1.001:
                return 2.0**middle
            if found < reduction:
                low, below = middle, found
            else:
                high, above = middle, found
            if high - low < 0.01:
                break
            if below is None or above is None:  # step out from the first price
                middle = (
                    max(middle - 4, low + 0.5) if below is None else min(middle + 4, high - 0.5)
                )
                if not low < middle < high:
                    middle = (low + high) / 2
            elif k % 3 == 2:
                middle = (low + high) / 2
            else:
                share = np.log(reduction * 1.0005 / below) / np.log(above / below)
                middle = low + (high - low) * float(np.clip(share, 0.02, 0.98))
        return 2.0**high

    def designs(self) -> dict[str, tuple[AdcDesign, ...]]:
        """The ADCs of each layer at the price in place."""
        return {n: s.at(self.price / self.baseline).designs for n, s in self.searches.items()}

    def apply(self, price: float) -> None:
        """Puts the ADCs of a price in place."""
        self.price = price
        for search in self.searches.values():
            search.apply(price / self.baseline)


def _largest_reduction(
    net: nn.Module, problem: _Problem, data: Calibration, max_drop: float, show: bool
) -> AdcSearch:
    """Bisects the price of a comparison on a logarithmic scale."""
    calibration = getattr(net, "calibration", None)
    before = {x: (x.adc, x._tables, x.correction) for x in problem.layers.values()}
    total = (_BISECTIONS + 3) * sum(len(x) for x in data.inputs)
    try:
        with (
            torch.no_grad(),
            evaluating(net),
            progress(description="design_adc", total=total, unit="img", show=show) as bar,
        ):
            for layer in problem.layers.values():
                layer.set_adc([lossless_adc(layer.geometry)])
            ideal = _predictions(net, data, bar)

            def drop_at(price: float) -> float:
                problem.apply(price)
                if price and problem.folds and calibration is not None:
                    fold_mean_errors(net, problem.layers, calibration)
                drop = _drop(ideal, _predictions(net, data, bar), data.targets)
                bar.set_postfix_str(f"reduction {problem.reduction:.2f}, drop {drop:.4f}")
                return drop

            price = problem.careful
            drop = drop_at(price)
            if drop > max_drop:
                raise ValueError(
                    f"max_drop={max_drop} is out of reach: the most careful design loses {drop:.4f}"
                )
            low, high = _PRICES
            for _ in range(_BISECTIONS):
                middle = (low + high) / 2
                lost = drop_at(2.0**middle)
                if lost <= max_drop:
                    low, price, drop = middle, 2.0**middle, lost
                else:
                    high = middle
            if problem.price != price:
                drop = drop_at(price)
    except BaseException:
        for layer, state in before.items():
            layer.adc, layer._tables, layer.correction = state
        raise
    return AdcSearch(problem.reduction, drop, problem.designs())


def _predictions(net: nn.Module, data: Calibration, bar) -> torch.Tensor:
    found = []
    for x in data.inputs:
        scores = net(x)
        if not isinstance(scores, torch.Tensor) or scores.dim() != 2:
            raise ValueError("max_drop needs a network that returns class scores (B, classes)")
        found.append(scores.argmax(1).cpu())
        bar.update(len(x))
    return torch.cat(found)


def _drop(ideal: torch.Tensor, found: torch.Tensor, targets: list[torch.Tensor] | None) -> float:
    """Top-1 lost, or the share of changed predictions where there are no targets."""
    if targets is None:
        return float((ideal != found).double().mean())
    labels = torch.cat([t.reshape(-1).cpu() for t in targets])
    if labels.shape != ideal.shape:
        raise ValueError(f"{len(labels)} targets for {len(ideal)} inputs in the calibration data")
    return float((ideal == labels).double().mean() - (found == labels).double().mean())
