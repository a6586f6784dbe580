"""How to train: the numbers, the optimizer, and the learning rate of each step."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import nn

from reram_torch._support.checks import check_choice, check_int, check_number

OPTIMIZERS = ("adam", "sgd")


@dataclass(frozen=True)
class Recipe:
    """How to train.

    Args:
        epochs: passes over the training data.
        batch_size: images of a step, in one process.
        rate: learning rate at its highest.
        optimizer: `adam` (AdamW) or `sgd` (momentum 0.9, Nesterov).
        weight_decay: of all parameters with two or more dimensions.
        warmup: share of the steps in which the rate rises; it then falls as a cosine.
        smoothing: of labels.
        clip: norm that gradients are clipped to; 0: not at all.
        bf16: autocast to bfloat16 in the float layers.
        freeze_bn: batch norms keep their running statistics, as in eval mode.
        seed: of the order, of augmentation, and of dropout.
    """

    epochs: int = 10
    batch_size: int = 64
    rate: float = 1e-3
    optimizer: str = "adam"
    weight_decay: float = 0.0
    warmup: float = 0.0
    smoothing: float = 0.0
    clip: float = 0.0
    bf16: bool = False
    freeze_bn: bool = False
    seed: int = 0

    def __post_init__(self) -> None:
        check_int("epochs", self.epochs, 1, 1_000_000)
        check_int("batch_size", self.batch_size, 1, 1 << 20)
        check_int("seed", self.seed, 0, 1 << 40)
        check_choice("optimizer", self.optimizer, OPTIMIZERS)
        check_number("rate", self.rate, 0, math.inf)
        check_number("weight_decay", self.weight_decay, 0, math.inf)
        check_number("clip", self.clip, 0, math.inf)
        check_number("warmup", self.warmup, 0, 1)
        check_number("smoothing", self.smoothing, 0, 1)


def make_optimizer(net: nn.Module, recipe: Recipe) -> torch.optim.Optimizer:
    """The optimizer; biases, norms and scales do not decay."""
    trained = [p for p in net.parameters() if p.requires_grad]
    groups = [
        {"params": [p for p in trained if p.dim() > 1], "weight_decay": recipe.weight_decay},
        {"params": [p for p in trained if p.dim() <= 1], "weight_decay": 0.0},
    ]
    if recipe.optimizer == "adam":
        return torch.optim.AdamW(groups, recipe.rate)
    return torch.optim.SGD(groups, recipe.rate, momentum=0.9, nesterov=True)


def rate_at(recipe: Recipe, step: int, steps: int) -> float:
    """The learning rate of a step over the highest: a linear rise, then a cosine to zero."""
    rise = recipe.warmup * steps
    if step < rise:
        return (step + 1) / (rise + 1)
    return 0.5 * (1 + math.cos(math.pi * (step - rise) / max(steps - rise, 1)))
