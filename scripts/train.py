r"""Trains a float network; stop it and resume as you like.

    python scripts/train.py --model resnet20 --data cifar10 --size 32 --augment flip --download \
        --epochs 100 --out runs/resnet20

With several processes: `torchrun --nproc_per_node 8 scripts/train.py ...`.
"""

from __future__ import annotations

import argparse

from reram_torch._support.processes import processes, rank
from reram_torch.cli import experiments, options
from reram_torch.training.fit import Fit
from reram_torch.training.pictures import plot_training


def parse() -> argparse.Namespace:
    parser = options.training_parser(__doc__.splitlines()[0], epochs=100, rate=1e-3)
    args = options.parse(parser)
    options.check_arguments(parser, args)
    return args


def main() -> None:
    args = parse()
    experiments.set_up(args)
    recipe = experiments.recipe_of(args)
    with processes(args.device) as device:
        train, test = experiments.load_training_data(args)
        net = experiments.load_network(args, train).to(device)
        fit = Fit(
            net, train, test, recipe, args.out, workers=args.workers,
            settings=experiments.settings_of_training(args), save_every=60 * args.save_minutes,
        )  # fmt: skip
        experiments.start(fit, args)
        lines = fit.run()
        if rank() == 0:
            plot_training(lines, args.out / "log.png")


if __name__ == "__main__":
    experiments.run(main)
