"""Fine-tuning through the crossbars: ADCs that follow the network as it learns."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

from torch import nn

from reram_torch._support.checks import check_int, check_number
from reram_torch.calibration.calibrating import calibrate
from reram_torch.config.sections import SearchConfig
from reram_torch.design.designing import design_together
from reram_torch.design.on_chips import ChipSample
from reram_torch.nn.networks import crossbar_layers
from reram_torch.nn.programming import program
from reram_torch.training.penalty import ComparisonPenalty


class Redesign:
    """Designs the ADCs anew before the first epochs, for a budget that tightens.

    The reduction rises from `start` to that of the search in equal ratios. With several processes
    each calibrates on its part of the images, and the first one designs for all.

    Args:
        net: a converted network, calibrated if scales are learned.
        calibration: batches of inputs, or of pairs; the same in every process.
        search: the kind of ADC, and the reduction of the last design.
        start: reduction of the first design; that of the search if not given.
        epochs: designs, one before each of the first epochs.
        ranges: as `calibrate` takes them; learned ones stay.
        penalty: to be told of new ADCs.
        chips: that they are designed for; None: ideal devices, or what layers are on.

    Raises:
        ValueError: the search has no reduction, or a number is out of range.
    """

    def __init__(
        self,
        net: nn.Module,
        calibration: Sequence[Any],
        search: SearchConfig,
        *,
        start: float | None = None,
        epochs: int = 1,
        ranges: str = "min_max",
        penalty: ComparisonPenalty | None = None,
        chips: ChipSample | None = None,
    ):
        if search.reduction is None:
            raise ValueError("fine-tuning needs a search with a reduction")
        check_int("epochs", epochs, 1, 1_000_000)
        start = search.reduction if start is None else start
        check_number("start", start, 0.01, search.reduction)
        self.net, self.calibration, self.search = net, calibration, search
        self.start, self.goal = start, search.reduction
        self.epochs, self.penalty, self.chips = epochs, penalty, chips
        learned = any(x.log_input_step is not None for x in crossbar_layers(net).values())
        self.ranges = "keep" if learned else ranges
        self._before: dict[float, float] = {}  # what was designed before any training, by budget

    def budget(self, epoch: int) -> float:
        """The reduction that an epoch's ADCs are designed for."""
        share = min(epoch / (self.epochs - 1), 1.0) if self.epochs > 1 else 1.0
        reduction: float = self.start ** (1 - share) * self.goal**share
        return reduction

    def design(self, reduction: float) -> float:
        """Calibrates, designs for a reduction, and returns the one reached."""
        if self.chips is not None:
            program(self.net, None)
        calibrate(
            self.net, self.calibration, ranges=self.ranges, held_back=0, shared=True,
            show_progress=False,
        )  # fmt: skip
        search = dataclasses.replace(self.search, reduction=reduction)
        found = design_together(self.net, search, sample=self.chips, show_progress=False)
        if self.penalty is not None:
            self.penalty.update()
        return found.reduction

    def before(self) -> float:
        """The ADCs of the last budget on the network as it is; returns the reduction reached."""
        found = self.design(self.goal)
        self._before = {self.goal: found}
        return found

    def __call__(self, epoch: int) -> dict[str, float]:
        """ADCs for an epoch, as `Fit` calls it; the last ones are kept when no more are due."""
        if epoch >= self.epochs:
            return {}
        budget, known = self.budget(epoch), self._before
        self._before = {}
        found = known[budget] if budget in known else self.design(budget)
        return {"designed_reduction": round(found, 4)}
