"""`design_adc`: one budget of A/D operations, shared out over all layers of a network."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import nn

from reram_torch._support import processes
from reram_torch._support.modules import evaluating
from reram_torch._support.progress import Bar, progress
from reram_torch.adc.base import AdcDesign
from reram_torch.calibration.held import Batches, Calibration, collect
from reram_torch.config.sections import SearchConfig
from reram_torch.conversion import states
from reram_torch.crossbar.tables import lossless_adc
from reram_torch.design import prices
from reram_torch.design.designers import Found, designer_of
from reram_torch.design.drop import counted_drop, expected_drop, margins
from reram_torch.design.layer_designer import LayerDesigner
from reram_torch.design.sensitivity import (
    adc_effects,
    fold_mean_errors,
    layer_sensitivities,
    output_change,
)
from reram_torch.nn.base import CrossbarLayer
from reram_torch.nn.networks import crossbar_layers, unchanged_on_error
from reram_torch.power.counts import BASELINE_COMPARISONS, baseline_conversions

_ROUNDS = 3  # of designs for a reduction
_TRIALS = 12  # of prices for max_drop, twice
_LEAST_WEIGHT = 0.05  # of a layer, over the largest


@dataclass(frozen=True)
class AdcDesigns:
    """What `design_adc` found.

    Attributes:
        reduction: A/D operations saved over the ISAAC baseline, on the calibration histograms.
        drop: top-1 lost against lossless crossbars on the data that `max_drop` was measured on, or
            None if it was not measured; without targets, the share of predictions that changed.
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
    batches: Batches | None = None,
    seed: int = 0,
    show_progress: bool = True,
) -> AdcDesigns:
    """Chooses the ADCs of every layer under one budget, and puts them in place.

    Each layer's error is that of its bit-line sums, weighed by their significance squared
    (4^(i * dac_bits + j * cell_bits)), measured against the mean square of the layer's results, and
    weighed by the effect on the network's output: at first that of noise (`layer_sensitivities`),
    then that of the ADCs' own errors (`adc_effects`). The ADCs minimise the errors of all layers
    plus a price for each comparison, and the price is the one that meets the budget. Of the designs
    made on the way the one that changes the output least stays (for `max_drop`, that of the largest
    reduction). What trees and intervals leave of each channel's mean error is folded into the
    layer's bias (`CrossbarLayer.correction`). Deterministic, given the calibration data and `seed`.

    Args:
        net: a converted and calibrated network.
        design: `uniform`, `twin_range`, `intervals` (up to four) or `search_tree` (the optimum).
        reduction: meet this reduction on the calibration histograms, with the least error.
        max_drop: the largest reduction that loses at most this much top-1 against lossless
            crossbars, on the batches that `calibrate` held back (on all if there were none), both
            as counted there and as expected on more images (`drop.expected_drop`, plus its standard
            error). Without targets, at most this share of predictions changes.
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
    with unchanged_on_error(layers.values()):
        problem = _Problem(net, layers, search, seed)
        drop = _meet(problem, search, batches, show_progress)
    return AdcDesigns(problem.reduction, drop, problem.designs())


def design_together(
    net: nn.Module, search: SearchConfig, *, show_progress: bool = True
) -> AdcDesigns:
    """`design_adc` as a configuration has it, by the first process of torch.distributed for all.

    Every process must call this, and gets the calibration and the ADCs of the first.
    """
    found = None
    if processes.rank() == 0:
        found = design_adc(net, **dataclasses.asdict(search), show_progress=show_progress)
    states.same_adcs(net)
    together: AdcDesigns = processes.broadcast(found)
    return together


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
        seen = {n: m.statistics for n, m in self.layers.items() if m.statistics is not None}
        missing = [n for n in self.layers if n not in seen]
        if missing or not self.layers:
            raise RuntimeError(
                "design_adc needs bit-line histograms: run reram_torch.calibrate(net, batches) "
                f"first (missing for {missing or list(layers)})"
            )
        changed = [n for n, m in self.layers.items() if seen[n].fingerprint != m.fingerprint()]
        if changed:
            raise RuntimeError(
                f"the weights of {changed} changed since reram_torch.calibrate: calibrate again"
            )
        data: Calibration | None = getattr(net, "calibration", None)
        self.net, self.data = net, data if data is not None and data.inputs else None
        if self.data is not None:
            weights = layer_sensitivities(net, self.layers, self.data, seed)
        else:  # a loaded network
            weights = dict.fromkeys(self.layers, 1.0)
        self.searches = {n: LayerDesigner(m, search, weights[n]) for n, m in self.layers.items()}
        conversions = sum(
            baseline_conversions(m.geometry, m.depth, int(seen[n].by_activity.sum()))
            for n, m in self.layers.items()
        )
        self.baseline = conversions * BASELINE_COMPARISONS
        # Uniform and twin-range tables are chosen so that their mean errors cancel already.
        self.folds = designer_of(search.design).folds and self.data is not None
        # With limits there may be no tree without an error.
        limited = search.leaves or search.depth or search.grid > 1
        self.careful = prices.LOWEST if limited else -math.inf
        self.found: dict[str, Found] = {}

    def reduction_at(self, price: float) -> float:
        """Reduction on the calibration histograms at log2 of a price for all of the baseline."""
        made = sum(s.at(2.0**price / self.baseline).comparisons for s in self.searches.values())
        return self.baseline / made if made else math.inf

    @property
    def reduction(self) -> float:
        """Reduction of what is in place."""
        made = sum(found.comparisons for found in self.found.values())
        return self.baseline / made if made else math.inf

    def price_of(self, reduction: float, start: float) -> float:
        """The lowest price that reaches a reduction, to 0.1% of the reduction.

        Raises:
            ValueError: no price does.
        """
        if self.reduction_at(self.careful) >= reduction:
            return self.careful
        _, price = prices.crossing(
            lambda p: math.log(self.reduction_at(p) / reduction), start, close=0.001
        )
        if price is None:
            most = self.reduction_at(prices.HIGHEST)
            raise ValueError(
                f"reduction={reduction} is out of reach: this design reaches at most {most:.3f}"
            )
        return price

    def designs(self) -> dict[str, tuple[AdcDesign, ...]]:
        """The ADCs of each layer in place."""
        return {name: found.designs for name, found in self.found.items()}

    def apply(self, price: float) -> None:
        """Puts the ADCs of a price in place, and what makes up for their mean errors."""
        at = 2.0**price / self.baseline
        self.found = {name: search.apply(at) for name, search in self.searches.items()}
        if price > -math.inf and self.folds and self.data is not None:
            fold_mean_errors(self.net, self.layers, self.data)

    def reweigh(self, data: Calibration) -> None:
        """Weighs layers by what the ADCs in place do to the output, over their predicted error.

        White noise is not what coarse ADCs make, and predictions know nothing of how errors go
        together; but designs jump, so the old weight keeps half of its say.
        """
        effects = adc_effects(self.net, self.layers, data, folded=self.folds)
        weights = {}
        for name, search in self.searches.items():
            error = self.found[name].error
            own = effects[name] / error if error > 0 else search.sensitivity
            weights[name] = math.sqrt(max(own, 0.0) * search.sensitivity)
        least = _LEAST_WEIGHT * max(weights.values())
        for name, search in self.searches.items():
            search.sensitivity = max(weights[name], least, 1e-12)

    def keep(self) -> Callable[[], None]:
        """Takes note of what is in place; the result puts it back."""
        found = self.found
        states = {layer: layer.bank.snapshot() for layer in self.layers.values()}

        def back() -> None:
            self.found = found
            for layer, state in states.items():
                layer.bank.restore(state)

        return back


def _meet(
    problem: _Problem, search: SearchConfig, batches: Batches | None, show: bool
) -> float | None:
    """Designs for the budget of a search; returns the drop if that was measured."""
    if search.reduction is not None:
        _meet_reduction(problem, search.reduction, show)
        return None
    if search.max_drop is None:  # lossless
        problem.apply(-math.inf)
        return None
    seen = problem.data
    data = (seen and seen.held_back) or seen if batches is None else collect(batches)
    if data is None or not data.inputs:
        raise RuntimeError("max_drop needs data: run reram_torch.calibrate, or give batches=")
    return _largest_reduction(problem, data, search.max_drop, show)


def _meet_reduction(problem: _Problem, reduction: float, show: bool) -> None:
    """Designs, weighs the layers anew by what came of it, and keeps the best of the designs."""
    data, rounds = problem.data, 1 if problem.data is None else _ROUNDS
    best, least, price = problem.keep(), math.inf, prices.START
    for k in progress(range(rounds), description="design_adc", unit="round", show=show):
        price = problem.price_of(reduction, price if price > -math.inf else prices.START)
        problem.apply(price)
        if data is None:
            return
        change = output_change(problem.net, problem.layers, data)
        if change < least:
            best, least = problem.keep(), change
        if k < rounds - 1:
            problem.reweigh(data)
    best()


def _largest_reduction(problem: _Problem, data: Calibration, max_drop: float, show: bool) -> float:
    """Looks for the price, weighs the layers anew there, and looks again; returns the drop."""
    net = problem.net
    best: tuple[float, float, Callable[[], None]] | None = None  # reduction, drop
    seen = problem.data
    passes = 1 if seen is None else 2
    total = (passes * _TRIALS + 2) * sum(len(x) for x in data.inputs)
    with (
        torch.no_grad(),
        evaluating(net),
        progress(description="design_adc", total=total, unit="img", show=show) as bar,
    ):
        for layer in problem.layers.values():
            layer.set_adc([lossless_adc(layer.geometry)])
        ideal, labels = _margins(net, data, None, bar)

        def excess(price: float) -> float:
            nonlocal best
            problem.apply(price)
            made, _ = _margins(net, data, labels, bar)
            drop = counted_drop(ideal, made)
            # Designs are many and images few: the luckiest must not win.
            worse = max(drop, sum(expected_drop(ideal, made)))
            bar.set_postfix_str(f"reduction {problem.reduction:.2f}, drop {worse:.4f}")
            if worse <= max_drop and (best is None or problem.reduction > best[0]):
                best = problem.reduction, drop, problem.keep()
            return 1.0 if worse > max_drop else -1.0

        if excess(problem.careful) > 0 or best is None:
            raise ValueError(f"max_drop={max_drop} is out of reach of the most careful design")
        price, _ = prices.crossing(excess, trials=_TRIALS)
        if seen is not None and price is not None:
            problem.apply(price)
            problem.reweigh(seen)
            prices.crossing(excess, price, trials=_TRIALS)
    _, drop, put_back = best
    put_back()
    return drop


def _margins(
    net: nn.Module, data: Calibration, labels: torch.Tensor | None, bar: Bar
) -> tuple[torch.Tensor, torch.Tensor]:
    """Margins of all images, and the labels: the network's own answers where there are none."""
    found = []
    for x in data.inputs:
        scores = net(x)
        if not isinstance(scores, torch.Tensor) or scores.dim() != 2 or scores.shape[1] < 2:
            raise ValueError("max_drop needs a network that returns class scores (B, classes)")
        found.append(scores.cpu())
        bar.update(len(x))
    scores = torch.cat(found)
    if labels is None:
        targets = data.targets
        own = scores.argmax(1)
        labels = own if targets is None else torch.cat([t.reshape(-1).cpu() for t in targets])
        if len(labels) != len(scores):
            raise ValueError(
                f"{len(labels)} targets for {len(scores)} inputs in the calibration data"
            )
    return margins(scores, labels), labels
