"""Sweeps ADC designs, encodings and budgets: top-1 against the reduction of A/D operations.

Each result is appended to the CSV file as it comes; what the file holds already is not done again.
The picture beside it shows every curve, and the best that a lossless search could do.
"""

from __future__ import annotations

import argparse
import dataclasses
import itertools
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from torch import nn
from torch.utils.data import DataLoader

import reram_torch as rt
from reram_torch._support.processes import choose_device
from reram_torch.cli import experiments, images, options
from reram_torch.config.sections import ENCODINGS
from reram_torch.data import sets
from reram_torch.design.bounds import adc_bound
from reram_torch.evaluation.pictures import plot_sweep
from reram_torch.evaluation.scoring import evaluate
from reram_torch.evaluation.sweeps import SweepRows

ABOUT = "Sweeps ADC designs, encodings and budgets: top-1 against the reduction of A/D operations."
_SHOWN = ("config", "granularity", "encoding", "budget", "reduction", "top1")


def parser(program: str | None = None) -> options.Parser:
    """The options of a sweep."""
    made = options.Parser(ABOUT, program)
    add = made.add_argument
    add("--configs", nargs="+", required=True, help=f"of {rt.config_names()}, or TOML files")
    add("--granularities", nargs="*", help="instead of those of the configs")
    add("--encodings", nargs="*", choices=ENCODINGS, help="instead of those of the configs")
    add("--reductions", type=float, nargs="*", default=[], help="budgets")
    add("--lossless", action="store_true", help="also the cheapest lossless designs")
    add("--bound", action="store_true", help="also the entropy of the sums, and optimal trees")
    add("--csv", type=Path, default=Path("runs/sweep.csv"))
    add("--plot", type=Path, help="default: the CSV file's name, ending in .png")
    return made


class Sweep:
    """A sweep as its options state it.

    Args:
        args: the options.
        configs: by the names that rows go by.
        rows: what was found, and what comes.
    """

    def __init__(self, args: argparse.Namespace, configs: dict[str, rt.Config], rows: SweepRows):
        self.args, self.configs, self.rows = args, configs, rows
        test = images.load_test(args)
        self.test: DataLoader[Any] = sets.loader(test, args.batch_size, workers=args.workers)
        device = choose_device(args.device)
        self.float_net = experiments.load_network(args, test).to(device)
        self.train = images.load_calibration(args, test, device)
        self._calibrated: tuple[rt.Config, nn.Module] | None = None  # one network at a time

    def run(self) -> None:
        """Finds the rows that are not there yet."""
        if not self.rows.done("float", "", "", ""):
            result = evaluate(self.float_net, self.test, description="float")
            self._keep(config="float", top1=f"{result.score:.6f}", images=result.items)
        for name, config in self._cases():
            for budget in [*(["lossless"] if self.args.lossless else []), *self.args.reductions]:
                self._measure(name, config, budget)
            if self.args.bound and not self.rows.done("bound", "", config.weights.encoding,
                                                      "entropy"):  # fmt: skip
                self._bound(config)

    def _cases(self) -> Iterator[tuple[str, rt.Config]]:
        """Configurations with the encodings and granularities that are asked for."""
        for encoding, (name, config), granularity in itertools.product(
            self.args.encodings or [None],
            self.configs.items(),
            self.args.granularities or [None],
        ):
            weights, search = config.weights, config.search
            assert search is not None  # `main` saw to it
            if encoding:
                weights = dataclasses.replace(weights, encoding=encoding)
            if granularity:
                search = dataclasses.replace(search, granularity=granularity)
            yield name, dataclasses.replace(config, weights=weights, search=search)

    def _network(self, config: rt.Config) -> nn.Module:
        """The network on a configuration's crossbars, calibrated."""
        plain = dataclasses.replace(config, adc=None, search=None)
        if self._calibrated is None or self._calibrated[0] != plain:
            self._calibrated = None
            args = self.args
            net = rt.convert(self.float_net, plain, skip=args.skip, fold_bn=args.fold_bn)
            self._calibrated = plain, rt.calibrate(net, self.train, ranges=args.ranges)
        return self._calibrated[1]

    def _measure(self, name: str, config: rt.Config, budget: float | str) -> None:
        """The row of a budget: a reduction, or `lossless`."""
        search, encoding = config.search, config.weights.encoding
        assert search is not None
        if self.rows.done(name, search.granularity, encoding, budget):
            return
        net, start = self._network(config), time.perf_counter()
        reduction = None if isinstance(budget, str) else budget
        wanted = experiments.with_budget(
            search, {"lossless": True} if reduction is None else {"reduction": reduction}
        )
        try:
            found = rt.design_adc(net, **dataclasses.asdict(wanted), show_progress=False)
        except ValueError as error:
            print(f"{name} {search.granularity} {encoding} {budget}: {error}")
            return
        seconds = time.perf_counter() - start
        with rt.PowerMeter(net) as meter:
            result = evaluate(net, self.test, description=f"{name} {budget}")
        total = meter.report().total
        self._keep(
            config=name, design=f"{found.design} by {found.granularity}",
            granularity=search.granularity, encoding=encoding, budget=budget,
            reduction_on_calibration=f"{found.reduction:.4f}",
            reduction_on_held_back=f"{found.measured_reduction:.4f}",
            design_seconds=f"{seconds:.1f}", top1=f"{result.score:.6f}",
            top1_error=f"{result.score_error:.6f}", images=result.items, **figures(total),
        )  # fmt: skip

    def _bound(self, config: rt.Config) -> None:
        """The rows of what no lossless search can pass, and of the best one."""
        try:
            total = adc_bound(self._network(config))[-1]
        except ValueError as error:  # crossbars that speculate
            print(f"bound: {error}")
            return
        for what, made in (("entropy", total.given), ("lossless tree", total.lossless)):
            self._keep(
                config="bound", encoding=config.weights.encoding, budget=what,
                reduction=f"{total.baseline / made:.4f}", comparisons_per_sum=f"{made:.4f}",
            )  # fmt: skip

    def _keep(self, **values: object) -> None:
        row = self.rows.add(**values)
        print("  ".join(f"{row[k]!s:>12}" for k in _SHOWN), flush=True)


def figures(total: rt.LayerReport) -> dict[str, str]:
    """What a row says of a report's total."""
    values = {
        "reduction": total.reduction,
        "comparisons_per_sum": total.comparisons_per_conversion,
        "comparisons_per_mac": total.comparisons_per_mac,
        "conversions_per_mac": total.conversions_per_mac,
    }
    for than in ("plain_sar", "activity_sar"):
        values[f"reduction_over_{than}"] = total.times_less("comparisons", than)
        values[f"adc_energy_over_{than}"] = total.times_less("adc_energy_pj", than)
    return {name: f"{value:.4f}" for name, value in values.items()}


@experiments.interruptible()
def main(arguments: list[str] | None = None, program: str | None = None) -> None:
    """Command line."""
    made = parser(program)
    args = made.parse_args(arguments)
    options.check_arguments(made, args)
    if not args.reductions and not args.lossless:
        made.error("nothing to do: give --reductions, or --lossless")
    experiments.set_up(args)
    configs = experiments.load_configs(args.configs)
    for name, config in configs.items():
        if config.search is None:
            raise SystemExit(f"config {name!r} has no [search] section")
    settings = experiments.settings_of_sweep(args, configs)
    rows = experiments.plainly(SweepRows)(args.csv, settings)
    Sweep(args, configs, rows).run()
    plot = args.plot or args.csv.with_suffix(".png")
    plot_sweep(rows.rows, plot)
    print(f"wrote {args.csv} and {plot}")
