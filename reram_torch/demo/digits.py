"""`python -m reram_torch.demo`: LeNet-5 on handwritten digits loses its redundant A/D operations.

Trains a float network on data that ships with scikit-learn, runs it on simulated crossbars with the
ADCs that anyone would build (a plain SAR, and one that is told how many word-lines are driven),
with twin-range and programmable SAR ADCs at several reductions, and with what `auto` finds; and
fine-tunes at a harsher budget. Writes `report.json`, `report.png` and `power.html` to `runs/demo`.
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
from reram_torch.evaluation.outcomes import Outcome
from reram_torch.evaluation.scoring import evaluate
from reram_torch.models.zoo import LeNet5
from reram_torch.training.loop import Trainer
from reram_torch.training.recipe import Recipe

_BATCH = 64
_REDUCTIONS = (3.0, 4.0, 5.0, 6.0)
_CURVES = {"twin_range": "slice", "uniform": "slice+activity"}
_HARSH = 5.0
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


class Rows:
    """The rows of the report, written as they come.

    Args:
        folder: where `report.json` goes.
        test: the images that all are measured on.
        floating: what the float network found there.
    """

    def __init__(self, folder: Path, test: DataLoader[Any], floating: Outcome):
        self.folder, self.test, self.floating = folder, test, floating
        self.start = time.perf_counter()
        self.found: list[dict[str, Any]] = []

    def add(self, name: str, net: nn.Module, **more: str) -> rt.PowerReport:
        """Measures a converted network; `more` goes into its row."""
        with rt.PowerMeter(net) as meter:
            result = evaluate(net, self.test, description=name)
        report = meter.report("isaac")
        lost, error = result.lost_against(self.floating)
        total = report.total
        self.found.append({
            "network": name, "top1": result.score, "lost_to_float": lost,
            "lost_to_float_error": error,
            "comparisons_per_mac": report.comparisons_per_mac,
            "conversions_per_mac": report.conversions_per_mac,
            "reduction": report.reduction,
            "reduction_over_activity_sar": total.times_less("comparisons", "activity_sar"),
            "adc_energy_nj_per_image": report.per_inference(report.adc_energy_pj) / 1e3,
            "adc_energy_over_plain_sar": total.times_less("adc_energy_pj", "plain_sar"),
            "adc_energy_over_activity_sar": total.times_less("adc_energy_pj", "activity_sar"),
            "seconds_per_100_images": result.seconds_per_100, **more,
        })  # fmt: skip
        self._write()
        return report

    def _write(self) -> None:
        report = {
            "float_top1": self.floating.score,
            "seconds": time.perf_counter() - self.start,
            "backend": rt.backend(),
            "results": self.found,
        }
        text = json.dumps(report, indent=2) + "\n"
        (self.folder / "report.json").write_text(text, encoding="utf-8")

    def table(self) -> str:
        """The closing table."""
        wide = max(len(r["network"]) for r in self.found)
        lines = [
            f"{'':{wide}} {'':6} {'':17} {'A/D operations':>14} {'times fewer than':>18} "
            f"{'ADC energy':>11} {'times less than':>16}",
            f"{'network':{wide}} {'top-1':>6} {'lost to float':>17} {'a MAC':>14} "
            f"{'ISAAC':>8} {'activity':>9} {'an image':>11} {'plain':>7} {'activity':>8}",
            f"{'float':{wide}} {self.floating.score:6.4f}",
        ]
        lines += [
            f"{r['network']:{wide}} {r['top1']:6.4f} {r['lost_to_float']:+7.4f} +- "
            f"{r['lost_to_float_error']:.4f} {r['comparisons_per_mac']:14.3f} "
            f"{r['reduction']:7.2f}x {r['reduction_over_activity_sar']:8.2f}x "
            f"{r['adc_energy_nj_per_image']:8.1f} nJ {r['adc_energy_over_plain_sar']:6.2f}x "
            f"{r['adc_energy_over_activity_sar']:7.2f}x"
            for r in self.found
        ]
        return "\n".join(lines)


def on_crossbars(model: nn.Module, calibration: DataLoader[Any]) -> nn.Module:
    """The network on ISAAC's arrays, calibrated."""
    return rt.calibrate(rt.convert(model, rt.load_config("isaac")), calibration)


def run(folder: Path, epochs: int, fine_epochs: int) -> list[dict[str, Any]]:
    """The whole demo; returns the report's rows."""
    torch.manual_seed(0)
    folder.mkdir(parents=True, exist_ok=True)
    batches = sets.loader(sets.digits(train=True), _BATCH, shuffle=True)
    calibration = sets.loader(sets.digits(train=True), 128)
    test = sets.loader(sets.digits(train=False), 120)

    model = train(LeNet5(), batches, epochs, 2e-3, "train float LeNet-5")
    rows = Rows(folder, test, evaluate(model, test, description="float"))

    net = on_crossbars(model, calibration)
    rows.add("plain SAR, 8 bit (ISAAC)", net)
    for layer in rt.crossbar_layers(net).values():
        layer.set_adc([rt.ActivitySAR()])
    rows.add("activity SAR", net)
    for kind, granularity in _CURVES.items():
        for reduction in _REDUCTIONS:
            rt.design_adc(net, kind, reduction=reduction, granularity=granularity)
            rows.add(f"{kind.replace('_', ' ')} at {reduction}x", net, curve=kind)
    rt.design_adc(net, "twin_range", reduction=_HARSH, granularity="slice")
    train(net, batches, fine_epochs, 1e-4, f"fine-tune at {_HARSH}x")
    rows.add(f"twin range at {_HARSH}x, fine-tuned", net)
    net = on_crossbars(model, calibration)
    for kind, granularity in {"twin_range": "slice", "auto": "auto"}.items():
        found = rt.design_adc(net, kind, max_drop=_MAX_DROP, granularity=granularity)
        name = f"{found.design.replace('_', ' ')} by {found.granularity}"
        power = rows.add(f"{kind.replace('_', ' ')}, max_drop={_MAX_DROP}: {name}", net)
    power.to_html(folder / "power.html")

    part = next(part for part in power.converted if part.layer == "conv2")
    pictures.plot_demo(folder / "report.png", part, rows.found, rows.floating.score)
    print("\n" + rows.table())
    print(
        f"{rt.backend()}, {torch.get_num_threads()} threads, "
        f"{time.perf_counter() - rows.start:.0f} s after training; wrote report.json, report.png "
        f"and power.html to {folder}"
    )
    return rows.found


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("runs/demo"))
    parser.add_argument("--epochs", type=int, default=15, help="of float training")
    parser.add_argument("--fine-epochs", type=int, default=5, help="of fine-tuning")
    args = parser.parse_args()
    run(args.out, args.epochs, args.fine_epochs)
