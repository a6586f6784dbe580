"""The dynamic programmes against brute force and against a textbook's optimal alphabetic tree."""

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from searched import cost_of

from reram_torch.adc import Intervals, SearchTree, Segmented
from reram_torch.adc.base import compile_tables
from reram_torch.calibration.activity import activity_edges
from reram_torch.design.designers import offsets_of
from reram_torch.design.optimal_intervals import optimal_intervals
from reram_torch.design.optimal_trees import optimal_segments, optimal_trees
from reram_torch.design.searches import Histograms, Limits, TablePrices

numbers = st.lists(st.integers(0, 30), min_size=1, max_size=9)
some_prices = st.builds(TablePrices, st.floats(0.01, 5), st.floats(0, 5), st.floats(0, 40))


def cost(design, counts, errors, prices):
    """What a design costs by its own tables and its own words."""
    tables = compile_tables(design, 0, len(counts) - 1)
    off = (tables.level - np.arange(len(counts))) ** 2.0
    wrong = np.where(off > 0, errors * np.maximum(off, 1e-9), 0.0)
    found = float(wrong.sum() + prices.comparison * (counts * tables.comparisons).sum())
    if tables.comparisons.any():
        found += prices.start * counts.sum() + prices.word * design.words(0, len(counts)).number
    return found


class Brute:
    """The least cost of any search, by trying them all."""

    def __init__(self, counts, errors, prices, ends, allowed=lambda threshold: True, escapes=None):
        self.counts, self.errors, self.prices, self.escapes = counts, errors, prices, escapes
        self.ends, self.allowed = ends, allowed

    def escape(self, a, b):
        """Told otherwise, if that is allowed."""
        return np.inf if self.escapes is None else sum(self.escapes[a : b + 1]) + self.prices.word

    def level(self, a, b):
        """One level, a multiple of a half."""
        return min(
            sum(self.errors[v] * (v - x) ** 2 for v in range(a, b + 1) if v != x)
            for x in np.arange(a, b + 0.5, 0.5)
        )

    def run(self, a, b, aligned=False):
        """A small plain ADC, whose levels are the middles of as many sums as its step."""
        length, found = b - a + 1, [np.inf]
        for shift in range(length.bit_length()):
            step = 1 << shift
            bits = (-(-length // step) - 1).bit_length()
            if bits == 0 or (aligned and a % (step << bits)):
                continue
            away = [(v - a) % step - (step - 1) / 2 for v in range(a, b + 1)]
            wrong = sum(self.errors[a + k] * x**2 for k, x in enumerate(away) if x)
            made = self.prices.comparison * bits * sum(self.counts[a : b + 1])
            found.append(wrong + made + self.prices.word)
        return min(found)

    def of(self, depth=99, leaves=99):
        """The least cost of all sums."""
        n = len(self.counts)

        @cache
        def part(a, b, depth, leaves):
            found = [end(a, b) for end in self.ends]
            for s in range(a, b) if depth and leaves > 1 else ():
                if self.allowed(s + 1):
                    node = self.prices.comparison * sum(self.counts[a : b + 1]) + self.prices.word
                    found += [
                        node + part(a, s, depth - 1, k) + part(s + 1, b, depth - 1, leaves - k)
                        for k in range(1, min(leaves, n))
                    ]
            return min(found)

        searched = part(0, n - 1, depth, leaves) + self.prices.start * sum(self.counts)
        return min(self.level(0, n - 1), self.escape(0, n - 1), searched)


def tree(counts, errors, prices, **limits):
    given = Histograms(np.array([counts], float), np.array([errors], float))
    [found] = optimal_trees(given, prices, Limits(**limits))
    return SearchTree(found.starts, found.levels, found.depths)


@given(numbers, some_prices, st.sampled_from(["lossy", "lossless"]), st.data())
def test_no_tree_is_better(counts, prices, kind, data):
    errors = [np.inf if kind == "lossless" else data.draw(st.floats(0, 3)) for _ in counts]
    made = cost(tree(counts, errors, prices), np.array(counts), np.array(errors), prices)
    brute = Brute(counts, errors, prices, [])
    brute.ends = [brute.level]
    assert made == pytest.approx(brute.of(leaves=len(counts)))


@given(numbers, st.integers(0, 4), st.integers(1, 3))
def test_no_tree_within_the_limits_is_better(counts, depth, grid):
    errors, prices = [c + 0.1 for c in counts], TablePrices(0.3, 0.2, 0.5)
    found = tree(counts, errors, prices, depth=depth, grid=grid)
    assert max(found.depths) <= depth
    assert all(start % grid == 0 for start in found.starts[1:])
    brute = Brute(counts, errors, prices, [], lambda t: t % grid == 0)
    brute.ends = [brute.level]
    made = cost(found, np.array(counts), np.array(errors), prices)
    assert made == pytest.approx(brute.of(depth))


@given(numbers, st.integers(1, 5))
def test_leaves_are_limited(counts, leaves):
    """A price for leaves finds the best tree for the leaves that it has."""
    errors, prices = [c + 0.1 for c in counts], TablePrices(0.3)
    found = tree(counts, errors, prices, leaves=leaves)
    assert len(found.starts) <= leaves
    brute = Brute(counts, errors, prices, [])
    brute.ends = [brute.level]
    made = cost(found, np.array(counts), np.array(errors), prices)
    assert made == pytest.approx(brute.of(leaves=len(found.starts)))


def test_tables_have_prices_of_their_own():
    counts, errors = np.ones((3, 8)), np.ones((3, 8))
    prices = TablePrices(np.array([1e-6, 1e6, 1e-6]), np.array([0.0, 0.0, 1e6]))
    sizes = [len(found.starts) for found in optimal_trees(Histograms(counts, errors), prices)]
    assert sizes == [8, 1, 1]


def garsia_wachs(weights):
    """Cost of the optimal alphabetic tree (Garsia and Wachs, 1977; Knuth, volume 3, 6.2.2)."""
    big = float("inf")
    work, total = [big, *weights, big], 0
    while len(work) > 3:
        k = next(k for k in range(1, len(work) - 1) if work[k - 1] <= work[k + 1])
        both = work[k - 1] + work[k]
        total += both
        del work[k - 1 : k + 1]
        at = k - 1
        while work[at - 1] < both:
            at -= 1
        work.insert(at, both)
    return total


@given(st.lists(st.integers(1, 1000), min_size=2, max_size=60))
def test_lossless_trees_are_optimal_alphabetic_trees(counts):
    found = tree(counts, [np.inf] * len(counts), TablePrices(1.0))
    made = sum(c * d for c, d in zip(counts, found.depths, strict=True))
    assert made == garsia_wachs(counts)
    p = np.array(counts) / sum(counts)
    entropy = -(p * np.log2(p)).sum()
    assert entropy - 1e-9 <= made / sum(counts) < entropy + 2


def test_values_never_seen_go_to_a_near_level():
    """A little likelihood for every value keeps thresholds between levels where no data is."""
    counts = np.zeros(64)
    counts[[2, 3, 50]] = 1000
    square = counts + 1e-4
    found = tree(counts + 1e-4, square, TablePrices(0.5))
    tables = compile_tables(found, 0, 63)
    levels = np.unique(tables.level)
    nearest = np.abs(np.arange(64)[:, None] - levels).min(1)
    assert np.abs(tables.level - np.arange(64)).max() <= nearest.max() + 1


@given(numbers, some_prices, st.sampled_from(["lossy", "lossless"]), st.booleans())
def test_no_segments_are_better(counts, prices, kind, aligned):
    counts = np.array(counts, float)
    errors = counts + 0.1 if kind == "lossy" else np.full(len(counts), np.inf)
    given = Histograms(counts[None], errors[None])
    [found] = optimal_segments(given, prices, Limits(aligned=aligned))
    design = Segmented(
        found.starts, found.steps, found.bits, found.depths, offsets_of(found), aligned
    )
    brute = Brute(tuple(counts), tuple(errors), prices, [])
    brute.ends = [brute.level, lambda a, b: brute.run(a, b, aligned)]
    assert cost(design, counts, errors, prices) == pytest.approx(brute.of())


@given(numbers, some_prices, st.sampled_from(["lossy", "lossless"]), st.booleans(), st.data())
def test_no_search_that_may_escape_is_better(counts, prices, kind, runs, data):
    errors = [c + 0.1 if kind == "lossy" else np.inf for c in counts]
    escape = [data.draw(st.floats(0, 60)) for _ in counts]
    given_ = Histograms(*(np.array([x], float) for x in (counts, errors)))
    given_ = replace(given_, escape=np.array([escape]))
    [found] = (optimal_segments if runs else optimal_trees)(given_, prices)
    brute = Brute(counts, errors, prices, [], escapes=escape)
    brute.ends = [brute.level, brute.escape, brute.run] if runs else [brute.level, brute.escape]
    assert cost_of(found, given_, prices, 0) == pytest.approx(brute.of())


def every_interval_design(brute, most):
    """The least cost of up to `most` intervals, by trying them all."""
    n, counts = len(brute.counts), brute.counts

    @cache
    def of(a, b, k):
        found = [brute.level(a, b), brute.run(a, b)]
        for s in range(a, b):
            for left in range(1, k):
                detect = brute.prices.comparison * sum(counts[a : b + 1]) + brute.prices.word
                found.append(detect + of(a, s, left) + of(s + 1, b, k - left))
        return min(found)

    return min(brute.level(0, n - 1), of(0, n - 1, most) + brute.prices.start * sum(counts))


@given(st.lists(st.integers(0, 30), min_size=1, max_size=8), some_prices, st.integers(1, 5))
def test_no_intervals_are_better(counts, prices, most):
    counts = np.array(counts, float)
    given = Histograms(counts[None], counts[None] + 0.1)
    [found] = optimal_intervals(given, prices, most=most)
    assert len(found.starts) <= most
    design = Intervals(found.starts, found.steps, found.bits, found.depths, offsets_of(found))
    best = every_interval_design(Brute(tuple(counts), tuple(counts + 0.1), prices, []), most)
    assert cost(design, counts, counts + 0.1, prices) == pytest.approx(best)


@given(st.lists(st.integers(0, 1000), min_size=2, max_size=130))
def test_edges_rise_from_none_driven(driven):
    edges = activity_edges(np.array(driven))
    assert edges[:2] == (0, 1)
    assert list(edges) == sorted(set(edges))
    assert len(edges) <= 12
    assert edges[-1] < len(driven)


def test_edges_separate_what_differs():
    driven = np.zeros(129)
    driven[[1, 2, 8, 60, 61]] = 1000
    edges = activity_edges(driven, 5)
    buckets = np.searchsorted(edges, [1, 2, 8, 60, 61], "right")
    assert buckets[3] == buckets[4]
    assert len(set(buckets[:4])) == 4
