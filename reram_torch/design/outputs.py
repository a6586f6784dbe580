"""What networks give, whatever its form: class scores in it, and how much it changed."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
import torch.nn.functional as F

from reram_torch._support.trees import map_tensors, tensors_in


def on_cpu(output: Any) -> Any:
    """An output to keep, in float64 where it is of floating point."""

    def kept(t: torch.Tensor) -> torch.Tensor:
        return t.detach().to("cpu", torch.float64 if t.is_floating_point() else None)

    return map_tensors(kept, output)


def floats_in(output: Any) -> list[torch.Tensor]:
    """The tensors of floating point in an output, in order."""
    return [t for t in tensors_in(output) if t.is_floating_point()]


def class_scores(output: Any) -> torch.Tensor | None:
    """The class scores (B, classes) in an output, or None.

    They are the output itself, or the entry named `logits` of a dict or dataclass.
    """
    if isinstance(output, Mapping):
        output = output.get("logits")
    elif not isinstance(output, torch.Tensor):
        output = getattr(output, "logits", None)
    scores = isinstance(output, torch.Tensor) and output.is_floating_point()
    return output if scores and output.dim() == 2 and output.shape[1] > 1 else None


def in_words(output: Any) -> str:
    """The form of an output, on a line: the shapes of the tensors in it, by the name of each."""
    if isinstance(output, torch.Tensor):
        return str(tuple(output.shape))
    if isinstance(output, Mapping):
        return f"{{{', '.join(f'{name}: {in_words(each)}' for name, each in output.items())}}}"
    if isinstance(output, list | tuple):
        more = f", ... ({len(output)})" if len(output) > 3 else ""
        return f"[{', '.join(map(in_words, output[:3]))}{more}]"
    return type(output).__name__


def error(clean: Any, noisy: Any) -> float:
    """The squared change of an output over its square, the mean over its float tensors.

    Tensors that are all zero do not count, unless all are; NaN where there is none. Where there are
    more of something in one output (boxes that a detector found), the other has zeros there.
    """
    first, second = floats_in(clean), floats_in(noisy)
    pairs = list(zip(first, second, strict=False)) if len(first) == len(second) else []
    moved, whole = [], []
    for a, b in pairs:
        a, b = _alike(a.double(), b.double())
        moved.append(float((b - a).square().sum()))
        whole.append(float(a.square().sum()))
    shares = [m / w for m, w in zip(moved, whole, strict=True) if w != 0]
    return sum(shares) / len(shares) if shares else math.nan


def _alike(a: torch.Tensor, b: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Two tensors of one shape: what one lacks is zero there."""
    if a.shape == b.shape:
        return a, b
    if a.dim() != b.dim():
        a, b = a.flatten(), b.flatten()
    most = [max(pair) for pair in zip(a.shape, b.shape, strict=True)]
    grown = [
        F.pad(t, [n for m, k in zip(most[::-1], t.shape[::-1], strict=True) for n in (0, m - k)])
        for t in (a, b)
    ]
    return grown[0], grown[1]


def change(clean: Any, noisy: Any) -> float:
    """How much a network's output changed.

    The divergence (Kullback-Leibler) of the class probabilities where there are class scores, else
    `error`.
    """
    before, after = class_scores(clean), class_scores(noisy)
    if before is None or after is None:
        return error(clean, noisy)
    a, b = F.log_softmax(before.double(), 1), F.log_softmax(after.double(), 1)
    return float((a.exp() * (a - b)).sum(1).mean())
