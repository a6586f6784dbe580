"""The price at which one kind of ADC meets a budget."""

from __future__ import annotations

import math
from collections.abc import Callable

from reram_torch._support.progress import Bar, progress
from reram_torch.config.sections import SearchConfig
from reram_torch.design import prices
from reram_torch.design.measured import Reference
from reram_torch.design.problem import Problem

_ROUNDS = 3  # of designs for a reduction
_TRIALS = 12  # of prices for max_drop, twice
_WIDTH = 0.03  # of prices, log2


def meet(
    problem: Problem, search: SearchConfig, reference: Reference | None, *, show: bool, start: float
) -> float:
    """Designs for the budget of a search, puts the ADCs in place, and returns their price (log2).

    Args:
        problem: the network's searches.
        search: says which budget.
        reference: tells what `max_drop` limits.
        show: draw a progress bar.
        start: the price to begin with.

    Raises:
        ValueError: the budget is out of reach.
    """
    if search.reduction is not None:
        return _meet_reduction(problem, search.reduction, start, show)
    if search.max_drop is None:
        problem.apply(-math.inf)  # no mean error is left to make up for
        return -math.inf
    assert reference is not None  # `design_adc` has looked
    return _Drop(problem, reference, search.max_drop).meet(start, show)


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
        reference: tells the drop.
        most: the largest drop.
    """

    def __init__(self, problem: Problem, reference: Reference, most: float):
        self.problem, self.reference, self.most = problem, reference, most
        self.best: tuple[float, float, Callable[[], None]] | None = None  # energy, price

    def meet(self, start: float, show: bool) -> float:
        """Looks for the price, weighs the layers anew there, and looks again."""
        problem, seen = self.problem, self.problem.given.data
        total = (2 * _TRIALS + 2) * len(self.reference.data)
        with progress(description="design_adc", total=total, unit="img", show=show) as bar:

            def excess(price: float) -> float:
                problem.apply(price)
                fits = self._fits(bar)
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
            if not self._fits(bar):
                put_back()
        return price

    def _fits(self, bar: Bar) -> bool:
        """Whether what is in place loses no more than it may."""
        reference = self.reference
        ideal, made = reference.judged, reference.judge(bar)
        assert ideal is not None  # `design_adc` has looked
        assert made is not None
        worse = ideal.worst_drop_to(made, reference.further)
        bar.set_postfix_str(f"reduction {self.problem.reduction:.2f}, drop {worse:.4f}")
        return worse <= self.most
