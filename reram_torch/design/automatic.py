"""`auto`: which kind of ADC, and which granularity of its tables, is the cheapest."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from reram_torch.config.sections import AUTO, SearchConfig
from reram_torch.design import prices
from reram_torch.design.budgets import meet
from reram_torch.design.measured import Reference
from reram_torch.design.problem import Calibrated, Problem

KINDS = ("uniform", "twin_range", "intervals", "segmented", "search_tree")
# Finer ones, by cycle and activity, take hundreds of tables a layer.
GRANULARITIES = ("slice", "slice+activity", "cycle+slice")
_FIRST = "slice+activity"
_SLOW = {("twin_range", "slice+activity"), ("twin_range", "cycle+slice")}  # longer than all others
_DESIGNED = 2  # of the options that promise most
_CLOSE = 1.25  # changes of the output, over the least, that count as alike
_PROMISE = 1.05  # of the cost of the first that an option may promise


@dataclass
class Choice:
    """What was tried and what came of it.

    Attributes:
        problem: the searches of the option that is in place.
        search: its kind and granularity.
        reason: why it, in words.
    """

    problem: Problem
    search: SearchConfig
    reason: str


def options(search: SearchConfig) -> list[SearchConfig]:
    """The kinds and granularities that a search leaves open."""
    kinds = KINDS if search.design == AUTO else (search.design,)
    several = GRANULARITIES if search.granularity == AUTO else (search.granularity,)
    found = [
        dataclasses.replace(search, design=kind, granularity=granularity)
        for kind in kinds
        for granularity in several
        if search.design != AUTO or (kind, granularity) not in _SLOW
    ]
    if search.design == AUTO:
        lighter = [o for o in found if o.design == "segmented"]
        found += [dataclasses.replace(option, aligned=True) for option in lighter]
    return sorted(found, key=lambda each: each.granularity != _FIRST)  # stable otherwise


def choose(
    given: Calibrated, search: SearchConfig, reference: Reference | None, *, show: bool
) -> Choice:
    """Designs with every option that could be the cheapest, and puts the cheapest in place.

    The first is designed for the budget. At its price, and with its weights of the layers, the
    others are worked out on the calibration histograms alone; those that promise most are designed
    in full.

    Args:
        given: the network.
        search: kind and granularity may be `auto`.
        reference: tells what `max_drop` limits.
        show: draw progress bars.

    Raises:
        ValueError: no option meets the budget.
    """
    every = options(search)
    tried = _Tried(given, reference, show)
    if search.lossless or len(every) == 1:
        for option in every:
            tried.design(option, prices.START, None)
    elif search.reduction is not None:
        _by_reduction(tried, every, search.reduction)
    else:
        _by_price(tried, every)
    return tried.cheapest(search)


def _by_price(tried: _Tried, every: list[SearchConfig]) -> None:
    first, rest = every[0], every[1:]
    base = tried.design(first, prices.START, None)
    if base is None:
        for option in rest:
            tried.design(option, prices.START, None)
        return
    problem, price = base
    price = max(price, prices.LOWEST)
    limit, promises = problem.cost_at(price) * _PROMISE, []
    for option in rest:
        cost = tried.cost(option, price, problem, limit)
        if cost <= limit:
            promises.append((cost, option))
    for _, option in sorted(promises, key=lambda p: p[0])[:_DESIGNED]:
        tried.design(option, price, problem)


def _by_reduction(tried: _Tried, every: list[SearchConfig], reduction: float) -> None:
    """The least predicted error at the reduction promises most."""
    promises = []
    for option in every:
        problem = tried.problem_of(option)
        if problem is None:
            continue
        try:
            price = problem.price_of(reduction, prices.START)
        except ValueError as error:
            tried.failed.append(error)
            continue
        error_there = sum(
            search.sensitivity * found.error
            for search, found in zip(problem.searches.values(), problem.at(price), strict=True)
        )
        promises.append((error_there, price, option))
    for _, price, option in sorted(promises, key=lambda p: p[0])[:_DESIGNED]:
        tried.design(option, price, None)


_Designed: TypeAlias = tuple[SearchConfig, Problem, float, Callable[[], None]]


def _name(option: SearchConfig) -> str:
    aligned = "aligned " if option.aligned else ""
    return f"{aligned}{option.design} by {option.granularity}"


def _energy(each: _Designed) -> float:
    _, problem, _, put_back = each
    put_back()
    return problem.energy


class _Tried:
    """Options designed so far, the cheapest kept."""

    def __init__(self, given: Calibrated, reference: Reference | None, show: bool):
        self._given, self._reference, self._show = given, reference, show
        self._problems: dict[SearchConfig, Problem] = {}
        self.designed: list[_Designed] = []
        self.failed: list[ValueError] = []

    def problem_of(self, option: SearchConfig) -> Problem | None:
        """The searches of an option; None if they cannot be."""
        if option not in self._problems:
            try:
                self._problems[option] = Problem(self._given, option)
            except ValueError as error:
                self.failed.append(error)
                return None
        return self._problems[option]

    def cost(self, option: SearchConfig, price: float, like: Problem, limit: float) -> float:
        """What an option costs at a price, with the weights of another; infinite if it cannot be.

        What is above the limit without a cap on the tables, which is worked out sooner, is above
        it with one.
        """
        free = dataclasses.replace(option, table_bytes=None)
        for each in dict.fromkeys((free, option)):
            problem = self.problem_of(each)
            if problem is None:
                return math.inf
            problem.weigh_like(like)
            try:
                found = problem.cost_at(price)
            except ValueError as error:
                self.failed.append(error)
                return math.inf
            if found > limit:
                return found
        return found

    def design(
        self, option: SearchConfig, price: float, like: Problem | None
    ) -> tuple[Problem, float] | None:
        """Designs an option for the budget; returns its searches and price, or None."""
        problem = self.problem_of(option)
        if problem is None:
            return None
        if like is not None:
            problem.weigh_like(like)
        try:
            price = meet(problem, option, self._reference, show=self._show, start=price)
        except ValueError as error:
            self.failed.append(error)
            return None
        change = math.nan if self._given.held_back is None else problem.change()
        self.designed.append((option, problem, change, problem.keep()))
        return problem, price

    def cheapest(self, search: SearchConfig) -> Choice:
        """Puts the cheapest in place: for a reduction, the one that changes the output least."""
        if not self.designed:
            raise self.failed[0]
        fitting = self.designed
        if search.reduction is not None and self._given.held_back is not None:
            least = min(change for _, _, change, _ in fitting)
            fitting = [each for each in fitting if each[2] <= _CLOSE * least]
        option, problem, _, put_back = min(fitting, key=_energy)
        put_back()
        what = f"takes least {search.objective}"
        if len(fitting) < len(self.designed):
            what = "changes the output least" if len(fitting) == 1 else f"{what} of like errors"
        others = [o for o, *_ in self.designed if o is not option]
        beside = ", ".join(map(_name, others))
        reason = _name(option)
        if beside:
            reason += f" {what}; {beside} designed too"
        return Choice(problem, option, reason)
