"""Input ranges from what a layer is given."""

from __future__ import annotations

import torch

from reram_torch._support import processes
from reram_torch._support.checks import check_finite
from reram_torch.config.sections import INPUT_ENCODINGS
from reram_torch.crossbar.quantization import InputScale
from reram_torch.nn.base import CrossbarLayer
from reram_torch.nn.watchers import Watcher

# Inputs are counted by sign and magnitude, in bins of equal ratio below the largest: a few outliers
# must not blur the rest.
_OCTAVES, _PER_OCTAVE = 40, 128
_BINS = _OCTAVES * _PER_OCTAVE  # of either sign
# Of a bound, what least squared error tries: evenly near it, and by ratio far below it.
_SHARES = [k / 64 for k in range(64, 8, -1)] + [2.0 ** (-3 - k / 8) for k in range(8 * 30)]


class RangeWatcher(Watcher):
    """Watches a layer's inputs while it computes in float."""

    computes = hides = True

    def __init__(self, name: str):
        self.name = name
        self.low, self.high = float("inf"), -float("inf")
        self.counting = False
        self.bins = torch.zeros(2 * _BINS, dtype=torch.float64)  # of inputs but zero, from below
        self.zeros = 0

    def compute(self, layer: CrossbarLayer, x: torch.Tensor) -> torch.Tensor:
        """The layer's output in float."""
        if x.numel():
            check_finite(f"the input of layer {self.name!r}", x)
            coded, _ = layer.scaled(x)
            if self.counting:
                # Zero is exact on every scale, and in a ReLU network most of the data.
                values = coded.double().flatten()
                others = values[values != 0]
                self.zeros += len(values) - len(others)
                self.bins += torch.bincount(self._bin_of(others), minlength=2 * _BINS).cpu()
            else:
                low, high = torch.aminmax(coded)
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
        return min(self.low, 0.0), max(self.high, 0.0)

    @property
    def _largest(self) -> float:
        return max(-self.low, self.high)

    def _bin_of(self, values: torch.Tensor) -> torch.Tensor:
        """The bins of values that are not zero."""
        octaves = torch.log2(values.abs() / self._largest)
        below = (-octaves * _PER_OCTAVE).floor().clamp(0, _BINS - 1).long()  # 0: the largest
        return torch.where(values > 0, 2 * _BINS - 1 - below, below)

    def _edges(self) -> torch.Tensor:
        """Bounds of the bins, from below, (2 * _BINS + 1,); zero is the one in the middle."""
        sizes = self._largest * torch.exp2(-torch.arange(_BINS, dtype=torch.float64) / _PER_OCTAVE)
        return torch.cat([-sizes, torch.zeros(1, dtype=torch.float64), sizes.flip(0)])

    def range(
        self, kind: str, percentile: float, bits: int, encoding: str = INPUT_ENCODINGS[0]
    ) -> tuple[float, float]:
        """The range that a kind of calibration gives, for codes of so many bits."""
        if kind == "min_max" or self.bins.sum() == 0:
            return self.low, self.high
        if kind == "percentile":
            return self._percentile(1 - percentile / 100)
        if encoding == INPUT_ENCODINGS[0] or self.low >= 0:
            return self._least_error(bits)
        return self._least_error_signed(bits)

    def _percentile(self, tail: float) -> tuple[float, float]:
        """The bounds that leave out a share of the inputs on either side."""
        counts, edges = self.bins.clone(), self._edges()
        counts[_BINS] += self.zeros
        share = counts.cumsum(0) / counts.sum()
        first, last = int((share <= tail).sum()), int((share < 1 - tail).sum())
        last = min(last, 2 * _BINS - 1)
        low, high = min(edges[first].item(), 0.0), max(edges[last + 1].item(), 0.0)
        return max(low, self._bounds()[0]), min(high, self._bounds()[1])

    def _least_error(self, bits: int) -> tuple[float, float]:
        """The bounds, shrunk one after the other, with the least squared error of the codes."""
        values, bins = self._centers()

        def error(low: float, high: float) -> float:
            scale, zero = InputScale.from_range(low, high, bits)
            codes = (values / scale).round().add(zero).clamp(0, 2**bits - 1)
            return float((bins * ((codes - zero) * scale - values) ** 2).sum())

        low, high = self._bounds()
        high = min((high * s for s in _SHARES), key=lambda h: error(low, h))
        low = min((low * s for s in _SHARES), key=lambda b: error(b, high))
        return low, high

    def _least_error_signed(self, bits: int) -> tuple[float, float]:
        """The same of signed codes, whose bounds are alike but where the inputs end before."""
        values, bins = self._centers()
        most = 2 ** (bits - 1) - 1

        def error(bound: float) -> float:
            scale = InputScale.symmetric(-bound, bound, bits - 1).scale
            codes = (values / scale).round().clamp(-most, most)
            return float((bins * (codes * scale - values) ** 2).sum())

        bound = min((self._largest * s for s in _SHARES), key=error)
        low, high = self._bounds()
        return max(low, -bound), min(high, bound)

    def _centers(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Where the bins in use lie, and what they hold."""
        edges, used = self._edges(), self.bins > 0
        return ((edges[1:] + edges[:-1]) / 2)[used], self.bins[used]
