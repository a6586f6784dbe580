"""Networks on chips whose devices are not ideal: options, runs, their table and picture."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from torch import nn

from reram_torch._support import processes
from reram_torch.config.devices import Devices, device_names, load_devices
from reram_torch.design.on_chips import ChipSample
from reram_torch.evaluation.chip_pictures import Point, plot_reductions, since
from reram_torch.evaluation.many_chips import MonteCarlo, monte_carlo
from reram_torch.evaluation.results import Results
from reram_torch.evaluation.scoring import evaluate

_DESIGN = 1 << 40  # seed of the first chip that a design sees: none of those evaluated on


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of runs over chips."""
    add = parser.add_argument
    add("--devices", nargs="+", default=[], help=f"evaluate each network on chips of these, too: "
        f"of {device_names()}, or TOML files")  # fmt: skip
    add("--chips", type=int, default=10, help="of each kind of devices; 10")
    add("--time", nargs="+", help="since programming, as in: 1s 1d")
    add("--chip-seed", type=int, default=0, help="of the first chip")
    add(
        "--fast", action="store_true", help="draw errors of conversions by their chances, not cells"
    )
    add("--re-estimate-bn", action="store_true", help="take batch norms' statistics anew on each "
        "chip, from the calibration images")  # fmt: skip
    add("--plot", type=Path, help="picture of accuracy against reduction, a line for each kind")
    add_design_arguments(parser)


def add_training_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of training on chips."""
    parser.add_argument("--chip-steps", type=int, default=1, help="training: steps on a chip; 1")


def add_design_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of designing for chips."""
    add = parser.add_argument
    add("--design-for", metavar="DEVICES", help="design ADCs for chips of these")
    add("--design-chips", type=int, default=4, help="how many of them; 4")
    add("--design-time", help="since their programming, as in 1d")


def sample_of(args: argparse.Namespace) -> ChipSample | None:
    """The chips that ADCs are to be designed for."""
    if args.design_for is None:
        return None
    devices: Devices = args.design_for
    return ChipSample(devices, args.design_chips, devices.at(args.design_time), _DESIGN)


def check_arguments(parser: argparse.ArgumentParser, args: argparse.Namespace) -> None:
    """Ends the program where options of chips make no sense; loads what `--devices` names."""
    if not args.devices and (args.time or args.plot):
        parser.error("--time and --plot are of --devices, of which there are none")
    try:
        args.devices = [load_devices(name) for name in args.devices]
        for devices in args.devices:
            for time in args.time or ():
                devices.at(time)
        if args.design_for is not None:
            args.design_for = load_devices(args.design_for)
            args.design_for.at(args.design_time)
    except (FileNotFoundError, ValueError) as error:
        parser.error(str(error))
    for name in ("chips", "design_chips"):
        if getattr(args, name) < 1:
            option = f"--{name.replace('_', '-')}"
            parser.error(f"{option} must be at least 1, not {getattr(args, name)}")
    if args.design_time and args.design_for is None:
        parser.error("--design-time is of --design-for")


class ChipRuns:
    """Networks on chips, one after the other.

    Args:
        args: the options.
        results: whose data, task and prices are taken, and beside whose file rows are written.
    """

    def __init__(self, args: argparse.Namespace, results: Results):
        self.args, self.results = args, results
        self.found: dict[tuple[str, str], MonteCarlo] = {}

    def run(self, name: str, net: nn.Module) -> None:
        """A network on the chips of all devices."""
        for devices in self.args.devices:
            self.found[name, devices.name] = self._run(name, net, devices)

    def _run(self, name: str, net: nn.Module, devices: Devices) -> MonteCarlo:
        args, results = self.args, self.results
        task, path = results.task, None
        if results.path is not None:
            stem = f"{results.path.stem}.{name}.{devices.name}.json".replace(" ", "_")
            path = results.path.with_name(stem)

        def score(net: nn.Module) -> dict[str, float]:
            batches = task.batches(results.data, results.batch_size, results.workers)
            made = evaluate(net, batches, task=task, show_progress=False, bf16=results.bf16)
            return {task.key: made.score}

        return monte_carlo(
            net, devices, score, chips=args.chips, time=args.time, seed=args.chip_seed,
            exact=not args.fast, batch_norms=args.re_estimate_bn, path=path, resume=args.resume,
            technology=results.technology,
        )  # fmt: skip

    def table(self) -> str:
        """All networks on all devices, a line for each time."""
        key, unit = self.results.task.key, self.results.task.unit
        titles = ("network", "devices", "time", "chips", f"{self.results.task.measure}, mean of "
                  "chips", "95% interval", "deviation", "lowest", "highest", "comp./MAC",
                  f"ADC uJ/{unit}")  # fmt: skip
        rows = [titles]
        for (name, devices), found in self.found.items():
            for time in found.times:
                score = found.spread(key, time)
                made = found.spread("comparisons_per_mac", time)
                energy = found.spread("adc_energy_pj", time)
                rows.append((
                    name, devices, "-" if time is None else f"{time:g} s", str(score.chips),
                    f"{score.mean:.4f} +- {score.error:.4f}", f"{score.low:.4f} - {score.high:.4f}",
                    f"{score.deviation:.4f}", f"{score.lowest:.4f}", f"{score.highest:.4f}",
                    f"{made.mean:.3f} +- {made.error:.3f}",
                    f"{energy.mean / 1e6:.4g} +- {energy.error / 1e6:.2g}",
                ))  # fmt: skip
        widths = [max(len(row[k]) for row in rows) for k in range(len(titles))]
        lines = [
            "  ".join(
                cell.ljust(width) if k < 2 else cell.rjust(width)
                for k, (cell, width) in enumerate(zip(row, widths, strict=True))
            ).rstrip()
            for row in rows
        ]
        return "\n".join([*lines, "+-: standard errors over chips; deviation: from chip to chip"])

    def plot(self) -> None:
        """The picture of `--plot`: scores against reduction."""
        if self.args.plot is None or processes.rank():
            return
        key = self.results.task.key
        curves: dict[str, list[Point]] = {}
        for (_, devices), found in self.found.items():
            for time in found.times:
                label = devices if time is None else f"{devices}, {since(time)}"
                values = [row[key] for row in found.rows if row["time"] == time]
                at = found.spread("reduction", time).mean
                curves.setdefault(label, []).append((at, values))
        level = next((r[key] for r in self.results.rows if r["network"] == "float"), None)
        plot_reductions(curves, self.args.plot, self.results.task.measure, level)
        print(f"wrote {self.args.plot}")

    def rows(self) -> list[dict[str, Any]]:
        """Every figure's spread, as plain values."""
        return [
            {"network": name, "devices": devices, **row}
            for (name, devices), found in self.found.items()
            for row in found.spreads()
        ]
