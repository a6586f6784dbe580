"""Joining values of tables that are too large, and lossless trees of any size."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from searched import cost_of
from test_search import garsia_wachs, tree

from reram_torch.adc import Segmented
from reram_torch.adc.base import compile_tables
from reram_torch.design import searches
from reram_torch.design.joined import joined
from reram_torch.design.optimal_trees import optimal_segments, optimal_trees
from reram_torch.design.searches import Histograms, Limits, TablePrices
from reram_torch.native import cpu

shapes = {
    "rising": lambda n, rng: np.sort(rng.integers(0, 10**6, n)),
    "falling": lambda n, rng: np.sort(rng.integers(0, 10**6, n))[::-1],
    "slowly falling": lambda n, rng: 10**6 - np.arange(n),
    "flat": lambda n, rng: np.ones(n, int),
    "peaked": lambda n, rng: (1e9 * np.exp(-np.abs(np.arange(n) - n / 3) / 9)).astype(int),
    "random": lambda n, rng: rng.integers(0, 1000, n),
    "mostly zero": lambda n, rng: rng.integers(0, 1000, n) * (rng.random(n) < 0.05),
}


@pytest.mark.skipif(not cpu.available(), reason="numpy takes long")
@pytest.mark.parametrize("shape", shapes)
def test_large_lossless_trees_are_optimal(shape):
    counts = shapes[shape](700, np.random.default_rng(3)).tolist()
    found = tree(counts, [np.inf] * len(counts), TablePrices(1.0))
    assert sum(c * d for c, d in zip(counts, found.depths, strict=True)) == garsia_wachs(counts)
    assert max(found.depths) < 64  # where nothing was seen, too: depths have eight bits


@pytest.mark.skipif(not cpu.available(), reason="numpy takes long")
def test_lossless_trees_know_no_limit_of_values():
    """A 512-row array of (3, 4)-bit differential cells has so many sums."""
    values = np.arange(-7680, 7681)
    counts = 1e8 * np.exp(-np.abs(values) / 20) + 1e-6 / len(values)
    [found] = optimal_trees(Histograms(counts[None], np.full((1, len(counts)), np.inf)), PRICE)
    p = counts / counts.sum()
    entropy = -(p * np.log2(p)).sum()
    assert found.starts == tuple(range(len(counts)))
    assert entropy <= (p * np.array(found.depths)).sum() < entropy + 2


PRICE = TablePrices(1.0)


def test_a_grid_is_not_free_of_error():
    """It was a tree with errors."""
    given_ = Histograms(np.ones((1, 5)), np.full((1, 5), np.inf))
    with pytest.raises(ValueError, match="no tree.* is free of error"):
        optimal_trees(given_, PRICE, Limits(grid=2))


def test_limits_of_large_lossless_trees_are_refused_or_kept():
    if not cpu.available():
        pytest.skip("numpy takes long")
    counts = np.ones((1, 9000))
    given_ = Histograms(counts, np.full_like(counts, np.inf))
    [found] = optimal_trees(given_, PRICE, Limits(depth=14))  # 9000 leaves are no deeper
    assert max(found.depths) == 14
    with pytest.raises(ValueError, match="depth 13 can be found in time over 9000 values"):
        optimal_trees(given_, PRICE, Limits(depth=13))


@pytest.mark.skipif(not cpu.available(), reason="numpy takes long")
@pytest.mark.parametrize("make", [optimal_trees, optimal_segments])
def test_large_tables_may_escape_and_have_no_error(make):
    values, prices = np.arange(-3000, 3001), TablePrices(1.0, 0.0, 1e-3)
    counts = 1e6 * np.exp(-np.abs(values) / 15)[None]
    given_ = Histograms(counts, np.full_like(counts, np.inf), -3000, escape=12 * counts)
    [found] = make(given_, prices)
    assert 0 < sum(found.escapes) < len(found.escapes)
    assert np.isfinite(cost_of(found, given_, prices, 0))


@st.composite
def weighted(draw):
    """Weights of values, most of them zero or small."""
    values = draw(st.integers(2, 90))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    weights = np.round(np.exp(rng.normal(0, draw(st.floats(0, 6)), values)), 3)
    return weights * (rng.random(values) < draw(st.floats(0.05, 1)))


@given(weighted(), st.integers(1, 30), st.integers(-200, 0))
def test_values_that_weigh_stay_apart_as_long_as_there_is_room(weights, most, lowest):
    cuts = joined(np.arange(len(weights) + 1), weights, most, lowest)
    assert cuts[0] == 0
    assert cuts[-1] == len(weights)
    assert (np.diff(cuts) > 0).all()
    assert len(cuts) - 1 <= most
    if np.count_nonzero(weights) <= most:
        weighing = [np.count_nonzero(weights[a:b]) for a, b in pairwise(cuts)]
        assert max(weighing) <= 1


def lost_at_most(weights, cuts, error):
    """What `joined` promises of trees."""
    within = 0.0
    for a, b in pairwise(cuts):
        w, v = weights[a:b], np.arange(a, b)
        if w.sum() > 0:
            within += (w * (v - (w @ v) / w.sum()) ** 2).sum()
    return 2 * within + 2 * np.sqrt(error * within)


@given(weighted(), st.integers(2, 12), st.sampled_from([0.01, 0.1, 1.0]))
def test_joining_loses_no_more_than_it_says(weights, most, price):
    assume(len(weights) > most)
    given_ = Histograms(weights[None], weights[None])
    prices = TablePrices(price)
    [full] = optimal_trees(given_, prices)
    best = cost_of(full, given_, prices, 0)
    error = best - cost_of(full, Histograms(given_.counts, 0 * weights[None]), prices, 0)
    few = Histograms(weights[None], weights[None])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(searches, "MOST_VALUES", most)
        [found] = optimal_trees(few, prices)
        [cuts], _ = few.cuts(1, runs=False)
    assert len(cuts) - 1 <= most
    cost = cost_of(found, given_, prices, 0)
    assert cost <= best + lost_at_most(weights, cuts, error) + 1e-9 * (1 + best)
    if np.count_nonzero(weights) <= most:
        assert cost == pytest.approx(best)


@pytest.mark.parametrize("make", [optimal_trees, optimal_segments])
@pytest.mark.parametrize("aligned", [False, True])
def test_little_is_lost_on_a_tall_array(make, aligned):
    """Sums near zero in a range a hundred times as wide, and a little likelihood for all."""
    if not cpu.available():
        pytest.skip("numpy takes long")
    values = np.arange(-700, 701)
    counts = 1e6 * np.exp(-np.abs(values) / 15) + 1e-2 / len(values)
    limits, prices = Limits(aligned=aligned), TablePrices(0.02, 0.05, 50.0)

    def cost(most):
        given_ = Histograms(counts[None], counts[None], -700)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(searches, "MOST_VALUES", most)
            [found] = make(given_, prices, limits)
        return cost_of(found, given_, prices, 0)

    assert cost(520) <= cost(5000) * 1.0001
    assert cost(260) <= cost(5000) * 1.01


def test_tables_of_520_values_are_left_alone():
    counts = np.random.default_rng(0).random((2, 521)) ** 9
    bounds = np.array([[0, 520], [0, 521]])
    cuts, shape = Histograms(counts, counts, 0, bounds).cuts(1, runs=True)
    assert (cuts[shape[0]] == np.arange(521)).all()
    assert len(cuts[shape[1]]) - 1 == 520
    exact, _ = Histograms(counts, np.full_like(counts, np.inf), 0, bounds).cuts(1, runs=False)
    assert {len(c) - 1 for c in exact} == {520, 521}


@given(weighted(), st.integers(2, 12), st.integers(-40, 8), st.booleans())
def test_without_errors_every_sum_is_told_apart_whatever_is_joined(weights, most, lowest, dense):
    """Aligned runs have to reach all of a group, wherever the groups begin."""
    counts = weights[None] + dense
    exact = Histograms(counts, np.full_like(counts, np.inf), lowest)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(searches, "MOST_VALUES", most)
        [found] = optimal_segments(exact, TablePrices(1.0), Limits(aligned=True))
    design = Segmented(
        tuple(s + lowest for s in found.starts), found.steps, found.bits, found.depths, aligned=True
    )
    highest = lowest + len(weights) - 1
    assert (compile_tables(design, lowest, highest).level == np.arange(lowest, highest + 1)).all()
