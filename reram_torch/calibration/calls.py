"""How a network is called with a batch, and which part of the batch is its targets."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, get_args, get_origin

import torch
from torch import nn
from torch.nn.utils.rnn import PackedSequence

from reram_torch._support.trees import first_tensor, map_tensors, tensors_in

Forward = Callable[[nn.Module, Any], Any]  # of a network and a batch
_TARGETS = "labels", "label", "targets", "target"  # keys of a batch


@dataclass(frozen=True)
class Call:
    """What a network is called with at once.

    Attributes:
        args: in order.
        kwargs: by name.
        forward: calls the network with `args` instead, or None.
        whole: it is one item, or cannot be cut into items.
    """

    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    forward: Forward | None = None
    whole: bool = False

    def run(self, net: nn.Module) -> Any:
        """The network's output."""
        if self.forward is not None:
            return self.forward(net, *self.args)
        return net(*self.args, **self.kwargs)

    @property
    def value(self) -> Any:
        """The only argument, or all of them."""
        if len(self.args) == 1 and not self.kwargs:
            return self.args[0]
        return self.args if self.args else self.kwargs

    def __len__(self) -> int:
        """Items, such as images: of a list its length, else the first dimension."""
        if self.whole:
            return 1
        found = first_tensor((*self.args, *self.kwargs.values()))
        if found is None or not found.tensor.dim():
            return 1
        return found.listed or len(found.tensor)

    @property
    def divisible(self) -> bool:
        """Whether items can be picked: all tensors, or all lists, have as many."""
        if self.whole:
            return False
        values = (*self.args, *self.kwargs.values())
        if any(isinstance(v, PackedSequence) for v in values):
            return False
        found = first_tensor(values)
        if found is None:
            return False
        if found.listed:
            return all(isinstance(v, list | tuple) and len(v) == len(self) for v in values)
        return all(t.dim() and len(t) == len(self) for v in values for t in tensors_in(v))

    def pick(self, where: torch.Tensor | slice) -> Call:
        """The items of a mask or a slice; all of them where none can be picked."""
        if not self.divisible:
            return self
        found = first_tensor((*self.args, *self.kwargs.values()))
        assert found is not None  # it is divisible

        def of(value: Any) -> Any:
            if not found.listed:
                return map_tensors(lambda t: pick(t, where), value)
            kept = range(len(value))[where] if isinstance(where, slice) else where.nonzero().T[0]
            return type(value)(value[int(k)] for k in kept)

        args, kwargs = tuple(map(of, self.args)), {k: of(v) for k, v in self.kwargs.items()}
        return dataclasses.replace(self, args=args, kwargs=kwargs)


def pick(tensor: torch.Tensor, where: torch.Tensor | slice) -> torch.Tensor:
    """The items of a mask, wherever it is, or of a slice."""
    return tensor[where] if isinstance(where, slice) else tensor[where.to(tensor.device)]


class _Parameters(NamedTuple):
    """Of a network's forward.

    Attributes:
        names: all that can be given by name.
        needed: how many have no default, one at least.
        open: it takes any name.
        listed: the first is a list of images: declared as `list[Tensor]`, or, with no type, they
            are `images` and `targets`, as detectors call them.
    """

    names: frozenset[str]
    needed: int
    open: bool
    listed: bool


def _parameters(net: nn.Module) -> _Parameters:
    """Those of a network; of what a wrapper (DataParallel, torch.compile) wraps."""
    for name in ("module", "_orig_mod"):
        inner = getattr(net, name, None)
        if isinstance(inner, nn.Module) and len(list(net.children())) == 1:
            return _parameters(inner)
    try:
        found = list(inspect.signature(net.forward).parameters.values())
    except (TypeError, ValueError):  # a forward in C
        return _Parameters(frozenset(), 1, False, False)
    named = [p for p in found if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)]
    needed = [p for p in found if p.default is p.empty and p.kind < p.VAR_POSITIONAL]
    return _Parameters(
        frozenset(p.name for p in named),
        max(len(needed), 1),
        any(p.kind == p.VAR_KEYWORD for p in found),
        _take_a_list(found),
    )


def _take_a_list(parameters: list[inspect.Parameter]) -> bool:
    """Whether the first parameter is a list of tensors; its type may be written as text."""
    annotation = parameters[0].annotation if parameters else None
    if annotation is inspect.Parameter.empty:
        return [p.name for p in parameters] == ["images", "targets"]
    if isinstance(annotation, str):
        return annotation.lower().replace("torch.", "") == "list[tensor]"
    return get_origin(annotation) is list and get_args(annotation) == (torch.Tensor,)


def call_of(batch: Any, net: nn.Module, name: str) -> tuple[Call, Any]:
    """How a network is called with a batch, and the targets in it, or None.

    A tensor, a dataclass or a list of more than two items is the only argument. A dict is taken
    apart by name where its keys are parameters of the network's `forward`, else it is the only
    argument; its labels are the targets. A tuple or list is (input, target), or the input alone; of
    a network whose `forward` needs several arguments it holds those, and perhaps a target; of one
    whose `forward` takes a list of images, as detectors do, it is that list if it holds tensors
    alone.

    Args:
        batch: as a loader gives it.
        net: whose `forward` tells.
        name: of the batch, in errors.

    Raises:
        TypeError: nothing of the batch is a tensor, or the call cannot be guessed.
    """
    if next(tensors_in(batch), None) is None:
        raise TypeError(f"{name}: the input must hold a tensor, not {type(batch).__name__}")
    parameters = _parameters(net)
    if isinstance(batch, Mapping):
        return _call_by_name(batch, parameters, name)
    several = isinstance(batch, tuple | list) and not hasattr(batch, "_fields")
    if not several or (parameters.listed and _are_alike(batch)):
        return Call((batch,), {}), None
    needed, given = parameters.needed, len(batch)
    if given == needed or given == 1:
        return Call(tuple(batch), {}), None
    if given == needed + 1:
        return Call(tuple(batch[:-1]), {}), batch[-1]
    what = "its forward needs one argument" if needed == 1 else f"its forward needs {needed}"
    raise TypeError(
        f"{name}: how {type(net).__name__} takes {given} values cannot be guessed, since {what}: "
        "give forward=lambda net, batch: net(...), or put a list of items into a tuple of one"
    )


def _are_alike(items: Any) -> bool:
    """Whether all of them are tensors of as many dimensions, as the images of a list are."""
    return all(isinstance(x, torch.Tensor) for x in items) and len({x.dim() for x in items}) == 1


def _call_by_name(batch: Mapping[Any, Any], p: _Parameters, name: str) -> tuple[Call, Any]:
    target = next((batch[key] for key in _TARGETS if key in batch), None)
    inputs = {k: v for k, v in batch.items() if p.open or k in p.names}
    others = sorted(str(k) for k in batch if k not in inputs and k not in _TARGETS)
    if inputs and not others:
        return Call((), inputs), target
    if not inputs and p.needed == 1:
        return Call((batch,), {}), target
    raise TypeError(
        f"{name}: {others} are no parameters of the network's forward, which takes "
        f"{sorted(p.names)}: leave them out, or give forward=lambda net, batch: net(...)"
    )
