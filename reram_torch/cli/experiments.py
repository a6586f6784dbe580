"""What the commands share: networks, data and runs as their options name them."""

from __future__ import annotations

import argparse
import dataclasses
import functools
import json
import signal
import sys
from collections.abc import Callable, Iterator, Sized
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ParamSpec, TypeVar, cast

import torch
from torch import nn
from torch.utils.data import Dataset

from reram_torch.config.files import load_config
from reram_torch.config.sections import Config, SearchConfig
from reram_torch.conversion.converting import convert
from reram_torch.data import sets
from reram_torch.evaluation.results import Results
from reram_torch.models import zoo
from reram_torch.power import technology
from reram_torch.training.fit import Fit, load_best
from reram_torch.training.recipe import Recipe
from reram_torch.training.redesign import Redesign

P = ParamSpec("P")
T = TypeVar("T")
_BUDGETS = {"reduction": None, "max_drop": None, "max_error": None, "lossless": False}  # none
# What tells rows of a sweep apart, or is replaced in it.
_APART = {
    "weights": ("encoding",),
    "search": ("granularity", *_BUDGETS),
}


@contextmanager
def interruptible() -> Iterator[None]:
    """Inside the block Ctrl-C or SIGTERM end the program without a traceback.

    Raises:
        SystemExit: with 130, as a shell expects of an interrupted program.
    """
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)  # what clusters send
    try:
        yield
    except KeyboardInterrupt:
        print("stopped; what was written so far is kept", file=sys.stderr)
        raise SystemExit(130) from None
    finally:
        signal.signal(signal.SIGTERM, before)


def plainly(function: Callable[P, T]) -> Callable[P, T]:
    """A function whose errors, which tell the user what to do, end the program as its message."""

    @functools.wraps(function)
    def plain(*args: P.args, **more: P.kwargs) -> T:
        try:
            return function(*args, **more)
        except (FileNotFoundError, ImportError, ValueError) as error:
            raise SystemExit(str(error)) from error

    return plain


load_technology = plainly(technology.load_technology)


def print_line(line: dict[str, Any]) -> None:
    """Prints the line of a training run's epoch, as `Fit` reports it."""
    print(json.dumps(line), flush=True)


@plainly
def load_configs(names: list[str]) -> dict[str, Config]:
    """Configurations, given by name or path, under the names that results go by.

    Raises:
        SystemExit: there is no such configuration, it is bad, or two have the same name.
    """
    found = {Path(name).stem: load_config(name) for name in names}
    if len(found) < len(names):
        raise ValueError(f"two of {names} have the same name: results would mix")
    return found


def note_of(args: argparse.Namespace) -> str:
    """What results must say of the images that they were found with; nothing if all is well."""
    if args.leaks != "ignore":
        return ""
    return "not compared: test images may be training or calibration images too (--leaks ignore)"


def before_search(config: Config) -> Config:
    """A configuration as layers are made with it: the ADCs that its search finds replace its own.

    So nothing is said of clipping by an ADC that no result is measured with.
    """
    return config if config.search is None else dataclasses.replace(config, adc=None)


@plainly
def recipe_of(args: argparse.Namespace) -> Recipe:
    """The recipe that the options state."""
    names = [f.name for f in dataclasses.fields(Recipe)]
    return Recipe(**{name: getattr(args, name) for name in names})


def settings_of_training(args: argparse.Namespace) -> dict[str, Any]:
    """What a run must share with the one that it resumes beside its recipe, as plain values."""
    names = "model", "size", "resize", "augment", "validation", "leaks"
    return {name: getattr(args, name) for name in names}


def settings_of_finetuning(
    args: argparse.Namespace, config: Config, designs: Redesign
) -> dict[str, Any]:
    """What a fine-tuning run must share with the one that it resumes, likewise."""
    names = [
        "skip", "fold_bn", "ranges", "calibration_images", "distill", "temperature",
        "learn_scales", "penalty",
    ]  # fmt: skip
    chips = {}
    if args.devices or args.design_for:
        names += ["time", "chip_steps", "design_chips", "design_time"]
        chips = {"devices": str(args.devices), "design_for": str(args.design_for)}
    return {
        **settings_of_training(args),
        **chips,
        "config": config.to_dict(),
        "reduction": designs.search.reduction,
        "start": designs.start,
        "designs": designs.epochs,
        **{name: getattr(args, name) for name in names},
    }


def settings_of_evaluation(args: argparse.Namespace, configs: dict[str, Config]) -> dict[str, Any]:
    """What an evaluation must share with the one that it resumes, as plain values."""
    free = ["resume", "workers", "threads", "report", "layers", "json", "power", "plot"]
    free += ["chips"]  # more of them may be added
    # As earlier versions had it.
    free += [] if args.devices else ["devices", "time", "chip_seed", "re_estimate_bn", "fast"]
    free += [] if args.design_for else ["design_for", "design_chips", "design_time"]
    if args.task == "images":  # files of versions that knew no other task go on
        free += ["task", "context", "stride"]
    options = {k: str(v) for k, v in vars(args).items() if k not in free}
    return {**options, "configs": {k: c.to_dict() for k, c in configs.items()}}


def settings_of_sweep(args: argparse.Namespace, configs: dict[str, Config]) -> dict[str, Any]:
    """What the rows of a sweep must share, as plain values: all but what tells them apart.

    Args:
        args: the options.
        configs: those of this run; rows of others may be there too.
    """
    names = (
        "model", "weights", "data", "calibration_data", "class_list", "calibration_images",
        "skip", "fold_bn", "ranges", "classes", "size", "resize", "mean", "std", "limit", "seed",
        "leaks",
    )  # fmt: skip
    found: dict[str, Any] = {name: str(getattr(args, name)) for name in names}
    for name, config in configs.items():
        sections = config.to_dict()
        for section, keys in _APART.items():
            sections[section] = {k: v for k, v in sections[section].items() if k not in keys}
        found[f"config {name}"] = sections
    return found


@plainly
def results_in(
    args: argparse.Namespace,
    path: Path | None,
    settings: dict[str, Any],
    data: Dataset[Any],
    **more: Any,
) -> Results:
    """Results on a data set with the options' batches, in a file; `more` as `Results` takes it."""
    more = {"note": note_of(args), **more}
    return Results(path, settings, data, args.batch_size, args.workers, args.bf16, **more)


def results_of_run(
    args: argparse.Namespace, settings: dict[str, Any], test: Dataset[Any], resumed: bool
) -> Results:
    """Results of a training run on its test images, in its folder."""
    return results_in(
        args, args.out / "results.json", {**settings, "limit": args.limit}, test, resume=resumed
    )


def measure_run(
    results: Results,
    fit: Fit,
    prefix: str = "",
    *,
    metered: bool = True,
    on_chips: Callable[[str, nn.Module], None] = lambda name, net: None,
) -> None:
    """Rows of a run's last network and of the one that validation chose, on ideal devices.

    Args:
        results: where they go.
        fit: the run.
        prefix: of the rows' names.
        metered: the networks are converted.
        on_chips: told of each network besides.
    """

    def measure(name: str) -> None:
        if fit.chips is not None:
            fit.chips.off()
        results.measure(name, fit.net, metered=metered)
        on_chips(name, fit.net)

    measure(f"{prefix}last")
    if fit.validation_data is None:
        return
    if load_best(fit) == fit.epoch:
        results.copy(f"{prefix}best", f"{prefix}last")
    else:
        measure(f"{prefix}best")


def check_free(fit: Fit, args: argparse.Namespace) -> None:
    """Ends the program if a folder holds a run that nobody asked to resume.

    Raises:
        SystemExit: it does.
    """
    if not args.resume and (fit.folder / "last.pt").is_file():
        raise SystemExit(f"{fit.folder} holds a run: --resume it, or give another --out")


@plainly
def start(fit: Fit, args: argparse.Namespace) -> bool:
    """Resumes a run if that is asked for; True if there was one.

    Raises:
        SystemExit: the folder holds a run that nobody asked to resume, or its checkpoint is of
            another run.
    """
    check_free(fit, args)
    return fit.resume() if args.resume else False


def set_up(args: argparse.Namespace) -> None:
    """Threads, and the seed of random weights."""
    if args.threads:
        torch.set_num_threads(args.threads)
    torch.manual_seed(args.seed)


@plainly
def load_network(args: argparse.Namespace, images: Dataset[Any]) -> nn.Module:
    """The float network that the options name, in eval mode.

    Raises:
        SystemExit: it has not one output for each class of the images.
    """
    classes = args.classes or sets.class_count(images) or 10
    net = zoo.build_model(args.model, classes, args.weights).eval()
    check_outputs(net, images)
    return net


@plainly
def load_converted(
    args: argparse.Namespace, images: Dataset[Any], config: Config | None
) -> nn.Module | None:
    """The converted network of a fine-tuning run's checkpoint; None if `--weights` names another.

    Layers in float, folding and, if no `config` is given, the design are those of the run.

    Raises:
        SystemExit: the checkpoint is of another network or of another design.
    """
    if not args.weights or not Path(args.weights).is_file():
        return None
    state, settings = zoo.read_checkpoint(args.weights)
    if not zoo.is_of_crossbars(state):
        return None
    if config is None:
        if "config" not in settings:
            raise ValueError(f"{args.weights} does not say what design it is of: give --config")
        config = Config.from_dict(settings["config"])
    classes = args.classes or sets.class_count(images) or 10
    net = zoo.build_model(args.model, classes).eval()
    skip, fold_bn = settings.get("skip", args.skip), settings.get("fold_bn", args.fold_bn)
    net = convert(net, config, skip=skip, fold_bn=fold_bn)
    try:
        net.load_state_dict(state)
    except RuntimeError as error:
        raise ValueError(f"{args.weights} is of another network or design: {error}") from error
    check_outputs(net, images)
    return net


@torch.no_grad()
def check_outputs(net: nn.Module, images: Dataset[Any]) -> None:
    """Runs one image, and ends the program if the network's outputs are not the images' classes."""
    classes = sets.class_count(images)
    readable = (item for k in range(len(cast(Sized, images))) if (item := images[k]) is not None)
    first = next(readable, None)
    if first is None:
        raise SystemExit("none of the images can be read")
    scores = net(first[0][None])
    if classes is not None and scores.shape[1:] != (classes,):
        raise SystemExit(
            f"the data have {classes} classes, but the network gives an image outputs of shape "
            f"{tuple(scores.shape[1:])}: give the data the network was trained on, --classes, or "
            "--class-list for a folder that holds some of its classes"
        )


def search_of(config: Config, args: argparse.Namespace, name: str) -> SearchConfig:
    """The search of a configuration, with the budget of the options if they give one.

    Raises:
        SystemExit: the configuration has no search.
    """
    if config.search is None:
        raise SystemExit(f"config {name!r} has no [search] section")
    return with_budget(config.search, {"reduction": args.reduction})


def budgets_of(args: argparse.Namespace) -> dict[str, Any]:
    """The budgets among the options, by name: none, or one."""
    given = {name: getattr(args, name) for name in _BUDGETS}
    return {
        name: value for name, value in given.items() if value is not None and value is not False
    }


def with_budget(search: SearchConfig, budget: dict[str, Any]) -> SearchConfig:
    """A search with another budget, if one is given."""
    if all(value is None for value in budget.values()):
        return search
    return dataclasses.replace(search, **{**_BUDGETS, **budget})
