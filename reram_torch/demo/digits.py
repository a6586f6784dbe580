"""`python -m reram_torch.demo`: LeNet-5 on handwritten digits loses its redundant A/D operations.

Trains a float network on data that ships with scikit-learn, runs it on simulated crossbars with an
8-bit baseline, a plain 4-bit ADC and twin-range ADCs, and fine-tunes it at a harsher budget. Writes
`report.json`, `report.png` and `power.html` to `runs/demo`.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sized
from pathlib import Path
from typing import Any, cast

import torch
from torch import nn
from torch.utils.data import DataLoader

import reram_torch as rt
from reram_torch._support.progress import progress
from reram_torch.data import sets
from reram_torch.demo import pictures
from reram_torch.evaluation.scoring import evaluate
from reram_torch.models.zoo import LeNet5
from reram_torch.training.loop import Trainer
from reram_torch.training.recipe import Recipe

_BATCH = 64
_CURVE = (2.0, 2.5, 3.0, 3.5, 4.0, 5.0, 6.0)
_HARSH = 6.0
_MAX_DROP = 0.005


def train(
    net: nn.Module, batches: DataLoader[Any], epochs: int, rate: float, description: str
) -> nn.Module:
    """Trains with Adam and a rate that falls as a cosine; leaves the network in eval mode."""
    trainer = Trainer(net, Recipe(epochs=epochs, batch_size=_BATCH, rate=rate))
    trainer.train_mode()
    total = epochs * len(cast(Sized, batches.dataset))
    with progress(description=description, total=total, unit="img") as bar:
        for epoch in range(epochs):
            first, last = epoch * len(batches), epochs * len(batches)
            for step in trainer.steps(batches, first=first, total=last):
                bar.update(step.seen)
                bar.set_postfix_str(f"loss {step.loss:.3f}")
    return net.eval()


def set_best_step(net: nn.Module, batches: DataLoader[Any], bits: int) -> int:
    """Gives every layer the plain ADC of `bits` bits whose step keeps the most top-1."""

    def put(step: int) -> None:
        for layer in rt.crossbar_layers(net).values():
            layer.set_adc([rt.UniformSAR(bits, step)])

    def top1(step: int) -> float:
        put(step)
        return evaluate(net, batches, description=f"{bits} bit, step {step}").top1

    best = max((1, 2, 4, 8), key=top1)
    put(best)
    return best


def measure(
    name: str, net: nn.Module, test: DataLoader[Any]
) -> tuple[dict[str, Any], rt.PowerReport]:
    """Top-1 and counts of a converted network, as a row of the report, and what they came from."""
    with rt.PowerMeter(net) as meter:
        result = evaluate(net, test, description=name)
    report = meter.report("isaac")
    row = {
        "network": name,
        "top1": result.top1,
        "comparisons_per_conversion": report.comparisons_per_conversion,
        "reduction": report.reduction,
        "adc_energy_nj_per_image": report.per_inference(report.adc_energy_pj) / 1e3,
        "seconds_per_100_images": result.seconds_per_100,
    }
    return row, report


def table(rows: list[dict[str, Any]], float_top1: float) -> str:
    """The closing table."""
    lines = [
        f"{'network':33} {'top-1':>7} {'comparisons/conversion':>23} {'reduction':>10} "
        f"{'ADC energy/image':>17}",
        f"{'float':33} {float_top1:7.4f}",
    ]
    lines += [
        f"{r['network']:33} {r['top1']:7.4f} {r['comparisons_per_conversion']:23.3f} "
        f"{r['reduction']:9.2f}x {r['adc_energy_nj_per_image']:14.1f} nJ"
        for r in rows
    ]
    return "\n".join(lines)


def run(folder: Path, epochs: int, fine_epochs: int) -> list[dict[str, Any]]:
    """The whole demo; returns the report's rows."""
    start = time.perf_counter()
    torch.manual_seed(0)
    folder.mkdir(parents=True, exist_ok=True)
    batches = sets.loader(sets.digits(train=True), _BATCH, shuffle=True)
    calibration = sets.loader(sets.digits(train=True), 128)
    test = sets.loader(sets.digits(train=False), 120)

    model = train(LeNet5(), batches, epochs, 2e-3, "train float LeNet-5")
    float_top1 = evaluate(model, test, description="float").top1
    rows: list[dict[str, Any]] = []

    def add(measured: tuple[dict[str, Any], rt.PowerReport], **more: bool) -> rt.PowerReport:
        rows.append({**measured[0], **more})
        report = {
            "float_top1": float_top1,
            "seconds": time.perf_counter() - start,
            "backend": rt.backend(),
            "results": rows,
        }
        (folder / "report.json").write_text(json.dumps(report, indent=2) + "\n")
        return measured[1]

    net = rt.convert(model, rt.load_config("isaac"))
    rt.calibrate(net, calibration)
    add(measure("8-bit baseline (ISAAC)", net, test))
    step = set_best_step(net, calibration, bits=4)
    add(measure(f"plain 4-bit ADC, best step ({step})", net, test))
    for reduction in _CURVE:
        rt.design_adc(net, "twin_range", reduction=reduction)
        add(measure(f"twin range at {reduction}x", net, test), curve=True)
    rt.design_adc(net, "twin_range", reduction=_HARSH)
    train(net, batches, fine_epochs, 1e-4, f"fine-tune at {_HARSH}x")
    add(measure(f"twin range at {_HARSH}x, fine-tuned", net, test))
    rt.calibrate(net := rt.convert(model, rt.load_config("isaac")), calibration)
    rt.design_adc(net, "twin_range", max_drop=_MAX_DROP)
    power = add(measure(f"twin range, max_drop={_MAX_DROP}", net, test))
    power.to_html(folder / "power.html")

    part = next(part for part in power.converted if part.layer == "conv2")
    pictures.plot_demo(folder / "report.png", part, rows, float_top1)
    print("\n" + table(rows, float_top1))
    print(
        f"{rt.backend()}, {torch.get_num_threads()} threads, "
        f"{time.perf_counter() - start:.0f} s; wrote report.json, report.png and power.html "
        f"to {folder}"
    )
    return rows


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("runs/demo"))
    parser.add_argument("--epochs", type=int, default=15, help="of float training")
    parser.add_argument("--fine-epochs", type=int, default=5, help="of fine-tuning")
    args = parser.parse_args()
    run(args.out, args.epochs, args.fine_epochs)
