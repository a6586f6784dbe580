"""Arrays, A/D searches and devices: which combinations keep a network's accuracy.

Every design is made on ideal devices, and evaluated on chips of each kind of devices. Rows come
chip by chip in a folder, and a run that is started again goes on; table.md and picture.png there
are of all that the folder has. Options of networks and data are those of `reram-torch evaluate`;
results of docs/study.md are of

    python scripts/device_study.py --model resnet20 --weights resnet20-cifar10.pt \
        --data cifar10-subset/test --calibration-data cifar10-subset/train \
        --calibration-images 300 --threads 1 --out runs/devices
"""

from __future__ import annotations

import dataclasses
import itertools
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
from reram_torch.plots.figures import BLUE, GREEN, GREY, ORANGE, new_figure

PAIRS = rt.WeightConfig(encoding="differential")
ARRAYS = {
    "offset, 1-bit, 128 rows": rt.Config(),
    "pairs, 1-bit, 128 rows": rt.Config(weights=PAIRS),
    "pairs, 1-bit, 512 rows": rt.Config(rt.CrossbarConfig(rows=512, cols=512), PAIRS),
    "pairs, 2-bit, 128 rows": rt.Config(rt.CrossbarConfig(cell_bits=2), PAIRS),
    "pairs, (1,2,2,2)-bit, 512 rows": rt.Config(
        rt.CrossbarConfig(rows=512, cols=512, slicing=(1, 2, 2, 2)), PAIRS
    ),
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
MARKERS = dict(zip(DESIGNS, "sov^", strict=True))
CHIPS = 10
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
    add("--chips", type=int, default=CHIPS, help="of each kind; 10")
    add("--arrays", nargs="+", choices=ARRAYS, default=list(ARRAYS), metavar="ARRAYS")
    add("--designs", nargs="*", choices=DESIGNS, default=list(DESIGNS), metavar="DESIGN")
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


@dataclasses.dataclass(frozen=True)
class Cell:
    """One design on chips of one kind of devices.

    Attributes:
        top1: of the chips.
        comparisons: per MAC.
        energy: of ADCs, pJ a MAC.
    """

    top1: rt.Spread
    comparisons: float
    energy: float

    def text(self, chips: int) -> str:
        """Mean and deviation of top-1, and how many chips they are of if there should be more."""
        found = self.top1
        said = [] if found.chips < 2 else [f"{found.deviation:.4f}"]
        if found.chips < chips:
            said.append(f"{found.chips} chip{'s' * (found.chips > 1)}")
        return f"{found.mean:.4f}" + (f" ({', '.join(said)})" if said else "")


def place_of(out: Path, arrays: str, design: str, devices: str) -> Path:
    """The file of a cell's rows."""
    folder = out / f"{arrays} {design}".replace(", ", "_").replace(" ", "-")
    return folder / f"{devices.replace(', ', '_').replace(' ', '')}.json"


def cells_of(out: Path, macs: float) -> dict[tuple[str, str, str], Cell]:
    """All cells that a folder has, by arrays, design and devices."""
    found = {}
    for arrays, design, devices in itertools.product(ARRAYS, DESIGNS, ("ideal", *DEVICES)):
        path = place_of(out, arrays, design, devices)
        rows = json.loads(path.read_text(encoding="utf-8"))["rows"] if path.is_file() else []
        if not rows:
            continue
        top1, made, energy = (
            rt.Spread.of([row[name] for row in rows])
            for name in ("top1", "comparisons_per_mac", "adc_energy_pj")
        )
        found[arrays, design, devices] = Cell(top1, made.mean, energy.mean / macs)
    return found


def table_of(cells: dict[tuple[str, str, str], Cell]) -> str:
    """Markdown: costs on ideal devices, top-1 on all."""
    titles = ["arrays", "ADCs", "comparisons/MAC", "ADC pJ/MAC", "ideal", *DEVICES]
    lines = [" | ".join(titles), "|".join("---" for _ in titles)]
    for arrays, design in itertools.product(ARRAYS, DESIGNS):
        ideal = cells.get((arrays, design, "ideal"))
        if ideal is not None:
            there = [cells.get((arrays, design, name)) for name in DEVICES]
            row = ["" if c is None else c.text(CHIPS) for c in there]
            costs = f"{ideal.comparisons:.3f}", f"{ideal.energy:.3f}"
            lines.append(" | ".join([arrays, design, *costs, ideal.text(1), *row]))
    return "\n".join(f"| {line} |" for line in lines) + "\n"


def draw(cells: dict[tuple[str, str, str], Cell], path: Path) -> None:
    """Top-1 against ADC energy, a line for each kind of arrays, axes for some devices."""
    shown = ("ideal", "wan2022, 1 s", "wan2022, 1 d", "stuck")
    colors = (BLUE, ORANGE, GREEN, "#9a4fb0", "#00838f", "#c0392b")
    figure, axes = new_figure(13.5, 4.4, len(shown))
    for axis, devices in zip(axes, shown, strict=True):
        for arrays, color in zip(ARRAYS, colors, strict=True):
            there = {d: c for d in DESIGNS if (c := cells.get((arrays, d, devices))) is not None}
            spent = {design: cells[arrays, design, "ideal"].energy for design in there}
            order = sorted(there, key=lambda design: spent[design])
            axis.plot([spent[d] for d in order], [there[d].top1.mean for d in order], color=color,
                      lw=1, label=arrays if axis is axes[0] else None)  # fmt: skip
            for design, cell in there.items():
                wide = 0.0 if cell.top1.chips < 2 else cell.top1.deviation
                axis.errorbar(spent[design], cell.top1.mean, yerr=wide, fmt=MARKERS[design],
                              color=color, ms=5, elinewidth=1, capsize=2)  # fmt: skip
        axis.sharey(axes[0])
        axis.set_xscale("log")
        ticks = (0.1, 0.2, 0.5, 1, 2, 5)
        axis.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
        axis.minorticks_off()
        axis.set_xlim(0.07, 6)
        axis.set_xlabel("ADC energy (ideal devices), pJ a MAC")
        axis.set_title(devices, fontsize=10)
        axis.grid(alpha=0.25)
    axes[0].set_ylabel("top-1: mean and deviation of chips")
    for design, marker in MARKERS.items():
        axes[0].plot([], [], marker, color=GREY, label=design)
    figure.legend(frameon=False, fontsize=8, loc="outside lower center", ncols=5)
    figure.savefig(path)


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

    for arrays, design in itertools.product(args.arrays, args.designs):
        folder = place_of(args.out, arrays, design, "ideal").parent
        net = designed(float_net, arrays, design, calibration, folder)
        for name, (devices, time) in {"ideal": ("ideal", None), **DEVICES}.items():
            if name not in ("ideal", *args.devices):
                continue
            path = place_of(args.out, arrays, design, name)
            rt.monte_carlo(
                net, devices, top1, chips=1 if name == "ideal" else args.chips, time=time,
                path=path, resume=path.is_file(),
            )  # fmt: skip
    cells = cells_of(args.out, macs_of(float_net, calibration[0][0][:1]))
    write_atomically(args.out / "table.md", table_of(cells))
    draw(cells, args.out / "picture.png")
    print(f"{table_of(cells)}\ntop-1 (deviation over chips)")


def macs_of(float_net: nn.Module, x: torch.Tensor) -> float:
    """Multiply-accumulates of an image, by a meter."""
    net = rt.convert(float_net)
    rt.calibrate(net, [x], show_progress=False)
    with rt.PowerMeter(net) as meter, torch.no_grad():
        net(x)
    return meter.report().total.macs


if __name__ == "__main__":
    main()
