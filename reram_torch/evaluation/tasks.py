"""Tasks: how data becomes batches, how a network is called with one, and what is made of it."""

from __future__ import annotations

import hashlib
import time
from abc import ABC, abstractmethod
from collections.abc import Iterable
from typing import Any, ClassVar, TypeAlias

import torch
from torch import nn
from torch.utils.data import Dataset

from reram_torch._support.labels import labels_of
from reram_torch.calibration.calls import Forward
from reram_torch.data.sets import loader
from reram_torch.design.measured import Metric
from reram_torch.evaluation.outcomes import Evaluation, Outcome

Part: TypeAlias = dict[str, torch.Tensor]  # what was found of a batch; each begins with its items
_BEST = 5  # classes kept of each item


class Task(ABC):
    """What networks are to do, and how well they do it.

    Attributes:
        unit: one item that the network is given, as rows and progress bars call it.
        measure: what the score is called in a table.
        key: of the score in a row; its error has the same key and `_error`.
        columns: what a table shows besides: title, and key of a row.
        forward: how `calibrate` runs the network on one of the calibration batches; None: as it
            guesses itself.
    """

    unit: ClassVar[str]
    measure: ClassVar[str]
    key: ClassVar[str]
    columns: ClassVar[dict[str, str]] = {}
    forward: Forward | None = None

    @abstractmethod
    def batches(self, data: Dataset[Any], batch_size: int, workers: int) -> Iterable[Any]:
        """All batches of a data set, in an order that never changes."""

    @abstractmethod
    def part(self, net: nn.Module, batch: Any, device: torch.device) -> tuple[Part, float]:
        """What a network finds of a batch, with `digests` among it, and seconds in the network."""

    @abstractmethod
    def outcome(self, found: Part, seconds: float, unreadable: int) -> Outcome:
        """What it found of all batches, put together, in whatever order processes had them."""

    @abstractmethod
    def legend(self, row: dict[str, Any]) -> str:
        """What the numbers of a table are of, given its last row."""

    def tally(self, part: Part) -> tuple[float, float]:
        """What a batch adds to a sum and its weight, for `running`; weight 0: nothing is said."""
        return 0.0, 0.0

    def running(self, mean: float) -> str:
        """The score so far, for a progress bar, from the mean of the tallies."""
        return f"{self.measure} {mean:.4f}"

    def metric(self, net: nn.Module, calibration: list[Any]) -> Metric | None:
        """What `design_adc` judges a converted network by; None: top-1.

        Args:
            net: the float network.
            calibration: the batches that calibrate.
        """
        return None


def digests(outputs: torch.Tensor) -> torch.Tensor:
    """A 64-bit hash of each item's outputs."""
    rows = (outputs + 0.0).contiguous().numpy()  # -0 equals 0
    found = [hashlib.blake2b(row.tobytes(), digest_size=8).digest() for row in rows]
    return torch.frombuffer(bytearray(b"".join(found)), dtype=torch.int64)


class Images(Task):
    """Images and their labels: top-1."""

    unit, measure, key = "image", "top-1", "top1"

    def batches(self, data: Dataset[Any], batch_size: int, workers: int) -> Iterable[Any]:
        """Batches of pairs in the order of the data set."""
        return loader(data, batch_size, workers=workers)

    def part(self, net: nn.Module, batch: Any, device: torch.device) -> tuple[Part, float]:
        """Labels and the best classes."""
        x, labels = batch
        start = time.perf_counter()
        scores = self.scores(net(x.to(device, non_blocking=True))).float().cpu()
        seconds = time.perf_counter() - start
        labels = labels_of(labels, scores)
        ranked = scores.topk(min(_BEST, scores.shape[1])).indices.int()
        ranked[:, 0] = scores.argmax(1)  # topk breaks ties otherwise
        return {"labels": labels, "ranked": ranked, "digests": digests(scores)}, seconds

    def scores(self, output: Any) -> torch.Tensor:
        """The class scores in a network's output."""
        scores: torch.Tensor = output
        return scores

    def outcome(self, found: Part, seconds: float, unreadable: int) -> Evaluation:
        """Top-1 and what goes with it."""
        return Evaluation(
            found["digests"], seconds, unreadable, found["labels"], found["ranked"], self.unit
        )

    def tally(self, part: Part) -> tuple[float, float]:
        """Right answers, and answers."""
        return float((part["ranked"][:, 0] == part["labels"]).sum()), len(part["labels"])

    def legend(self, row: dict[str, Any]) -> str:
        """How many images there were, and how many more could not be read."""
        unreadable = row["unreadable"]
        return (
            f"{row[f'{self.unit}s']} {self.unit}s"
            + (f", {unreadable} more could not be read" if unreadable else "")
            + "; lost: top-1 against float and against lossless crossbars, paired standard errors"
        )


IMAGES = Images()
