"""A network on a data set: its score, counts and time."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterable
from contextlib import nullcontext
from pathlib import Path
from typing import Any, TypedDict

import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset, Subset

from reram_torch._support import processes
from reram_torch._support.datasets import length
from reram_torch._support.files import replacing
from reram_torch._support.interrupts import Interruptible
from reram_torch._support.modules import evaluating
from reram_torch._support.progress import progress
from reram_torch._support.resuming import difference
from reram_torch.evaluation.outcomes import Outcome
from reram_torch.evaluation.tasks import IMAGES, Part, Task
from reram_torch.power.meter import PowerMeter


class Progress(TypedDict):
    """What an evaluation has found so far, as it is written."""

    batches: int
    seconds: float
    parts: list[Part]


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


def evaluate(
    net: nn.Module,
    batches: Iterable[Any],
    *,
    task: Task = IMAGES,
    description: str = "evaluate",
    show_progress: bool = True,
    bf16: bool = False,
    kept: Kept | None = None,
) -> Outcome:
    """Runs a network in eval mode over the batches of a task, on the network's device.

    Args:
        net: what to evaluate.
        batches: as the task has them: pairs of inputs and labels; a None is a batch of which
            nothing could be read.
        task: what the network is to do; if not given, to tell what images show.
        description: of the progress bar.
        show_progress: draw a tqdm bar if tqdm is installed.
        bf16: autocast to bfloat16 in the float layers.
        kept: where to go on from and to write to now and then, and on Ctrl-C or SIGTERM.

    Raises:
        ValueError: there are no batches, or labels are none of the network's classes.
        KeyboardInterrupt: after what was found is written.
    """
    found, unreadable = _run(net, batches, task, description, show_progress, bf16, kept)
    return _outcome(task, [found], unreadable)


@torch.no_grad()
def _run(
    net: nn.Module, batches: Iterable[Any], task: Task, description: str, show: bool, bf16: bool,
    kept: Kept | None,
) -> tuple[Progress, int]:  # fmt: skip
    """What `evaluate` finds of all batches, and how many items could not be read."""
    device = next((p.device for p in net.parameters()), torch.device("cpu"))
    nothing: Progress = {"batches": 0, "seconds": 0.0, "parts": []}
    found = (kept and kept.load()) or nothing
    parts, expected = found["parts"], _items(batches)
    seen = sum(len(p["digests"]) for p in parts)
    total, weight = (sum(sums) for sums in zip((0.0, 0.0), *map(task.tally, parts), strict=True))
    batches = _after(batches, found["batches"])
    unit = "img" if task.unit == "image" else task.unit
    with (
        evaluating(net),
        progress(
            description=description, total=expected, unit=unit, show=show, done=seen
        ) as bar,
        Interruptible() if kept else nullcontext() as stop,
        torch.autocast(device.type, torch.bfloat16, enabled=bf16),
    ):  # fmt: skip
        for batch in batches:
            found["batches"] += 1
            if batch is not None:
                part, seconds = task.part(net, batch, device)
                parts.append(part)
                found["seconds"] += seconds
                seen += len(part["digests"])
                bar.update(len(part["digests"]))
                total, weight = (
                    a + b for a, b in zip((total, weight), task.tally(part), strict=True)
                )
                if weight:
                    bar.set_postfix_str(task.running(total / weight))
            if kept and stop:
                kept.save(found, now=stop.asked)
                if stop.asked:
                    raise KeyboardInterrupt
    if not seen:
        raise ValueError("no batches to evaluate on")
    if kept:
        kept.save(found, now=True)
    return found, 0 if expected is None else expected - seen


def _outcome(task: Task, found: list[Progress], unreadable: int) -> Outcome:
    """What processes found, put together; the time is that of the slowest."""
    parts = [part for each in found for part in each["parts"]]
    whole = {key: torch.cat([part[key] for part in parts]) for key in parts[0]}
    return task.outcome(whole, max(each["seconds"] for each in found), unreadable)


def score(
    net: nn.Module,
    data: Dataset[Any],
    *,
    task: Task = IMAGES,
    batch_size: int,
    workers: int = 0,
    description: str = "evaluate",
    bf16: bool = False,
    meter: PowerMeter | None = None,
    kept: Kept | None = None,
) -> Outcome:
    """A network on a data set, each process doing its part; every process gets the whole.

    Args:
        net: what to evaluate.
        data: the items of the task: for images, pairs of input and label.
        task: what the network is to do.
        batch_size: items of a batch, in each process.
        workers: processes that load data.
        description: as for `evaluate`; `bf16` and `kept` likewise.
        bf16: see there.
        meter: counting on the network; it gets the counts of all processes.
        kept: see there.
    """
    batches = task.batches(processes.share(data), batch_size, workers)
    shown = processes.rank() == 0
    found, unreadable = zip(
        *processes.gather(_run(net, batches, task, description, shown, bf16, kept)), strict=True
    )
    if meter is not None:
        meter.add_up()
    return _outcome(task, list(found), sum(unreadable))


def _items(batches: Iterable[Any]) -> int | None:
    """How many items there are, where that is known."""
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
