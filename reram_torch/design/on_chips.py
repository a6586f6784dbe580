"""Chips that a design is made for: what bit-lines do on all of them together."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from reram_torch._support.modules import evaluating
from reram_torch._support.progress import Bar
from reram_torch.calibration.held import Calibration
from reram_torch.calibration.histograms import BitLineWatcher
from reram_torch.config.devices import Devices
from reram_torch.nn.base import CrossbarLayer
from reram_torch.nn.programming import chips_as_before, program
from reram_torch.nn.watchers import watching


@dataclass(frozen=True)
class ChipSample:
    """Chips drawn from the same devices.

    Attributes:
        devices: of them.
        count: how many.
        time: since programming, s; None: just programmed.
        seed: of the first.
    """

    devices: Devices
    count: int
    time: float | None = None
    seed: int = 0

    @property
    def arguments(self) -> dict[str, Any]:
        """As `design_adc` takes them."""
        return {
            "devices": self.devices,
            "chips": self.count,
            "time": self.time,
            "chip_seed": self.seed,
        }

    def __str__(self) -> str:
        time = "" if self.time is None else f" after {self.time:g} s"
        return f"{self.count} chips of {self.devices.name}{time}, from seed {self.seed}"


def each_chip(net: nn.Module, sample: ChipSample | None) -> Iterator[None]:
    """Programs a network onto chip after chip; without a sample it stays where it is, once."""
    if sample is None:
        yield
        return
    for number in range(sample.seed, sample.seed + sample.count):
        program(net, sample.devices, seed=number, time=sample.time, show_progress=False)
        yield


@contextmanager
def seen_on_chips(
    net: nn.Module,
    layers: dict[str, CrossbarLayer],
    data: Calibration,
    sample: ChipSample,
    bar: Bar,
) -> Iterator[None]:
    """Inside the block layers have the histograms of all chips; then chips are as they were.

    Args:
        net: what was calibrated.
        layers: those that saw something.
        data: what it was calibrated on.
        sample: the chips.
        bar: is told of the images.
    """
    before = {layer: layer.statistics for layer in layers.values()}
    watchers = {layer: BitLineWatcher(layer, len(data.calls) * sample.count) for layer in before}
    with chips_as_before(before):
        with torch.no_grad(), evaluating(net), watching(watchers):
            for _ in each_chip(net, sample):
                for call in data.calls:
                    call.run(net)
                    bar.update(len(call))
        try:
            for layer, watcher in watchers.items():
                layer.statistics = watcher.statistics
            yield
        finally:
            for layer, statistics in before.items():
                layer.statistics = statistics
