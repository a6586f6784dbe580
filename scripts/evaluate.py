r"""Evaluates a checkpoint on simulated crossbars: top-1, A/D operations, energy, latency, time.

    python scripts/evaluate.py --model resnet20 --weights resnet20.pt \
        --data cifar/test --calibration-data cifar/train \
        --config twin_range search_tree --power isaac --report runs/power

Several configurations are set side by side. Data sets are folders with one folder of images for
each class, or torchvision's by name.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
from pathlib import Path

import torch

import reram_torch as rt
from reram_torch import experiment
from reram_torch.adc_energy import ADC_MODELS
from reram_torch.evaluate import evaluate, plain_integer
from reram_torch.files import write_atomically


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    experiment.add_arguments(parser)
    add = parser.add_argument
    add("--config", nargs="+", default=["isaac"], help=f"of {rt.config_names()}, or TOML files")
    add("--reduction", type=float, help="overrides the budget of the configs' search")
    add("--max-drop", type=float, help="overrides the budget of the configs' search")
    add("--lossless", action="store_true", help="the cheapest search without an error instead")
    add("--no-verify", action="store_true", help="skip the lossless and plain integer networks")
    add("--json", type=Path, help="write the results here, after each network")
    add("--power", metavar="TECHNOLOGY", help=f"of {rt.technology_names()}, or a TOML file: "
        "energy of every component, and latency")  # fmt: skip
    add("--adc-model", choices=tuple(ADC_MODELS), default="bit_cycle", help="energy of the ADCs")
    add("--report", type=Path, metavar="FOLDER", help="write a page, a picture, JSON and CSV of "
        "each network's power here")  # fmt: skip
    add("--layers", action="store_true", help="print the counts of every layer")
    args = experiment.parse(parser)
    experiment.check_arguments(parser, args)
    if sum((args.reduction is not None, args.max_drop is not None, args.lossless)) > 1:
        parser.error("give one of --reduction, --max-drop and --lossless")
    return args


class Results:
    """What is known of each network, written and shown."""

    def __init__(self, args: argparse.Namespace, configs: dict[str, rt.Config], test):
        self.args, self.configs, self.test = args, configs, test
        self.technology = rt.load_technology(args.power or "isaac")
        self.rows: list[dict] = []
        self.reports: dict[str, rt.PowerReport] = {}

    def measure(
        self, name: str, net: torch.nn.Module, metered: bool, exact: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Scores of a network, kept as a row; `exact`: those of the lossless crossbar."""
        args, row = self.args, {"network": name}
        if metered:
            with rt.PowerMeter(net, histograms=args.adc_model == "sar") as meter:
                result = evaluate(net, self.test, description=name)
            report = meter.report(self.technology, adc_model=args.adc_model)
            self.reports[name] = report
            row["report"] = report.to_dict()
            row["comparisons_per_conversion"] = report.comparisons_per_conversion
            row["reduction"] = report.reduction
            row["adc_energy_uj_per_image"] = report.per_inference(report.adc_energy_pj) / 1e6
            self.write_report(name, report)
        else:
            result = evaluate(net, self.test, description=name)
        row |= {
            "top1": result.top1,
            "images": result.images,
            "seconds": result.seconds,
            "seconds_per_100_images": result.seconds_per_100,
        }
        if exact is not None:
            row["answers_changed"] = int((result.scores.argmax(1) != exact.argmax(1)).sum())
        self.rows.append(row)
        if args.json:
            settings = {k: str(v) for k, v in vars(args).items()}
            configs = {k: c.to_dict() for k, c in self.configs.items()}
            results = {"settings": settings, "configs": configs, "results": self.rows}
            write_atomically(args.json, json.dumps(results, indent=2) + "\n")
        return result.scores

    def write_report(self, name: str, report: rt.PowerReport) -> None:
        """The counts of every layer on the console, and the files of `--report`."""
        if self.args.layers:
            print(f"\n{name}\n{report.layer_table()}")
        if self.args.report:
            self.args.report.mkdir(parents=True, exist_ok=True)
            base = f"{self.args.report / name.replace(' ', '_')}"
            report.to_json(f"{base}.json")
            report.to_csv(f"{base}.csv")
            report.plot(f"{base}.png")
            report.to_html(f"{base}.html")

    def show(self) -> None:
        """All networks as a table, and their power side by side."""
        print(f"\n{'network':24} {'top-1':>7} {'comp./conv.':>11} {'reduction':>9} "
              f"{'ADC uJ/image':>12} {'changed':>7} {'s/100 images':>12}")  # fmt: skip
        for row in self.rows:
            line = f"{row['network']:24} {row['top1']:7.4f} "
            if "reduction" in row:
                line += (
                    f"{row['comparisons_per_conversion']:11.3f} {row['reduction']:8.2f}x "
                    f"{row['adc_energy_uj_per_image']:12.3f} "
                )
            else:
                line += f"{'':11} {'':9} {'':12} "
            line += f"{row.get('answers_changed', ''):>7} "
            print(line + f"{row['seconds_per_100_images']:12.2f}")
        images, threads = self.rows[0]["images"], torch.get_num_threads()
        print(f"{images} images; backend {rt.backend()}, {threads} threads")
        if self.args.power:
            print(f"\n{rt.comparison_table(self.reports)}")
        if self.args.report:
            print(f"wrote the power of each network to {self.args.report}")


def verify(results: Results, net: torch.nn.Module, label: str) -> torch.Tensor:
    """Scores of the lossless crossbar, which must be those of the plain integer network."""
    own = {layer: layer.adc for layer in rt.crossbar_layers(net).values()}
    for layer in own:
        layer.set_adc([rt.lossless_adc(layer.geometry)])
    lossless = results.measure(f"lossless crossbar{label}", net, True)
    with plain_integer(net):
        integer = results.measure(f"plain integer{label}", net, False)
    if not torch.equal(lossless, integer):
        raise SystemExit("the lossless crossbar differs from the plain integer network")
    print("lossless crossbar == plain integer network: every output of every image is equal")
    for layer, adc in own.items():
        layer.set_adc(adc)
    return lossless


def main() -> None:
    args = parse()
    experiment.set_up(args)
    configs = {Path(name).stem: rt.load_config(name) for name in args.config}
    if len(configs) < len(args.config):
        raise SystemExit(f"two of {args.config} have the same name: results would mix")
    budget = args.reduction is not None or args.max_drop is not None or args.lossless
    if budget and not any(config.search for config in configs.values()):
        raise SystemExit(f"no [search] section in any of {args.config} to give a budget to")
    results = Results(args, configs, experiment.load_batches(args, train=False))
    train = list(experiment.load_batches(args, train=True))
    float_net = experiment.load_network(args)
    results.measure("float", float_net, False)
    verified: dict[rt.Config, torch.Tensor] = {}
    for name, config in configs.items():
        net = rt.convert(float_net, config, skip=args.skip, fold_bn=args.fold_bn)
        rt.calibrate(net, train, ranges=args.ranges)
        plain = dataclasses.replace(config, adc=rt.UniformSAR(), search=None)
        if not args.no_verify and plain not in verified:
            verified[plain] = verify(results, net, f" ({name})" if verified else "")
        if config.search is not None:
            search = experiment.with_budget(
                config.search, args.reduction, args.max_drop, lossless=args.lossless
            )
            found = rt.design_adc(net, **dataclasses.asdict(search))
            drop = "" if found.drop is None else f", top-1 lost {found.drop:.4f}"
            print(f"{name}: reduction {found.reduction:.3f} on the calibration data{drop}")
        exact = verified.get(plain)
        scores = results.measure(name, net, True, exact)
        if exact is not None and args.lossless and config.search is not None:
            if not torch.equal(scores, exact):
                raise SystemExit("the lossless search differs from the lossless crossbar")
            print("lossless search == lossless crossbar: every output of every image is equal")
    results.show()


if __name__ == "__main__":
    main()
