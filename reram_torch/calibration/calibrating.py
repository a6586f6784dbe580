"""Calibration: input ranges, and histograms of the bit-line sums, from a few batches."""

from __future__ import annotations

import warnings
from collections.abc import Iterable

import torch
from torch import nn

from reram_torch._support import processes
from reram_torch._support.checks import check_choice
from reram_torch._support.modules import evaluating
from reram_torch._support.progress import progress
from reram_torch.calibration.held import collect
from reram_torch.calibration.histograms import _BitLineObserver
from reram_torch.calibration.ranges import _RangeObserver
from reram_torch.nn.base import CrossbarLayer
from reram_torch.nn.networks import crossbar_layers

RANGES = ("min_max", "percentile", "mse", "keep")


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
    rank, world = (processes.rank(), processes.world()) if shared else (0, 1)
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
                observer.bins = processes.add_up(observer.bins)
                observer.zeros = int(processes.add_up(torch.tensor(observer.zeros)))
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
