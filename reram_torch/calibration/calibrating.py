"""Calibration: input ranges, and histograms of the bit-line sums, from a few batches."""

from __future__ import annotations

import warnings
from collections.abc import Mapping

import torch
from torch import nn

from reram_torch._support import processes
from reram_torch._support.checks import check_choice
from reram_torch._support.modules import evaluating, keep_note
from reram_torch._support.progress import Bar, progress
from reram_torch.calibration.batching import are_batched
from reram_torch.calibration.calls import Call, Forward
from reram_torch.calibration.clipping import warn_of_clipping
from reram_torch.calibration.encodings import Spans, choose_encodings, first_items, left_open
from reram_torch.calibration.held import Batches, collect
from reram_torch.calibration.histograms import BitLineWatcher
from reram_torch.calibration.ranges import RangeWatcher
from reram_torch.config.sections import AUTO, INPUT_ENCODINGS
from reram_torch.nn.base import CrossbarLayer
from reram_torch.nn.networks import crossbar_layers, unchanged_on_error
from reram_torch.nn.watchers import Watcher, watching

RANGES = ("min_max", "percentile", "mse", "keep")


def calibrate(
    net: nn.Module,
    batches: Batches,
    *,
    ranges: str = "min_max",
    percentile: float = 99.99,
    held_back: float = 0.25,
    shared: bool = False,
    forward: Forward | None = None,
    show_progress: bool = True,
) -> nn.Module:
    """Sets every layer's input range and collects its bit-line histogram.

    The network runs in eval mode over the batches: in float for the ranges, then on lossless
    crossbars for the histograms, which are added up as they come. The batches are kept on the
    network (`net.calibration`) for `design_adc`.

    Args:
        net: a converted network.
        batches: an iterable of whatever the network takes, or of (input, target) pairs; a single
            tensor is one batch. A dict whose keys are parameters of the network's `forward` is
            taken apart by name, as is a tuple where `forward` needs several arguments.
        ranges: `min_max`, `percentile` (cuts the tails), `mse` (least squared error of the codes),
            or `keep` (those that the layers have, learned or loaded).
        percentile: for `percentile`, the share of inputs, in percent, that each bound keeps.
        held_back: the share of the images, spread over all batches, that is only kept for
            `design_adc` to measure designs on; rounded up, but one image at least is used.
            Batches of several tensors that do not all begin with a dimension of images are held
            back as a whole.
        shared: every process of torch.distributed calls this with the same batches, goes through
            its part of them, and gets the ranges and histograms of all.
        forward: called with the network and a batch, runs the network on it, where how to cannot
            be guessed; `design_adc` runs it so, too.
        show_progress: draw a tqdm bar if tqdm is installed.

    Returns:
        `net` itself.

    Raises:
        ValueError: no crossbar layers, no batches, an unknown kind of range, no range to keep, or
            NaN or infinity in what reaches a layer.
        TypeError: a batch holds no tensor, how to call the network with one cannot be guessed, or
            a layer gets no floating-point tensor.

    Warns:
        UserWarning: a layer saw no input, or the ADC that its configuration names clips sums.
    """
    layers = crossbar_layers(net)
    _check_arguments(ranges, percentile, held_back)
    data = collect(batches, net, forward)
    if not are_batched(net, layers, data.calls):
        data = data.single()
    data = data.split(held_back)
    run = _Run(net, layers, data.calls, shared)
    show = show_progress and run.rank == 0
    with (
        unchanged_on_error(layers.values()),
        torch.no_grad(),
        evaluating(net),
        progress(
            description="calibrate", total=run.images(ranges), unit="img", show=show
        ) as run.bar,
    ):  # fmt: skip
        seen = run.kept_ranges() if ranges == "keep" else run.set_ranges(ranges, percentile)
        run.count_sums(seen)
    keep_note(net, "calibration", data)
    _warn(layers, seen)
    return net


def _warn(layers: dict[str, CrossbarLayer], seen: list[CrossbarLayer]) -> None:
    """Warns whoever calls `calibrate` of layers that saw nothing and of ADCs that clip."""
    unseen = [name for name, layer in layers.items() if layer not in seen]
    if unseen:
        warnings.warn(
            f"not calibrated, since they saw no input: {unseen}; where a network reads their "
            "weights past them, it computes in float what no report counts",
            stacklevel=3,
        )
    warn_of_clipping(layers, stacklevel=3)


def _check_arguments(ranges: str, percentile: float, held_back: float) -> None:
    """Raises ValueError unless all are within range."""
    check_choice("ranges", ranges, RANGES)
    if not 50 < percentile <= 100:
        raise ValueError(f"percentile must be above 50 and at most 100, not {percentile!r}")
    if not 0 <= held_back < 1:
        raise ValueError(f"held_back must be at least 0 and below 1, not {held_back!r}")


class _Run:
    """The sweeps of one calibration over its batches.

    Args:
        net: the network.
        layers: its crossbar layers.
        calls: the batches.
        shared: each process goes through its part of them.
    """

    bar: Bar

    def __init__(
        self,
        net: nn.Module,
        layers: dict[str, CrossbarLayer],
        calls: list[Call],
        shared: bool,
    ):
        self.net, self.layers, self.calls, self.shared = net, layers, calls, shared
        self.rank, self.world = (processes.rank(), processes.world()) if shared else (0, 1)

    def images(self, ranges: str) -> int:
        """Images that this process goes through, as often as it does."""
        sweeps = {"keep": 1, "min_max": 2}.get(ranges, 3)
        images = sweeps * sum(map(len, self.calls[self.rank :: self.world]))
        if ranges != "keep" and any(
            layer.config.inputs.encoding == AUTO for layer in self.layers.values()
        ):
            images += len(INPUT_ENCODINGS) * sum(map(len, first_items(self.calls)))
        return images

    def kept_ranges(self) -> list[CrossbarLayer]:
        """The layers, all of which have a range."""
        missing = [name for name, layer in self.layers.items() if layer.input_range is None]
        if missing:
            raise ValueError(f"ranges='keep', but {missing} have none: calibrate with another kind")
        return list(self.layers.values())

    def set_ranges(self, ranges: str, percentile: float) -> list[CrossbarLayer]:
        """Sets the input ranges of the layers that saw input, and returns those layers."""
        watchers = {layer: RangeWatcher(name) for name, layer in self.layers.items()}
        calls = self.calls[self.rank :: self.world]
        self._sweep(calls, watchers)
        if self.shared:
            RangeWatcher.share_bounds(list(watchers.values()))
        seen = {layer: w for layer, w in watchers.items() if w.low <= w.high}
        if not seen:
            raise ValueError("none of the crossbar layers saw any input: are the batches empty?")
        if ranges != "min_max":
            for watcher in seen.values():
                watcher.counting = True
            self._sweep(calls, watchers)
            for watcher in seen.values() if self.shared else ():
                watcher.share_bins()
        spans: dict[CrossbarLayer, Spans] = {
            layer: {
                encoding: watcher.range(ranges, percentile, layer.config.inputs.bits, encoding)
                for encoding in INPUT_ENCODINGS
            }
            for layer, watcher in seen.items()
        }
        for layer, span in spans.items():
            own = layer.config.inputs.encoding
            layer.set_input_range(*span[own if own in span else INPUT_ENCODINGS[0]])
        self._choose_encodings(spans)
        return list(seen)

    def _choose_encodings(self, spans: dict[CrossbarLayer, Spans]) -> None:
        """Gives layers the encoding that their configuration leaves open; alike in each process."""
        calls = first_items(self.calls)
        if chosen := {layer: spans[layer] for layer in left_open(spans)}:
            choose_encodings(chosen, lambda watchers: self._sweep(calls, watchers))

    def count_sums(self, seen: list[CrossbarLayer]) -> None:
        """Gives layers their histograms: those of all processes' inputs, where they are shared."""
        watchers = {layer: BitLineWatcher(layer, len(self.calls)) for layer in seen}
        if self.world == 1:
            self._sweep(self.calls, watchers)
        else:
            self._sweep(self.calls[:1], watchers)  # every process cuts the same activity buckets
            found = [w.statistics for w in watchers.values() if w.statistics is not None]
            for statistics in found if self.rank else ():
                statistics.clear()
            self._sweep(self.calls[self.rank or self.world :: self.world], watchers)
            for statistics in found:
                statistics.add_up()
        for layer, watcher in watchers.items():
            layer.statistics = watcher.statistics
            layer.bank.correction = None  # it was measured on other inputs

    def _sweep(self, calls: list[Call], watchers: Mapping[CrossbarLayer, Watcher]) -> None:
        with watching(watchers):
            for call in calls:
                call.run(self.net)
                self.bar.update(len(call))
