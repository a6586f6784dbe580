"""Training with checkpoints: the same result whether or not it was interrupted."""

from __future__ import annotations

import dataclasses
import json
import math
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.parallel import DistributedDataParallel
from torch.utils.data import DataLoader, Dataset, DistributedSampler

from reram_torch import distributed
from reram_torch.evaluate import evaluate
from reram_torch.files import replacing, write_atomically
from reram_torch.progress import progress
from reram_torch.validate import check_choice, check_int, check_number

OPTIMIZERS = ("adam", "sgd")
_CHECKPOINT_VERSION = 1

Loss = Callable[[torch.Tensor, torch.Tensor, torch.Tensor], torch.Tensor]


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


def make_optimizer(net: nn.Module, recipe: Recipe) -> torch.optim.Optimizer:
    """The optimizer; biases and norms do not decay."""
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


def top1(net: nn.Module, data: Dataset, recipe: Recipe, workers: int, description: str) -> float:
    """Share of right answers on a data set, each process doing its part."""
    part = distributed.share(data)
    device = next(net.parameters()).device
    right = torch.zeros(2, dtype=torch.float64, device=device)
    if len(part):
        batches = DataLoader(part, recipe.batch_size, num_workers=workers)
        on_device = _Moved(batches, device)
        shown = distributed.rank() == 0
        result = evaluate(net, on_device, description=description, show_progress=shown)
        right += torch.tensor([result.top1 * result.images, result.images]).to(right)
    right = distributed.add_up(right)
    return float(right[0] / right[1])


class _Moved:
    """Batches with their inputs on a device."""

    def __init__(self, batches: DataLoader, device: torch.device):
        self.batches, self.device, self.dataset = batches, device, batches.dataset

    def __iter__(self):
        for x, y in self.batches:
            yield x.to(self.device, non_blocking=True), y


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
    ):
        self.net, self.recipe, self.folder = net, recipe, Path(folder)
        self.train_data, self.test_data = Seeded(train_data, recipe.seed), test_data
        self.loss = loss or entropy_loss(recipe.smoothing)
        self.before_epoch = before_epoch or (lambda epoch: {})
        self.workers = workers
        self.settings = {**dataclasses.asdict(recipe), **(settings or {})}
        self.optimizer = make_optimizer(net, recipe)
        self.device = next(net.parameters()).device
        self.epoch, self.best = 0, -1.0
        self.lines: list[dict] = []

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
        self.epoch, self.best, self.lines = state["epoch"], state["best"], state["log"]
        self._write_log()
        return True

    def _save(self, name: str) -> None:
        state = {
            "version": _CHECKPOINT_VERSION,
            "settings": self.settings,
            "state_dict": self.net.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "epoch": self.epoch,
            "best": self.best,
            "log": self.lines,
        }
        with replacing(self.folder / name) as new:
            torch.save(state, new)

    def _write_log(self) -> None:
        text = "".join(json.dumps(line) + "\n" for line in self.lines)
        write_atomically(self.folder / "log.jsonl", text)

    # --- the loop ---

    def run(self) -> list[dict]:
        """Trains the epochs that are left.

        After each epoch `last.pt` holds all that the next one needs: order and augmentation follow
        from seed and epoch, so a run that was stopped and resumed ends as one that was not.

        Returns:
            a line for each epoch: `epoch`, `loss`, `top1`, `seconds`, `images_per_second`, and what
            `before_epoch` gave.

        Raises:
            RuntimeError: the loss is NaN or infinite; the last checkpoint stays.
        """
        main = distributed.rank() == 0
        if main:
            self.folder.mkdir(parents=True, exist_ok=True)
        wrapped = self.net
        if distributed.world() > 1:
            wrapped = DistributedDataParallel(self.net)
        while self.epoch < self.recipe.epochs:
            more = self.before_epoch(self.epoch)
            torch.manual_seed(hash((self.recipe.seed, self.epoch)) & (1 << 62) - 1)
            line = self._train_epoch(wrapped) | more
            found = top1(self.net, self.test_data, self.recipe, self.workers, "test")
            line["top1"] = found
            self.epoch += 1
            self.lines.append(line)
            better = found > self.best
            self.best = max(self.best, found)
            if main:
                self._save("last.pt")
                if better:
                    self._save("best.pt")
                self._write_log()
                print(json.dumps(line), flush=True)
        return self.lines

    def _batches(self) -> Iterable:
        self.train_data.epoch = self.epoch
        order = DistributedSampler(
            self.train_data, distributed.world(), distributed.rank(), seed=self.recipe.seed
        )
        order.set_epoch(self.epoch)
        return DataLoader(
            self.train_data, self.recipe.batch_size, sampler=order, num_workers=self.workers
        )

    def _train_epoch(self, wrapped: nn.Module) -> dict:
        recipe, batches = self.recipe, self._batches()
        steps = recipe.epochs * len(batches)
        wrapped.train()
        total, seen, right, start = 0.0, 0, 0, time.perf_counter()
        autocast = torch.autocast(self.device.type, torch.bfloat16, enabled=recipe.bf16)
        images = len(batches.sampler)
        shown = distributed.rank() == 0
        name = f"epoch {self.epoch + 1}/{recipe.epochs}"
        with progress(description=name, total=images, unit="img", show=shown) as bar:
            for step, (x, y) in enumerate(batches, self.epoch * len(batches)):
                for group in self.optimizer.param_groups:
                    group["lr"] = recipe.rate * rate_at(recipe, step, steps)
                x, y = x.to(self.device, non_blocking=True), y.to(self.device, non_blocking=True)
                with autocast:
                    scores = wrapped(x)
                loss = self.loss(scores.float(), y, x)
                if not bool(torch.isfinite(loss)):
                    raise RuntimeError(
                        f"the loss is {loss.item()} in epoch {self.epoch + 1}: lower the rate "
                        f"({recipe.rate}); {self.folder / 'last.pt'} holds the epoch before"
                    )
                self.optimizer.zero_grad(set_to_none=True)
                loss.backward()
                if recipe.clip:
                    nn.utils.clip_grad_norm_(self.net.parameters(), recipe.clip)
                self.optimizer.step()
                total += float(loss.detach()) * len(y)
                right += int((scores.argmax(1) == y).sum())
                seen += len(y)
                bar.update(len(y))
                bar.set_postfix_str(f"loss {total / seen:.3f}, top-1 {right / seen:.3f}")
        seconds = time.perf_counter() - start
        sums = torch.tensor([total, right, seen], dtype=torch.float64)
        total, right, seen = distributed.add_up(sums.to(self.device)).tolist()
        return {
            "epoch": self.epoch + 1,
            "loss": total / seen,
            "train_top1": right / seen,
            "seconds": round(seconds, 2),
            "images_per_second": round(seen / seconds, 1),
        }
