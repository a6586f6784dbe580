"""What the steps of an epoch add up to."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import torch

from reram_torch._support import processes
from reram_torch.training.loop import Step


@dataclass
class Totals:
    """Sums over the steps of an epoch.

    Attributes:
        loss: of every image.
        right: images whose highest score was that of their label.
        seen: images.
        unreadable: images that could not be read.
        seconds: spent, in all processes together.
    """

    loss: float = 0.0
    right: float = 0.0
    seen: float = 0.0
    unreadable: float = 0.0
    seconds: float = 0.0

    def add(self, step: Step, wanted: int) -> None:
        """Adds a step on a batch of so many images, some of which may have been unreadable."""
        self.loss += step.loss * step.seen
        self.right += step.right
        self.seen += step.seen
        self.unreadable += wanted - step.seen
        self.seconds += step.seconds

    def over_processes(self) -> Totals:
        """The sums of all processes."""
        sums = torch.tensor(dataclasses.astuple(self), dtype=torch.float64)
        return Totals(*processes.add_up(sums).tolist())

    def line(self) -> dict[str, float]:
        """What is logged of the sums of all processes."""
        seconds = self.seconds / processes.world()
        return {
            "loss": self.loss / self.seen,
            "train_top1": self.right / self.seen,
            "seconds": round(seconds, 2),
            "images_per_second": round(self.seen / max(seconds, 1e-9), 1),
        }

    def __str__(self) -> str:
        return f"loss {self.loss / self.seen:.3f}, top-1 {self.right / self.seen:.3f}"
