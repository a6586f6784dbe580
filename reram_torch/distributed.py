"""The processes that `torchrun` starts: who this one is, its share of the data, sums over all."""

from __future__ import annotations

import gc
import os
from collections.abc import Iterator
from contextlib import contextmanager

import torch
import torch.distributed as dist
from torch.utils.data import Dataset, Subset


@contextmanager
def processes(device: str = "auto") -> Iterator[torch.device]:
    """Joins the processes of `torchrun`, if it started this one, for the length of a block.

    Args:
        device: `cpu`, `cuda`, or `auto`: CUDA where there is any. With several processes each takes
            the CUDA device of its local rank.

    Yields:
        the device of this process.

    Raises:
        ValueError: an unknown device, or CUDA without any.
    """
    if device not in ("auto", "cpu", "cuda"):
        raise ValueError(f"device must be auto, cpu or cuda, not {device!r}")
    cuda = torch.cuda.is_available() if device == "auto" else device == "cuda"
    if cuda and not torch.cuda.is_available():
        raise ValueError("device 'cuda': torch sees no CUDA device")
    local = int(os.environ.get("LOCAL_RANK", 0))
    found = torch.device("cuda", local) if cuda else torch.device("cpu")
    if "RANK" not in os.environ:
        yield found
        return
    dist.init_process_group("nccl" if cuda else "gloo")
    try:
        yield found
        gc.collect()  # DistributedDataParallel's threads must not outlive the group
        dist.barrier()  # nor a process that still waits for this one
    finally:
        dist.destroy_process_group()


def rank() -> int:
    """The number of this process, 0 if it is alone."""
    return dist.get_rank() if dist.is_initialized() else 0


def world() -> int:
    """How many processes there are."""
    return dist.get_world_size() if dist.is_initialized() else 1


def add_up(values: torch.Tensor) -> torch.Tensor:
    """The sum of a tensor over all processes."""
    if world() > 1:
        values = values.clone()
        dist.all_reduce(values)
    return values


def share(data: Dataset) -> Dataset:
    """This process's part of a data set: every item is in one part, none in two."""
    if world() == 1:
        return data
    return Subset(data, range(rank(), len(data), world()))
