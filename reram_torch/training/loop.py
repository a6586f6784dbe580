"""The training loop: batches to steps of the optimizer, and what they add up to."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import torch
from torch import nn

from reram_torch.training.losses import Loss, entropy_loss
from reram_torch.training.recipe import Recipe, make_optimizer, rate_at


@dataclass(frozen=True)
class Step:
    """What one step of the optimizer saw.

    Attributes:
        loss: mean of its images.
        right: images whose highest score was that of their label.
        seen: images.
        seconds: from the step before to the end of this one.
    """

    loss: float
    right: int
    seen: int
    seconds: float


class Trainer:
    """Trains a network on batches, a step of the optimizer on each.

    Args:
        net: on its device.
        recipe: how to train; epochs, order and seeds are the caller's.
        loss: of (scores, labels, inputs); cross entropy if not given.

    Attributes:
        optimizer: of the network's parameters.
    """

    def __init__(self, net: nn.Module, recipe: Recipe, loss: Loss | None = None):
        self.net, self.recipe = net, recipe
        self.loss = loss or entropy_loss(recipe.smoothing)
        self.optimizer = make_optimizer(net, recipe)
        self.device = next(net.parameters()).device

    def train_mode(self) -> None:
        """Train mode; batch norms that are frozen stay in eval mode."""
        self.net.train()
        if self.recipe.freeze_bn:
            for module in self.net.modules():
                if isinstance(module, nn.modules.batchnorm._BatchNorm):
                    module.eval()

    def steps(
        self,
        batches: Iterable[tuple[torch.Tensor, torch.Tensor] | None],
        *,
        first: int,
        total: int,
        wrapped: nn.Module | None = None,
        before_step: Callable[[int], object] = lambda number: None,
    ) -> Iterator[Step]:
        """Goes through batches, and yields what each step saw.

        Args:
            batches: pairs of inputs and labels; a None is a batch of which nothing can be read.
            first: number of the first step among those of the whole run.
            total: steps of the whole run, over which the rate falls to zero.
            wrapped: what to call in place of the network.
            before_step: called with the number of each step.

        Raises:
            RuntimeError: the loss is NaN or infinite, or nothing of a batch can be read.
        """
        start = time.perf_counter()
        for number, batch in enumerate(batches, first):
            if batch is None:
                raise self.failure("none of the images of a batch can be read")
            before_step(number)
            rate = self.recipe.rate * rate_at(self.recipe, number, total)
            loss, right = self._step(batch, rate, wrapped or self.net)
            begun, start = start, time.perf_counter()
            yield Step(loss, right, len(batch[1]), start - begun)

    def failure(self, what: str, remedy: str = "") -> RuntimeError:
        """The error of a step that cannot be taken."""
        return RuntimeError(what + remedy)

    def _step(
        self, batch: tuple[torch.Tensor, torch.Tensor], rate: float, wrapped: nn.Module
    ) -> tuple[float, int]:
        recipe = self.recipe
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        x, y = (part.to(self.device, non_blocking=True) for part in batch)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=recipe.bf16):
            scores = wrapped(x)
            loss = self.loss(scores.float(), y, x)
        value = float(loss.detach())
        if not math.isfinite(value):
            raise self.failure(f"the loss is {value}", f": lower the rate ({recipe.rate})")
        self.optimizer.zero_grad(set_to_none=True)
        torch.autograd.backward(loss)
        if recipe.clip:
            nn.utils.clip_grad_norm_(self.net.parameters(), recipe.clip)
        self.optimizer.step()
        return value, int((scores.argmax(1) == y).sum())
