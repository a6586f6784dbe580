"""What controllers cost on a network's conversions: gates, area, leakage, depth, energy.

Each kind is designed for the network, synthesised to the library's cells, and simulated on
conversions of test images, layer by layer. Rows come layer by layer in a folder, and a run that is
started again goes on; picture.png there is of all that the folder has. Options of networks and data
are those of `reram-torch evaluate`; the figures of docs/hardware.md are of

    python scripts/controller_costs.py --model resnet20 --weights resnet20-cifar10.pt \
        --data cifar10-subset/test --calibration-data cifar10-subset/train \
        --calibration-images 300 --configs isaac tall --out runs/controllers
"""

from __future__ import annotations

import dataclasses
import itertools
import json
from pathlib import Path
from typing import Any

import numpy as np
import torch

import reram_torch as rt
from reram_torch._support.files import write_atomically
from reram_torch._support.progress import progress
from reram_torch.cli import experiments, options, sources
from reram_torch.cli.verifying import DESIGNS, put_design
from reram_torch.hardware.costs import controller_cost, units_cost
from reram_torch.hardware.streams import conversions_of, driven_lines, layer_inputs, sampled
from reram_torch.nn.base import CrossbarLayer
from reram_torch.plots.figures import BLUE, GREEN, GREY, ORANGE, new_figure

_IMAGES, _STREAM = 4, 40_000  # whose conversions are sampled
_NAMES = ("kind", "bits", "words", "gates", "area_um2", "leakage_nw", "depth", "clock_fj")


def parser() -> options.Parser:
    """The options of a run."""
    made = options.Parser(str(__doc__).partition("\n")[0])
    add = made.add_argument
    add("--out", type=Path, required=True, help="folder of rows and picture")
    add("--configs", nargs="+", default=["isaac"], help="arrays: names in configs/, or files")
    add("--kinds", nargs="+", choices=list(DESIGNS), default=list(DESIGNS), help="controllers")
    add("--reduction", type=float, default=4.0, help="of A/D operations, of what is designed")
    add("--conversions", type=int, default=3000, help="of a layer, for energy")
    add("--cycles", type=int, default=256, help="of a layer, for the units beside an array")
    add("--layers", type=int, default=6, help="of the network, from all over it")
    made.set_defaults(task="images")
    return made


def row_of(layer: CrossbarLayer, x: torch.Tensor, args: Any) -> dict[str, Any]:
    """What the controller of a layer, and the units beside its arrays, cost."""
    words = rt.program_words(layer)
    stream = sampled(conversions_of(layer, x, _STREAM), args.conversions)
    found = dataclasses.asdict(controller_cost(words, stream))
    if words.format.kind != "plain":
        rows = layer.geometry.rows
        lines = driven_lines(layer, x, args.cycles)
        found["units"] = dataclasses.asdict(units_cost(words, rows, lines))
    return found


def main() -> None:
    """Command line."""
    args = parser().parse_args()
    experiments.set_up(args)
    source = sources.source_of(args)
    calibration = source.calibration(torch.device("cpu"))
    float_net = source.network()
    x = torch.stack([source.test[k][0] for k in range(_IMAGES)])
    path = args.out / "costs.json"
    rows = json.loads(path.read_text(encoding="utf-8"))["rows"] if path.is_file() else []
    there = {(row["config"], row["design"], row["layer"]) for row in rows}
    configs = experiments.load_configs(args.configs)
    with progress(
        description="controllers", total=len(configs) * len(args.kinds), unit="design"
    ) as bar:
        for name, config in configs.items():
            net = rt.convert(float_net, config)
            rt.calibrate(net, calibration, show_progress=False)
            layers = rt.crossbar_layers(net)
            taken = np.linspace(0, len(layers) - 1, min(args.layers, len(layers))).astype(int)
            some = {each: layers[each] for each in np.array(list(layers))[taken].tolist()}
            inputs = layer_inputs(net, x)
            for kind in args.kinds:
                left = {n: v for n, v in some.items() if (name, kind, n) not in there}
                if left:
                    put_design(net, kind, args.reduction)
                for layer_name, layer in left.items():
                    row = row_of(layer, inputs[layer_name], args)
                    rows.append({"config": name, "design": kind, "layer": layer_name, **row})
                    write_atomically(path, json.dumps({"rows": rows}, indent=1) + "\n")
                bar.update()
    draw(rows, args.out / "picture.png")
    print(table_of(rows))


def draw(rows: list[dict[str, Any]], path: Path) -> None:
    """Energy of a clock and gates, by kind: medians over layers, and what they span."""
    kinds = [kind for kind in DESIGNS if any(row["design"] == kind for row in rows)]
    figure, axes = new_figure(9.5, 4.2, 2)
    panels = (
        ("clock_fj", "energy of a clock, fJ (45 nm)"),
        ("gates", "NAND2 gates, without words"),
    )
    configs = list(dict.fromkeys(row["config"] for row in rows))
    colors = dict(zip(configs, (BLUE, ORANGE, GREEN, GREY), strict=False))
    wide = 0.8 / len(configs)
    for axis, (name, label) in zip(axes, panels, strict=True):
        for config, kind in itertools.product(colors, kinds):
            some = [r for r in rows if (r["config"], r["design"]) == (config, kind)]
            values = np.array([row[name] for row in some])
            if not some:
                continue
            at = kinds.index(kind) + (configs.index(config) + 0.5) * wide - 0.4
            low, middle, high = np.quantile(values, (0, 0.5, 1)).tolist()
            axis.barh(at, middle, wide * 0.92, color=colors[config],
                      xerr=[[middle - low], [high - middle]],
                      ecolor="#444444", error_kw={"elinewidth": 0.8})  # fmt: skip
            if axis is axes[0]:
                bits = sorted({row["bits"] for row in some})
                text = f"  {bits[0]}" + f" to {bits[-1]}" * (len(bits) > 1) + " bits"
                axis.text(high, at, text, va="center", fontsize=7, color=GREY)
        axis.set_yticks(range(len(kinds)), [kind.replace("_", " ") for kind in kinds])
        axis.invert_yaxis()
        axis.set_xlim(right=axis.get_xlim()[1] * 1.12)
        axis.set_xlabel(label)
        axis.grid(axis="x", alpha=0.25)
    for config, color in colors.items():
        axes[1].barh(0, 0, color=color, label=f"arrays of {config}")
    axes[1].legend(frameon=False, fontsize=8)
    figure.savefig(path)


def table_of(rows: list[dict[str, Any]]) -> str:
    """A line for each row."""
    lines = ["".join(f"{name:>12}" for name in ("config", "layer", *_NAMES))]
    for row in rows:
        cells = [row["config"], row["layer"][-11:], *(row[name] for name in _NAMES)]
        text = (f"{cell:.1f}" if isinstance(cell, float) else str(cell) for cell in cells)
        lines.append("".join(f"{cell[:11]:>12}" for cell in text))
    return "\n".join(lines)


if __name__ == "__main__":
    main()
