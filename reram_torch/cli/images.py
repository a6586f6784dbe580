"""Training, calibration and test images as the options name them, and kept apart."""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass
from typing import Any

import torch
from torch.utils.data import Dataset, Subset

from reram_torch._support import processes
from reram_torch._support.datasets import length
from reram_torch.cli.experiments import note_of, plainly
from reram_torch.data import contents, sets, splits


@dataclass(frozen=True)
class TrainingImages:
    """The images of a training run.

    Attributes:
        train: to train on, augmented.
        plain: the same, not augmented, which calibrate.
        validation: training images set aside, by which the best epoch is chosen; None if none are.
        test: for the report at the end.
    """

    train: Dataset[Any]
    plain: Dataset[Any]
    validation: Dataset[Any] | None
    test: Dataset[Any]


def load_images(
    args: argparse.Namespace, name: str, *, train: bool, augment: str = "none"
) -> Dataset[Any]:
    """The data set `name` as the options say."""
    mnist = name == "mnist"
    mean = tuple(args.mean or (sets.MNIST_MEAN if mnist else sets.IMAGENET_MEAN))
    std = tuple(args.std or (sets.MNIST_STD if mnist else sets.IMAGENET_STD))
    return sets.load_dataset(
        name, train=train, root=args.root, size=args.size, resize=args.resize, mean=mean, std=std,
        class_list=args.class_list, augment=augment, download=args.download,
    )  # fmt: skip


@plainly
def load_test(args: argparse.Namespace) -> Dataset[Any]:
    """Test images; where they are those that calibrate, the ones that are left."""
    found = load_images(args, args.data, train=False)
    if args.calibration_data == args.data:
        found = sets.split(found, args.calibration_images, args.seed)[1]
    return sets.subset(found, args.limit, args.seed)


@plainly
def load_calibration(
    args: argparse.Namespace, test: Dataset[Any], device: torch.device | str = "cpu"
) -> list[Any]:
    """Batches of (input, label) that calibrate, on a device.

    Raises:
        SystemExit: a test image is among them, and `--leaks` does not say what then.
    """
    found = load_images(args, args.calibration_data or args.data, train=True)
    if args.calibration_data == args.data:
        found = sets.split(found, args.calibration_images, args.seed)[0]
    else:
        found = sets.subset(found, args.calibration_images, args.seed)
    return batches(args, _without_test(args, found, test, "calibration"), device)


@plainly
def check_training(args: argparse.Namespace, test: Dataset[Any]) -> None:
    """Raises if a test image is among those that a network is said to have been trained on.

    Raises:
        SystemExit: it is, and `--leaks` is not `ignore`.
    """
    if args.calibration_data is None or args.leaks == "ignore":
        return
    trained = load_images(args, args.calibration_data, train=True)
    if args.calibration_data == args.data:
        trained = sets.split(trained, args.calibration_images, args.seed)[0]
    names = f"--data {args.data}", f"--train-data {args.calibration_data}"
    contents.check_apart(
        test, trained, names, remedy=", or give --leaks ignore", workers=args.workers
    )


@plainly
def load_training(args: argparse.Namespace) -> TrainingImages:
    """The images of a training run.

    Raises:
        SystemExit: a test image is among the training images, and `--leaks` does not say what then.
    """
    name = args.calibration_data or args.data
    if name == args.data and name not in sets.SPLIT:
        raise ValueError(f"{name!r} would be trained on and tested on: give --train-data")
    plain = load_images(args, name, train=True)
    augmented = load_images(args, name, train=True, augment=args.augment)
    test = sets.subset(load_images(args, args.data, train=False), args.limit, args.seed)
    kept = _without_test(args, plain, test, "training").indices
    places, aside = splits.set_aside(Subset(plain, kept), args.validation, args.seed)
    own, back = ([kept[k] for k in part] for part in (places, aside))
    validation = Subset(plain, back) if back else None
    return TrainingImages(Subset(augmented, own), Subset(plain, own), validation, test)


def calibration_of(
    args: argparse.Namespace, images: TrainingImages, device: torch.device
) -> list[Any]:
    """Batches that calibrate, drawn from the images that are trained on."""
    chosen = plainly(sets.subset)(images.plain, args.calibration_images, args.seed)
    return batches(args, chosen, device)


def batches(args: argparse.Namespace, data: Dataset[Any], device: torch.device | str) -> list[Any]:
    """All batches of a data set on a device, but those of which nothing can be read."""
    found = sets.loader(data, args.batch_size, workers=args.workers)
    return [(x.to(device), y.to(device)) for x, y in filter(None, found)]


def _without_test(
    args: argparse.Namespace, data: Dataset[Any], test: Dataset[Any], kind: str
) -> Subset[Any]:
    """Images that are not test images, as `--leaks` says.

    Raises:
        ValueError: some are, and it is `refuse`; or all are.
    """
    whole = Subset(data, range(length(data)))
    if args.leaks == "ignore":
        _say(note_of(args))
        return whole
    names = f"--data {args.data}", f"--train-data {args.calibration_data or args.data}"
    if args.leaks == "refuse":
        contents.check_apart(
            test, data, names, kind, workers=args.workers,
            remedy=f", or give --leaks drop, which leaves these {kind} images out",
        )  # fmt: skip
        return whole
    pairs = contents.shared(test, data, workers=args.workers)
    both = {place for _, place in pairs}
    if len(both) == length(data):
        raise ValueError(f"all {kind} images are test images too: no image is left")
    if pairs:
        _say(f"left out: {contents.message(pairs, test, data, names, kind)}")
    return Subset(data, [k for k in whole.indices if k not in both])


def _say(text: str) -> None:
    """Says something on the error stream, once for all processes."""
    if processes.rank() == 0:
        print(text, file=sys.stderr, flush=True)
