"""Input ranges from what a layer is given."""

from __future__ import annotations

import torch

from reram_torch._support import processes
from reram_torch._support.checks import check_finite
from reram_torch.crossbar.quantization import InputScale
from reram_torch.nn.base import CrossbarLayer
from reram_torch.nn.watchers import Watcher

_BINS = 2048  # of the histogram of a layer's inputs
_SHRINKS = 64  # ranges that least squared error tries for each bound


class RangeWatcher(Watcher):
    """Watches a layer's inputs while it computes in float."""

    computes = hides = True

    def __init__(self, name: str):
        self.name = name
        self.low, self.high = float("inf"), -float("inf")
        self.counting = False
        self.bins = torch.zeros(_BINS, dtype=torch.float64)  # of the inputs that are not zero
        self.zeros = 0

    def compute(self, layer: CrossbarLayer, x: torch.Tensor) -> torch.Tensor:
        """The layer's output in float."""
        if x.numel():
            check_finite(f"the input of layer {self.name!r}", x)
            if self.counting:
                # Zero is exact on every scale, and in a ReLU network most of the data.
                values = x.double().flatten()
                others = values[values != 0]
                self.zeros += len(values) - len(others)
                self.bins += torch.histc(others, _BINS, *self._bounds()).cpu()
            else:
                low, high = torch.aminmax(x)
                self.low, self.high = min(self.low, low.item()), max(self.high, high.item())
        return layer.float_forward(x)

    @staticmethod
    def share_bounds(watchers: list[RangeWatcher]) -> None:
        """Widens each one's bounds to what all processes saw."""
        bounds = torch.tensor([[-w.low, w.high] for w in watchers], dtype=torch.float64)
        shared = processes.highest(bounds).tolist()
        for watcher, (low, high) in zip(watchers, shared, strict=True):
            watcher.low, watcher.high = -low, high

    def share_bins(self) -> None:
        """Adds what all processes counted."""
        self.bins = processes.add_up(self.bins)
        self.zeros = int(processes.add_up(torch.tensor(self.zeros)))

    def _bounds(self) -> tuple[float, float]:
        low, high = min(self.low, 0.0), max(self.high, 0.0)
        return low, high if high > low else low + 1.0

    def range(self, kind: str, percentile: float, bits: int) -> tuple[float, float]:
        """The range that a kind of calibration gives, for codes of so many bits."""
        if kind == "min_max" or self.bins.sum() == 0:
            return self.low, self.high
        low, high = self._bounds()
        edges = torch.linspace(low, high, _BINS + 1, dtype=torch.float64)
        if kind == "percentile":
            counts = self.bins.clone()
            counts[min(int((edges <= 0).sum()) - 1, _BINS - 1)] += self.zeros
            share = counts.cumsum(0) / counts.sum()
            tail = 1 - percentile / 100
            first = int((share <= tail).sum())
            last = int((share < 1 - tail).sum())
            return min(edges[first].item(), 0.0), max(edges[min(last, _BINS - 1) + 1].item(), 0.0)
        return self._least_error(edges, bits)

    def _least_error(self, edges: torch.Tensor, bits: int) -> tuple[float, float]:
        """The bounds, shrunk one after the other, with the least squared error of the codes."""
        centers = (edges[1:] + edges[:-1]) / 2

        def error(low: float, high: float) -> float:
            scale, zero = InputScale.from_range(low, high, bits)
            codes = (centers / scale).round().add(zero).clamp(0, 2**bits - 1)
            return float((self.bins * ((codes - zero) * scale - centers) ** 2).sum())

        low, high = edges[0].item(), edges[-1].item()
        shares = [(k + 1) / _SHRINKS for k in range(_SHRINKS)]
        high = min((high * s for s in shares), key=lambda h: error(low, h))
        low = min((low * s for s in shares), key=lambda b: error(b, high))
        return low, high
