"""Top-1, counts and time of a network on a data set; and the plain integer network to check it."""

from __future__ import annotations

import dataclasses
import hashlib
import itertools
import math
import time
from collections.abc import Iterable
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias, TypedDict

import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset, Subset

from reram_torch._support import processes
from reram_torch._support.datasets import length
from reram_torch._support.files import replacing
from reram_torch._support.interrupts import Interruptible
from reram_torch._support.labels import labels_of
from reram_torch._support.modules import evaluating
from reram_torch._support.progress import progress
from reram_torch._support.resuming import difference
from reram_torch.data.sets import loader
from reram_torch.power.meter import PowerMeter

_BEST = 5  # classes kept of each image


@dataclass(frozen=True)
class Evaluation:
    """What a network did on a data set.

    Attributes:
        labels: of the images, (images,).
        ranked: classes with the highest scores, best first, (images, 5 or fewer).
        digests: a hash of each image's scores, (images,): equal where all outputs are.
        seconds: spent in the network.
        unreadable: images that could not be read, and do not count.
    """

    labels: torch.Tensor
    ranked: torch.Tensor
    digests: torch.Tensor
    seconds: float
    unreadable: int = 0

    @property
    def images(self) -> int:
        """How many images there were."""
        return len(self.labels)

    @property
    def answers(self) -> torch.Tensor:
        """The class with the highest score of each image."""
        return self.ranked[:, 0]

    @property
    def top1(self) -> float:
        """Share of images whose highest score is that of their label."""
        return float((self.answers == self.labels).double().mean())

    @property
    def top1_error(self) -> float:
        """Standard error of `top1`, over images."""
        return _mean(self.answers == self.labels)[1]

    def lost_against(self, other: Evaluation) -> tuple[float, float]:
        """Top-1 lost against another network on the same images, and its standard error.

        Paired: that of the mean of what each image loses or wins, which is far less than that of
        two independent samples.

        Raises:
            ValueError: the images differ.
        """
        if not torch.equal(self.labels, other.labels):
            raise ValueError("networks compare on the same images only")
        return _mean((other.answers == other.labels).int() - (self.answers == self.labels).int())

    @property
    def top5(self) -> float:
        """Share of images whose label has one of the five highest scores."""
        return float((self.ranked == self.labels[:, None]).any(1).double().mean())

    @property
    def seconds_per_100(self) -> float:
        """Seconds for 100 images."""
        return 100 * self.seconds / self.images

    def gathered(self) -> Evaluation:
        """The images of all processes, and the time of the slowest."""
        parts = processes.gather(dataclasses.asdict(self))
        seconds = max(p["seconds"] for p in parts)
        return _whole(parts, seconds, sum(p["unreadable"] for p in parts))


def _mean(values: torch.Tensor) -> tuple[float, float]:
    """The mean of whole numbers and its standard error, to the last bit whatever their order."""
    n, total, squares = len(values), int(values.sum()), int(values.int().square().sum())
    return total / n, math.sqrt(n * squares - total**2) / n / math.sqrt(n)


_Part: TypeAlias = dict[str, torch.Tensor]  # labels, ranked and digests, as in an Evaluation


class Progress(TypedDict):
    """What an evaluation has found so far, as it is written."""

    batches: int
    seconds: float
    parts: list[_Part]


def _whole(parts: list[_Part], seconds: float, unreadable: int) -> Evaluation:
    labels, ranked, digests = (
        torch.cat([p[key] for p in parts]) for key in ("labels", "ranked", "digests")
    )
    return Evaluation(labels, ranked, digests, seconds, unreadable)


class Kept:
    """A file that keeps what an unfinished evaluation has found so far.

    Args:
        path: of the file.
        key: plain values that an evaluation must share to go on from the file.
        meter: whose counts are kept too.
        every: seconds between writes.
    """

    def __init__(
        self,
        path: Path,
        key: dict[str, Any],
        meter: PowerMeter | None = None,
        every: float = 60.0,
    ):
        self.path, self.key, self.meter, self.every = Path(path), key, meter, every
        self._written = time.monotonic()

    def load(self) -> Progress | None:
        """What was found before, counts put back; None if there is nothing that fits."""
        if not self.path.is_file():
            return None
        state = torch.load(self.path, map_location="cpu", weights_only=True)
        if difference(state["key"], self.key):
            return None
        if self.meter is not None:
            try:
                self.meter.load_state_dict(state["meter"])
            except RuntimeError:  # designed otherwise this time
                return None
        found: Progress = state["found"]
        return found

    def save(self, found: Progress, *, now: bool = False) -> None:
        """Writes what was found, if it is time."""
        if not now and time.monotonic() - self._written < self.every:
            return
        counts = None if self.meter is None else self.meter.state_dict()
        with replacing(self.path) as new:
            torch.save({"key": self.key, "found": found, "meter": counts}, new)
        self._written = time.monotonic()

    def remove(self) -> None:
        """When the evaluation is done and its result is elsewhere."""
        self.path.unlink(missing_ok=True)


@torch.no_grad()
def evaluate(
    net: nn.Module,
    batches: Iterable[Any],
    *,
    description: str = "evaluate",
    show_progress: bool = True,
    bf16: bool = False,
    kept: Kept | None = None,
) -> Evaluation:
    """Runs a network in eval mode over (input, label) batches, on the network's device.

    Args:
        net: what to evaluate.
        batches: pairs of inputs and labels; a None is a batch of which nothing could be read.
        description: of the progress bar.
        show_progress: draw a tqdm bar if tqdm is installed.
        bf16: autocast to bfloat16 in the float layers.
        kept: where to go on from and to write to now and then, and on Ctrl-C or SIGTERM.

    Raises:
        ValueError: there are no batches, or labels are none of the network's classes.
        KeyboardInterrupt: after what was found is written.
    """
    device = next((p.device for p in net.parameters()), torch.device("cpu"))
    nothing: Progress = {"batches": 0, "seconds": 0.0, "parts": []}
    found = (kept and kept.load()) or nothing
    parts, expected = found["parts"], _images(batches)
    seen = sum(len(p["labels"]) for p in parts)
    right = sum(int((p["ranked"][:, 0] == p["labels"]).sum()) for p in parts)
    batches = _after(batches, found["batches"])
    with (
        evaluating(net),
        progress(
            description=description, total=expected, unit="img", show=show_progress, done=seen
        ) as bar,
        Interruptible() if kept else nullcontext() as stop,
        torch.autocast(device.type, torch.bfloat16, enabled=bf16),
    ):
        for batch in batches:
            found["batches"] += 1
            if batch is not None:
                part, seconds = _answers(net, batch, device)
                parts.append(part)
                found["seconds"] += seconds
                seen += len(part["labels"])
                right += int((part["ranked"][:, 0] == part["labels"]).sum())
                bar.update(len(part["labels"]))
                bar.set_postfix_str(f"top-1 {right / seen:.4f}")
            if kept and stop:
                kept.save(found, now=stop.asked)
                if stop.asked:
                    raise KeyboardInterrupt
    if not seen:
        raise ValueError("no batches to evaluate on")
    if kept:
        kept.save(found, now=True)
    return _whole(parts, found["seconds"], 0 if expected is None else expected - seen)


def score(
    net: nn.Module,
    images: Dataset[Any],
    *,
    batch_size: int,
    workers: int = 0,
    description: str = "evaluate",
    bf16: bool = False,
    meter: PowerMeter | None = None,
    kept: Kept | None = None,
) -> Evaluation:
    """A network on a data set, each process doing its part; every process gets the whole.

    Args:
        net: what to evaluate.
        images: pairs of input and label.
        batch_size: images of a batch, in each process.
        workers: processes that load data.
        description: as for `evaluate`; `bf16` and `kept` likewise.
        bf16: see there.
        meter: counting on the network; it gets the counts of all processes.
        kept: see there.
    """
    batches = loader(processes.share(images), batch_size, workers=workers)
    shown = processes.rank() == 0
    found = evaluate(
        net, batches, description=description, show_progress=shown, bf16=bf16, kept=kept
    ).gathered()
    if meter is not None:
        meter.add_up()
    return found


def _answers(
    net: nn.Module, batch: tuple[torch.Tensor, torch.Tensor], device: torch.device
) -> tuple[_Part, float]:
    x, labels = batch
    start = time.perf_counter()
    scores = net(x.to(device, non_blocking=True)).float().cpu()
    seconds = time.perf_counter() - start
    labels = labels_of(labels, scores)
    ranked = scores.topk(min(_BEST, scores.shape[1])).indices.int()
    ranked[:, 0] = scores.argmax(1)  # topk breaks ties otherwise
    return {"labels": labels, "ranked": ranked, "digests": _digests(scores)}, seconds


def _digests(scores: torch.Tensor) -> torch.Tensor:
    """A 64-bit hash of each row."""
    rows = (scores + 0.0).contiguous().numpy()  # -0 equals 0
    found = [hashlib.blake2b(row.tobytes(), digest_size=8).digest() for row in rows]
    return torch.frombuffer(bytearray(b"".join(found)), dtype=torch.int64)


def _images(batches: Iterable[Any]) -> int | None:
    """How many images there are, where that is known."""
    return length(batches.dataset) if hasattr(batches, "dataset") else None


def _after(batches: Iterable[Any], count: int) -> Iterable[Any]:
    """The batches but for the first `count`; a DataLoader does not read those."""
    if not count:
        return batches
    if not isinstance(batches, DataLoader):
        return itertools.islice(batches, count, None)
    most = length(batches.dataset)
    done = min(count * (batches.batch_size or 1), most)
    return DataLoader(
        Subset(batches.dataset, range(done, most)), batches.batch_size,
        num_workers=batches.num_workers, collate_fn=batches.collate_fn,
    )  # fmt: skip
