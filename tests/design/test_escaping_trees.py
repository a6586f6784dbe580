"""Trees without error whose sums escape beyond a window."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from problems import examples
from searched import cost_of

from reram_torch.design import optimal_trees as trees
from reram_torch.design import searches
from reram_torch.design.optimal_trees import optimal_trees
from reram_torch.design.searches import Histograms, TablePrices


@st.composite
def tables(draw):
    """Sums around zero, or from it on, with what an escape costs: more, the rarer the sum."""
    values, lowest = draw(st.sampled_from([(61, -30), (80, 0), (90, -20)]))
    away = np.abs(np.arange(values) + lowest)
    spread = np.array([draw(st.floats(1, 30)) for _ in range(2)])
    counts = 1e4 * np.exp(-away / spread[:, None]) + 1e-3
    dear = draw(st.floats(2, 60))
    bounds = np.array([[0, values], [max(0, -lowest - 15), -lowest + 15]])
    escape = counts * (dear + np.log2(1 + away))
    return Histograms(counts, np.full_like(counts, np.inf), lowest, bounds, escape)


def found_by(h, prices, most):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(searches, "MOST_VALUES", most)
        patch.setattr(trees, "MOST_VALUES", most)
        return optimal_trees(h, prices)


@pytest.mark.parametrize("word", [0.0, 3.0])
def test_windows_are_nearly_as_good_as_all_values_apart(word):
    prices = TablePrices(1.0, 0.5, word)

    @examples(30)
    @given(tables())
    def check(h):
        fresh = Histograms(h.counts, h.errors, h.lowest, h.bounds, h.escape)
        for t, (best, found) in enumerate(
            zip(found_by(h, prices, 500), found_by(fresh, prices, 9), strict=True)
        ):
            least, cost = (cost_of(s, h, prices, t) for s in (best, found))
            assert least * (1 - 1e-9) <= cost <= 1.05 * least
            ends = np.append(found.starts, h.bounds[t, 1])
            single = np.diff(ends) == 1
            assert (single | np.array(found.escapes)).all()
            assert ends[0] == h.bounds[t, 0]

    check()
