"""The dynamic programmes against brute force and against a textbook's optimal alphabetic tree."""

from functools import cache

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reram_torch.adc import Intervals, SearchTree
from reram_torch.adc.base import compile_tables
from reram_torch.calibration.activity import activity_edges
from reram_torch.design.optimal_intervals import optimal_intervals, run_errors
from reram_torch.design.optimal_trees import optimal_trees

numbers = st.lists(st.integers(0, 30), min_size=1, max_size=9)


def cost(design, counts, errors, price, lowest=0):
    tables = compile_tables(design, lowest, lowest + len(counts) - 1)
    off = (tables.level - lowest - np.arange(len(counts))) ** 2.0
    wrong = np.where(off > 0, errors * np.maximum(off, 1), 0.0)
    return float(wrong.sum() + price * (counts * tables.comparisons).sum())


def best_tree(counts, errors, price, depth=99, leaves=99, allowed=lambda threshold: True):
    """The least cost of any tree, by trying them all."""

    @cache
    def of(a, b, depth, leaves):
        one = [
            sum(errors[v] * (v - x) ** 2 for v in range(a, b + 1) if v != x)
            for x in range(a, b + 1)
        ]
        found = [min(one)]
        for s in range(a, b) if depth and leaves > 1 else ():
            if allowed(s + 1):
                found += [
                    price * sum(counts[a : b + 1])
                    + of(a, s, depth - 1, k)
                    + of(s + 1, b, depth - 1, leaves - k)
                    for k in range(1, leaves)
                ]
        return min(found)

    return of(0, len(counts) - 1, depth, leaves)


def tree(counts, errors, price, **limits):
    found = optimal_trees(np.array([counts], float), np.array([errors], float), price, **limits)
    return SearchTree(found.starts[0], found.levels[0], found.depths[0])


@given(numbers, st.floats(0.01, 5), st.sampled_from(["lossy", "lossless"]), st.data())
def test_no_tree_is_better(counts, price, kind, data):
    errors = [np.inf if kind == "lossless" else data.draw(st.floats(0, 3)) for _ in counts]
    made = cost(tree(counts, errors, price), np.array(counts), np.array(errors), price)
    assert made == pytest.approx(best_tree(counts, errors, price, leaves=len(counts)))


@given(numbers, st.integers(0, 4), st.integers(1, 3))
def test_no_tree_within_the_limits_is_better(counts, depth, grid):
    errors = [c + 0.1 for c in counts]
    found = tree(counts, errors, 0.3, depth=depth, grid=grid)
    assert max(found.depths) <= depth
    assert all(start % grid == 0 for start in found.starts[1:])
    best = best_tree(counts, errors, 0.3, depth, len(counts), lambda t: t % grid == 0)
    assert cost(found, np.array(counts), np.array(errors), 0.3) == pytest.approx(best)


@given(numbers, st.integers(1, 5))
def test_leaves_are_limited(counts, leaves):
    """A price for leaves finds the best tree for the leaves that it has."""
    errors = [c + 0.1 for c in counts]
    found = tree(counts, errors, 0.3, leaves=leaves)
    assert len(found.starts) <= leaves
    best = best_tree(counts, errors, 0.3, leaves=len(found.starts))
    assert cost(found, np.array(counts), np.array(errors), 0.3) == pytest.approx(best)


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
    found = tree(counts, [np.inf] * len(counts), 1.0)
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
    found = tree(counts + 1e-4, square, 0.5)
    tables = compile_tables(found, 0, 63)
    levels = np.unique(tables.level)
    nearest = np.abs(np.arange(64)[:, None] - levels).min(1)
    assert np.abs(tables.level - np.arange(64)).max() <= nearest.max() + 1


def every_interval_design(counts, errors, price, most):
    """The least cost of up to `most` intervals, by trying them all."""
    n = len(counts)

    @cache
    def single(a, b):
        found = []
        for shift in range(n.bit_length() + 1):
            for bits in range(n.bit_length() + 1):
                step = 1 << shift
                offsets = {0, step // 2, step - 1} if bits == 0 else {0, step // 2}
                for offset in offsets:
                    design = Intervals((0,), (step,), (bits,), (0,), (a + offset,))
                    tables = compile_tables(design, a, b)
                    off = (tables.level - np.arange(a, b + 1)) ** 2.0
                    made = sum(counts[a : b + 1]) * price * bits
                    found.append(float((errors[a : b + 1] * off).sum()) + made)
        return min(found)

    @cache
    def of(a, b, k):
        found = [single(a, b)]
        for s in range(a, b):
            for left in range(1, k):
                detect = price * sum(counts[a : b + 1])
                found.append(detect + of(a, s, left) + of(s + 1, b, k - left))
        return min(found)

    return of(0, n - 1, most)


@given(st.lists(st.integers(0, 30), min_size=1, max_size=8), st.floats(0.01, 3), st.integers(1, 5))
def test_no_intervals_are_better(counts, price, most):
    counts = np.array(counts, float)
    found = optimal_intervals(counts, run_errors(counts + 0.1), price, most)
    assert len(found.starts) <= most
    best = every_interval_design(tuple(counts), counts + 0.1, price, most)
    assert cost(found, counts, counts + 0.1, price) == pytest.approx(best)


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
