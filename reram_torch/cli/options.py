"""Command-line options that the commands share, and experiment files that hold them."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from reram_torch._support.names import check_keys
from reram_torch.calibration.calibrating import RANGES
from reram_torch.config.files import config_names, find_toml, read_toml, toml_names
from reram_torch.data import sets
from reram_torch.training.recipe import OPTIMIZERS, Recipe


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options for the network, its data, and how they are gone through."""
    add = parser.add_argument
    add(
        "--model",
        required=True,
        help="zoo or torchvision name, module:function, such as "
        "reram_torch.models:efficientnet_lite0, or, with --task, hf:<folder or hub name>",
    )
    add(
        "--weights",
        help="state_dict or checkpoint file, or the name of torchvision's weights, such as "
        "DEFAULT; random weights if not given",
    )
    add(
        "--data",
        required=True,
        help=f"test images: one of {', '.join(sets.SPLIT)}, or a folder with one folder for each "
        "class; imagefolder: --root holds train and val, each such a folder",
    )
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
    add("--root", default="data", help="where torchvision's data sets, or imagefolder's, lie")
    add("--download", action="store_true", help="fetch a torchvision data set that is not there")
    add("--skip", nargs="*", default=[], help="layers to leave in float, by name")
    add("--fold-bn", action="store_true", help="fold batch norms into convolutions first")
    ranges = [kind for kind in RANGES if kind != "keep"]  # a float network has none yet
    add("--ranges", default="min_max", choices=ranges, help="input ranges")
    add("--calibration-images", "--calibration-items", type=int, default=256, help="256")
    add("--classes", type=int, help="of the network; default: those of the data")
    add("--size", type=int, help="crop images to a square of this; default: as they are")
    add("--resize", type=int, help="short side before the crop; default: --size")
    add("--mean", type=float, nargs="+", help="of each channel; default: ImageNet's, or MNIST's")
    add("--std", type=float, nargs="+", help="likewise")
    add("--limit", type=int, help="evaluate on this many images only")
    add("--batch-size", type=int, default=64, help="64; of windows of a text 8")
    add("--workers", type=int, default=0)
    add("--threads", type=int, help="of torch and of the kernel")
    add("--device", choices=("auto", "cpu", "cuda"), default="auto")
    add("--bf16", action="store_true", help="autocast in the float layers")
    add("--seed", type=int, default=0, help="of the choice of images")
    add(
        "--leaks",
        choices=("refuse", "drop", "ignore"),
        default="refuse",
        help="test images that are, pixel by pixel, training or calibration images too: refuse to "
        "run, drop them from the latter, or ignore, which compares nothing and says so in results",
    )


def check_arguments(parser: argparse.ArgumentParser, args: argparse.Namespace) -> None:
    """Ends the program where test images would calibrate, or where the model is of another task."""
    if args.model.startswith("hf:"):
        parser.error(f"--model {args.model}: language models are for `evaluate --task ...`")
    if args.calibration_data is None and args.data not in sets.SPLIT:
        parser.error("--calibration-data is needed: test images must not calibrate the network")


def add_training_arguments(parser: argparse.ArgumentParser, *, epochs: int, rate: float) -> None:
    """Options of a training run."""
    plain = Recipe()
    add = parser.add_argument
    add("--out", type=Path, required=True, help="folder of checkpoints and log")
    add("--resume", action="store_true", help="go on from the folder's last checkpoint")
    add("--augment", choices=sets.AUGMENTATIONS, default="none", help="of training images")
    add(
        "--validation",
        type=float,
        default=0.1,
        help="share of the training images set aside, by which best.pt is chosen; 0: none of both",
    )
    add("--epochs", type=int, default=epochs)
    add("--rate", type=float, default=rate, help="highest learning rate")
    add("--optimizer", choices=OPTIMIZERS, default=plain.optimizer)
    add("--weight-decay", type=float, default=plain.weight_decay)
    add("--warmup", type=float, default=plain.warmup, help="share of the steps")
    add("--smoothing", type=float, default=plain.smoothing, help="of labels")
    add("--clip", type=float, default=plain.clip, help="norm of gradients; 0: not at all")
    add("--freeze-bn", action="store_true", help="batch norms keep their running statistics")
    add("--save-minutes", type=float, default=10.0, help="between checkpoints within an epoch")


def add_finetuning_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of fine-tuning through crossbars."""
    add = parser.add_argument
    add("--config", default="search_tree", help=f"one of {config_names()}, or a TOML file")
    add("--reduction", type=float, help="overrides the budget of the config's search")
    add("--start", type=float, help="reduction of the first epoch; default: --reduction")
    add("--design-epochs", type=int, help="ADCs are designed anew in so many epochs; default: all")
    add("--distill", type=float, default=0.9, help="weight of the float network's answers, 0 to 1")
    add("--temperature", type=float, default=4.0, help="of the distillation")
    add("--learn-scales", action="store_true", help="of inputs and weights (LSQ)")
    add("--penalty", type=float, default=0.0, help="weight of the expected comparisons")
    add(
        "--no-control",
        action="store_true",
        help="leave out the control: the float network trained on with the same recipe",
    )


class Parser(argparse.ArgumentParser):
    """A parser with the options of networks and data, which an experiment may hold.

    `--experiment` names a TOML file of options, that those on the command line override.

    Args:
        description: what the command does, in a line.
        program: what it is called; None: as it was started.
    """

    def __init__(self, description: str, program: str | None = None):
        super().__init__(prog=program, description=description)
        self.add_argument(
            "--experiment", help=f"of {experiment_names()}, or a TOML file of these options"
        )
        add_arguments(self)

    def parse_known_args(  # type: ignore[override]
        self, args: Sequence[str] | None = None, namespace: argparse.Namespace | None = None
    ) -> tuple[argparse.Namespace, list[str]]:
        """Parses arguments after the options of the experiment among them.

        Raises:
            SystemExit: bad options, no such experiment, or one with unknown keys.
        """
        first = argparse.ArgumentParser(self.prog, add_help=False)
        first.add_argument("--experiment")
        known, rest = first.parse_known_args(args)
        if known.experiment is not None:
            try:
                file = find_toml("experiment", known.experiment)
                rest = read_toml(file, self._options_of) + rest
            except (ValueError, FileNotFoundError) as error:
                self.error(str(error))
        return super().parse_known_args(rest, namespace)

    def _options_of(self, values: dict[str, Any]) -> list[str]:
        """What an experiment file holds, as on a command line."""
        names = [name for name in self._option_string_actions if name.startswith("--")]
        check_keys("", values, [name.removeprefix("--").replace("-", "_") for name in names])
        options: list[str] = []
        for key, value in values.items():
            option = f"--{key.replace('_', '-')}"
            if isinstance(value, bool):
                options += [option] if value else []
            else:
                options += [option, *map(str, value if isinstance(value, list) else [value])]
        return options


def training_parser(
    description: str, program: str | None = None, *, epochs: int, rate: float
) -> Parser:
    """A parser with the options of training runs besides."""
    parser = Parser(description, program)
    add_training_arguments(parser, epochs=epochs, rate=rate)
    return parser


def experiment_names() -> list[str]:
    """The experiments that come with the package."""
    return toml_names("experiment")
