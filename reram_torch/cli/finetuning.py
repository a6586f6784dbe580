"""Fine-tunes a network through the exact simulation of its crossbars.

The ADCs are designed anew before each epoch, for a budget that tightens until it is that of
`--reduction`. The float network teaches.
"""

from __future__ import annotations

import copy

import reram_torch as rt
from reram_torch._support import processes
from reram_torch.cli import experiments, options
from reram_torch.training.fit import Fit
from reram_torch.training.losses import distillation_loss, with_penalty
from reram_torch.training.penalty import ComparisonPenalty
from reram_torch.training.pictures import plot_training
from reram_torch.training.redesign import Redesign

ABOUT = "Fine-tunes a network through the exact simulation of its crossbars."


def parser(program: str | None = None) -> options.Parser:
    """The options of a fine-tuning run."""
    made = options.training_parser(ABOUT, program, epochs=4, rate=3e-4)
    options.add_finetuning_arguments(made)
    return made


@experiments.interruptible()
def main(arguments: list[str] | None = None, program: str | None = None) -> None:
    """Command line."""
    made = parser(program)
    args = made.parse_args(arguments)
    options.check_arguments(made, args)
    experiments.set_up(args)
    recipe = experiments.recipe_of(args)
    [config] = experiments.load_configs([args.config]).values()
    search = experiments.search_of(config, args, args.config)
    if search.reduction is None:
        raise SystemExit("fine-tuning needs a reduction: give --reduction")
    with processes.processes(args.device) as device:
        train, test = experiments.load_training_data(args)
        calibration = experiments.load_calibration(args, device)
        net = experiments.load_network(args, train).to(device)
        teacher = copy.deepcopy(net)
        start = experiments.before_search(config)
        net = rt.convert(net, start, skip=args.skip, fold_bn=args.fold_bn)
        if args.learn_scales:
            rt.calibrate(net, calibration, ranges=args.ranges, shared=True)
            for layer in rt.crossbar_layers(net).values():
                layer.learn_scales()
        loss = distillation_loss(teacher, args.distill, args.temperature, recipe.smoothing)
        penalty = ComparisonPenalty(net, args.penalty) if args.penalty else None
        if penalty is not None:
            loss = with_penalty(loss, penalty)
            penalty.attach()
        designs = Redesign(
            net, calibration, search, start=args.start, ranges=args.ranges, penalty=penalty,
            epochs=args.design_epochs or recipe.epochs,
        )  # fmt: skip
        settings = experiments.settings_of_finetuning(args, config, designs)
        fit = Fit(
            net, train, test, recipe, args.out, loss=loss, before_epoch=designs,
            workers=args.workers, settings=settings, save_every=60 * args.save_minutes,
            kept={"penalty": penalty} if penalty is not None else None,
            report=experiments.print_line,
        )  # fmt: skip
        resumed = experiments.start(fit, args)
        results = experiments.results_in(
            args, args.out / "results.json", settings, test, resume=resumed
        )
        if not resumed:
            designs.before()
            results.measure("before", net)
        lines = fit.run()
        results.measure("after", net)
        if processes.rank() == 0:
            plot_training(lines, args.out / "log.png")
            print(results.table())
        results.finish()
