"""Arrays, A/D searches and devices: which combinations keep a network's accuracy.

Every design is made on ideal devices, and evaluated on chips of each kind of devices. Rows come
chip by chip in a folder, and a run that is started again goes on. Options of networks and data are
those of `reram-torch evaluate`; results of docs/devices.md are of

    python scripts/device_study.py --model resnet20 --weights resnet20-cifar10.pt \
        --data cifar10-subset/test --calibration-data cifar10-subset/train \
        --calibration-images 300 --threads 1 --out runs/devices
"""

from __future__ import annotations

import dataclasses
import json
import time as clock
from pathlib import Path
from typing import Any

import torch
from torch import nn

import reram_torch as rt
from reram_torch._support.files import write_atomically
from reram_torch.cli import experiments, options, sources
from reram_torch.conversion.states import crossbar_states, load_crossbar_states
from reram_torch.evaluation.scoring import evaluate

PAIRS = rt.WeightConfig(encoding="differential")
ARRAYS = {
    "offset, 1-bit, 128 rows": rt.Config(),
    "pairs, 1-bit, 128 rows": rt.Config(weights=PAIRS),
    "pairs, 1-bit, 512 rows": rt.Config(rt.CrossbarConfig(rows=512, cols=512), PAIRS),
    "pairs, 2-bit, 128 rows": rt.Config(rt.CrossbarConfig(cell_bits=2), PAIRS),
    "pairs, (3,4)-bit, 512 rows": rt.Config(
        rt.CrossbarConfig(rows=512, cols=512, slicing=(3, 4)), PAIRS
    ),
}
DESIGNS: dict[str, dict[str, Any] | None] = {
    "plain SAR": None,
    "activity SAR": None,
    "auto, max_error .001": {"max_error": 0.001},
    "auto, max_drop .005": {"max_drop": 0.005},
}
# Devices and times since programming; None: as programmed.
DEVICES: dict[str, tuple[str, str | None]] = {
    "wan2022, 1 s": ("wan2022", "1s"),
    "wan2022, 1 d": ("wan2022", "1d"),
    "cmo_hfox": ("cmo_hfox", None),
    "stuck": ("stuck", None),
    "read noise": ("read_noise", None),
}


def parser() -> options.Parser:
    """The options of a study."""
    made = options.Parser(str(__doc__).partition("\n")[0])
    add = made.add_argument
    add("--out", type=Path, required=True, help="folder of designs and rows")
    add("--chips", type=int, default=10, help="of each kind; 10")
    add("--arrays", nargs="+", choices=ARRAYS, default=list(ARRAYS), metavar="ARRAYS")
    add("--designs", nargs="+", choices=DESIGNS, default=list(DESIGNS), metavar="DESIGN")
    add("--devices", nargs="*", choices=DEVICES, default=list(DEVICES), metavar="DEVICES")
    made.set_defaults(task="images")
    return made


def designed(
    float_net: nn.Module, arrays: str, design: str, calibration: list[Any], folder: Path
) -> nn.Module:
    """The network with its ADCs, which are kept in the folder."""
    config, budget = ARRAYS[arrays], DESIGNS[design]
    adc = rt.ActivitySAR() if design == "activity SAR" else None
    net = rt.convert(float_net, dataclasses.replace(config, adc=adc))
    kept = folder / "states.json"
    if kept.is_file():
        load_crossbar_states(net, json.loads(kept.read_text(encoding="utf-8")))
        return net
    start = clock.perf_counter()
    rt.calibrate(net, calibration)
    if budget is not None:
        print(rt.design_adc(net, "auto", **budget))
    print(f"{arrays}, {design}: designed in {clock.perf_counter() - start:.0f} s", flush=True)
    write_atomically(kept, json.dumps(crossbar_states(net)))
    return net


def cell(found: rt.MonteCarlo, time: float | None, macs: float) -> str:
    """Top-1, comparisons per MAC and ADC energy over MACs, as a table has it."""
    top1 = found.spread("top1", time)
    made, energy = (
        found.spread(name, time).mean for name in ("comparisons_per_mac", "adc_energy_pj")
    )
    deviation = "" if top1.chips < 2 else f" ({top1.deviation:.4f})"
    return f"{top1.mean:.4f}{deviation}, {made:.3f}, {energy / macs:.3f}"


def main() -> None:
    """Command line."""
    args = parser().parse_args()
    experiments.set_up(args)
    source = sources.source_of(args)
    calibration = source.calibration(torch.device("cpu"))
    float_net = source.network()

    def top1(net: nn.Module) -> dict[str, float]:
        batches = source.task.batches(source.test, args.batch_size, args.workers)
        return {"top1": evaluate(net, batches, task=source.task, show_progress=False).score}

    titles = ["arrays", "ADCs", "ideal", *args.devices]
    lines = [" | ".join(titles), "|".join("---" for _ in titles)]
    for arrays in args.arrays:
        for design in args.designs:
            folder = args.out / f"{arrays} {design}".replace(", ", "_").replace(" ", "-")
            net, cells = designed(float_net, arrays, design, calibration, folder), []
            for name, (devices, time) in {"ideal": ("ideal", None), **DEVICES}.items():
                if name not in ("ideal", *args.devices):
                    continue
                path = folder / f"{name.replace(', ', '_').replace(' ', '')}.json"
                found = rt.monte_carlo(
                    net, devices, top1, chips=1 if name == "ideal" else args.chips, time=time,
                    path=path, resume=path.is_file(),
                )  # fmt: skip
                cells.append(cell(found, found.times[0], macs_of(net)))
            lines.append(" | ".join([arrays, design, *cells]))
            print("\n".join(lines[-1:]), flush=True)
    table = "\n".join(f"| {line} |" for line in lines) + "\n"
    write_atomically(args.out / "table.md", table)
    print(f"\n{table}\ntop-1 (deviation over chips), comparisons/MAC, ADC pJ/MAC")


def macs_of(net: nn.Module) -> float:
    """Multiply-accumulates of an image, by a meter."""
    with rt.PowerMeter(net) as meter, torch.no_grad():
        net(torch.zeros(1, 3, 32, 32))
    return meter.report().total.macs


if __name__ == "__main__":
    main()
