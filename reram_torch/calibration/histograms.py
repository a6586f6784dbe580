"""Histograms of a layer's bit-line sums."""

from __future__ import annotations

import torch

from reram_torch._support.lasting import lasting
from reram_torch.calibration.activity import activity_edges, driven_lines
from reram_torch.calibration.tries import TrySampler
from reram_torch.crossbar.geometry import sizes
from reram_torch.nn.base import CrossbarLayer
from reram_torch.nn.line_loads import LineLoads
from reram_torch.nn.statistics import Statistics
from reram_torch.nn.watchers import Watcher


class BitLineWatcher(Watcher):
    """Adds up a layer's bit-line sums while it computes on lossless crossbars.

    Args:
        layer: the layer.
        calls: how often it computes, about; only samples depend on it.
    """

    computes = hides = True

    def __init__(self, layer: CrossbarLayer, calls: int = 1):
        self.tables = layer.lossless_tables()
        self.recoveries = layer.geometry.recoveries
        self._sampler = TrySampler(layer, calls) if layer.geometry.speculation else None
        self.statistics: Statistics | None = None  # from the first input on

    def compute(self, layer: CrossbarLayer, x: torch.Tensor) -> torch.Tensor:
        """The layer's output on lossless crossbars."""
        u, encoded = layer.codes(x), layer.encoded()
        if self.statistics is None:
            self.statistics = self._begin(layer, u)
        edges = torch.tensor(self.statistics.edges, dtype=torch.int32, device=u.device)
        bins = layer.bit_line_histogram(u, edges)
        y, *_ = layer.simulate(x, self.tables, corrected=False)
        # Back from outputs to shift-add results, channels last: sum_k u_k q_k.
        scale, zero = layer.input_scale
        acc = (y.movedim(-3, -1) if layer.channels_first else y).double()
        if layer.bias is not None:
            acc = acc - layer.bias
        _, largest = layer.scaled(x)
        if largest is not None:
            acc = acc / largest
        acc = acc / (encoded.scale * scale) + zero * encoded.code_sums.flatten()
        self.statistics.by_activity += bins.cpu()
        self.statistics.square_sum += float(acc.square().sum())
        self.statistics.results += acc.numel()
        if self.statistics.loads is not None:
            self.statistics.loads.see(u)
        if self._sampler is not None:
            self.statistics.add_tries(self._sampler.look(layer, u))
        return y

    def _begin(self, layer: CrossbarLayer, u: torch.Tensor) -> Statistics:
        g = layer.geometry
        edges = activity_edges(driven_lines(u, g))
        shape = (len(edges), g.phases, g.slices, g.values)
        with lasting():
            by_activity = torch.zeros(shape, dtype=torch.int64)
        loads = LineLoads(g, sizes(u)[1], layer.depth)
        return Statistics(by_activity, edges, fingerprint=layer.fingerprint(), loads=loads)
