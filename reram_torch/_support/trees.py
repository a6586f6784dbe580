"""Values that hold tensors: dicts, lists, tuples and dataclasses, however deep."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable, Iterable, Iterator, Mapping, MutableMapping
from typing import Any, NamedTuple

import torch
from torch.nn.utils.rnn import PackedSequence


class First(NamedTuple):
    """The first tensor of some values.

    Attributes:
        tensor: itself.
        listed: of how many tensors in a list it is the first; 0 of one that is in none.
    """

    tensor: torch.Tensor
    listed: int


def first_tensor(values: Iterable[Any]) -> First | None:
    """The first tensor with dimensions, however deep, or else the first without; None of none."""
    scalar = None
    for value in values:
        found = _first_in(value)
        if found is not None and found.tensor.dim():
            return found
        scalar = scalar or found
    return scalar


def _first_in(value: Any) -> First | None:
    if isinstance(value, torch.Tensor):
        return First(value, 0)
    if isinstance(value, PackedSequence):  # by time: the sequences that are there at first
        return First(value.data[: int(value.batch_sizes[0])], 0)
    if isinstance(value, list | tuple):
        if hasattr(value, "_fields"):
            return first_tensor(value)
        tensors = all(isinstance(v, torch.Tensor) for v in value)
        return First(value[0], len(value)) if value and tensors else first_tensor(value)
    inner = _values_of(value)
    return None if inner is None else first_tensor(inner)


def tensors_in(value: Any) -> Iterator[torch.Tensor]:
    """All tensors that a value holds, in order."""
    if isinstance(value, torch.Tensor):
        yield value
        return
    inner = value if isinstance(value, list | tuple) else _values_of(value)
    for each in inner or ():
        yield from tensors_in(each)


def _values_of(value: Any) -> Iterable[Any] | None:
    """What a dict or a dataclass holds; None of anything else."""
    if isinstance(value, Mapping):
        return value.values()
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return vars(value).values()
    return None


def map_tensors(function: Callable[[torch.Tensor], torch.Tensor], value: Any) -> Any:
    """The same value with a function of each tensor in its place; what is no tensor is shared."""

    def inside(each: Any) -> Any:
        return map_tensors(function, each)

    if isinstance(value, torch.Tensor):
        return function(value)
    if isinstance(value, Mapping):
        made: Any = copy.copy(value) if isinstance(value, MutableMapping) else dict(value)
        for key in list(value):
            made[key] = inside(value[key])
        return made
    if isinstance(value, list | tuple):
        parts = [inside(each) for each in value]
        return type(value)(*parts) if hasattr(value, "_fields") else type(value)(parts)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        twin: Any = copy.copy(value)
        for name, each in vars(value).items():
            object.__setattr__(twin, name, inside(each))
        return twin
    return value
