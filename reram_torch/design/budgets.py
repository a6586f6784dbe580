"""The price at which one kind of ADC meets a budget."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch

from reram_torch._support.progress import Bar, progress
from reram_torch.calibration.held import Calibration
from reram_torch.config.sections import SearchConfig
from reram_torch.design import prices
from reram_torch.design.drop import counted_drop, expected_drop, margins
from reram_torch.design.measured import Reference
from reram_torch.design.problem import Problem

_ROUNDS = 3  # of designs for a reduction
_TRIALS = 12  # of prices for max_drop, twice
_WIDTH = 0.03  # of prices, log2


def meet(
    problem: Problem, search: SearchConfig, data: Calibration | None, *, show: bool, start: float
) -> float:
    """Designs for the budget of a search, puts the ADCs in place, and returns their price (log2).

    Args:
        problem: the network's searches.
        search: says which budget.
        data: what `max_drop` is measured on.
        show: draw a progress bar.
        start: the price to begin with.

    Raises:
        ValueError: the budget is out of reach.
        RuntimeError: there is no data for `max_drop`.
    """
    if search.reduction is not None:
        return _meet_reduction(problem, search.reduction, start, show)
    if search.max_drop is None:
        problem.apply(-math.inf)  # no mean error is left to make up for
        return -math.inf
    if data is None or not data.inputs:
        raise RuntimeError("max_drop needs data: run reram_torch.calibrate, or give batches=")
    return _Drop(problem, data, search.max_drop).meet(start, show)


def _meet_reduction(problem: Problem, reduction: float, price: float, show: bool) -> float:
    """Designs, weighs the layers anew by what came of it, and keeps the best of the designs."""
    data, rounds = problem.given.data, 1 if problem.given.data is None else _ROUNDS
    best: tuple[float, float, Callable[[], None]] | None = None  # change, price
    for k in progress(range(rounds), description="design_adc", unit="round", show=show):
        price = problem.price_of(reduction, price if price > -math.inf else prices.START)
        problem.apply(price)
        if data is None:
            return price  # there is nothing to measure or to settle by
        change = problem.change()
        if best is None or change < best[0]:
            best = change, price, problem.keep()
        if k < rounds - 1:
            problem.reweigh(data)
    assert best is not None  # there is one round at least
    _, price, put_back = best
    put_back()
    problem.settle()
    return price


class _Drop:
    """The cheapest design that loses no more top-1 than it may.

    Args:
        problem: the network's searches.
        data: what the drop is measured on.
        most: the largest drop.
    """

    def __init__(self, problem: Problem, data: Calibration, most: float):
        self.problem, self.data, self.most = problem, data, most
        self.best: tuple[float, float, Callable[[], None]] | None = None  # energy, price

    def meet(self, start: float, show: bool) -> float:
        """Looks for the price, weighs the layers anew there, and looks again."""
        problem, seen = self.problem, self.problem.given.data
        # How many images are in the balance is the same on those that calibration saw.
        more = None if seen is None or self.data is not seen.held_back else seen
        total = (2 * _TRIALS + 3) * sum(len(x) for x in self.data.inputs)
        total += 0 if more is None else sum(len(x) for x in more.inputs)
        with progress(description="design_adc", total=total, unit="img", show=show) as bar:
            given = problem.given
            reference = Reference(given.net, given.layers, self.data, bar, more)
            if reference.output is None or reference.labels is None:
                raise ValueError("max_drop needs a network that returns class scores (B, classes)")
            ideal = margins(reference.output, reference.labels)

            def excess(price: float) -> float:
                problem.apply(price)
                fits = self._fits(reference, ideal, bar)
                if fits and (self.best is None or problem.energy < self.best[0]):
                    self.best = problem.energy, price, problem.keep()
                return -1.0 if fits else 1.0

            if excess(problem.careful) > 0:
                raise ValueError(f"max_drop={self.most} is out of reach of the most careful design")
            price, _ = prices.crossing(excess, start, trials=_TRIALS, width=_WIDTH)
            if seen is not None and price is not None:
                problem.apply(price)
                problem.reweigh(seen)
                prices.crossing(excess, price, trials=_TRIALS, step=0.25, width=_WIDTH)
            assert self.best is not None  # the most careful design met the budget
            _, price, put_back = self.best
            put_back()
            problem.settle()
            if not self._fits(reference, ideal, bar):
                put_back()
        return price

    def _fits(self, reference: Reference, ideal: torch.Tensor, bar: Bar) -> bool:
        """Whether what is in place loses no more than it may."""
        output = reference.run(bar)
        assert output is not None  # `meet` has looked
        assert reference.labels is not None
        made = margins(output, reference.labels)
        drop = counted_drop(ideal, made)
        # Designs are many and images few: the luckiest must not win.
        worse = max(drop, sum(expected_drop(ideal, made, reference.further)))
        bar.set_postfix_str(f"reduction {self.problem.reduction:.2f}, drop {worse:.4f}")
        return worse <= self.most
