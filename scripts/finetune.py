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
import dataclasses

import torch

import reram_torch as rt
from reram_torch import experiment
from reram_torch.distributed import processes
from reram_torch.training import Fit, distillation_loss, top1


def parse() -> argparse.Namespace:
    parser = experiment.training_parser(__doc__.splitlines()[0], epochs=4, rate=3e-4)
    add = parser.add_argument
    add("--config", default="search_tree", help=f"one of {rt.config_names()}, or a TOML file")
    add("--reduction", type=float, help="overrides the budget of the config's search")
    add("--start", type=float, help="reduction of the first epoch; default: --reduction")
    add("--design-epochs", type=int, help="ADCs are designed anew in so many epochs; default: all")
    add("--distill", type=float, default=0.9, help="weight of the float network's answers, 0 to 1")
    add("--temperature", type=float, default=4.0, help="of the distillation")
    args = experiment.parse(parser)
    experiment.check_arguments(parser, args)
    return args


def main() -> None:
    args = parse()
    experiment.set_up(args)
    recipe = experiment.recipe_of(args)
    config = rt.load_config(args.config)
    if config.search is None:
        raise SystemExit(f"config {args.config!r} has no [search] section")
    search = experiment.with_budget(config.search, args.reduction, None)
    if search.reduction is None:
        raise SystemExit("fine-tuning needs a reduction: give --reduction")
    first = args.start or search.reduction
    designs = recipe.epochs if args.design_epochs is None else args.design_epochs
    with processes(args.device) as device:
        train, test = experiment.load_training_data(args)
        calibration = list(experiment.load_batches(args, train=True))
        net = experiment.load_network(args).to(device)
        teacher = copy.deepcopy(net)
        net = rt.convert(net, config, skip=args.skip, fold_bn=args.fold_bn)

        def design(epoch: int) -> dict:
            """The ADCs of an epoch; the last designs are kept when no more are due."""
            if epoch >= max(designs, 1):
                return {}
            share = epoch / (designs - 1) if designs > 1 else 1.0
            reduction = first ** (1 - share) * search.reduction**share
            rt.calibrate(net, calibration, ranges=args.ranges, held_back=0, show_progress=False)
            wanted = dataclasses.replace(search, reduction=reduction)
            found = rt.design_adc(net, **dataclasses.asdict(wanted), show_progress=False)
            return {"reduction": round(found.reduction, 4)}

        loss = distillation_loss(teacher, args.distill, args.temperature, recipe.smoothing)
        settings = {
            "config": config.to_dict(), "reduction": search.reduction, "start": first,
            "designs": designs, "distill": args.distill, "temperature": args.temperature,
        }  # fmt: skip
        fit = Fit(
            net, train, test, recipe, args.out, loss=loss, before_epoch=design,
            workers=args.workers, settings=settings,
        )  # fmt: skip
        resumed = experiment.start(fit, args)
        if not resumed:
            design(designs - 1)
            before = top1(net, test, recipe, args.workers, "before")
            print(f"before fine-tuning: top-1 {before:.4f} at {search.reduction:g}x")
        fit.run()
        with rt.PowerMeter(net) as meter, torch.no_grad():
            after = top1(net, test, recipe, args.workers, "after")
        print(f"after fine-tuning: top-1 {after:.4f} at {meter.report().reduction:.2f}x")


if __name__ == "__main__":
    main()
