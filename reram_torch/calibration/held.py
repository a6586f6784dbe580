"""The batches that calibration goes through, and those it holds back."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, TypeAlias

import torch
from torch import nn

from reram_torch._support.checks import check_finite
from reram_torch._support.trees import map_tensors, tensors_in
from reram_torch.calibration.calls import Call, Forward, call_of, pick

Batches: TypeAlias = Iterable[Any]  # whatever a network is called with, or (input, target)


@dataclass(frozen=True)
class Calibration:
    """What `calibrate` keeps on the network for `design_adc`.

    Copies of the network share it; a pickled network leaves the images behind.

    Attributes:
        calls: the batches, as the network is called with them.
        targets: their labels, or None where there were none.
        held_back: batches that calibration did not look at, to measure `max_drop` on; or None.
    """

    calls: list[Call]
    targets: list[Any] | None
    held_back: Calibration | None = None

    @property
    def inputs(self) -> list[Any]:
        """What each call is given: the only argument, or all of them."""
        return [call.value for call in self.calls]

    def __len__(self) -> int:
        """Items, such as images."""
        return sum(map(len, self.calls))

    def single(self) -> Calibration:
        """The same, each call one item: the inputs have no dimension of items."""
        calls = [dataclasses.replace(call, whole=True) for call in self.calls]
        return dataclasses.replace(self, calls=calls)

    def split(self, share: float) -> Calibration:
        """The same with a share of the items held back, rounded up, spread over all batches.

        Batches that cannot be cut into items are held back as a whole. A single item is not: there
        would be nothing left.
        """
        sizes = [len(call) if call.divisible else 1 for call in self.calls]
        total = sum(sizes)
        count = min(math.ceil(total * share), total - 1)
        if count <= 0:
            return self
        held = torch.zeros(total, dtype=torch.bool)
        held[((torch.arange(count) + 1) * total).div(count, rounding_mode="floor") - 1] = True
        masks = torch.split(held, sizes)
        kept = self._where([~mask for mask in masks])
        return dataclasses.replace(kept, held_back=self._where(list(masks)))

    def _where(self, masks: list[torch.Tensor]) -> Calibration:
        """The items that masks pick, one for each batch."""
        used = [k for k, mask in enumerate(masks) if mask.any()]
        targets = None
        if self.targets is not None:
            targets = [
                _picked(self.targets[k], masks[k]) if self.calls[k].divisible else self.targets[k]
                for k in used
            ]
        return Calibration([self.calls[k].pick(masks[k]) for k in used], targets)

    def __deepcopy__(self, memo: dict[int, Any]) -> Calibration:
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        return Calibration, ([], None)


def _picked(targets: Any, mask: torch.Tensor) -> Any:
    """The targets of the items that a mask picks; a list holds one for each."""
    if isinstance(targets, torch.Tensor):
        return pick(targets, mask)
    if isinstance(targets, list | tuple) and len(targets) == len(mask):
        return [targets[int(k)] for k in mask.nonzero().T[0]]
    return map_tensors(lambda t: pick(t, mask), targets)


def collect(batches: Batches, net: nn.Module, forward: Forward | None = None) -> Calibration:
    """The batches as lists: they are gone through more than once.

    Args:
        batches: of whatever the network takes; a single tensor is one batch.
        net: tells how it is called.
        forward: says instead how, given the network and a batch.

    Raises:
        TypeError: a batch holds no tensor, or how to call the network cannot be guessed.
        ValueError: there are none, only some have targets, or NaN or infinity in one.
    """
    if isinstance(batches, torch.Tensor):
        batches = [batches]
    calls, targets = [], []
    for k, batch in enumerate(batches):
        name = f"batches[{k}]"
        if forward is None:
            call, target = call_of(batch, net, name)
        else:
            call, target = Call((batch,), {}, forward), None
        given = (*call.args, *call.kwargs.values())
        for tensor in tensors_in(given):
            if tensor.is_floating_point():
                check_finite(name, tensor)
        calls.append(_copied(call))
        if target is not None:
            targets.append(_as_target(target))
    if not calls:
        raise ValueError("batches is empty: calibrate needs at least one batch of inputs")
    if targets and len(targets) != len(calls):
        raise ValueError(f"only {len(targets)} of {len(calls)} batches have targets")
    return Calibration(calls, targets or None)


def _copied(call: Call) -> Call:
    """The same with tensors of its own: some loaders use one buffer for every batch."""

    def copied(value: Any) -> Any:
        return map_tensors(lambda t: t.detach().clone(), value)

    args, kwargs = tuple(map(copied, call.args)), {k: copied(v) for k, v in call.kwargs.items()}
    return dataclasses.replace(call, args=args, kwargs=kwargs)


def _as_target(target: Any) -> Any:
    """Labels as a tensor where they can be one."""
    if isinstance(target, torch.Tensor) or next(tensors_in(target), None) is not None:
        return target
    try:
        return torch.as_tensor(target)
    except (TypeError, ValueError, RuntimeError):  # of another kind: for the metric alone
        return target
