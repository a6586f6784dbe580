"""What ADCs in place do on data that no search saw."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import nn

from reram_torch._support.modules import evaluating
from reram_torch._support.progress import Bar
from reram_torch.calibration.held import Calibration
from reram_torch.crossbar.tables import lossless_adc
from reram_torch.design.drop import counted_drop, expected_drop, margins, paired_error
from reram_torch.nn.base import CrossbarLayer
from reram_torch.power.meter import PowerMeter
from reram_torch.power.reports import PowerReport
from reram_torch.power.technology import Technology


@dataclass(frozen=True)
class Measured:
    """A design on held-back data.

    Attributes:
        report: what its ADCs did there.
        error: squared change of the output against lossless crossbars, over its square.
        drop: top-1 lost against lossless crossbars, or None where the output is no class scores.
        drop_error: its standard error: of the counted drop, or of the expected one if that is
            larger (`drop.expected_drop`).
    """

    report: PowerReport
    error: float
    drop: float | None
    drop_error: float | None


class Reference:
    """What lossless crossbars make of some data.

    Args:
        net: a converted network; its ADCs are lossless afterwards.
        layers: of it.
        data: the data.
        bar: is told of the images.
        more: further data, of which margins alone are kept (`further`).
    """

    def __init__(
        self,
        net: nn.Module,
        layers: dict[str, CrossbarLayer],
        data: Calibration,
        bar: Bar,
        more: Calibration | None = None,
    ):
        self.net, self.data = net, data
        for layer in layers.values():
            layer.set_adc([lossless_adc(layer.geometry)])
        self.output = scores = self.run(bar)
        self.labels: torch.Tensor | None = None
        if scores is not None and scores.dim() == 2 and scores.shape[1] > 1:
            self.labels = _labels(scores, data)
        self.further: torch.Tensor | None = None
        if more is not None and self.labels is not None:
            scores = self.run(bar, more)
            assert scores is not None  # those of the same network were
            self.further = margins(scores, _labels(scores, more))

    def run(self, bar: Bar, data: Calibration | None = None) -> torch.Tensor | None:
        """The output now, of all data or of other; None where it is no tensor."""
        found = []
        with torch.no_grad(), evaluating(self.net):
            for x in (data or self.data).inputs:
                found.append(self.net(x))
                bar.update(len(x))
        if not all(isinstance(y, torch.Tensor) and y.dim() for y in found):
            return None
        shapes = {y.shape[1:] for y in found}
        flat = found if len(shapes) == 1 else [y.flatten() for y in found]
        return torch.cat([y.detach().cpu().double() for y in flat])

    def measure(self, technology: Technology, bar: Bar) -> Measured:
        """What the ADCs in place do."""
        with PowerMeter(self.net) as meter:
            made = self.run(bar)
        report = meter.report(technology, inferences=sum(len(x) for x in self.data.inputs))
        if self.output is None or made is None:
            return Measured(report, math.nan, None, None)
        error = float((made - self.output).square().sum() / self.output.square().sum())
        if self.labels is None:
            return Measured(report, error, None, None)
        ideal, now = margins(self.output, self.labels), margins(made, self.labels)
        spread = max(paired_error(ideal, now), expected_drop(ideal, now)[1])
        return Measured(report, error, counted_drop(ideal, now), spread)


def _labels(output: torch.Tensor, data: Calibration) -> torch.Tensor:
    """The labels: the network's own answers where there are none."""
    if data.targets is None:
        return output.argmax(1)
    labels = torch.cat([t.reshape(-1).cpu() for t in data.targets])
    if len(labels) != len(output):
        raise ValueError(f"{len(labels)} targets for {len(output)} inputs in the calibration data")
    return labels
