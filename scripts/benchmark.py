"""Times converted layers against the float layers of torch, interleaved in one process.

    python scripts/benchmark.py --threads 1 --json runs/benchmark.json

Ratios of medians are what to quote: absolute times depend on the machine and on its other work.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import nn

import reram_torch as rt
from reram_torch.native import ISAS, isa

# The workloads of the literature's comparison: layer and input shape.
WORKLOADS: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    "conv 64-64 3x3, 8x64x8x8": (lambda: nn.Conv2d(64, 64, 3, padding=1), (8, 64, 8, 8)),
    "conv 256-256 3x3, 1x256x14x14": (
        lambda: nn.Conv2d(256, 256, 3, padding=1),
        (1, 256, 14, 14),
    ),
    "linear 512-1000, 64 rows": (lambda: nn.Linear(512, 1000), (64, 512)),
}


def median_times(calls: dict[str, Callable[[], object]], repeats: int) -> dict[str, float]:
    """Median seconds of each call, called in turn so that drift hits all alike."""
    times: dict[str, list[float]] = {name: [] for name in calls}
    for round_ in range(repeats + 2):
        for name, call in calls.items():
            start = time.perf_counter()
            call()
            if round_ >= 2:  # two rounds to warm up
                times[name].append(time.perf_counter() - start)
    return {name: statistics.median(values) for name, values in times.items()}


def measure(name: str, encoding: str, repeats: int) -> dict:
    """One workload: the float layer, the crossbar layer, and the crossbar layer counting."""
    make, shape = WORKLOADS[name]
    torch.manual_seed(0)
    layer = make().eval()
    x = torch.randn(shape).relu()
    config = rt.Config(weights=rt.WeightConfig(encoding=encoding))
    net = rt.convert(nn.Sequential(layer), config).eval()
    rt.calibrate(net, x, show_progress=False)
    rt.design_adc(net, "twin_range", reduction=2.3)

    def counted() -> None:
        with rt.PowerMeter(net):
            net(x)

    with torch.no_grad():
        seconds = median_times(
            {"float": lambda: layer(x), "crossbar": lambda: net(x), "counted": counted}, repeats
        )
        with rt.PowerMeter(net) as meter:
            net(x)
    return {
        "workload": name,
        "encoding": encoding,
        "isa": isa(),
        "threads": torch.get_num_threads(),
        "seconds": seconds,
        "ratio": seconds["crossbar"] / seconds["float"],
        "ratio_counted": seconds["counted"] / seconds["float"],
        "conversions_per_second": meter.report().conversions / seconds["crossbar"],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--isa", nargs="*", choices=ISAS, help="default: the best there is")
    parser.add_argument("--encodings", nargs="*", default=["offset"])
    parser.add_argument("--repeats", type=int, default=15)
    parser.add_argument("--json", type=Path, help="write the results here")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: args.threads])
    print(f"{rt.backend()}, {args.threads} threads, torch {torch.__version__}")
    print(f"{'workload':31} {'encoding':12} {'isa':8} {'float ms':>8} {'ratio':>7} "
          f"{'counted':>7} {'G conv./s':>9}")  # fmt: skip
    rows = []
    for chosen in args.isa or [isa()]:
        os.environ["RERAM_TORCH_ISA"] = chosen
        for encoding in args.encodings:
            for name in WORKLOADS:
                row = measure(name, encoding, args.repeats)
                rows.append(row)
                print(
                    f"{name:31} {encoding:12} {row['isa']:8} {row['seconds']['float'] * 1e3:8.3f} "
                    f"{row['ratio']:6.2f}x {row['ratio_counted']:6.2f}x "
                    f"{row['conversions_per_second'] / 1e9:9.2f}"
                )
                if args.json:
                    args.json.parent.mkdir(parents=True, exist_ok=True)
                    args.json.write_text(json.dumps(rows, indent=2) + "\n")


if __name__ == "__main__":
    main()
