"""What optimal searches cost, told from their ends alone."""

import numpy as np


def cost_of(search, histograms, prices, t):
    """What a table's search costs, by its ends."""
    h, (comparison, start, word) = histograms, prices.by_table(len(histograms.counts))[t]
    first, end = (0, h.counts.shape[1]) if h.bounds is None else map(int, h.bounds[t])
    found, ends = 0.0, len(search.starts)
    for k, (a, b) in enumerate(zip(search.starts, (*search.starts[1:], end), strict=True)):
        values, step, bits = np.arange(a, b), search.steps[k], search.bits[k]
        assert len(values)
        made = h.counts[t, a:b].sum() * comparison * (search.depths[k] + bits)
        if search.escapes[k]:
            found += h.escape[t, a:b].sum() + word + made
            continue
        codes = np.minimum((values - a) // step, (1 << bits) - 1)
        square = (values - search.levels[k] - codes * step * (bits > 0)) ** 2.0
        weights = np.where(square > 0, h.errors[t, a:b], 0.0)
        found += (weights * np.where(square > 0, square, 1.0)).sum() + made + word * (bits > 0)
    alone = ends == 1 and not search.bits[0]
    started = 0.0 if alone else start * h.counts[t, first:end].sum() + word * (ends - 1)
    return found + started
