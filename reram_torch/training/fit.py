"""Training with checkpoints: the same result whether or not it was interrupted."""

from __future__ import annotations

import dataclasses
import json
import math
import time
from collections.abc import Callable, Iterable
from pathlib import Path

import torch
from torch import nn
from torch.nn.parallel import DistributedDataParallel
from torch.utils.data import DataLoader, Dataset, DistributedSampler

from reram_torch._support import processes
from reram_torch._support.files import replacing, write_atomically
from reram_torch._support.interrupts import Interruptible
from reram_torch._support.progress import progress
from reram_torch.data.sets import collate
from reram_torch.evaluation.scoring import score
from reram_torch.training.losses import Loss, entropy_loss
from reram_torch.training.recipe import Recipe, make_optimizer, rate_at

_CHECKPOINT_VERSION = 2


_SAVE, _STOP = 1, 2  # what a step may be followed by


_TOTALS = "loss", "right", "seen", "unreadable", "seconds"


class Seeded(Dataset):
    """A data set whose random transforms follow from seed, epoch and item alone.

    Args:
        data: with transforms that draw from torch's generator, as torchvision's do.
        seed: of all epochs.
    """

    def __init__(self, data: Dataset, seed: int):
        self.data, self.seed, self.epoch = data, seed, 0

    def __len__(self) -> int:
        return len(self.data)

    def __getitem__(self, item: int):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(hash((self.seed, self.epoch, int(item))) & (1 << 62) - 1)
            return self.data[item]


class Fit:
    """Trains a network, epoch by epoch; see `run`.

    Args:
        net: on its device.
        train_data: pairs of input and label.
        test_data: likewise.
        recipe: how to train.
        folder: for `last.pt`, `best.pt` (by top-1 on `test_data`) and `log.jsonl`.
        loss: of (scores, labels, inputs); cross entropy if not given.
        before_epoch: called with the number of each epoch, and returns what to log; it may change
            the network's ADCs.
        workers: processes that load data.
        settings: plain values that a resumed run must share, beside the recipe.
        kept: what else a resumed run needs, by name: objects with `state_dict` and
            `load_state_dict`.
        save_every: seconds between checkpoints within an epoch.
    """

    def __init__(
        self,
        net: nn.Module,
        train_data: Dataset,
        test_data: Dataset,
        recipe: Recipe,
        folder: Path,
        *,
        loss: Loss | None = None,
        before_epoch: Callable[[int], dict] | None = None,
        workers: int = 0,
        settings: dict | None = None,
        kept: dict | None = None,
        save_every: float = 600.0,
    ):
        self.net, self.recipe, self.folder = net, recipe, Path(folder)
        self.train_data, self.test_data = Seeded(train_data, recipe.seed), test_data
        self.loss = loss or entropy_loss(recipe.smoothing)
        self.before_epoch = before_epoch or (lambda epoch: {})
        self.workers, self.kept, self.save_every = workers, kept or {}, save_every
        own = {**dataclasses.asdict(recipe), "processes": processes.world()}
        self.settings = {**own, **(settings or {})}
        self.optimizer = make_optimizer(net, recipe)
        self.device = next(net.parameters()).device
        self.epoch, self.best = 0, -1.0
        self.lines: list[dict] = []
        # Of the epoch under way: steps done, what `before_epoch` gave, and sums to log.
        self.step, self.begun = 0, None
        self.totals = dict.fromkeys(_TOTALS, 0.0)

    # --- checkpoints ---

    def resume(self) -> bool:
        """Goes on from `last.pt`; False if there is none.

        Raises:
            ValueError: it is of another recipe, other settings, or another network.
        """
        path = self.folder / "last.pt"
        if not path.is_file():
            return False
        state = torch.load(path, map_location="cpu", weights_only=True)
        if not isinstance(state, dict) or state.get("version") != _CHECKPOINT_VERSION:
            raise ValueError(f"{path} is not a checkpoint of this version")
        for key, value in self.settings.items():
            if state["settings"].get(key) != value:
                raise ValueError(
                    f"{path} was made with {key}={state['settings'].get(key)!r}, not {value!r}: "
                    "resume with the same settings, or choose another folder"
                )
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
            self.totals = state["totals"]
            self._write_log()
        return True

    def _save(self, *names: str) -> None:
        """Checkpoints of this name, by the first process; all must call."""
        totals = self._totals_of_all()
        self._saved = time.monotonic()
        if processes.rank():
            return
        state = {
            "version": _CHECKPOINT_VERSION,
            "settings": self.settings,
            "state_dict": self.net.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "kept": {name: value.state_dict() for name, value in self.kept.items()},
            "epoch": self.epoch,
            "step": self.step,
            "begun": self.begun,
            "totals": totals,
            "best": self.best,
            "log": self.lines,
        }
        for name in names:
            with replacing(self.folder / name) as new:
                torch.save(state, new)

    def _totals_of_all(self) -> dict[str, float]:
        """The epoch's sums over all processes."""
        sums = torch.tensor(list(self.totals.values()), dtype=torch.float64)
        return dict(zip(self.totals, processes.add_up(sums).tolist(), strict=True))

    def _write_log(self) -> None:
        text = "".join(json.dumps(line) + "\n" for line in self.lines)
        write_atomically(self.folder / "log.jsonl", text)

    # --- the loop ---

    def run(self) -> list[dict]:
        """Trains the epochs that are left.

        `last.pt` is written before and after each epoch's training, every `save_every` seconds in
        between, and on Ctrl-C or SIGTERM. Order, augmentation and dropout follow from seed, epoch
        and step, so a run that was stopped and resumed ends as one that was not.

        Returns:
            a line for each epoch: `epoch`, `loss`, `top1`, `seconds`, `images_per_second`, and what
            `before_epoch` gave.

        Raises:
            RuntimeError: the loss is NaN or infinite, or nothing of a batch can be read; the last
                checkpoint stays.
            KeyboardInterrupt: after the checkpoint is written.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        self._saved = time.monotonic()
        wrapped = self.net
        if processes.world() > 1:
            wrapped = DistributedDataParallel(self.net)
        while self.epoch < self.recipe.epochs:
            if self.begun is None:
                self.begun = self.before_epoch(self.epoch)
                self._save("last.pt")
            self._train_epoch(wrapped)
            processes.same_buffers(self.net)
            self._save("last.pt")
            self._close_epoch()
        return self.lines

    def _close_epoch(self) -> None:
        """Tests the network, logs the epoch, and keeps the network if it is the best."""
        found = score(
            self.net, self.test_data, batch_size=self.recipe.batch_size, workers=self.workers,
            description="test", bf16=self.recipe.bf16,
        )  # fmt: skip
        total = self._totals_of_all()
        seconds = total["seconds"] / processes.world()
        line = {
            "epoch": self.epoch + 1,
            "loss": total["loss"] / total["seen"],
            "train_top1": total["right"] / total["seen"],
            "seconds": round(seconds, 2),
            "images_per_second": round(total["seen"] / max(seconds, 1e-9), 1),
            **self.begun,
            "top1": found.top1,
        }
        for name, count in (("train", total["unreadable"]), ("test", found.unreadable)):
            if count:
                line[f"unreadable_{name}_images"] = int(count)
        self.epoch += 1
        self.lines.append(line)
        better = found.top1 > self.best
        self.best = max(self.best, found.top1)
        self.step, self.begun = 0, None
        self.totals = dict.fromkeys(self.totals, 0.0)
        self._save("last.pt", *(["best.pt"] if better else []))
        if processes.rank() == 0:
            self._write_log()
            print(json.dumps(line), flush=True)

    def _batches(self) -> tuple[Iterable, int]:
        """What is left of the epoch, and how many steps it has in all."""
        self.train_data.epoch = self.epoch
        order = DistributedSampler(
            self.train_data, processes.world(), processes.rank(), seed=self.recipe.seed
        )
        order.set_epoch(self.epoch)
        size = self.recipe.batch_size
        left = list(order)[self.step * size :]
        steps = math.ceil(len(order) / size)
        return DataLoader(
            self.train_data, size, sampler=left, num_workers=self.workers, collate_fn=collate
        ), steps

    def _train_epoch(self, wrapped: nn.Module) -> None:
        recipe, (batches, steps) = self.recipe, self._batches()
        wrapped.train()
        if recipe.freeze_bn:
            for module in self.net.modules():
                if isinstance(module, nn.modules.batchnorm._BatchNorm):
                    module.eval()
        totals, shown = self.totals, processes.rank() == 0
        name = f"epoch {self.epoch + 1}/{recipe.epochs}"
        left, done = len(batches.sampler), self.step * recipe.batch_size
        with (
            progress(description=name, total=left + done, unit="img", show=shown, done=done) as bar,
            Interruptible() as stop,
        ):
            start = time.perf_counter()
            for batch in batches:
                if batch is None:
                    raise RuntimeError(
                        f"none of the images of a batch can be read; {self.folder / 'last.pt'} "
                        "holds the last checkpoint"
                    )
                self._train_step(wrapped, batch, self.epoch * steps + self.step, steps)
                self.step += 1
                wanted = min(recipe.batch_size, left)
                left -= wanted
                totals["unreadable"] += wanted - len(batch[1])
                totals["seconds"] += time.perf_counter() - start
                start = time.perf_counter()
                bar.update(wanted)
                bar.set_postfix_str(
                    f"loss {totals['loss'] / totals['seen']:.3f}, "
                    f"top-1 {totals['right'] / totals['seen']:.3f}"
                )
                due = time.monotonic() - self._saved > self.save_every
                todo = _STOP if stop.asked else _SAVE if due else 0
                todo = int(processes.highest(torch.tensor(todo)))
                if todo:
                    self._save("last.pt")
                if todo == _STOP:
                    raise KeyboardInterrupt

    def _train_step(self, wrapped: nn.Module, batch: tuple, step: int, steps: int) -> None:
        """One step of the optimizer; `steps` are those of an epoch."""
        recipe, totals = self.recipe, self.totals
        key = hash((recipe.seed, step, processes.rank()))
        torch.manual_seed(key & (1 << 62) - 1)  # of dropout
        for group in self.optimizer.param_groups:
            group["lr"] = recipe.rate * rate_at(recipe, step, steps * recipe.epochs)
        x, y = (part.to(self.device, non_blocking=True) for part in batch)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=recipe.bf16):
            scores = wrapped(x)
            loss = self.loss(scores.float(), y, x)
        if not bool(torch.isfinite(loss)):
            raise RuntimeError(
                f"the loss is {loss.item()} in epoch {self.epoch + 1}: lower the rate "
                f"({recipe.rate}); {self.folder / 'last.pt'} holds the last checkpoint"
            )
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        if recipe.clip:
            nn.utils.clip_grad_norm_(self.net.parameters(), recipe.clip)
        self.optimizer.step()
        totals["loss"] += float(loss.detach()) * len(y)
        totals["right"] += int((scores.argmax(1) == y).sum())
        totals["seen"] += len(y)
