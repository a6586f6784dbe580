"""What the scripts share: command-line options for networks and data."""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Iterable
from pathlib import Path

from torch import nn

from reram_torch import data, models
from reram_torch.config import SearchConfig


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options for the network, its data, and how they are gone through."""
    add = parser.add_argument
    add(
        "--model",
        required=True,
        help="zoo or torchvision name, or module:function, such as "
        "reram_torch.models:efficientnet_lite0",
    )
    add("--weights", help="state_dict file; random weights if not given")
    add("--data", required=True, help="test images: folder, digits, cifar10, cifar100, mnist, ...")
    add(
        "--calibration-data",
        help="training images; default: the training split of --data, "
        "which a folder does not have; where it is --data itself, those images are not tested",
    )
    add(
        "--class-list",
        type=Path,
        help="text file naming the network's classes in order, for folders that hold some of them",
    )
    add("--root", default="data", help="where torchvision's data sets lie")
    add("--skip", nargs="*", default=[], help="layers to leave in float, by name")
    add("--fold-bn", action="store_true", help="fold batch norms into convolutions first")
    add("--ranges", default="min_max", help="input ranges: min_max, percentile or mse")
    add("--calibration-images", type=int, default=256)
    add("--classes", type=int, default=10)
    add("--size", type=int, help="crop images to a square of this; default: as they are")
    add("--resize", type=int, help="short side before the crop; default: --size")
    add("--mean", type=float, nargs="+", default=data.IMAGENET_MEAN)
    add("--std", type=float, nargs="+", default=data.IMAGENET_STD)
    add("--limit", type=int, help="evaluate on this many images only")
    add("--batch-size", type=int, default=64)
    add("--workers", type=int, default=0)
    add("--threads", type=int, help="of torch and of the kernel")
    add("--seed", type=int, default=0, help="of the choice of images")


def check_arguments(parser: argparse.ArgumentParser, args: argparse.Namespace) -> None:
    """Ends the program where test images would calibrate the network."""
    if args.calibration_data is None and args.data not in ("digits", *data.TORCHVISION):
        parser.error("--calibration-data is needed: test images must not calibrate the network")


def load_network(args: argparse.Namespace) -> nn.Module:
    """The float network that the options name, in eval mode."""
    net = models.build_model(args.model, args.classes).eval()
    if args.weights:
        models.load_weights(net, args.weights)
    return net


def load_batches(args: argparse.Namespace, *, train: bool) -> Iterable:
    """Batches of calibration or of test images."""
    name = (args.calibration_data or args.data) if train else args.data
    found = data.load_dataset(
        name, train=train, root=args.root, size=args.size, resize=args.resize,
        mean=tuple(args.mean), std=tuple(args.std), class_list=args.class_list,
    )  # fmt: skip
    if args.calibration_data == args.data:
        found = data.split(found, args.calibration_images, args.seed)[0 if train else 1]
        count = None if train else args.limit
    else:
        count = args.calibration_images if train else args.limit
    found = data.subset(found, count, args.seed)
    return data.loader(found, args.batch_size, workers=args.workers)


def with_budget(
    search: SearchConfig, reduction: float | None, max_drop: float | None, lossless: bool = False
) -> SearchConfig:
    """A search with another budget, if one is given."""
    if reduction is None and max_drop is None and not lossless:
        return search
    return dataclasses.replace(search, reduction=reduction, max_drop=max_drop, lossless=lossless)


def write_atomically(path: Path, text: str) -> None:
    """Writes a file so that a reader, or a kill, finds either the old text or the new."""
    path.parent.mkdir(parents=True, exist_ok=True)
    new = path.with_name(path.name + ".new")
    new.write_text(text, encoding="utf-8")
    new.replace(path)
