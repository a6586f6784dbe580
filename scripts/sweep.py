r"""Sweeps ADC designs, encodings and budgets: top-1 against the reduction of A/D operations.

    python scripts/sweep.py --model resnet20 --weights resnet20.pt \
        --data cifar/test --calibration-data cifar/train \
        --configs twin_range intervals search_tree --reductions 2 4 6 8 10 --csv runs/sweep.csv

Each result is appended to the CSV file as it comes; what the file holds already is not done again.
The picture beside it shows every curve, and the best that a lossless search could do.
"""

from __future__ import annotations

import argparse
import csv
import dataclasses
import time
from pathlib import Path

import torch

import reram_torch as rt
from reram_torch._support.files import write_atomically
from reram_torch._support.processes import choose_device
from reram_torch.cli import experiments, options
from reram_torch.config.sections import ENCODINGS
from reram_torch.data import sets
from reram_torch.design.bounds import adc_bound
from reram_torch.evaluation.pictures import plot_sweep
from reram_torch.evaluation.scoring import evaluate

FIELDS = (
    "config", "design", "granularity", "encoding", "budget", "reduction", "top1",
    "comparisons_per_sum", "reduction_on_calibration", "design_seconds", "images",
)  # fmt: skip
KEY = ("config", "granularity", "encoding", "budget")


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_arguments(parser)
    add = parser.add_argument
    add("--configs", nargs="+", required=True, help=f"of {rt.config_names()}, or TOML files")
    add("--granularities", nargs="*", help="instead of those of the configs")
    add("--encodings", nargs="*", choices=ENCODINGS, help="instead of those of the configs")
    add("--reductions", type=float, nargs="*", default=[], help="budgets")
    add("--lossless", action="store_true", help="also the cheapest lossless designs")
    add("--bound", action="store_true", help="also the entropy of the sums, and optimal trees")
    add("--csv", type=Path, default=Path("runs/sweep.csv"))
    add("--plot", type=Path, help="default: the CSV file's name, ending in .png")
    args = options.parse(parser)
    options.check_arguments(parser, args)
    if not args.reductions and not args.lossless:
        parser.error("nothing to do: give --reductions, or --lossless")
    return args


def read(path: Path) -> list[dict]:
    if not path.is_file():
        return []
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    # A kill may have cut the last row short.
    return [r for r in rows if set(r) == set(FIELDS) and all(v is not None for v in r.values())]


def write(path: Path, rows: list[dict]) -> None:
    lines = [",".join(FIELDS), *(",".join(str(row[f]) for f in FIELDS) for row in rows)]
    write_atomically(path, "\n".join(lines) + "\n")


def row_of(net, test, **known) -> dict:
    with rt.PowerMeter(net) as meter:
        result = evaluate(net, test, description=f"{known['config']} {known['budget']}")
    total = meter.report().total
    return {
        "reduction_on_calibration": "", "design_seconds": "", **known,
        "reduction": f"{total.reduction:.4f}", "top1": f"{result.top1:.6f}",
        "comparisons_per_sum": f"{total.comparisons_per_conversion:.4f}", "images": result.images,
    }  # fmt: skip


def main() -> None:
    args = parse()
    experiments.set_up(args)
    images = experiments.load_test(args)
    test = sets.loader(images, args.batch_size, workers=args.workers)
    device = choose_device(args.device)
    float_net = experiments.load_network(args, images).to(device)
    train = experiments.load_calibration(args, device)
    rows = read(args.csv)

    def done(*key) -> bool:
        return any(tuple(row[k] for k in KEY) == tuple(map(str, key)) for row in rows)

    def keep(row: dict) -> None:
        rows.append({k: str(v) for k, v in row.items()})
        write(args.csv, rows)
        shown = ("config", "granularity", "encoding", "budget", "reduction", "top1")
        print("  ".join(f"{row[k]!s:>12}" for k in shown), flush=True)

    if not done("float", "", "", ""):
        result = evaluate(float_net, test, description="float")
        keep(dict.fromkeys(FIELDS, "") | {"config": "float", "top1": f"{result.top1:.6f}",
             "images": result.images})  # fmt: skip
    calibrated: dict[rt.Config, torch.nn.Module] = {}

    def network(config: rt.Config) -> torch.nn.Module:
        plain = dataclasses.replace(config, adc=rt.UniformSAR(), search=None)
        if plain not in calibrated:
            calibrated.clear()  # one network at a time
            net = rt.convert(float_net, plain, skip=args.skip, fold_bn=args.fold_bn)
            calibrated[plain] = rt.calibrate(net, train, ranges=args.ranges)
        return calibrated[plain]

    budgets = [*(["lossless"] if args.lossless else []), *args.reductions]
    encodings = args.encodings or [None]
    cases = [
        (encoding, name, granularity)
        for encoding in encodings
        for name in args.configs
        for granularity in args.granularities or [None]
    ]
    for encoding, name, granularity in cases:
        config = rt.load_config(name)
        if config.search is None:
            raise SystemExit(f"config {name!r} has no [search] section")
        if encoding:
            weights = dataclasses.replace(config.weights, encoding=encoding)
            config = dataclasses.replace(config, weights=weights)
        search = config.search
        if granularity:
            search = dataclasses.replace(search, granularity=granularity)
        encoding_, label = config.weights.encoding, Path(name).stem
        for budget in budgets:
            if done(label, search.granularity, encoding_, budget):
                continue
            net, lossless, start = network(config), budget == "lossless", time.perf_counter()
            wanted = experiments.with_budget(
                search, None if lossless else budget, None, lossless=lossless
            )
            try:
                found = rt.design_adc(net, **dataclasses.asdict(wanted), show_progress=False)
            except ValueError as error:
                print(f"{label} {search.granularity} {encoding_} {budget}: {error}")
                continue
            keep(row_of(
                net, test, config=label, design=search.design, granularity=search.granularity,
                encoding=encoding_, budget=budget,
                reduction_on_calibration=f"{found.reduction:.4f}",
                design_seconds=f"{time.perf_counter() - start:.1f}",
            ))  # fmt: skip
        if args.bound and not done("bound", "", encoding_, "entropy"):
            total = adc_bound(network(config))[-1]
            for what, made in (("entropy", total.given), ("lossless tree", total.lossless)):
                keep(dict.fromkeys(FIELDS, "") | {"config": "bound", "encoding": encoding_,
                     "budget": what, "reduction": f"{8 / made:.4f}",
                     "comparisons_per_sum": f"{made:.4f}"})  # fmt: skip
    plot = args.plot or args.csv.with_suffix(".png")
    plot_sweep(rows, plot)
    print(f"wrote {args.csv} and {plot}")


if __name__ == "__main__":
    experiments.run(main)
