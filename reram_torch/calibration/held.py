"""The batches that calibration goes through, and those it holds back."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import torch

from reram_torch._support.checks import check_finite

Batches: TypeAlias = Iterable[torch.Tensor | Sequence[Any]]  # of inputs, or (input, target)


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

    def split(self, share: float, *, batched: bool = True) -> Calibration:
        """The same with a share of the images held back, rounded up, spread over all batches.

        A single image is not: there would be nothing left.

        Args:
            share: of the images.
            batched: the inputs' first dimension is that of images; else each input is one.
        """
        sizes = [len(x) if batched else 1 for x in self.inputs]
        total = sum(sizes)
        count = min(math.ceil(total * share), total - 1)
        if count <= 0:
            return self
        held = torch.zeros(total, dtype=torch.bool)
        held[((torch.arange(count) + 1) * total).div(count, rounding_mode="floor") - 1] = True
        masks = torch.split(held, sizes)
        kept = self._where([~mask for mask in masks], batched)
        return dataclasses.replace(kept, held_back=self._where(list(masks), batched))

    def _where(self, masks: list[torch.Tensor], batched: bool) -> Calibration:
        """The images that masks pick, one for each input."""
        used = [k for k, mask in enumerate(masks) if mask.any()]

        def part(values: list[torch.Tensor]) -> list[torch.Tensor]:
            if not batched:
                return [values[k] for k in used]
            return [values[k][masks[k].to(values[k].device)] for k in used]

        return Calibration(part(self.inputs), None if self.targets is None else part(self.targets))

    def __deepcopy__(self, memo: dict[int, Any]) -> Calibration:
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        return Calibration, ([], None)


def collect(batches: Batches) -> Calibration:
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
