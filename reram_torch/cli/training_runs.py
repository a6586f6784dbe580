"""Trains a float network; stop it and resume as you like."""

from __future__ import annotations

from reram_torch._support.processes import processes, rank
from reram_torch.cli import experiments, options
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
        train, test = experiments.load_training_data(args)
        net = experiments.load_network(args, train).to(device)
        fit = Fit(
            net, train, test, recipe, args.out, workers=args.workers,
            settings=experiments.settings_of_training(args), save_every=60 * args.save_minutes,
            report=experiments.print_line,
        )  # fmt: skip
        experiments.start(fit, args)
        lines = fit.run()
        if rank() == 0:
            plot_training(lines, args.out / "log.png")
