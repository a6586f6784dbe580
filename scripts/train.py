r"""Trains a float network; stop it and resume as you like.

    python scripts/train.py --model resnet20 --data cifar10 --size 32 --augment flip --download \
        --epochs 100 --out runs/resnet20

With several processes: `torchrun --nproc_per_node 8 scripts/train.py ...`.
"""

from __future__ import annotations

import argparse

from reram_torch import experiment
from reram_torch.distributed import processes
from reram_torch.training import Fit


def parse() -> argparse.Namespace:
    parser = experiment.training_parser(__doc__.splitlines()[0], epochs=100, rate=1e-3)
    args = experiment.parse(parser)
    experiment.check_arguments(parser, args)
    return args


def main() -> None:
    args = parse()
    experiment.set_up(args)
    recipe = experiment.recipe_of(args)
    with processes(args.device) as device:
        train, test = experiment.load_training_data(args)
        net = experiment.load_network(args).to(device)
        fit = Fit(net, train, test, recipe, args.out, workers=args.workers)
        experiment.start(fit, args)
        fit.run()


if __name__ == "__main__":
    main()
