"""Runs and proves the controllers of three networks' layers against their tables."""

from __future__ import annotations

import argparse
import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import nn

import reram_torch as rt
from reram_torch._support.files import write_atomically
from reram_torch._support.progress import progress
from reram_torch.data import sets
from reram_torch.hardware.checks import Checked, check_words
from reram_torch.hardware.formats import Format
from reram_torch.hardware.gates import synthesised
from reram_torch.hardware.proof import prove_gates, yosys_command
from reram_torch.hardware.simulation import has_simulator
from reram_torch.hardware.streams import real_conversions
from reram_torch.models.zoo import LeNet5

ABOUT = (
    "Simulates and proves SAR controllers against the tables of three networks that are trained on "
    "scikit-learn's digits; writes controllers.json and prints a table."
)
# What is put in place for each kind: a design, its granularity, whether runs are aligned.
DESIGNS: dict[str, tuple[str, str, bool]] = {
    "plain": ("", "", False),
    "activity": ("", "", False),
    "programmable": ("uniform", "slice+activity", False),
    "twin_range": ("twin_range", "slice", False),
    "intervals": ("intervals", "slice+activity", False),
    "segmented": ("segmented", "slice+activity", False),
    "aligned": ("segmented", "slice+activity", True),
    "search_tree": ("search_tree", "slice+activity", False),
}
_REDUCTION, _EPOCHS, _STREAM = 2.5, 3, 125_000


def parser(program: str | None = None) -> argparse.ArgumentParser:
    """Options: what is checked, and where results go."""
    made = argparse.ArgumentParser(prog=program, description=ABOUT)
    add = made.add_argument
    add("--kinds", nargs="+", choices=list(DESIGNS), default=list(DESIGNS), help="controllers")
    add("--networks", nargs="+", choices=list(NETWORKS), default=list(NETWORKS))
    add("--conversions", type=int, default=_STREAM, help="real ones, of all layers of a network")
    add("--seconds", type=int, default=120, help="for the proof of a table")
    add("--out", type=Path, default=Path("runs/hardware"), help="folder of controllers.json")
    return made


def _wide() -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(256, 40), nn.ReLU(), nn.Linear(40, 10))


def _grouped() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(1, 8, 3, stride=2), nn.ReLU(), nn.Conv2d(8, 16, 3, groups=2), nn.ReLU(),
        nn.MaxPool2d(2), nn.Flatten(), nn.Linear(16 * 4, 10),
    )  # fmt: skip


def _config(rows: int, slicing: tuple[int, ...] | None, encoding: str) -> rt.Config:
    bar = rt.CrossbarConfig(rows=rows, slicing=slicing)
    return rt.Config(bar, weights=rt.WeightConfig(encoding=encoding))


# A network, its images' size, and its arrays: ISAAC's; sums that can be negative; wide cells too.
NETWORKS: dict[str, tuple[Any, int, rt.Config]] = {
    "LeNet-5, offset, 128 rows": (LeNet5, 32, _config(128, None, "offset")),
    "two layers, differential, 128 rows": (_wide, 16, _config(128, None, "differential")),
    "grouped, differential (1,2,2,2), 32 rows": (
        _grouped, 16, _config(32, (1, 2, 2, 2), "differential"),
    ),
}  # fmt: skip


def main(arguments: list[str] | None = None, program: str | None = None) -> None:
    """Checks every layer, writes results as they come, and prints a table; 1 if one failed."""
    made = parser(program)
    args = made.parse_args(arguments)
    if not has_simulator():
        made.error("no simulator: install Icarus Verilog (iverilog and vvp)")
    if yosys_command() is None:
        made.error("no Yosys: pip install 'reram_torch[hardware]', or install yosys")
    rows: list[dict[str, Any]] = []
    gates = prove_gates()
    plain = synthesised(Format("plain", 8)).gates
    with progress(
        description="controllers", total=len(args.networks) * len(args.kinds), unit="design"
    ) as bar:
        for network in args.networks:
            for name, layer, checked in _checked(network, args, bar):
                rows.append({"network": network, "design": name, "layer": layer, **_row(checked)})
                text = {"clock_gates_proved": gates, "plain_8_bit_gates": plain, "layers": rows}
                write_atomically(args.out / "controllers.json", json.dumps(text, indent=2) + "\n")
    print(_table(rows))
    print(f"a gated register is one with an enable: {'proved' if gates else 'NOT PROVED'}")
    if not gates or not all(row["passed"] for row in rows):
        raise SystemExit(1)


def _row(checked: Checked) -> dict[str, Any]:
    found = dataclasses.asdict(checked)
    return {**found.pop("cost"), **found, "passed": checked.passed}


def _trained(network: str) -> tuple[nn.Module, torch.Tensor]:
    """A network of these, trained for a moment, on its arrays, calibrated; and test images."""
    make, size, config = NETWORKS[network]
    torch.manual_seed(0)
    net = make()
    batches = sets.loader(sets.digits(train=True, size=size), 64, shuffle=True)
    optimizer = torch.optim.Adam(net.parameters(), 3e-3)
    for _ in range(_EPOCHS):
        for x, y in batches:
            optimizer.zero_grad()
            torch.autograd.backward(nn.functional.cross_entropy(net(x), y))
            optimizer.step()
    converted = rt.convert(net.eval(), config)
    training = sets.loader(sets.digits(train=True, size=size), 128)
    rt.calibrate(converted, training, show_progress=False)
    x, _ = next(iter(sets.loader(sets.digits(train=False, size=size), 128)))
    return converted, x


def put_design(net: nn.Module, kind: str, reduction: float) -> None:
    """Puts the ADCs of one of `DESIGNS` in all layers of a calibrated network.

    Args:
        net: the network.
        kind: one of them.
        reduction: of A/D operations, of those that are designed.
    """
    design, granularity, aligned = DESIGNS[kind]
    if design:
        rt.design_adc(
            net, design, reduction=reduction, granularity=granularity, aligned=aligned,
            show_progress=False,
        )  # fmt: skip
        return
    for layer in rt.crossbar_layers(net).values():
        plain = rt.UniformSAR(rt.lossless_adc(layer.geometry).bits)
        layer.set_adc([plain if kind == "plain" else rt.ActivitySAR()])


def _checked(
    network: str, args: argparse.Namespace, bar: Any
) -> Iterator[tuple[str, str, Checked]]:
    net, x = _trained(network)
    layers = rt.crossbar_layers(net)
    for kind in args.kinds:
        put_design(net, kind, _REDUCTION)
        streams = real_conversions(net, x, -(-args.conversions // len(layers)))
        for name, layer in layers.items():
            words = rt.program_words(layer)
            yield kind, name, check_words(words, streams[name], layer.geometry.rows, args.seconds)
        bar.update()


def _table(rows: list[dict[str, Any]]) -> str:
    """A line for each network and design, over its layers."""
    head = (
        f"{'network':42}{'design':13}{'tables':>7}{'words':>7}{'gates':>12}{'fJ a clock':>14}"
        f"{'conversions':>13}"
        f"{'netlist':>9}{'chain':>9}{'wrong':>7}{'proved':>8}"
    )
    lines = [head]
    for key in dict.fromkeys((row["network"], row["design"]) for row in rows):
        some = [row for row in rows if (row["network"], row["design"]) == key]

        def total(*names: str, some: list[dict[str, Any]] = some) -> int:
            return sum(int(row[name]) for row in some for name in names)

        gates = [row["gates"] for row in some]
        energy = [row["clock_fj"] for row in some]
        lines.append(
            f"{key[0]:42}{key[1]:13}{total('tables'):7}{max(row['words'] for row in some):7}"
            f"{f'{min(gates):.0f} - {max(gates):.0f}':>12}"
            f"{f'{min(energy):.0f} - {max(energy):.0f}':>14}{total('conversions'):13}"
            f"{total('netlist_conversions'):9}{total('chain_conversions'):9}"
            f"{total('wrong', 'netlist_wrong', 'chain_wrong'):7}{total('proved'):8}"
        )
    return "\n".join(lines)
