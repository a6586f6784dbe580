"""What the scripts share: command-line options for networks and data."""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Iterable
from pathlib import Path

import torch
from torch import nn

from reram_torch import data, models
from reram_torch.config import SearchConfig, config_folders, read_toml
from reram_torch.training import OPTIMIZERS, Fit, Recipe


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
        "--train-data",
        help="training images; default: the training split of --data, "
        "which a folder does not have; where it is --data itself, those images are not tested",
    )
    add(
        "--class-list",
        type=Path,
        help="text file naming the network's classes in order, for folders that hold some of them",
    )
    add("--root", default="data", help="where torchvision's data sets lie")
    add("--download", action="store_true", help="fetch a torchvision data set that is not there")
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


def add_training_arguments(parser: argparse.ArgumentParser, *, epochs: int, rate: float) -> None:
    """Options of a training run."""
    plain = Recipe()
    add = parser.add_argument
    add("--out", type=Path, required=True, help="folder of checkpoints and log")
    add("--resume", action="store_true", help="go on from the folder's last checkpoint")
    add("--augment", choices=data.AUGMENTATIONS, default="none", help="of training images")
    add("--device", choices=("auto", "cpu", "cuda"), default="auto")
    add("--epochs", type=int, default=epochs)
    add("--rate", type=float, default=rate, help="highest learning rate")
    add("--optimizer", choices=OPTIMIZERS, default=plain.optimizer)
    add("--weight-decay", type=float, default=plain.weight_decay)
    add("--warmup", type=float, default=plain.warmup, help="share of the steps")
    add("--smoothing", type=float, default=plain.smoothing, help="of labels")
    add("--clip", type=float, default=plain.clip, help="norm of gradients; 0: not at all")
    add("--bf16", action="store_true", help="autocast in the float layers")


def training_parser(description: str, *, epochs: int, rate: float) -> argparse.ArgumentParser:
    """A parser with the options of networks, data and training runs."""
    parser = argparse.ArgumentParser(description=description)
    add_arguments(parser)
    add_training_arguments(parser, epochs=epochs, rate=rate)
    return parser


def parse(parser: argparse.ArgumentParser, arguments: list[str] | None = None):
    """Parses the command line; `--experiment` names a TOML file of options that it overrides.

    Raises:
        SystemExit: bad options, or an experiment file with unknown keys.
    """
    parser.add_argument(
        "--experiment", help=f"of {experiment_names()}, or a TOML file of these options"
    )
    first = argparse.ArgumentParser(add_help=False)
    first.add_argument("--experiment")
    known, rest = first.parse_known_args(arguments)
    if known.experiment is not None:
        try:
            rest = (
                read_toml(experiment_path(known.experiment), lambda v: _as_options(parser, v))
                + rest
            )
        except (ValueError, FileNotFoundError) as error:
            parser.error(str(error))
    return parser.parse_args(rest)


def experiment_names() -> list[str]:
    """The experiments that come with the package."""
    folders = (f / "experiments" for f in config_folders())
    return sorted({p.stem for f in folders for p in f.glob("*.toml")})


def experiment_path(name: str) -> Path:
    """The file of an experiment by name, or the path itself."""
    if not name.endswith(".toml"):
        for folder in config_folders():
            if (path := folder / "experiments" / f"{name}.toml").is_file():
                return path
    if not (path := Path(name)).is_file():
        raise FileNotFoundError(
            f"no experiment {name!r}: known are {experiment_names()}, or a file"
        )
    return path


def _as_options(parser: argparse.ArgumentParser, values: dict) -> list[str]:
    options: list[str] = []
    for key, value in values.items():
        option = f"--{key.replace('_', '-')}"
        if option not in parser._option_string_actions:
            raise ValueError(f"unknown option {key!r}")
        if isinstance(value, bool):
            options += [option] if value else []
        else:
            options += [option, *map(str, value if isinstance(value, list) else [value])]
    return options


def recipe_of(args: argparse.Namespace) -> Recipe:
    """The recipe that the options state."""
    names = [f.name for f in dataclasses.fields(Recipe)]
    return Recipe(**{name: getattr(args, name) for name in names})


def load_training_data(args: argparse.Namespace) -> tuple[data.Dataset, data.Dataset]:
    """Training images, augmented, and test images."""
    name = args.calibration_data or args.data
    if name == args.data and name not in ("digits", *data.TORCHVISION):
        raise SystemExit(f"{name!r} would be trained on and tested on: give --train-data")
    train = load_images(args, name, train=True, augment=args.augment)
    test = load_images(args, args.data, train=False)
    return train, data.subset(test, args.limit, args.seed)


def start(fit: Fit, args: argparse.Namespace) -> bool:
    """Resumes a run if that is asked for; True if there was one.

    Raises:
        SystemExit: the folder holds a run that nobody asked to resume, its checkpoint is of another
            run, or the data have more classes than the network.
    """
    classes = len(getattr(fit.train_data.data, "classes", ()))
    if classes > args.classes and ":" not in args.model and args.class_list is None:
        raise SystemExit(f"the data have {classes} classes, the network {args.classes}: --classes")
    if not args.resume:
        if (fit.folder / "last.pt").is_file():
            raise SystemExit(f"{fit.folder} holds a run: --resume it, or give another --out")
        return False
    try:
        return fit.resume()
    except ValueError as error:
        raise SystemExit(str(error)) from error


def set_up(args: argparse.Namespace) -> None:
    """Threads, and the seed of random weights."""
    if args.threads:
        torch.set_num_threads(args.threads)
    torch.manual_seed(args.seed)


def load_network(args: argparse.Namespace) -> nn.Module:
    """The float network that the options name, in eval mode."""
    net = models.build_model(args.model, args.classes).eval()
    if args.weights:
        models.load_weights(net, args.weights)
    return net


def load_images(
    args: argparse.Namespace, name: str, *, train: bool, augment: str = "none"
) -> data.Dataset:
    """The data set `name` as the options say."""
    return data.load_dataset(
        name, train=train, root=args.root, size=args.size, resize=args.resize,
        mean=tuple(args.mean), std=tuple(args.std), class_list=args.class_list, augment=augment,
        download=args.download,
    )  # fmt: skip


def load_batches(args: argparse.Namespace, *, train: bool) -> Iterable:
    """Batches of calibration or of test images."""
    name = (args.calibration_data or args.data) if train else args.data
    found = load_images(args, name, train=train)
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
