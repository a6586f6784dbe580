"""The processes that `torchrun` starts: who this one is, its share of the work, sums over all."""

from __future__ import annotations

import gc
import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import nn
from torch.utils.data import Dataset, Subset

from reram_torch._support.checks import check_choice
from reram_torch._support.datasets import length

_T = TypeVar("_T")

# One process designs ADCs while the others wait.
_PATIENCE = timedelta(hours=6)


def choose_device(device: str = "auto") -> torch.device:
    """A device by name.

    Args:
        device: `cpu`, `cuda`, or `auto`: CUDA where there is any. With several processes each takes
            the CUDA device of its local rank.

    Raises:
        ValueError: an unknown device, or CUDA without any.
    """
    check_choice("device", device, ("auto", "cpu", "cuda"))
    cuda = torch.cuda.is_available() if device == "auto" else device == "cuda"
    if cuda and not torch.cuda.is_available():
        raise ValueError("device 'cuda': torch sees no CUDA device")
    local = int(os.environ.get("LOCAL_RANK", 0))
    return torch.device("cuda", local) if cuda else torch.device("cpu")


@contextmanager
def processes(device: str = "auto") -> Iterator[torch.device]:
    """Joins the processes of `torchrun`, if it started this one, for the length of a block.

    Args:
        device: as `choose_device` takes it.

    Yields:
        the device of this process.
    """
    found = choose_device(device)
    cuda = found.type == "cuda"
    if cuda:
        torch.cuda.set_device(found)
    if "RANK" not in os.environ:
        yield found
        return
    dist.init_process_group("nccl" if cuda else "gloo", timeout=_PATIENCE)
    try:
        yield found
        gc.collect()  # DistributedDataParallel's threads must not outlive the group
        dist.barrier()  # nor a process that still waits for this one
    finally:
        dist.destroy_process_group()


def joined() -> bool:
    """Whether this process belongs to a group."""
    return dist.is_available() and dist.is_initialized()


def rank() -> int:
    """The number of this process, 0 if it is alone."""
    return dist.get_rank() if joined() else 0


def world() -> int:
    """How many processes there are."""
    return dist.get_world_size() if joined() else 1


def add_up(values: torch.Tensor) -> torch.Tensor:
    """The sum of a tensor over all processes."""
    return _reduced(values, "SUM")


def highest(values: torch.Tensor) -> torch.Tensor:
    """The largest of each element over all processes."""
    return _reduced(values, "MAX")


def _reduced(values: torch.Tensor, how: str) -> torch.Tensor:
    if world() == 1:
        return values
    device = values.device
    values = values.to(_device(), copy=True)
    dist.all_reduce(values, getattr(dist.ReduceOp, how))
    return values.to(device)


def _device() -> torch.device:
    """Where the group's tensors lie."""
    return torch.device("cuda" if dist.get_backend() == "nccl" else "cpu")


def gather(value: _T) -> list[_T]:
    """What each process gave, in their order; any value that can be pickled."""
    if world() == 1:
        return [value]
    found: list[Any] = [None] * world()
    dist.all_gather_object(found, value)
    return found


def broadcast(value: object) -> Any:
    """What the first process gave, whatever the others did."""
    if world() == 1:
        return value
    box = [value]
    dist.broadcast_object_list(box)
    return box[0]


def same_buffers(net: nn.Module) -> None:
    """Gives every process the buffers (running statistics) of the first."""
    if world() > 1:
        for buffer in net.buffers():
            moved = buffer.to(_device())
            dist.broadcast(moved, 0)
            buffer.copy_(moved)


def share(data: Dataset[_T]) -> Dataset[_T]:
    """This process's part of a data set: every item is in one part, none in two."""
    if world() == 1:
        return data
    return Subset(data, range(rank(), length(data), world()))
