"""Evaluates a checkpoint on simulated crossbars: score, A/D operations, energy, latency, time.

Several configurations are set side by side. A checkpoint of `finetune` brings its own. With several
processes, as `torchrun` starts them, each evaluates its part of the data.
"""

from __future__ import annotations

import argparse
import dataclasses
from pathlib import Path
from typing import Any

import torch

import reram_torch as rt
from reram_torch._support import processes
from reram_torch.cli import experiments, images, on_chips, options, sources, texts
from reram_torch.conversion.states import crossbar_states, load_crossbar_states
from reram_torch.design.designing import design_together
from reram_torch.evaluation.integers import plain_integer
from reram_torch.evaluation.outcomes import Outcome
from reram_torch.evaluation.results import Results
from reram_torch.evaluation.tasks import Task
from reram_torch.power.adc_energy import ADC_MODELS

ABOUT = (
    "Evaluates a checkpoint on simulated crossbars: top-1, A/D operations, energy, latency, time."
)


def parser(program: str | None = None) -> options.Parser:
    """The options of an evaluation."""
    made = options.Parser(ABOUT, program)
    texts.add_arguments(made)
    made.set_defaults(batch_size=None, calibration_images=None)  # as the task has them
    add = made.add_argument
    add("--config", nargs="+", help=f"of {rt.config_names()}, or TOML files; default: isaac, or "
        "that of the checkpoint")  # fmt: skip
    add("--reduction", type=float, help="overrides the budget of the configs' search")
    add("--max-drop", type=float, help="overrides the budget of the configs' search")
    add("--max-error", type=float, help="overrides the budget of the configs' search")
    add("--lossless", action="store_true", help="the cheapest search without an error instead")
    add("--no-verify", action="store_true", help="skip the lossless and plain integer networks")
    add("--json", type=Path, help="write the results here, after each network")
    add("--resume", action="store_true", help="go on from what a stopped run with --json left")
    add("--power", metavar="TECHNOLOGY", help=f"of {rt.technology_names()}, or a TOML file: "
        "energy of every component, and latency")  # fmt: skip
    add("--adc-model", choices=tuple(ADC_MODELS), default="bit_cycle", help="energy of the ADCs")
    add("--report", type=Path, metavar="FOLDER", help="write a page, a picture, JSON and CSV of "
        "each network's power here")  # fmt: skip
    add("--layers", action="store_true", help="print the counts of every layer")
    on_chips.add_arguments(made)
    return made


def parse(arguments: list[str] | None, program: str | None) -> argparse.Namespace:
    """Parses a command line, and ends the program if its options contradict each other."""
    made = parser(program)
    args = made.parse_args(arguments)
    texts.check_arguments(made, args)
    if args.task == "images":
        options.check_arguments(made, args)
    if len(experiments.budgets_of(args)) > 1:
        made.error("give one of --reduction, --max-drop, --max-error and --lossless")
    if args.resume and args.json is None:
        made.error("--resume needs the --json of the run that was stopped")
    on_chips.check_arguments(made, args)
    return args


def write_report(args: argparse.Namespace, name: str, report: rt.PowerReport) -> None:
    """The counts of every layer on the console, and the files of `--report`."""
    if args.layers:
        print(f"\n{name}\n{report.layer_table()}")
    if args.report:
        args.report.mkdir(parents=True, exist_ok=True)
        base = f"{args.report / name.replace(' ', '_')}"
        report.to_json(f"{base}.json")
        report.to_csv(f"{base}.csv")
        report.plot(f"{base}.png")
        report.to_html(f"{base}.html")


def say(text: str) -> None:
    """Prints a line, once for all processes."""
    if processes.rank() == 0:
        print(text, flush=True)


def verify(
    results: Results, net: torch.nn.Module, label: str, floating: Outcome | None = None
) -> Outcome:
    """What the lossless crossbar finds, which must be what the plain integer network does."""
    own = crossbar_states(net)
    for layer in rt.crossbar_layers(net).values():
        layer.set_adc([rt.lossless_adc(layer.geometry)])
    lossless = results.measure(f"lossless crossbar{label}", net, floating=floating)
    with plain_integer(net):
        integer = results.measure(f"plain integer{label}", net, metered=False)
    if not torch.equal(lossless.digests, integer.digests):
        raise SystemExit("the lossless crossbar differs from the plain integer network")
    unit = results.task.unit
    say(f"lossless crossbar == plain integer network: every output of every {unit} is equal")
    load_crossbar_states(net, own)
    return lossless


def design(
    args: argparse.Namespace,
    net: torch.nn.Module,
    config: rt.Config,
    calibration: list[Any],
    task: Task,
    float_net: torch.nn.Module,
) -> dict[str, Any]:
    """Calibrates a network and designs the ADCs that its configuration wants."""
    rt.calibrate(net, calibration, ranges=args.ranges, shared=True, forward=task.forward)
    if config.search is None:
        return {}
    search = experiments.with_budget(config.search, experiments.budgets_of(args))
    metric = task.metric(float_net, calibration)
    found = design_together(net, search, metric=metric, sample=on_chips.sample_of(args))
    return {"designed_reduction": found.reduction, "drop": found.drop, "found": str(found)}


def compare(
    args: argparse.Namespace,
    results: Results,
    configs: dict[str, rt.Config],
    device: torch.device,
    source: sources.Source,
    chips: on_chips.ChipRuns,
) -> None:
    """Every configuration on the float network, and on chips."""
    calibration = source.calibration(device)
    float_net = source.network().to(device)
    floating = results.measure("float", float_net, metered=False)
    verified: dict[rt.Config, Outcome] = {}
    for name, config in configs.items():
        start = experiments.before_search(config)
        net = rt.convert(float_net, start, skip=args.skip, fold_bn=args.fold_bn)
        found = results.restore(name, net)
        if found is None:
            found = design(args, net, config, calibration, source.task, float_net)
            results.keep(name, net, found)
        if found:
            say(f"{name}: {found['found']}")
        plain = dataclasses.replace(config, adc=None, search=None)
        if not args.no_verify and plain not in verified:
            verified[plain] = verify(results, net, f" ({name})" if verified else "", floating)
        exact = verified.get(plain)
        made = results.measure(name, net, exact=exact, floating=floating)
        if exact is not None and args.lossless and config.search is not None:
            if not torch.equal(made.digests, exact.digests):
                raise SystemExit("the lossless search differs from the lossless crossbar")
            unit = results.task.unit
            say(f"lossless search == lossless crossbar: every output of every {unit} is equal")
        chips.run(name, net)


@experiments.interruptible()
def main(arguments: list[str] | None = None, program: str | None = None) -> None:
    """Command line."""
    args = parse(arguments, program)
    experiments.set_up(args)
    configs = experiments.load_configs(args.config or ["isaac"])
    technology = experiments.load_technology(args.power or "isaac")
    budget = bool(experiments.budgets_of(args))
    if budget and not any(config.search for config in configs.values()):
        raise SystemExit(f"no [search] section in any of {args.config} to give a budget to")
    with processes.processes(args.device) as device:
        source = sources.source_of(args)
        settings = experiments.settings_of_evaluation(args, configs)
        results = experiments.results_in(
            args, args.json, settings, source.test, technology=technology,
            adc_model=args.adc_model, resume=args.resume, task=source.task, note=source.note,
        )  # fmt: skip
        chips = on_chips.ChipRuns(args, results)
        given = None if args.config is None else configs[Path(args.config[0]).stem]
        tuned = experiments.load_converted(args, source.test, given)
        if tuned is None:
            compare(args, results, configs, device, source, chips)
        elif budget or len(configs) > 1:
            raise SystemExit(f"{args.weights} brings its own ADCs: no budget, and one --config")
        else:
            images.check_training(args, source.test)
            exact = None if args.no_verify else verify(results, tuned.to(device), "")
            name = Path(args.weights).stem
            results.measure(name, tuned.to(device), exact=exact)
            chips.run(name, tuned)
        results.add_chips(chips.rows())
        if processes.rank() == 0:
            show(args, results, device, chips)
        results.finish()


def show(
    args: argparse.Namespace, results: Results, device: torch.device, chips: on_chips.ChipRuns
) -> None:
    """All networks as a table, their power side by side, and the files of `--report`."""
    for name, report in results.reports.items():
        write_report(args, name, report)
    print(f"\n{results.table()}")
    if chips.found:
        print(f"\n{chips.table()}")
        chips.plot()
    several = f"{processes.world()} processes of " if processes.world() > 1 else ""
    print(f"backend {rt.backend(device.type)}, {several}{torch.get_num_threads()} threads")
    if args.power:
        print(f"\n{rt.comparison_table(results.reports)}")
    if args.report:
        print(f"wrote the power of each network to {args.report}")
