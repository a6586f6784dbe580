"""Tensors that are kept for later passes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def lasting() -> Iterator[None]:
    """Inside the block tensors outlast `torch.inference_mode`: without it, no gradient tracked.

    A tensor made in inference mode can never be saved for a backward pass, so one that is kept
    would spoil training for good.
    """
    if not torch.is_inference_mode_enabled():
        yield
        return
    with torch.inference_mode(False), torch.no_grad():
        yield
