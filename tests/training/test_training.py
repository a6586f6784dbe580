"""Training: recipes, checkpoints, resuming, several processes, the scripts."""

import json
import os
import signal
from pathlib import Path

import pytest
import torch
from torch import nn

from reram_torch.models import zoo
from reram_torch.training.fit import Fit, Seeded, load_best
from reram_torch.training.losses import distillation_loss, entropy_loss
from reram_torch.training.recipe import Recipe, rate_at

ROOT = Path(__file__).parents[2]


class Noisy(torch.utils.data.Dataset):
    """Images with noise drawn anew whenever they are read."""

    classes = ("a", "b", "c")

    def __init__(self, count=40):
        generator = torch.Generator().manual_seed(1)
        self.labels = torch.randint(0, 3, (count,), generator=generator)
        self.images = torch.rand(count, 1, 4, 4, generator=generator) + self.labels.view(
            -1, 1, 1, 1
        )

    def __len__(self):
        return len(self.labels)

    def __getitem__(self, k):
        return self.images[k] + 0.1 * torch.randn(1, 4, 4), int(self.labels[k])


def small():
    torch.manual_seed(3)
    return nn.Sequential(
        nn.Conv2d(1, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(),
        nn.Dropout(0.3), nn.Linear(64, 3),
    )  # fmt: skip


def fit_in(folder, epochs=3, **more):
    recipe = Recipe(epochs=epochs, batch_size=8, rate=1e-2, warmup=0.2, clip=1.0, **more)
    return Fit(small(), Noisy(), Noisy(12), recipe, folder)


@pytest.mark.parametrize("optimizer", ["adam", "sgd"])
def test_a_resumed_run_ends_as_one_that_was_not_stopped(tmp_path, optimizer):
    whole = fit_in(tmp_path / "whole", optimizer=optimizer)
    whole.run()
    stopped = fit_in(tmp_path / "parts", optimizer=optimizer)

    def stop(epoch):
        torch.rand(7)  # what a user draws does not matter
        if epoch == 2:
            raise KeyboardInterrupt
        return {}

    stopped.before_epoch = stop
    with pytest.raises(KeyboardInterrupt):
        stopped.run()
    again = fit_in(tmp_path / "parts", optimizer=optimizer)
    assert again.resume()
    assert again.epoch == 2
    lines = again.run()
    assert same_run(whole, again)
    assert lines == again.lines
    log = (tmp_path / "parts" / "log.jsonl").read_text().splitlines()
    assert [json.loads(line)["epoch"] for line in log] == [1, 2, 3]


TIMINGS = {"seconds", "images_per_second"}


def same_run(one, other):
    """Whether two runs ended with the same weights and the same log, but for timings."""
    a, b = one.net.state_dict(), other.net.state_dict()
    assert all(torch.equal(a[k], b[k]) for k in a)
    untimed = [[{k: v for k, v in x.items() if k not in TIMINGS} for x in f.lines]
               for f in (one, other)]  # fmt: skip
    assert untimed[0] == untimed[1]
    return True


def at_step(fit, number, act):
    """Does something when the loss of a step, counted from one, is asked for."""
    loss, calls = fit.loss, []

    def acting(*parts):
        calls.append(None)
        if len(calls) == number:
            act()
        return loss(*parts)

    fit.loss = acting


def fail():
    raise MemoryError


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_epoch_goes_on_where_it_was(tmp_path, number):
    whole = fit_in(tmp_path / "whole")
    whole.run()
    stopped = fit_in(tmp_path / "parts")
    at_step(stopped, 8, lambda: os.kill(os.getpid(), number))  # the third of the second epoch
    before = signal.getsignal(number)
    with pytest.raises(KeyboardInterrupt):
        stopped.run()
    assert signal.getsignal(number) == before
    again = fit_in(tmp_path / "parts")
    assert again.resume()
    assert (again.epoch, again.step) == (1, 3)
    assert len(again.lines) == 1
    again.run()
    assert same_run(whole, again)


def test_an_epoch_is_kept_now_and_then(tmp_path):
    whole = fit_in(tmp_path / "whole")
    whole.run()
    stopped = fit_in(tmp_path / "parts")
    stopped.save_every = 0.0
    at_step(stopped, 9, fail)
    with pytest.raises(MemoryError):
        stopped.run()
    again = fit_in(tmp_path / "parts")
    assert again.resume()
    assert (again.epoch, again.step) == (1, 3)
    again.run()
    assert same_run(whole, again)


def test_what_is_designed_for_an_epoch_is_designed_once(tmp_path):
    fit, calls = fit_in(tmp_path), []

    def design(epoch):
        calls.append(epoch)
        return {"designed": epoch}

    fit.before_epoch = design
    at_step(fit, 7, fail)
    with pytest.raises(MemoryError):
        fit.run()
    again = fit_in(tmp_path)
    again.before_epoch = design
    assert again.resume()
    lines = again.run()
    assert calls == [0, 1, 2]
    assert [line["designed"] for line in lines] == [0, 1, 2]


class Damaged(Noisy):
    """Some of its images cannot be read."""

    def __getitem__(self, k):
        return None if k in (3, 17) else super().__getitem__(k)


def test_images_that_cannot_be_read_are_counted(tmp_path):
    recipe = Recipe(epochs=1, batch_size=8, rate=1e-2)
    fit = Fit(small(), Damaged(), Damaged(12), recipe, tmp_path)
    [line] = fit.run()
    assert line["unreadable_train_images"] == 2
    assert line["unreadable_validation_images"] == 1
    nothing = Fit(small(), Damaged(), Damaged(12), recipe, tmp_path / "none")
    nothing.train_data.data = torch.utils.data.Subset(Damaged(), [3] * 8)
    with pytest.raises(RuntimeError, match="none of the images of a batch can be read"):
        nothing.run()


def test_frozen_batch_norms_keep_their_statistics(tmp_path):
    for freeze in (False, True):
        fit = fit_in(tmp_path / str(freeze), epochs=1, freeze_bn=freeze)
        before = fit.net[1].running_mean.clone()
        fit.run()
        assert torch.equal(fit.net[1].running_mean, before) == freeze


def test_checkpoints_say_what_they_are_of(tmp_path):
    fit = fit_in(tmp_path)
    assert not fit.resume()  # nothing there yet
    fit.run()
    with pytest.raises(ValueError, match="was made with epochs=3, not 4"):
        fit_in(tmp_path, epochs=4).resume()
    other = Fit(nn.Linear(2, 2), Noisy(), Noisy(12), fit.recipe, tmp_path)
    with pytest.raises(ValueError, match="is of another network"):
        other.resume()
    torch.save({"state_dict": {}}, tmp_path / "last.pt")
    with pytest.raises(ValueError, match="not a checkpoint of this version"):
        fit_in(tmp_path).resume()


def test_the_best_network_is_kept(tmp_path):
    fit = fit_in(tmp_path)
    lines = fit.run()
    best = torch.load(tmp_path / "best.pt", weights_only=True)
    top1s = [line["validation_top1"] for line in lines]
    assert best["best"] == max(top1s)
    assert best["epoch"] == top1s.index(max(top1s)) + 1
    assert lines[-1]["loss"] < lines[0]["loss"]
    net = zoo.load_weights(small(), str(tmp_path / "best.pt"))
    assert torch.equal(net[0].weight, best["state_dict"]["0.weight"])
    with torch.no_grad():
        fit.net[0].weight.zero_()
    assert load_best(fit) == best["epoch"]
    assert torch.equal(fit.net[0].weight, best["state_dict"]["0.weight"])


def test_without_validation_images_nothing_is_chosen(tmp_path):
    recipe = Recipe(epochs=2, batch_size=8, rate=1e-2, warmup=0.2, clip=1.0)
    alone, validated = Fit(small(), Noisy(), None, recipe, tmp_path / "alone"), fit_in(tmp_path, 2)
    for fit in (alone, validated):
        fit.run()
    assert [f.name for f in (tmp_path / "alone").glob("*.pt")] == ["last.pt"]
    with pytest.raises(FileNotFoundError, match="best.pt"):
        load_best(alone)
    assert all("validation_top1" not in line for line in alone.lines)
    # Validation changes nothing of the training.
    assert torch.equal(alone.net[0].weight, validated.net[0].weight)


def test_a_resumed_run_has_the_same_images(tmp_path):
    fit_in(tmp_path).run()
    recipe = Recipe(epochs=3, batch_size=8, rate=1e-2, warmup=0.2, clip=1.0)
    for images, message in (
        ((Noisy(39), Noisy(12)), "train_images=40, not 39"),
        ((Noisy(), Noisy(13)), "validation_images=12, not 13"),
        ((Noisy(), None), "validation_images=12, not 0"),
    ):
        with pytest.raises(ValueError, match=message):
            Fit(small(), *images, recipe, tmp_path).resume()


def test_a_run_that_chose_by_test_images_is_not_resumed(tmp_path):
    fit_in(tmp_path).run()
    state = torch.load(tmp_path / "last.pt", weights_only=True)
    torch.save({**state, "version": 2}, tmp_path / "last.pt")
    with pytest.raises(ValueError, match="chose by the test images: it cannot be resumed"):
        fit_in(tmp_path).resume()
    net = zoo.load_weights(small(), str(tmp_path / "last.pt"))  # its weights serve as ever
    assert torch.equal(net[0].weight, state["state_dict"]["0.weight"])


def test_a_loss_that_is_not_finite_ends_the_run(tmp_path):
    fit = fit_in(tmp_path)
    fit.loss = lambda scores, labels, x: scores.sum() * float("nan")
    with pytest.raises(RuntimeError, match="the loss is nan in epoch 1: lower the rate"):
        fit.run()


def test_random_transforms_follow_from_seed_epoch_and_item():
    one, two = Seeded(Noisy(), 5), Seeded(Noisy(), 5)
    torch.manual_seed(9)
    first = one[3][0]
    torch.manual_seed(10)
    state = torch.get_rng_state()
    assert torch.equal(first, two[3][0])
    assert torch.equal(state, torch.get_rng_state())  # nothing drawn from the global generator
    two.epoch = 1
    assert not torch.equal(first, two[3][0])
    assert not torch.equal(first, Seeded(Noisy(), 6)[3][0])


def test_rates_rise_and_fall():
    recipe = Recipe(epochs=1, warmup=0.1)
    rates = [rate_at(recipe, k, 100) for k in range(100)]
    assert rates.index(max(rates)) in (9, 10)
    assert rates == sorted(rates[:10]) + sorted(rates[10:], reverse=True)
    assert rates[-1] < 0.01


def test_a_teacher_that_agrees_costs_nothing():
    net = small().eval()
    x, y = torch.rand(5, 1, 4, 4), torch.tensor([0, 1, 2, 0, 1])
    scores = net(x).detach()
    alone = distillation_loss(net, 1.0)(scores, y, x)
    assert float(alone) == pytest.approx(0, abs=1e-6)
    mixed = distillation_loss(net, 0.25)(scores, y, x)
    assert float(mixed) == pytest.approx(0.75 * float(entropy_loss()(scores, y, x)))
    # The divergence by its definition.
    other = torch.randn(5, 3)
    p, q = (scores / 4).softmax(1), (other / 4).softmax(1)
    expected = 16 * (p * (p / q).log()).sum(1).mean()
    assert float(distillation_loss(net, 1.0)(other, y, x)) == pytest.approx(float(expected))


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ({"epochs": 0}, "epochs must be a whole number"),
        ({"rate": float("nan")}, "rate must be a finite number at least 0, not nan"),
        ({"warmup": 1.5}, "warmup must be a finite number from 0 to 1"),
        ({"optimizer": "lion"}, "optimizer must be one of"),
    ],
)
def test_bad_recipes_are_refused(bad, message):
    with pytest.raises(ValueError, match=message):
        Recipe(**bad)


def test_bf16_trains(tmp_path):
    fit = fit_in(tmp_path, epochs=1, bf16=True)
    [line] = fit.run()
    assert line["loss"] < 5
