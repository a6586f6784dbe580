"""Training with checkpoints: the same result whether or not it was interrupted."""

from __future__ import annotations

import dataclasses
import json
import math
import time
from collections.abc import Callable, Sized
from functools import partial
from pathlib import Path
from typing import Any, cast

import torch
from torch import nn
from torch.nn.parallel import DistributedDataParallel
from torch.utils.data import DataLoader, Dataset, DistributedSampler

from reram_torch._support import processes
from reram_torch._support.datasets import length
from reram_torch._support.files import write_atomically
from reram_torch._support.interrupts import Interruptible
from reram_torch._support.progress import progress
from reram_torch.data.sets import collate
from reram_torch.evaluation.scoring import score
from reram_torch.training.checkpoints import read_checkpoint, write_checkpoint
from reram_torch.training.fresh_chips import FreshChips
from reram_torch.training.loop import Trainer
from reram_torch.training.losses import Loss
from reram_torch.training.recipe import Recipe
from reram_torch.training.totals import Totals

_SAVE, _STOP = 1, 2  # what a step may be followed by


class Seeded(Dataset[Any]):
    """A data set whose random transforms follow from seed, epoch and item alone.

    Args:
        data: with transforms that draw from torch's generator, as torchvision's do.
        seed: of all epochs.
    """

    def __init__(self, data: Dataset[Any], seed: int):
        self.data, self.seed, self.epoch = data, seed, 0

    def __len__(self) -> int:
        return len(cast(Sized, self.data))

    def __getitem__(self, item: int) -> Any:
        with torch.random.fork_rng(devices=[]):
            # Not that of other devices too, which takes longer than many a transform.
            key = hash((self.seed, self.epoch, int(item)))
            torch.default_generator.manual_seed(key & (1 << 62) - 1)
            return self.data[item]


def _batches_left(
    data: Seeded, epoch: int, recipe: Recipe, done: int, workers: int
) -> tuple[DataLoader[Any], int, int]:
    """What is left of an epoch after so many steps, the images in it, and all steps."""
    data.epoch, size = epoch, recipe.batch_size
    order: DistributedSampler[Any] = DistributedSampler(
        data, processes.world(), processes.rank(), seed=recipe.seed
    )
    order.set_epoch(epoch)
    left = list(order)[done * size :]
    batches = DataLoader(data, size, sampler=left, num_workers=workers, collate_fn=collate)
    return batches, len(left), math.ceil(len(order) / size)


def _settings(recipe: Recipe, train: Seeded, validation: Dataset[Any] | None) -> dict[str, Any]:
    """What a resumed run must share in any case, as plain values."""
    return {
        **dataclasses.asdict(recipe),
        "processes": processes.world(),
        "train_images": len(train),
        "validation_images": 0 if validation is None else length(validation),
    }


def _validated(fit: Fit, images: Dataset[Any]) -> dict[str, Any]:
    """What is logged of a network on validation images."""
    if fit.chips is not None:
        fit.chips.before_validation()
    found = score(
        fit.net, images, batch_size=fit.recipe.batch_size, workers=fit.workers,
        description="validation", bf16=fit.recipe.bf16,
    )  # fmt: skip
    unreadable = {"unreadable_validation_images": found.unreadable} if found.unreadable else {}
    return {"validation_top1": found.score, **unreadable}


def _before_step(recipe: Recipe, chips: FreshChips | None, number: int) -> None:
    """Gives dropout numbers that follow from seed and step, and the network a chip."""
    key = hash((recipe.seed, number, processes.rank()))
    torch.manual_seed(key & (1 << 62) - 1)
    if chips is not None:
        chips.before_step(number)


class Fit(Trainer):
    """Trains a network, epoch by epoch; see `run`.

    Args:
        net: on its device.
        train_data: pairs of input and label.
        validation_data: likewise, to choose the best epoch by: training images set aside, never
            test images. None: nothing is chosen.
        recipe: how to train.
        folder: for `last.pt`, `best.pt` (by top-1 on `validation_data`) and `log.jsonl`.
        loss: of (scores, labels, inputs); cross entropy if not given.
        before_epoch: called with the number of each epoch, and returns what to log; it may change
            the network's ADCs.
        chips: that each step and each validation is on; None: the network stays as it is.
        workers: processes that load data.
        settings: plain values that a resumed run must share, beside the recipe.
        kept: what else a resumed run needs, by name: objects with `state_dict` and
            `load_state_dict`.
        save_every: seconds between checkpoints within an epoch.
        report: called by the first process with the line of each epoch.
    """

    def __init__(
        self,
        net: nn.Module,
        train_data: Dataset[Any],
        validation_data: Dataset[Any] | None,
        recipe: Recipe,
        folder: Path,
        *,
        loss: Loss | None = None,
        before_epoch: Callable[[int], dict[str, Any]] | None = None,
        chips: FreshChips | None = None,
        workers: int = 0,
        settings: dict[str, Any] | None = None,
        kept: dict[str, Any] | None = None,
        save_every: float = 600.0,
        report: Callable[[dict[str, Any]], object] = lambda line: None,
    ):
        super().__init__(net, recipe, loss)
        self.folder = Path(folder)
        self.train_data = Seeded(train_data, recipe.seed)
        self.validation_data = validation_data
        self.before_epoch = before_epoch or (lambda epoch: {})
        self.chips = chips
        self.workers, self.kept, self.save_every = workers, kept or {}, save_every
        self.report = report
        self.settings = {**_settings(recipe, self.train_data, validation_data), **(settings or {})}
        self.epoch, self.best = 0, -1.0
        self.lines: list[dict[str, Any]] = []
        # Of the epoch under way: steps done, what `before_epoch` gave, and sums to log.
        self.step = 0
        self.begun: dict[str, Any] | None = None
        self.totals = Totals()

    # --- checkpoints ---

    def resume(self) -> bool:
        """Goes on from `last.pt`; False if there is none.

        Raises:
            ValueError: it is of another recipe, other settings, or another network.
        """
        path = self.folder / "last.pt"
        if not path.is_file():
            return False
        state = read_checkpoint(path, self.settings)
        try:
            self.net.load_state_dict(state["state_dict"])
        except RuntimeError as error:
            raise ValueError(f"{path} is of another network: {error}") from error
        self.optimizer.load_state_dict(state["optimizer"])
        for name, value in state["kept"].items():
            self.kept[name].load_state_dict(value)
        self.epoch, self.best, self.lines = state["epoch"], state["best"], state["log"]
        self.step, self.begun = state["step"], state["begun"]
        if processes.rank() == 0:  # the sums of all processes
            self.totals = Totals(**state["totals"])
            self._write_log()
        return True

    def _save(self, *names: str) -> None:
        """Checkpoints of this name, by the first process; all must call."""
        totals = self.totals.over_processes()
        self._saved = time.monotonic()
        if processes.rank():
            return
        state = {
            "settings": self.settings,
            "state_dict": self.net.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "kept": {name: value.state_dict() for name, value in self.kept.items()},
            "epoch": self.epoch,
            "step": self.step,
            "begun": self.begun,
            "totals": dataclasses.asdict(totals),
            "best": self.best,
            "log": self.lines,
        }
        for name in names:
            write_checkpoint(self.folder / name, state)

    def _write_log(self) -> None:
        text = "".join(json.dumps(line) + "\n" for line in self.lines)
        write_atomically(self.folder / "log.jsonl", text)

    def failure(self, what: str, remedy: str = "") -> RuntimeError:
        """The error of a step, with where it was and what is left."""
        left = f"{self.folder / 'last.pt'} holds the last checkpoint"
        return RuntimeError(f"{what} in epoch {self.epoch + 1}{remedy}; {left}")

    # --- the loop ---

    def run(self) -> list[dict[str, Any]]:
        """Trains the epochs that are left.

        `last.pt` is written before and after each epoch's training, every `save_every` seconds in
        between, and on Ctrl-C or SIGTERM. Order, augmentation and dropout follow from seed, epoch
        and step, so a run that was stopped and resumed ends as one that was not.

        Returns:
            a line for each epoch: `epoch`, `loss`, `train_top1`, `seconds`, `images_per_second`,
            what `before_epoch` gave, and `validation_top1` if there are images for it.

        Raises:
            RuntimeError: the loss is NaN or infinite, or nothing of a batch can be read; the last
                checkpoint stays.
            KeyboardInterrupt: after the checkpoint is written.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        self._saved = time.monotonic()
        wrapped = DistributedDataParallel(self.net) if processes.world() > 1 else self.net
        while self.epoch < self.recipe.epochs:
            if self.begun is None:
                self.begun = self.before_epoch(self.epoch)
                self._save("last.pt")
            self._train_epoch(wrapped)
            processes.same_buffers(self.net)
            self._save("last.pt")
            self._close_epoch(self.begun)
        return self.lines

    def _close_epoch(self, begun: dict[str, Any]) -> None:
        """Validates the network, logs the epoch, and keeps the network if it is the best."""
        total = self.totals.over_processes()
        line = {"epoch": self.epoch + 1, **total.line(), **begun}
        if total.unreadable:
            line["unreadable_train_images"] = int(total.unreadable)
        if self.validation_data is not None:
            line |= _validated(self, self.validation_data)
        found = line.get("validation_top1", -1.0)
        better, self.best = found > self.best, max(self.best, found)
        self.epoch += 1
        self.lines.append(line)
        self.step, self.begun = 0, None
        self.totals = Totals()
        self._save("last.pt", *(["best.pt"] if better else []))
        if processes.rank() == 0:
            self._write_log()
            self.report(line)

    def _train_epoch(self, wrapped: nn.Module) -> None:
        recipe = self.recipe
        batches, left, steps = _batches_left(
            self.train_data, self.epoch, recipe, self.step, self.workers
        )
        self.train_mode()
        done = self.step * recipe.batch_size
        with (
            progress(
                description=f"epoch {self.epoch + 1}/{recipe.epochs}", total=left + done,
                unit="img", show=processes.rank() == 0, done=done,
            ) as bar,
            Interruptible() as stop,
        ):  # fmt: skip
            for step in self.steps(
                batches, first=self.epoch * steps + self.step, total=steps * recipe.epochs,
                wrapped=wrapped, before_step=partial(_before_step, self.recipe, self.chips),
            ):  # fmt: skip
                wanted = min(recipe.batch_size, left)
                left -= wanted
                self.step += 1
                self.totals.add(step, wanted)
                bar.update(wanted)
                bar.set_postfix_str(str(self.totals))
                self._save_if_due(stop.asked)

    def _save_if_due(self, asked: bool) -> None:
        """A checkpoint if it is time, or if any process was asked to stop, which all then do."""
        due = time.monotonic() - self._saved > self.save_every
        wanted = _STOP if asked else _SAVE if due else 0
        todo = int(processes.highest(torch.tensor(wanted)))
        if todo:
            self._save("last.pt")
        if todo == _STOP:
            raise KeyboardInterrupt


def load_best(fit: Fit) -> int:
    """Gives a run's network what it was in the best epoch, and returns that epoch's number.

    Raises:
        FileNotFoundError: there is no `best.pt`: without validation images none is kept.
    """
    state = read_checkpoint(fit.folder / "best.pt", fit.settings)
    fit.net.load_state_dict(state["state_dict"])
    return int(state["epoch"])
