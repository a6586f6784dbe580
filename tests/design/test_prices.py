"""The search for the price that meets a budget."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reram_torch.design import prices


@given(st.floats(-39, 29), st.floats(0.01, 100), st.integers(0, 40), st.floats(-40, 30))
def test_where_a_rising_function_passes_zero(root, slope, steps, start):
    """Straight lines, and stairs of any width on them."""

    def excess(price):
        assert prices.LOWEST <= price <= prices.HIGHEST
        exact = slope * (price - root)
        return exact if steps == 0 else slope * math.floor((price - root) * steps) / steps

    below, above = prices.crossing(excess, start)
    assert excess(below) < 0 <= excess(above)
    assert 0 < above - below < 0.011


@given(st.floats(-39, 29), st.floats(-40, 30))
def test_close_enough_ends_the_search(root, start):
    tried = []

    def excess(price):
        tried.append(price)
        return price - root

    _, above = prices.crossing(excess, start, close=0.5)
    assert above == tried[-1]
    assert 0 <= above - root < 0.5
    assert all(not 0 <= price - root < 0.5 for price in tried[:-1])


@pytest.mark.parametrize(
    ("value", "found"), [(-1.0, (prices.HIGHEST, None)), (1.0, (None, prices.LOWEST))]
)
def test_nothing_to_find_between_the_limits(value, found):
    tried = []
    assert prices.crossing(lambda price: tried.append(price) or value) == found
    assert len(tried) < 20


def test_no_more_trials_than_told():
    tried = []
    below, above = prices.crossing(lambda price: tried.append(price) or price + 2.3, trials=3)
    assert len(tried) == 3
    assert below < -2.3 <= above
