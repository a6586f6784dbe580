"""The searches of all layers of a network under one price, and what comes of them."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from dataclasses import dataclass

from torch import nn

from reram_torch.adc.base import AdcDesign
from reram_torch.calibration.held import Calibration
from reram_torch.config.sections import AUTO, SearchConfig
from reram_torch.design import prices
from reram_torch.design.designers import Found, controller_of
from reram_torch.design.layer_designer import LayerDesigner
from reram_torch.design.loads import slices_of
from reram_torch.design.sensitivity import (
    Change,
    adc_effects,
    fold_mean_errors,
    layer_sensitivities,
)
from reram_torch.nn.base import CrossbarLayer
from reram_torch.nn.networks import histograms_of
from reram_torch.power.controllers import PLAIN
from reram_torch.power.counts import BASELINE_COMPARISONS, baseline_conversions
from reram_torch.power.search_prices import COMPARISONS, SearchPrices, search_prices
from reram_torch.power.technology import Technology

_LEAST_WEIGHT = 0.05  # of a layer, over the largest
_ROUGHLY = 64  # images that tell mean errors while prices are tried


@dataclass(frozen=True)
class Calibrated:
    """A network that calibration has seen, and what designing it takes.

    Attributes:
        net: the network, or the part of it that was calibrated, with all of `layers`.
        layers: its calibrated crossbar layers.
        data: what calibration kept, or None for a loaded network.
        technology: whose prices count.
        weights: what each layer's relative squared error does to the output.
    """

    net: nn.Module
    layers: dict[str, CrossbarLayer]
    data: Calibration | None
    technology: Technology
    weights: dict[str, float]

    @classmethod
    def of(
        cls,
        net: nn.Module,
        layers: dict[str, CrossbarLayer],
        data: Calibration | None,
        technology: Technology,
        seed: int,
        *,
        weigh: bool,
    ) -> Calibrated:
        """Weighs the layers of a network that `what_was_calibrated` has checked, if they are to be.

        Warns:
            UserWarning: no layer's effect on the output can be measured.
        """
        used = {n: m for n, m in layers.items() if m.input_range is not None}
        weights = dict.fromkeys(used, 1.0)
        if data is not None and weigh:
            measured = layer_sensitivities(net, used, data, seed)
            if _are_usable(measured):
                weights = measured
            else:
                what = "zero" if all(map(math.isfinite, measured.values())) else "not finite"
                warnings.warn(
                    f"the layers' effect on the network's output is {what} on the calibration data "
                    "(a blank batch, a classifier of zeros, scores of -inf, an output that is no "
                    "tensor, or that holds nothing?): all layers weigh the same",
                    stacklevel=3,
                )
        return cls(net, used, data, technology, weights)

    @property
    def held_back(self) -> Calibration | None:
        """Data that no search saw, or else all there is."""
        return self.data and (self.data.held_back or self.data)


def what_was_calibrated(
    net: nn.Module, layers: dict[str, CrossbarLayer]
) -> tuple[nn.Module, Calibration | None]:
    """The module that `calibrate` was given, the network or one within, and what it kept.

    That is None where the images were left behind, as by a pickled network.

    Raises:
        RuntimeError: it was not calibrated, or as a part of another module; or its weights changed
            since.
    """
    seen = histograms_of(layers, "design_adc")
    used = {n: layers[n] for n in seen}
    changed = [n for n, m in used.items() if seen[n].fingerprint != m.fingerprint()]
    if changed:
        raise RuntimeError(
            f"the weights of {changed}, or their chips, changed since reram_torch.calibrate: "
            "calibrate again"
        )
    for module in (net, *net.modules()):
        held: Calibration | None = getattr(module, "calibration", None)
        if isinstance(held, Calibration) and {*used.values()} <= {*module.modules()}:
            return module, held if held.calls else None
    raise RuntimeError(
        f"the layers of this {type(net).__name__} were calibrated as part of another module, which "
        "holds the calibration data: give calibrate and design_adc the same one, a wrapper "
        "(DataParallel, DistributedDataParallel, ...) or the network within"
    )


def _are_usable(measured: dict[str, float]) -> bool:
    """Whether measures of the layers are all finite, and not all zero."""
    values = list(measured.values())
    return all(map(math.isfinite, values)) and any(v > 0 for v in values)


class Problem:
    """The searches of all layers, and the reduction that a price leads to.

    Args:
        given: the network.
        search: kind, granularity (neither `auto`) and limits.

    Attributes:
        found: what is in place, by layer; empty before `apply`.
    """

    def __init__(self, given: Calibrated, search: SearchConfig):
        assert AUTO not in (search.design, search.granularity)
        self.given, self.search = given, search
        own = prices_of(search, given.technology)
        self.searches = {
            name: LayerDesigner(layer, search, given.weights[name], own, given.technology.array)
            for name, layer in given.layers.items()
        }
        conversions = sums = 0
        for layer in given.layers.values():
            assert layer.statistics is not None  # `Calibrated.of` has looked
            conversions += baseline_conversions(layer.depth, layer.statistics.results)
            seen = layer.statistics.by_activity[:, : layer.geometry.cycles]
            sums += int(seen[:, :, slices_of(layer)].sum())
        self.baseline = conversions * BASELINE_COMPARISONS
        plain = own if own is COMPARISONS else search_prices(given.technology, PLAIN)
        self._scale = sums * (BASELINE_COMPARISONS * plain.comparison + plain.start)
        # With limits there may be no design without an error.
        limited = search.leaves or search.depth or search.grid > 1 or search.table_bytes
        self.careful = prices.LOWEST if limited else -math.inf
        self.found: dict[str, Found] = {}
        self._change = None if given.held_back is None else Change(given.net, given.layers)

    def at(self, price: float) -> list[Found]:
        """The ADCs of each layer at log2 of a price for all that a plain SAR would take."""
        return [search.at(2.0**price / self._scale) for search in self.searches.values()]

    def reduction_at(self, price: float) -> float:
        """Reduction on the calibration histograms at a price."""
        return self._over(sum(found.comparisons for found in self.at(price)))

    def cost_at(self, price: float) -> float:
        """Errors weighed by the layers' effects, plus price * energy."""
        return sum(s.cost(2.0**price / self._scale) for s in self.searches.values())

    def _over(self, made: float) -> float:
        return self.baseline / made if made else math.inf

    @property
    def reduction(self) -> float:
        """Reduction of what is in place."""
        return self._over(sum(found.comparisons for found in self.found.values()))

    @property
    def energy(self) -> float:
        """What the searches in place take on the calibration data, pJ (or comparisons)."""
        return sum(found.energy for found in self.found.values())

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
        return {name: layer.adc for name, layer in self.given.layers.items()}

    def apply(self, price: float) -> None:
        """Puts the ADCs of a price in place, and what makes up for their mean errors, roughly."""
        given, at = self.given, 2.0**price / self._scale
        self.found = {name: search.apply(at) for name, search in self.searches.items()}
        if given.data is not None and not self._is_exact:
            fold_mean_errors(given.net, given.layers, given.data, _ROUGHLY)

    def settle(self) -> None:
        """Makes up for the mean errors of what is in place as well as all data tell.

        Unless that makes the error on held-back data worse: then it is left out.
        """
        given = self.given
        if given.data is None or self._is_exact:
            return
        for layer in given.layers.values():
            layer.bank.correction = None
        before = self.change()
        fold_mean_errors(given.net, given.layers, given.data)
        if not self.change() <= before:
            for layer in given.layers.values():
                layer.bank.correction = None

    @property
    def _is_exact(self) -> bool:
        return all(found.error == 0 for found in self.found.values())

    def change(self) -> float:
        """What all ADCs in place do to the output of held-back data; infinite if not a number."""
        held = self.given.held_back
        assert held is not None  # who asks has looked
        assert self._change is not None
        found = self._change.of(held)
        return found if math.isfinite(found) else math.inf

    def reweigh(self, data: Calibration) -> None:
        """Weighs layers by what the ADCs in place do to the output, over their predicted error.

        White noise is not what coarse ADCs make, and predictions know nothing of how errors go
        together; but designs jump, so the old weight keeps half of its say.
        """
        effects = adc_effects(self.given.net, self.given.layers, data, folded=True)
        weights = {}
        for name, search in self.searches.items():
            error = self.found[name].error
            own = effects[name] / error if error > 0 else search.sensitivity
            weights[name] = math.sqrt(max(own, 0.0) * search.sensitivity)
        if not _are_usable(weights):  # nothing changed: there is nothing to learn from
            return
        least = _LEAST_WEIGHT * max(weights.values())
        for name, search in self.searches.items():
            search.sensitivity = max(weights[name], least, 1e-12)

    def weigh_like(self, other: Problem) -> None:
        """Takes over the weights of the same layers' searches by other designs."""
        for name, search in self.searches.items():
            search.sensitivity = other.searches[name].sensitivity

    def keep(self) -> Callable[[], None]:
        """Takes note of what is in place; the result puts it back."""
        found = self.found
        states = {layer: layer.bank.snapshot() for layer in self.given.layers.values()}

        def back() -> None:
            self.found = found
            for layer, state in states.items():
                layer.bank.restore(state)

        return back


def prices_of(search: SearchConfig, technology: Technology) -> SearchPrices:
    """What a search's objective charges."""
    if search.objective == "comparisons":
        return COMPARISONS
    return search_prices(technology, controller_of(search))
