"""Trains a float network; stop it and resume as you like."""

from __future__ import annotations

from reram_torch._support.processes import processes, rank
from reram_torch.cli import experiments, images, options
from reram_torch.training.fit import Fit
from reram_torch.training.pictures import plot_training

ABOUT = "Trains a float network; stop it and resume as you like."


def parser(program: str | None = None) -> options.Parser:
    """The options of a training run."""
    return options.training_parser(ABOUT, program, epochs=100, rate=1e-3)


@experiments.interruptible()
def main(arguments: list[str] | None = None, program: str | None = None) -> None:
    """Command line."""
    made = parser(program)
    args = made.parse_args(arguments)
    options.check_arguments(made, args)
    experiments.set_up(args)
    recipe = experiments.recipe_of(args)
    with processes(args.device) as device:
        found = images.load_training(args)
        net = experiments.load_network(args, found.train).to(device)
        settings = experiments.settings_of_training(args)
        fit = Fit(
            net, found.train, found.validation, recipe, args.out, workers=args.workers,
            settings=settings, save_every=60 * args.save_minutes, report=experiments.print_line,
        )  # fmt: skip
        resumed = experiments.start(fit, args)
        results = experiments.results_of_run(args, settings, found.test, resumed)
        lines = fit.run()
        experiments.measure_run(results, fit, metered=False)
        if rank() == 0:
            plot_training(lines, args.out / "log.png")
            print(results.table())
        results.finish()
