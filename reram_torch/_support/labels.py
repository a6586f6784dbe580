"""Labels of images, whatever type and shape they come in."""

from __future__ import annotations

from typing import Any

import torch


def labels_of(given: Any, scores: torch.Tensor, advice: str = "") -> torch.Tensor:
    """Labels as int64 (B,).

    Args:
        given: a tensor of whole numbers of any type, (B,) or (B, 1), or a list of them.
        scores: of the classes, (B, classes).
        advice: what else to do, in errors.

    Raises:
        ValueError: they are no labels of these scores.
    """
    advice = f": {advice}" if advice else ""
    try:
        labels = torch.as_tensor(given).cpu()
    except (TypeError, ValueError, RuntimeError):
        what = type(given).__name__
        raise ValueError(f"targets must be tensors of labels, not {what}{advice}") from None
    if labels.is_complex() or labels.numel() != len(scores) or labels.shape[1:].numel() > 1:
        raise ValueError(
            f"{tuple(labels.shape)} targets of {labels.dtype} for {len(scores)} inputs: one label "
            f"for each is needed{advice}"
        )
    labels = labels.reshape(-1)
    whole = labels.long()
    if not torch.equal(whole.to(labels.dtype), labels):
        raise ValueError(f"targets must be whole numbers, not {labels.tolist()[:5]}{advice}")
    if len(whole):
        low, high = int(whole.min()), int(whole.max())
        if low < 0:
            raise ValueError(f"a target is {low}: labels are from 0 on; leave out what has none")
        if high >= scores.shape[1]:
            raise ValueError(
                f"a label is {high}, but the network has {scores.shape[1]} outputs: other classes "
                "than those it was trained on"
            )
    return whole
