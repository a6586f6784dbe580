r"""Fine-tunes a network through the exact simulation of its crossbars.

    python scripts/finetune.py --model resnet20 --weights resnet20.pt \
        --data cifar/test --train-data cifar/train --size 32 --augment flip \
        --config search_tree --reduction 12 --epochs 4 --out runs/finetuned

The ADCs are designed anew before each epoch, for a budget that tightens until it is that of
`--reduction`. The float network teaches. With several processes: `torchrun --nproc_per_node 2 ...`.
"""

from __future__ import annotations

import argparse
import copy

import reram_torch as rt
from reram_torch._support import processes
from reram_torch.cli import experiments, options
from reram_torch.training.fit import Fit
from reram_torch.training.losses import distillation_loss, with_penalty
from reram_torch.training.penalty import ComparisonPenalty
from reram_torch.training.pictures import plot_training
from reram_torch.training.redesign import Redesign


def parse() -> argparse.Namespace:
    parser = options.training_parser(__doc__.splitlines()[0], epochs=4, rate=3e-4)
    options.add_finetuning_arguments(parser)
    args = options.parse(parser)
    options.check_arguments(parser, args)
    return args


def main() -> None:
    args = parse()
    experiments.set_up(args)
    recipe = experiments.recipe_of(args)
    config = rt.load_config(args.config)
    search = experiments.search_of(config, args, args.config)
    if search.reduction is None:
        raise SystemExit("fine-tuning needs a reduction: give --reduction")
    with processes.processes(args.device) as device:
        train, test = experiments.load_training_data(args)
        calibration = experiments.load_calibration(args, device)
        net = experiments.load_network(args, train).to(device)
        teacher = copy.deepcopy(net)
        net = rt.convert(net, config, skip=args.skip, fold_bn=args.fold_bn)
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


if __name__ == "__main__":
    experiments.run(main)
