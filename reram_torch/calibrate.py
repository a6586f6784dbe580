"""Calibration: input ranges, and histograms of the bit-line sums, from a few batches."""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Iterable
from contextlib import contextmanager
from dataclasses import dataclass, field

import torch
from torch import nn

from reram_torch import distributed
from reram_torch.activity import activity_edges, driven_lines
from reram_torch.adc import UniformSAR
from reram_torch.convert import crossbar_layers
from reram_torch.crossbar_layer import CrossbarLayer
from reram_torch.layers import ReRAMConv2d
from reram_torch.mapping import Geometry
from reram_torch.progress import progress
from reram_torch.quantize import InputScale
from reram_torch.validate import check_choice, check_finite

RANGES = ("min_max", "percentile", "mse", "keep")
_BINS = 2048  # of the histogram of a layer's inputs
_SHRINKS = 64  # ranges that least squared error tries for each bound


@dataclass(frozen=True)
class Calibration:
    """What `calibrate` keeps on the network for `design_adc`.

    Copies of the network share it; a pickled network leaves the images behind.

    Attributes:
        inputs: the batches.
        targets: their labels, or None where there were none.
        held_back: batches that calibration did not look at, to measure `max_drop` on; or None.
    """

    inputs: list[torch.Tensor]
    targets: list[torch.Tensor] | None
    held_back: Calibration | None = None

    def split(self, share: float) -> Calibration:
        """The same with the last batches held back: `share` of them, rounded down."""
        n = len(self.inputs) - int(len(self.inputs) * share)
        parts = [
            Calibration(self.inputs[k], None if self.targets is None else self.targets[k])
            for k in (slice(n), slice(n, None))
        ]
        return dataclasses.replace(parts[0], held_back=parts[1] if parts[1].inputs else None)

    def __deepcopy__(self, memo: dict) -> Calibration:
        return self

    def __reduce__(self):
        return Calibration, ([], None)


@dataclass
class Statistics:
    """What a layer's bit-lines did during calibration.

    Attributes:
        by_activity: conversions by activity bucket, cycle, slice and bit-line sum, int64
            (B, I, J, V), sums from `geometry.lowest`.
        edges: fewest driven word-lines of each bucket, rising from 0, 1.
        square_sum: of the lossless shift-add results, less the encoding's offset.
        results: how many of those there were.
        fingerprint: of the weights on the crossbars that made them.
    """

    by_activity: torch.Tensor
    edges: tuple[int, ...]
    square_sum: float = 0.0
    results: int = 0
    fingerprint: tuple | None = None  # of what was on the crossbars
    choices: dict = field(default_factory=dict)  # what `design_adc` derived from the histogram

    def clear(self) -> None:
        """Forgets everything but the buckets."""
        self.by_activity.zero_()
        self.square_sum, self.results = 0.0, 0

    def add_up(self) -> None:
        """Adds what all processes saw."""
        self.by_activity = distributed.add_up(self.by_activity)
        totals = torch.tensor([self.square_sum, self.results], dtype=torch.float64)
        square_sum, results = distributed.add_up(totals).tolist()
        self.square_sum, self.results = square_sum, int(results)

    @property
    def histogram(self) -> torch.Tensor:
        """Conversions by cycle, slice and bit-line sum, (I, J, V)."""
        return self.by_activity.sum(0)

    @property
    def mean_square(self) -> float:
        """The signal that errors are measured against, in integer units squared."""
        return self.square_sum / max(self.results, 1)


def lossless_adc(geometry: Geometry) -> UniformSAR:
    """The smallest plain ADC that converts every bit-line sum of a geometry exactly."""
    if geometry.lowest < 0:
        return UniformSAR(bits=geometry.highest.bit_length() + 1)
    return UniformSAR(bits=geometry.highest.bit_length())


def calibrate(
    net: nn.Module,
    batches: Iterable,
    *,
    ranges: str = "min_max",
    percentile: float = 99.99,
    held_back: float = 0.25,
    shared: bool = False,
    show_progress: bool = True,
) -> nn.Module:
    """Sets every layer's input range and collects its bit-line histogram.

    The network runs in eval mode over the batches: in float for the ranges, then on lossless
    crossbars for the histograms, which are added up as they come. The batches are kept on the
    network (`net.calibration`) for `design_adc`.

    Args:
        net: a converted network.
        batches: an iterable of inputs or of (input, target) pairs; a single tensor is one batch.
        ranges: `min_max`, `percentile` (cuts the tails), `mse` (least squared error of the codes),
            or `keep` (those that the layers have, learned or loaded).
        percentile: for `percentile`, the share of inputs, in percent, that each bound keeps.
        held_back: the share of batches, the last ones, that is only kept for `design_adc` to
            measure `max_drop` on; rounded down, so that three batches or fewer are all used.
        shared: every process of torch.distributed calls this with the same batches, goes through
            its part of them, and gets the ranges and histograms of all.
        show_progress: draw a tqdm bar if tqdm is installed.

    Returns:
        `net` itself.

    Raises:
        ValueError: no crossbar layers, no batches, an unknown kind of range, no range to keep, or
            NaN or infinity in what reaches a layer.
        TypeError: a batch is not a floating-point tensor.

    Warns:
        UserWarning: a layer saw no input and stays uncalibrated.
    """
    layers = crossbar_layers(net)
    check_choice("ranges", ranges, RANGES)
    if not 50 < percentile <= 100:
        raise ValueError(f"percentile must be above 50 and at most 100, not {percentile!r}")
    if not 0 <= held_back < 1:
        raise ValueError(f"held_back must be at least 0 and below 1, not {held_back!r}")
    data = collect(batches).split(held_back)
    sweeps = {"keep": 1, "min_max": 2}.get(ranges, 3)
    rank, world = (distributed.rank(), distributed.world()) if shared else (0, 1)
    total = sweeps * sum(len(x) for x in data.inputs[rank::world])
    show = show_progress and rank == 0
    with (
        torch.no_grad(),
        evaluating(net),
        progress(description="calibrate", total=total, unit="img", show=show) as bar,
    ):
        if ranges == "keep":
            seen = _with_ranges(layers)
        else:
            seen = _set_ranges(
                net, layers, data.inputs[rank::world], ranges, percentile, shared, bar
            )
        for layer in seen:
            layer.correction = None  # sums are those of lossless crossbars
        bit_lines = {layer: _BitLineObserver(layer) for layer in seen}
        _count_sums(net, data.inputs, bit_lines, rank, world, bar)
    for layer, observer in bit_lines.items():
        layer._statistics = observer.statistics
    unseen = [name for name, layer in layers.items() if layer not in seen]
    if unseen:
        warnings.warn(f"not calibrated, since they saw no input: {unseen}", stacklevel=2)
    net.calibration = data
    return net


def collect(batches: Iterable) -> Calibration:
    """The batches as lists: they are gone through more than once."""
    if isinstance(batches, torch.Tensor):
        batches = [batches]
    inputs, targets = [], []
    for k, batch in enumerate(batches):
        paired = isinstance(batch, tuple | list)
        x = batch[0] if paired and batch else batch
        if not isinstance(x, torch.Tensor) or not x.is_floating_point():
            what = x.dtype if isinstance(x, torch.Tensor) else type(x).__name__
            raise TypeError(f"batches[{k}]: the input must be a floating-point tensor, not {what}")
        check_finite(f"batches[{k}]", x)
        inputs.append(x.detach().clone())  # some loaders use one buffer for every batch
        if paired and len(batch) > 1:
            targets.append(torch.as_tensor(batch[1]))
    if not inputs:
        raise ValueError("batches is empty: calibrate needs at least one batch of inputs")
    if targets and len(targets) != len(inputs):
        raise ValueError(f"only {len(targets)} of {len(inputs)} batches have targets")
    return Calibration(inputs, targets or None)


def _with_ranges(layers: dict[str, CrossbarLayer]) -> list[CrossbarLayer]:
    missing = [name for name, layer in layers.items() if layer.input_range is None]
    if missing:
        raise ValueError(f"ranges='keep', but {missing} have none: calibrate with another kind")
    return list(layers.values())


def _set_ranges(
    net: nn.Module, layers: dict, inputs: list, ranges: str, percentile: float, shared: bool, bar
) -> list[CrossbarLayer]:
    """Sets the input ranges of the layers that saw input, and returns those layers."""
    observers = {layer: _RangeObserver(name) for name, layer in layers.items()}
    _sweep(net, inputs, observers, bar)
    if shared:
        _RangeObserver.share_bounds(list(observers.values()))
    seen = {layer: o for layer, o in observers.items() if o.low <= o.high}
    if not seen:
        raise ValueError("none of the crossbar layers saw any input: are the batches empty?")
    if ranges != "min_max":
        for observer in seen.values():
            observer.counting = True
        _sweep(net, inputs, observers, bar)
        if shared:
            for observer in seen.values():
                observer.bins = distributed.add_up(observer.bins)
                observer.zeros = int(distributed.add_up(torch.tensor(observer.zeros)))
    for layer, observer in seen.items():
        layer.set_input_range(*observer.range(ranges, percentile, layer.config.inputs.bits))
    return list(seen)


def _count_sums(net: nn.Module, inputs: list, observers: dict, rank: int, world: int, bar) -> None:
    """Collects histograms: those of all processes' inputs, where they are shared out."""
    if world == 1:
        _sweep(net, inputs, observers, bar)
        return
    _sweep(net, inputs[:1], observers, bar)  # every process cuts the same activity buckets
    for observer in observers.values():
        if rank and observer.statistics is not None:
            observer.statistics.clear()
    _sweep(net, inputs[rank or world :: world], observers, bar)
    for observer in observers.values():
        if observer.statistics is not None:
            observer.statistics.add_up()


@contextmanager
def evaluating(net: nn.Module):
    """Eval mode for the block, each module's own mode afterwards."""
    modes = {module: module.training for module in net.modules()}
    net.eval()
    try:
        yield
    finally:
        for module, mode in modes.items():
            module.training = mode


def _sweep(net: nn.Module, inputs: list[torch.Tensor], observers: dict, bar) -> None:
    """Runs the inputs through the network with an observer in each layer."""
    for layer, observer in observers.items():
        layer._observer = observer
    try:
        for x in inputs:
            net(x)
            bar.update(len(x))
    finally:
        for layer in observers:
            layer._observer = None


class _RangeObserver:
    """Watches a layer's inputs while it computes in float."""

    def __init__(self, name: str):
        self.name = name
        self.low, self.high = float("inf"), -float("inf")
        self.counting = False
        self.bins = torch.zeros(_BINS, dtype=torch.float64)  # of the inputs that are not zero
        self.zeros = 0

    def __call__(self, layer: CrossbarLayer, x: torch.Tensor) -> torch.Tensor:
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
        return layer._float(x)

    @staticmethod
    def share_bounds(observers: list[_RangeObserver]) -> None:
        """Widens each observer's bounds to what all processes saw."""
        bounds = torch.tensor([[-o.low, o.high] for o in observers], dtype=torch.float64)
        for observer, (low, high) in zip(
            observers, distributed.highest(bounds).tolist(), strict=True
        ):
            observer.low, observer.high = -low, high

    def _bounds(self) -> tuple[float, float]:
        low, high = min(self.low, 0.0), max(self.high, 0.0)
        return low, high if high > low else low + 1.0

    def range(self, kind: str, percentile: float, bits: int) -> tuple[float, float]:
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


class _BitLineObserver:
    """Adds up a layer's bit-line sums while it computes on lossless crossbars."""

    def __init__(self, layer: CrossbarLayer):
        self.tables = layer.lossless_tables()
        self.statistics: Statistics | None = None  # from the first input on

    def __call__(self, layer: CrossbarLayer, x: torch.Tensor) -> torch.Tensor:
        u, encoded = layer._codes(x), layer.encoded()
        if self.statistics is None:
            self._begin(layer, u)
        edges = torch.tensor(self.statistics.edges, dtype=torch.int32, device=u.device)
        bins = layer.bit_line_histogram(u, edges)
        y, *_ = layer._simulate(x, self.tables, False)
        # Back from outputs to shift-add results, channels last: sum_k u_k q_k.
        scale, zero = layer._input_scale
        acc = (y.movedim(-3, -1) if isinstance(layer, ReRAMConv2d) else y).double()
        if layer.bias is not None:
            acc = acc - layer.bias
        acc = acc / (encoded.scale * scale) + zero * encoded.code_sums.flatten()
        self.statistics.by_activity += bins.cpu()
        self.statistics.square_sum += float(acc.square().sum())
        self.statistics.results += acc.numel()
        return y

    def _begin(self, layer: CrossbarLayer, u: torch.Tensor) -> None:
        g = layer.geometry
        edges = activity_edges(driven_lines(u, g))
        shape = (len(edges), g.cycles, g.slices, g.highest - g.lowest + 1)
        self.statistics = Statistics(
            torch.zeros(shape, dtype=torch.int64),
            edges,
            fingerprint=layer.fingerprint(),
        )
