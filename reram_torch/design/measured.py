"""What ADCs in place do on data that no search saw."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

import torch
from torch import nn

from reram_torch._support.labels import labels_of
from reram_torch._support.modules import evaluating
from reram_torch._support.progress import Bar
from reram_torch.calibration.held import Calibration
from reram_torch.crossbar.tables import lossless_adc
from reram_torch.design import outputs
from reram_torch.design.drop import counted_drop, expected_drop, margins, mean_loss, paired_error
from reram_torch.design.heads import Outlet
from reram_torch.design.on_chips import ChipSample, each_chip
from reram_torch.nn.base import CrossbarLayer
from reram_torch.power.meter import PowerMeter
from reram_torch.power.reports import PowerReport
from reram_torch.power.technology import Technology

# Of all outputs, the inputs they are of and their targets (None where there are none), batch by
# batch: one number, or one for each item, larger where the network is better.
Metric: TypeAlias = Callable[[list[Any], list[Any], list[Any]], Any]


@dataclass(frozen=True)
class Measured:
    """A design on held-back data.

    Attributes:
        report: what its ADCs did there.
        error: squared change of the output against lossless crossbars, over its square.
        error_at: the module at whose results it was measured; empty: the network.
        drop: of the metric, or of top-1, against lossless crossbars; None where the output is no
            class scores and there is no metric.
        drop_error: its standard error: of the counted drop, or of the expected one if that is
            larger (`drop.expected_drop`); None of a metric that gives one number.
    """

    report: PowerReport
    error: float
    error_at: str
    drop: float | None
    drop_error: float | None


class Judged:
    """What tells how good outputs are: margins of class scores, or what a metric gives.

    Attributes:
        values: of each item: margins, above 0 where top-1 is right, or the metric's; (1,) of a
            metric that gives one number.
        margins: whether they are margins.
        chips: that the same items were on, one after the other: they are no more items for that.
    """

    def __init__(self, values: torch.Tensor, *, margins: bool, chips: int = 1):
        self.values, self.margins, self.chips = values, margins, chips

    def drop_to(self, made: Judged) -> tuple[float, float | None]:
        """What others lose against these, as counted, and its standard error if it is known."""
        if self.margins:
            expected = expected_drop(self.values, made.values, chips=self.chips)[1]
            spread = max(paired_error(self.values, made.values, self.chips), expected)
            return counted_drop(self.values, made.values), spread
        drop, spread = mean_loss(self.values, made.values, self.chips)
        return drop, spread if len(self.values) > 1 else None

    def worst_drop_to(self, made: Judged, further: torch.Tensor | None) -> float:
        """The drop, or the one to expect of others if that is larger: the luckiest must not win."""
        if self.margins:
            drop, spread = expected_drop(self.values, made.values, further, self.chips)
            return max(counted_drop(self.values, made.values), drop + spread)
        drop, spread = mean_loss(self.values, made.values, self.chips)
        return drop + spread


class Reference:
    """What lossless crossbars make of some data.

    Args:
        net: a converted network; its ADCs are lossless afterwards.
        layers: of it.
        data: the data.
        bar: is told of the images.
        metric: judges outputs instead of top-1.
        chips: that the data goes through, on each; None: what layers are on.

    Attributes:
        judged: how good the outputs are; None where the output is no class scores and there is no
            metric.
        further: margins of other data (`also`), or None.
        form: of an output, in words.
    """

    def __init__(
        self,
        net: nn.Module,
        layers: dict[str, CrossbarLayer],
        data: Calibration,
        bar: Bar,
        metric: Metric | None = None,
        chips: ChipSample | None = None,
    ):
        self.net, self.data, self.metric, self._outlet = net, data, metric, Outlet(net)
        self.chips, self._often = chips, 1 if chips is None else chips.count
        for layer in layers.values():
            layer.set_adc([lossless_adc(layer.geometry)])
        made, self._compared = self._run(data, bar)
        self._labels = None if metric else self._labels_of(made, data)
        self.judged = self._judge(made)
        self.form = outputs.in_words(made[0])
        self.further: torch.Tensor | None = None

    @property
    def images(self) -> int:
        """Images of one measure, on all chips."""
        return len(self.data) * self._often

    def also(self, data: Calibration, bar: Bar) -> None:
        """Keeps the margins of further data: how many images are in the balance is known better."""
        if self._labels is not None:
            made, _ = self._run(data, bar)
            labels, scores = self._labels_of(made, data), _scores(made)
            if labels is not None and scores is not None:
                self.further = margins(torch.cat(scores), labels)

    def judge(self, bar: Bar) -> Judged | None:
        """How good the outputs are with what is in place now."""
        return self._judge(self._run(self.data, bar)[0])

    def error(self, bar: Bar) -> float:
        """`Measured.error` with what is in place now."""
        return self._error(self._run(self.data, bar)[1])

    def _error(self, compared: list[Any]) -> float:
        errors = [outputs.error(a, b) for a, b in zip(self._compared, compared, strict=True)]
        sizes = [len(call) for call in self.data.calls] * self._often
        return sum(e * n for e, n in zip(errors, sizes, strict=True)) / sum(sizes)

    @property
    def has_error(self) -> bool:
        """Whether an error can be told: there are numbers in what is compared."""
        return math.isfinite(self._error(self._compared))

    def measure(self, technology: Technology, bar: Bar) -> Measured:
        """What the ADCs in place do."""
        with PowerMeter(self.net) as meter:
            made, compared = self._run(self.data, bar)
        report = meter.report(technology, inferences=self.images)
        error = self._error(compared)
        judged, at = self._judge(made), self._outlet.name or ""
        if self.judged is None or judged is None:
            return Measured(report, error, at, None, None)
        return Measured(report, error, at, *self.judged.drop_to(judged))

    def _run(self, data: Calibration, bar: Bar) -> tuple[list[Any], list[Any]]:
        """The outputs of each batch, and what errors are measured on."""
        found, compared = [], []
        with torch.no_grad(), evaluating(self.net):
            for _ in each_chip(self.net, self.chips):
                for call in data.calls:
                    made = self._outlet.run(call)
                    found.append(outputs.on_cpu(made.output))
                    whole = made.compared is made.output
                    compared.append(found[-1] if whole else outputs.on_cpu(made.compared))
                    bar.update(len(call))
        return found, compared

    def _labels_of(self, made: list[Any], data: Calibration) -> torch.Tensor | None:
        return _labels(made, data.targets and data.targets * self._often)

    def _judge(self, made: list[Any]) -> Judged | None:
        if self.metric is not None:
            targets = self.data.targets or [None] * len(self.data.calls)
            given = self.data.inputs * self._often, targets * self._often
            values = _values(self.metric(made, *given))
            if len(values) == 1:
                return Judged(values, margins=False)
            if len(values) % self._often:
                raise ValueError(
                    f"metric gave {len(values)} values of {self._often} chips: it must give one "
                    "number, or as many for each chip"
                )
            return Judged(values, margins=False, chips=self._often)
        scores = _scores(made)
        if scores is None or self._labels is None:
            return None
        found = margins(torch.cat(scores), self._labels)
        return Judged(found, margins=True, chips=self._often)


def _values(given: Any) -> torch.Tensor:
    """What a metric gives, float64, in one dimension.

    Raises:
        TypeError: it is no number and no tensor of one dimension.
        ValueError: it is not finite.
    """
    if isinstance(given, list):
        given = torch.tensor(given)
    if isinstance(given, int | float) or (isinstance(given, torch.Tensor) and given.dim() == 0):
        given = torch.tensor([float(given)])
    if not isinstance(given, torch.Tensor) or given.dim() != 1 or not len(given):
        what = tuple(given.shape) if isinstance(given, torch.Tensor) else type(given).__name__
        raise TypeError(
            f"metric must give a number, or a tensor with one for each item, not {what}"
        )
    found = given.detach().cpu().double()
    if not bool(found.isfinite().all()):
        raise ValueError(f"metric gave {found.tolist()[:5]}: every value must be finite")
    return found


def _scores(made: list[Any]) -> list[torch.Tensor] | None:
    """The class scores in each output, or None."""
    scores = [s for y in made if (s := outputs.class_scores(y)) is not None]
    alike = len(scores) == len(made) and len({s.shape[1] for s in scores}) == 1
    return scores if alike else None


def _labels(made: list[Any], given: list[Any] | None) -> torch.Tensor | None:
    """The labels: the network's own answers where there are none; None without class scores.

    Raises:
        ValueError: they are no labels of these scores.
    """
    scores = _scores(made)
    if scores is None:
        return None
    if given is None:
        return torch.cat(scores).argmax(1)
    pairs = zip(given, scores, strict=True)
    return torch.cat([labels_of(targets, each, "give metric=") for targets, each in pairs])
