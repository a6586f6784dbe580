"""Training images that are set aside to choose by."""

from __future__ import annotations

from typing import Any

import torch
from torch.utils.data import Dataset, Subset, TensorDataset

from reram_torch._support.checks import check_number
from reram_torch._support.datasets import length
from reram_torch.data.sets import Readable


def labels(data: Dataset[Any]) -> list[int] | None:
    """The labels of a data set without reading its images; None if it does not keep them."""
    if isinstance(data, Subset):
        whole = labels(data.dataset)
        return None if whole is None else [whole[int(k)] for k in data.indices]
    if isinstance(data, TensorDataset):
        return [int(y) for y in data.tensors[1]] if len(data.tensors) > 1 else None
    targets = getattr(data.data if isinstance(data, Readable) else data, "targets", None)
    return None if targets is None else [int(y) for y in targets]


def set_aside(data: Dataset[Any], share: float, seed: int = 0) -> tuple[list[int], list[int]]:
    """The places of a data set in two parts, of which the second is to validate on.

    Each class has its share in both, to within one image, where the data set keeps its labels.

    Args:
        data: training images.
        share: of the second part, below 1; 0: it is empty, otherwise it has an image at least.
        seed: of the draw.

    Returns:
        places to train on and places set aside, each in ascending order.

    Raises:
        ValueError: `share` is not from 0 to below 1, or no image would be left to train on.
    """
    check_number("share", share, 0, 1)
    most = length(data)
    count = max(1, round(share * most)) if share else 0
    if count >= most:
        raise ValueError(f"cannot set aside {count} of {most} images: no image is left to train on")
    order = torch.randperm(most, generator=torch.Generator().manual_seed(seed)).tolist()
    found = labels(data)
    if found is not None:
        order.sort(key=found.__getitem__)  # stable: the draw stays within a class
    # Evenly over the classes one after the other, so each gets its share.
    chosen = sorted(order[(2 * k + 1) * most // (2 * count)] for k in range(count))
    aside = set(chosen)
    return [k for k in range(most) if k not in aside], chosen
