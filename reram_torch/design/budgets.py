"""The price at which one kind of ADC meets a budget."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

from reram_torch._support.progress import Bar, progress
from reram_torch.config.sections import SearchConfig
from reram_torch.design import prices
from reram_torch.design.measured import Reference
from reram_torch.design.problem import Problem

_ROUNDS = 3  # of designs for a reduction
_TRIALS = 12  # of prices for max_drop and max_error, twice
_WIDTH = 0.03  # of prices, log2


def meet(
    problem: Problem, search: SearchConfig, reference: Reference | None, *, show: bool, start: float
) -> float:
    """Designs for the budget of a search, puts the ADCs in place, and returns their price (log2).

    Args:
        problem: the network's searches.
        search: says which budget.
        reference: tells what `max_drop` or `max_error` limits.
        show: draw a progress bar.
        start: the price to begin with.

    Raises:
        ValueError: the budget is out of reach.
    """
    if search.reduction is not None:
        return _meet_reduction(problem, search.reduction, start, show)
    limit = _limit(search, reference)
    if limit is None:
        problem.apply(-math.inf)  # no mean error is left to make up for
        return -math.inf
    return _Cheapest(problem, limit).meet(start, show)


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


class _Limit(NamedTuple):
    """What a design may lose at most.

    Attributes:
        name: of the budget.
        most: the largest loss.
        loss: what is lost with the ADCs in place, by a run on all items under a bar.
        items: how many there are.
    """

    name: str
    most: float
    loss: Callable[[Bar], float]
    items: int


def _limit(search: SearchConfig, reference: Reference | None) -> _Limit | None:
    """What `max_drop` or `max_error` limits; None of another budget."""
    if reference is None:
        return None  # `design_adc` has looked: neither of the two
    if search.max_error is not None:
        return _Limit("max_error", search.max_error, reference.error, reference.images)
    if search.max_drop is None:
        return None
    ideal = reference.judged
    assert ideal is not None  # `design_adc` has looked

    def worst(bar: Bar) -> float:
        made = reference.judge(bar)
        assert made is not None
        return ideal.worst_drop_to(made, reference.further)

    return _Limit("max_drop", search.max_drop, worst, reference.images)


class _Cheapest:
    """The cheapest design that loses no more than it may.

    Args:
        problem: the network's searches.
        limit: what it may lose.
    """

    def __init__(self, problem: Problem, limit: _Limit):
        self.problem, self.limit = problem, limit
        self.best: tuple[float, float, Callable[[], None]] | None = None  # energy, price

    def meet(self, start: float, show: bool) -> float:
        """Looks for the price, weighs the layers anew there, and looks again."""
        problem, seen = self.problem, self.problem.given.data
        total = (2 * _TRIALS + 2) * self.limit.items
        with progress(description="design_adc", total=total, unit="img", show=show) as bar:

            def excess(price: float) -> float:
                problem.apply(price)
                fits = self._fits(bar)
                if fits and (self.best is None or problem.energy < self.best[0]):
                    self.best = problem.energy, price, problem.keep()
                return -1.0 if fits else 1.0

            if excess(problem.careful) > 0:
                budget = f"{self.limit.name}={self.limit.most}"
                raise ValueError(f"{budget} is out of reach of the most careful design")
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
        lost = self.limit.loss(bar)
        what = self.limit.name.removeprefix("max_")
        bar.set_postfix_str(f"reduction {self.problem.reduction:.2f}, {what} {lost:.4f}")
        return lost <= self.limit.most
