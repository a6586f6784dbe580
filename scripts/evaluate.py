r"""Evaluates a checkpoint on simulated crossbars: top-1, A/D operations, energy, time.

    python scripts/evaluate.py --model resnet20 --weights resnet20.pt \
        --data cifar/test --calibration-data cifar/train --config twin_range

Data sets are folders with one folder of images for each class, or torchvision's by name.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
from pathlib import Path

import torch

import reram_torch as rt
from reram_torch import experiment
from reram_torch.evaluate import evaluate, plain_integer


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    experiment.add_arguments(parser)
    add = parser.add_argument
    add("--config", default="isaac", help=f"one of {rt.config_names()}, or a TOML file")
    add("--reduction", type=float, help="overrides the budget of the config's search")
    add("--max-drop", type=float, help="overrides the budget of the config's search")
    add("--lossless", action="store_true", help="the cheapest search without an error instead")
    add("--no-verify", action="store_true", help="skip the lossless and plain integer networks")
    add("--json", type=Path, help="write the results here, after each network")
    add("--layers", action="store_true", help="print the counts of every layer")
    args = parser.parse_args()
    experiment.check_arguments(parser, args)
    return args


def main() -> None:
    args = parse()
    if args.threads:
        torch.set_num_threads(args.threads)
    config = rt.load_config(args.config)
    budgets = args.reduction is not None, args.max_drop is not None, args.lossless
    if sum(budgets) > 1:
        raise SystemExit("give one of --reduction, --max-drop and --lossless")
    if config.search is None and any(budgets):
        raise SystemExit(f"config {args.config!r} has no [search] section to give a budget to")
    test = experiment.load_batches(args, train=False)
    train = experiment.load_batches(args, train=True)
    net = experiment.load_network(args)
    rows: list[dict] = []
    lossless: torch.Tensor | None = None

    def measure(name: str, net: torch.nn.Module, metered: bool) -> torch.Tensor:
        row = {"network": name}
        if metered:
            with rt.PowerMeter(net) as meter:
                result = evaluate(net, test, description=name)
            report = meter.report()
            row["report"] = report.to_dict()
            row["comparisons_per_conversion"] = report.comparisons_per_conversion
            row["reduction"] = report.reduction
            row["adc_energy_uj_per_image"] = report.adc_energy_pj / 1e6 / result.images
            if args.layers:
                print(report)
        else:
            result = evaluate(net, test, description=name)
        row |= {
            "top1": result.top1,
            "images": result.images,
            "seconds": result.seconds,
            "seconds_per_100_images": result.seconds_per_100,
        }
        if lossless is not None:
            changed = (result.scores.argmax(1) != lossless.argmax(1)).sum()
            row["answers_changed"] = int(changed)  # against the lossless crossbar
        rows.append(row)
        if args.json:
            settings = {k: str(v) for k, v in vars(args).items()}
            results = {"settings": settings, "config": config.to_dict(), "results": rows}
            experiment.write_atomically(args.json, json.dumps(results, indent=2) + "\n")
        return result.scores

    measure("float", net, False)
    net = rt.convert(net, config, skip=args.skip, fold_bn=args.fold_bn)
    rt.calibrate(net, train, ranges=args.ranges)
    if not args.no_verify:
        own = {layer: layer.adc for layer in rt.crossbar_layers(net).values()}
        for layer in own:
            layer.set_adc([rt.lossless_adc(layer.geometry)])
        lossless = measure("lossless crossbar", net, True)
        with plain_integer(net):
            integer = measure("plain integer", net, False)
        if not torch.equal(lossless, integer):
            raise SystemExit("the lossless crossbar differs from the plain integer network")
        print("lossless crossbar == plain integer network: every output of every image is equal")
        for layer, adc in own.items():
            layer.set_adc(adc)
    if config.search is not None:
        search = experiment.with_budget(
            config.search, args.reduction, args.max_drop, lossless=args.lossless
        )
        found = rt.design_adc(net, **dataclasses.asdict(search))
        drop = "" if found.drop is None else f", top-1 lost {found.drop:.4f}"
        print(f"design_adc: reduction {found.reduction:.3f} on the calibration data{drop}")
    scores = measure(args.config, net, True)
    if lossless is not None and args.lossless:
        if not torch.equal(scores, lossless):
            raise SystemExit("the lossless search differs from the lossless crossbar")
        print("lossless search == lossless crossbar: every output of every image is equal")
    show(rows)


def show(rows: list[dict]) -> None:
    print(f"\n{'network':20} {'top-1':>7} {'comp./conv.':>11} {'reduction':>9} "
          f"{'ADC uJ/image':>12} {'changed':>7} {'s/100 images':>12}")  # fmt: skip
    for row in rows:
        line = f"{row['network']:20} {row['top1']:7.4f} "
        if "reduction" in row:
            line += (
                f"{row['comparisons_per_conversion']:11.3f} {row['reduction']:8.2f}x "
                f"{row['adc_energy_uj_per_image']:12.3f} "
            )
        else:
            line += f"{'':11} {'':9} {'':12} "
        line += f"{row.get('answers_changed', ''):>7} "
        print(line + f"{row['seconds_per_100_images']:12.2f}")
    print(f"{rows[0]['images']} images; backend {rt.backend()}, {torch.get_num_threads()} threads")


if __name__ == "__main__":
    main()
