"""Fine-tunes a network through the exact simulation of its crossbars.

The ADCs are designed anew before each epoch, for a budget that tightens until it is that of
`--reduction`. The float network teaches.
"""

from __future__ import annotations

import argparse
import copy
from pathlib import Path
from typing import Any

import torch
from torch import nn

import reram_torch as rt
from reram_torch._support import processes
from reram_torch.cli import experiments, images, on_chips, options
from reram_torch.training.fit import Fit
from reram_torch.training.fresh_chips import FreshChips
from reram_torch.training.losses import Loss, distillation_loss, with_penalty
from reram_torch.training.penalty import ComparisonPenalty
from reram_torch.training.pictures import plot_training
from reram_torch.training.recipe import Recipe
from reram_torch.training.redesign import Redesign

ABOUT = "Fine-tunes a network through the exact simulation of its crossbars."


def parser(program: str | None = None) -> options.Parser:
    """The options of a fine-tuning run."""
    made = options.training_parser(ABOUT, program, epochs=4, rate=3e-4)
    options.add_finetuning_arguments(made)
    on_chips.add_arguments(made)
    on_chips.add_training_arguments(made)
    return made


class Finetuning:
    """A fine-tuning run and its control, as the options state them.

    Args:
        args: the options.
        recipe: how both are trained.
        config: of the crossbars.
        search: of their ADCs, with a reduction.
        device: of the networks.
    """

    def __init__(
        self, args: argparse.Namespace, recipe: Recipe, config: rt.Config,
        search: rt.SearchConfig, device: torch.device,
    ):  # fmt: skip
        self.args, self.recipe = args, recipe
        self.images = found = images.load_training(args)
        calibration = images.calibration_of(args, found, device)
        self.float_net = experiments.load_network(args, found.train).to(device)
        start = experiments.before_search(config)
        net = rt.convert(self.float_net, start, skip=args.skip, fold_bn=args.fold_bn)
        # Before any training: what the control starts from.
        self.control_net = rt.revert(net) if args.fold_bn else copy.deepcopy(self.float_net)
        if args.learn_scales:
            rt.calibrate(net, calibration, ranges=args.ranges, shared=True)
            for layer in rt.crossbar_layers(net).values():
                layer.learn_scales()
        penalty = ComparisonPenalty(net, args.penalty) if args.penalty else None
        self.designs = Redesign(
            net, calibration, search, start=args.start, ranges=args.ranges, penalty=penalty,
            epochs=args.design_epochs or recipe.epochs, chips=on_chips.sample_of(args),
        )  # fmt: skip
        self.chips = None
        if args.devices:
            devices, time = args.devices[0], (args.time or [None])[0]
            self.chips = FreshChips(
                net, devices, time=devices.at(time), every=args.chip_steps, seed=recipe.seed
            )
        self.settings = experiments.settings_of_finetuning(args, config, self.designs)
        self.fit = self._fit_of(net, penalty)

    def _fit_of(self, net: nn.Module, penalty: ComparisonPenalty | None) -> Fit:
        loss = self._teaching()
        if penalty is not None:
            loss = with_penalty(loss, penalty)
            penalty.attach()
        return self._fit(
            net, self.args.out, loss=loss, before_epoch=self.designs, settings=self.settings,
            chips=self.chips,
            kept={"penalty": penalty} if penalty is not None else None,
        )  # fmt: skip

    def control(self) -> Fit:
        """The float network trained on: all as in fine-tuning, but for the crossbars."""
        names = "distill", "temperature", "fold_bn"
        more = {name: getattr(self.args, name) for name in names}
        settings = {**experiments.settings_of_training(self.args), **more}
        folder = self.args.out / "control"
        return self._fit(
            self.control_net, folder, loss=self._teaching(), settings=settings,
            report=lambda line: experiments.print_line({"run": "control", **line}),
        )  # fmt: skip

    def _teaching(self) -> Loss:
        args = self.args
        return distillation_loss(
            self.float_net, args.distill, args.temperature, self.recipe.smoothing
        )

    def _fit(self, net: nn.Module, folder: Path, **more: Any) -> Fit:
        return Fit(
            net, self.images.train, self.images.validation, self.recipe, folder,
            workers=self.args.workers, save_every=60 * self.args.save_minutes,
            **{"report": experiments.print_line, **more},
        )  # fmt: skip

    def run(self) -> None:
        """Fine-tunes, trains the control, and measures all on the test images."""
        args = self.args
        control = None if args.no_control else self.control()
        if control is not None:
            experiments.check_free(control, args)
        resumed = experiments.start(self.fit, args)
        results = experiments.results_of_run(args, self.settings, self.images.test, resumed)
        chips = on_chips.ChipRuns(args, results)
        if not resumed:
            results.measure("float", self.float_net, metered=False)
            self.designs.before()
            results.measure("before", self.fit.net)
            chips.run("before", self.fit.net)
        lines = self.fit.run()
        experiments.measure_run(results, self.fit, on_chips=chips.run)
        controlled = None
        if control is not None:
            experiments.start(control, args)
            controlled = control.run()
            experiments.measure_run(results, control, "control ", metered=False)
        if processes.rank() == 0:
            plot_training(lines, args.out / "log.png", controlled)
            print(results.table())
            if chips.found:
                print(f"\n{chips.table()}")
                chips.plot()
        results.add_chips(chips.rows())
        results.finish()


@experiments.interruptible()
def main(arguments: list[str] | None = None, program: str | None = None) -> None:
    """Command line."""
    made = parser(program)
    args = made.parse_args(arguments)
    options.check_arguments(made, args)
    on_chips.check_arguments(made, args)
    experiments.set_up(args)
    recipe = experiments.recipe_of(args)
    [config] = experiments.load_configs([args.config]).values()
    search = experiments.search_of(config, args, args.config)
    if search.reduction is None:
        raise SystemExit("fine-tuning needs a reduction: give --reduction")
    with processes.processes(args.device) as device:
        Finetuning(args, recipe, config, search, device).run()
