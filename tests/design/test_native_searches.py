"""The searches of the native library against those of the numpy programme, which defines them."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from searched import cost_of

from reram_torch.design.optimal_intervals import optimal_intervals
from reram_torch.design.optimal_trees import optimal_segments, optimal_trees
from reram_torch.design.searches import Histograms, Limits, TablePrices
from reram_torch.native import cpu, structures

pytestmark = pytest.mark.skipif(not cpu.available(), reason="the native library is not built")


def both(monkeypatch, make):
    """What the numpy programme and the library find, or the error that they raise."""
    results = []
    for backend in ("reference", "native"):
        monkeypatch.setenv("RERAM_TORCH_BACKEND", backend)
        try:
            results.append(make())
        except ValueError as error:
            results.append(str(error)[: len("no tree")])  # whose table and which limit is open
    return results


@st.composite
def problems(draw):
    """Histograms with everything that may be odd about them, and prices."""
    T, V = draw(st.integers(1, 4)), draw(st.integers(1, 24))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    spread = draw(st.sampled_from([0.0, 1.0, 8.0]))
    counts = np.round(rng.random((T, V)) ** (1 + spread) * 40) * (rng.random((T, V)) < 0.8)
    counts += draw(st.sampled_from([0.0, 1e-4]))
    errors = rng.random((T, V)) * 4.0 ** rng.integers(-3, 3, (T, 1)) * (rng.random((T, V)) < 0.9)
    exact = draw(st.lists(st.booleans(), min_size=T, max_size=T))
    errors[exact] = np.inf
    if draw(st.booleans()):
        errors[0, draw(st.integers(0, V - 1))] = np.inf
    bounds = None
    if draw(st.booleans()):
        first = rng.integers(0, V, T)
        bounds = np.stack([first, rng.integers(first + 1, V + 1)], axis=1)
    escape = rng.random((T, V)) * 9 if draw(st.booleans()) else None
    a_price = st.sampled_from([0.0, 0.01, 0.3, 2.0, 30.0])
    prices = TablePrices(np.array([draw(a_price) for _ in range(T)]), draw(a_price), draw(a_price))
    lowest = draw(st.integers(-30, 5))
    return Histograms(counts, errors, lowest, bounds, escape), prices


some_limits = st.builds(
    Limits,
    depth=st.none() | st.integers(0, 7),
    leaves=st.none() | st.integers(1, 9),
    grid=st.sampled_from([1, 1, 2, 3]),
    aligned=st.booleans(),
)


@pytest.mark.parametrize("isa", structures.ISAS)
@pytest.mark.parametrize("make", [optimal_trees, optimal_segments])
def test_the_library_finds_what_the_definition_finds(isa, make):
    if isa not in structures.ISAS[: cpu.library().reram_best_isa() + 1]:
        pytest.skip(f"this machine lacks {isa}")

    @given(problems(), some_limits)
    def check(problem, limits):
        histograms, prices = problem
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("RERAM_TORCH_ISA", isa)
            expected, found = both(patch, lambda: make(histograms, prices, limits))
        if isinstance(expected, str):
            assert found == expected
            return
        for t, (one, other) in enumerate(zip(expected, found, strict=True)):
            least = cost_of(one, histograms, prices, t)
            assert cost_of(other, histograms, prices, t) == pytest.approx(least, rel=1e-12)
            # Lossless trees come from another algorithm, which has other ties.
            if make is optimal_segments or not np.isinf(histograms.errors[t]).any():
                assert one == other

    check()


@given(problems(), st.integers(1, 5))
def test_the_library_finds_the_same_intervals(problem, most):
    histograms, prices = problem
    with pytest.MonkeyPatch.context() as patch:
        expected, found = both(patch, lambda: optimal_intervals(histograms, prices, most))
    assert found == expected


def test_sizes_around_blocks(monkeypatch):
    """Rows and splits are taken in blocks."""
    rng = np.random.default_rng(1)
    for size in (1, 4, 7, 8, 9, 15, 16, 17, 31, 33, 64, 65, 130, 200):
        counts = rng.random((2, size)) ** 6 * 100
        given_ = Histograms(counts, counts + 1e-3)
        for make in (optimal_trees, optimal_segments):
            expected, found = both(monkeypatch, lambda m=make, g=given_: m(g, TablePrices(0.2)))
            assert found == expected


def test_threads_change_nothing():
    counts = np.random.default_rng(2).random((40, 90)) ** 6 * 100
    before = torch.get_num_threads()
    try:
        found = []
        for threads in (1, 3):
            torch.set_num_threads(threads)
            found.append(optimal_segments(Histograms(counts, counts), TablePrices(0.1)))
    finally:
        torch.set_num_threads(before)
    assert found[0] == found[1]
