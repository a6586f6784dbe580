"""Activity: how many word-lines a cycle drives, and buckets of it."""

from __future__ import annotations

import numpy as np
import torch

from reram_torch.config.sections import ENCODINGS
from reram_torch.crossbar.cells import program
from reram_torch.crossbar.geometry import Geometry, bit_places, sizes

BUCKETS = 12  # at most, the one of no driven word-line included


def driven_lines(u: torch.Tensor, geometry: Geometry) -> np.ndarray:
    """How often a tile-cycle drove each number of word-lines.

    They are the sums of a bit-line whose cells are all set.

    Args:
        u: input codes (M, G, K) or windows of them, as `crossbar` takes them.
        geometry: of the layer.

    Returns:
        Counts from none to `rows` driven word-lines, (rows + 1,).
    """
    g = geometry
    if g.dac_bits > 1:  # a pulse drives its word-line if any of its bits is set
        pulses = [
            (u >> below & mask > 0).to(torch.uint8) << i
            for i, (below, mask) in enumerate(bit_places(g.dac_widths))
        ]
        u = torch.stack(pulses).sum(0, dtype=torch.uint8)
    probe = Geometry(g.rows, g.cols, (1,), (1,) * g.cycles, 1, g.cycles, ENCODINGS.index("offset"))
    _, groups, depth = sizes(u)
    codes = torch.zeros(groups, 1, depth, dtype=torch.int8, device=u.device)  # stored as 0 + 1
    edges = torch.zeros(1, dtype=torch.int32, device=u.device)
    cells = program(codes, probe)
    bins: torch.Tensor = torch.ops.reram_torch.histogram(u, cells, edges, [], [1, *probe.as_list()])
    found: np.ndarray = bins.sum((0, 1, 2)).cpu().numpy()
    return found


def activity_edges(driven: np.ndarray, buckets: int = BUCKETS) -> tuple[int, ...]:
    """Buckets within which the numbers of driven word-lines are most alike.

    What a conversion costs grows with the logarithm of how widely its sums spread, so the buckets
    have the least squared deviation of the logarithm of the number: found exactly, by dynamic
    programming.

    Args:
        driven: how often each number of word-lines was driven, from none on, (R + 1,).
        buckets: how many at most.

    Returns:
        The fewest driven word-lines of each bucket: 0, 1, and so on.
    """
    mass = driven[1:] + 1e-6 * max(driven[1:].sum(), 1) / len(driven)  # numbers never seen too
    log = np.log2(np.arange(1, len(driven)))
    sums = [np.concatenate([[0.0], np.cumsum(mass * log**k)]) for k in range(3)]
    n = len(mass)
    zero, one, two = (s[None, 1:] - s[:-1, None] for s in sums)  # [first, last]
    within = np.triu(np.ones((n, n), bool))
    cost = np.where(within, two - one**2 / np.where(within, zero, 1.0), np.inf)
    best, starts = cost[0], []
    for _ in range(min(buckets - 2, n - 1)):
        # The last bucket begins at `first`, and the others end before it.
        both = np.concatenate([[np.inf], best[:-1]])[:, None] + cost
        starts.append(both.argmin(0))
        best = np.minimum(both.min(0), best)
    edges, last = [], n - 1
    for start in reversed(starts):
        if last < 0:
            break
        edges.append(int(start[last]) + 1)
        last = int(start[last]) - 1
    return (0, *sorted({1, *edges} - {0}))
