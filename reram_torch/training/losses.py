"""What training brings down: cross entropy, and the divergence from a teacher."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import nn

from reram_torch._support.checks import check_number
from reram_torch.training.penalty import ComparisonPenalty

Loss = Callable[[torch.Tensor, torch.Tensor, torch.Tensor], torch.Tensor]


def entropy_loss(smoothing: float = 0.0) -> Loss:
    """Cross entropy of (scores, labels, inputs)."""

    def loss(scores: torch.Tensor, labels: torch.Tensor, _: torch.Tensor) -> torch.Tensor:
        return F.cross_entropy(scores, labels, label_smoothing=smoothing)

    return loss


def distillation_loss(
    teacher: nn.Module, weight: float, temperature: float = 4.0, smoothing: float = 0.0
) -> Loss:
    """Cross entropy mixed with the divergence from a teacher (Hinton et al., arXiv 1503.02531).

    (1 - weight) * CE(scores, labels) + weight * T^2 * KL(softmax(teacher / T), softmax(scores / T))

    Args:
        teacher: of the same classes; it is run in eval mode without gradients.
        weight: of the teacher, 0 to 1.
        temperature: T.
        smoothing: of labels.
    """
    check_number("weight", weight, 0, 1)
    teacher.eval()
    plain = entropy_loss(smoothing)

    def loss(scores: torch.Tensor, labels: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        with torch.no_grad():
            wanted = F.log_softmax(teacher(x).float() / temperature, dim=1)
        given = F.log_softmax(scores / temperature, dim=1)
        apart = F.kl_div(given, wanted, log_target=True, reduction="batchmean") * temperature**2
        return (1 - weight) * plain(scores, labels, x) + weight * apart

    return loss


def with_penalty(loss: Loss, penalty: ComparisonPenalty) -> Loss:
    """A loss to which the penalty of the forward pass just done is added."""

    def both(scores: torch.Tensor, labels: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        return loss(scores, labels, x) + penalty.take()

    return both
