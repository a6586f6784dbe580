"""Times converted layers and networks against torch's float ones, interleaved in one process.

Ratios of medians are what to quote: absolute times depend on the machine and on its other work.
"""

from __future__ import annotations

import argparse
import copy
import itertools
import json
import os
import statistics
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import torch
from torch import nn

import reram_torch as rt
from reram_torch._support.files import write_atomically
from reram_torch.config.sections import ENCODINGS
from reram_torch.crossbar.cells import read_back
from reram_torch.crossbar.error_odds import error_odds
from reram_torch.crossbar.geometry import sizes
from reram_torch.crossbar.programming import program_chip
from reram_torch.models import zoo
from reram_torch.native.cpu import isa
from reram_torch.native.memory import release_free_memory
from reram_torch.native.structures import ISAS
from reram_torch.nn.base import CrossbarLayer
from reram_torch.ops.arguments import ArrayArguments

ABOUT = (
    "Times converted layers and networks against torch's float ones, interleaved in one process."
)
# Fewest driven word-lines of each bucket, for tables that depend on activity.
EDGES = (0, 1, 3, 5, 9, 13, 17, 25, 33, 49, 65, 97)
ADCS = ("uniform", "slice", "activity")
CHIPS = ("chip", "odds")  # with cells and without; times over the ideal kernel's
Aged = tuple[rt.Devices, str | None]  # devices, and when they are read
KEYS = ("workload", "array", "encoding", "adc", "isa", "threads")


def workloads() -> Iterator[tuple[str, nn.Module, torch.Tensor]]:
    """The three layers of the literature's comparison on ReLU activations, one on dense input."""
    conv = nn.Conv2d(64, 64, 3, padding=1)
    yield "conv 64-64 3x3, 8x64x8x8", conv, torch.randn(8, 64, 8, 8).relu()
    wide = nn.Conv2d(256, 256, 3, padding=1)
    yield "conv 256-256 3x3, 1x256x14x14", wide, torch.randn(1, 256, 14, 14).relu()
    yield "linear 512-1000, 64 rows", nn.Linear(512, 1000), torch.randn(64, 512).relu()
    yield "conv 64-64 3x3, dense input", conv, torch.rand(8, 64, 8, 8)
    depthwise = nn.Conv2d(96, 96, 3, padding=1, groups=96)
    yield "depthwise 96 3x3, 1x96x56x56", depthwise, torch.randn(1, 96, 56, 56).relu()


def network(name: str, size: int, batch: int) -> Iterator[tuple[str, nn.Module, torch.Tensor]]:
    """A network's distinct convolutions on its own activations, then the whole network."""
    net = zoo.build_model(name, 10 if name in zoo.ZOO else 1000).eval()
    image = torch.randn(batch, 3, size, size)
    seen: dict[tuple[Any, ...], tuple[nn.Module, torch.Tensor]] = {}

    def keep(layer: nn.Conv2d, inputs: tuple[torch.Tensor, ...]) -> None:
        shape = (tuple(layer.weight.shape), layer.stride, tuple(inputs[0].shape))
        seen.setdefault(shape, (layer, inputs[0].clone()))

    handles = [m.register_forward_pre_hook(keep) for m in net.modules() if isinstance(m, nn.Conv2d)]
    with torch.no_grad():
        net(image)
    for handle in handles:
        handle.remove()
    for (weight, stride, shape), (layer, x) in seen.items():
        k = "x".join(map(str, weight[2:]))
        size_in = "x".join(map(str, shape))
        yield f"{name} {weight[1]}-{weight[0]} {k}/{stride[0]}, {size_in}", layer, x
    yield f"{name}, {batch} x {size}x{size}", net, image


SETS: dict[str, Callable[[], Iterator[tuple[str, nn.Module, torch.Tensor]]]] = {
    "workloads": workloads,
    "resnet20": lambda: network("resnet20", 32, 8),
    "resnet18": lambda: network("resnet18", 224, 1),
}


def set_adcs(net: nn.Module, adc: str) -> None:
    """Twin-range tables per slice, or per slice and activity; `uniform` is there already."""
    if adc == "uniform":
        return
    rt.design_adc(net, "twin_range", reduction=2.3)
    for layer in rt.crossbar_layers(net).values() if adc == "activity" else ():
        g = layer.geometry
        index = torch.arange(len(EDGES) * g.slices).view(-1, 1, g.slices)
        index = index.expand(-1, g.cycles, -1).clone()
        index[0] = -1
        # Equal designs are one: those of the last bucket's slices, one by one.
        designs = [layer.adc[k] for k in layer.tables().index[-1, 0].tolist()]
        layer.set_adc(designs * len(EDGES), edges=EDGES, index=index.tolist())


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


def memory_of_process(key: str) -> int:
    """A figure of this process's memory in bytes, from Linux."""
    for line_ in Path("/proc/self/status").read_text().splitlines():
        if line_.startswith(key):
            return int(line_.split()[1]) * 1024
    raise KeyError(key)


def peak_memory(module: nn.Module, x: torch.Tensor, config: rt.Config | None) -> int:
    """Bytes that a module and its forward pass add to a fresh process at their peak.

    Args:
        module: a float module.
        x: its input.
        config: how to convert it; None: the float module itself.
    """
    torch.set_num_threads(1)
    nn.Conv2d(8, 8, 3)(torch.rand(1, 8, 8, 8))  # the libraries that torch loads when it needs them
    release_free_memory()
    before = memory_of_process("VmRSS")
    net = copy.deepcopy(module)
    if config:
        net = rt.convert(nn.Sequential(net), config, inplace=True)
        for layer in rt.crossbar_layers(net).values():
            layer.set_input_range(0.0, 3.0)
    with torch.no_grad():
        net(x[:1])  # weights are encoded, or rearranged by torch, once
        release_free_memory()
        Path("/proc/self/clear_refs").write_text("5")  # the peak from here on
        net(x)
    return memory_of_process("VmHWM") - before


def memory_ratio(module: nn.Module, x: torch.Tensor, config: rt.Config) -> float:
    """Peak memory of the converted module over the float module's, each in a process of its own."""
    peaks = []
    for how in (None, config):
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
            peaks.append(pool.submit(peak_memory, module, x, how).result())
    return peaks[1] / peaks[0]


def kernel_calls(
    layer: CrossbarLayer, x: torch.Tensor, aged: Aged | None
) -> dict[str, Callable[[], object]]:
    """A layer's kernels alone, on an input of its own; with devices, those of chips too.

    Args:
        layer: with one convolution or product.
        x: its input.
        aged: devices of a chip with cells (`chip`) and of one without (`odds`), if wanted.
    """
    u, g, tables = layer.codes(x), layer.geometry, layer.tables()
    encoded, outputs = layer.encoded(), layer.outputs // sizes(u)[1]
    centers = encoded.centers if g.centered else None
    arrays = ArrayArguments(encoded.cells, tables, g, outputs, centers)
    flat, numbers = arrays.flatten(), [arrays.outputs, *g.as_list()]
    crossbar, histogram = torch.ops.reram_torch.crossbar, torch.ops.reram_torch.histogram
    calls: dict[str, Callable[[], object]] = {
        "kernel": lambda: crossbar(u, *flat, False),
        "histogram": lambda: histogram(u, arrays.cells, tables.edges, [], numbers),
    }
    if aged:
        codes = read_back(encoded.cells, g, outputs, sizes(u)[2])
        chip, odds = (
            replace(arrays, chip=make(codes, g, aged[0], seed=0, time=aged[1])).flatten()
            for make in (program_chip, error_odds)
        )
        calls |= {
            "chip": lambda: crossbar(u, *chip, False),
            "odds": lambda: crossbar(u, *odds, False),
        }
    return calls


def measure(
    name: str, module: nn.Module, x: torch.Tensor, config: rt.Config, adc: str, repeats: int,
    aged: Aged | None = None,
) -> dict[str, Any]:  # fmt: skip
    """The float module, the converted one, the converted one counting, and its kernels alone."""
    module = module.eval()
    net = rt.convert(nn.Sequential(module), config).eval()
    rt.calibrate(net, x, show_progress=False)
    set_adcs(net, adc)

    def counted() -> None:
        with rt.PowerMeter(net):
            net(x)

    calls = {"float": lambda: module(x), "crossbar": lambda: net(x), "counted": counted}
    layers = list(rt.crossbar_layers(net).values())
    with torch.no_grad():
        if len(layers) == 1:
            [layer] = layers
            calls |= kernel_calls(layer, x, aged)
        seconds = median_times(calls, repeats)
        with rt.PowerMeter(net) as meter:
            net(x)
    total = meter.report().total
    return {
        "workload": name,
        "array": array_of(config),
        "encoding": config.weights.encoding,
        "adc": adc,
        "isa": isa(),
        "threads": torch.get_num_threads(),
        "seconds": seconds,
        "ratio": {k: v / seconds["float"] for k, v in seconds.items() if k != "float"},
        "over_kernel": {k: seconds[k] / seconds["kernel"] for k in CHIPS if k in seconds},
        "sums_per_second": (total.conversions + total.skipped) / seconds["crossbar"],
    }


def array_of(config: rt.Config) -> str:
    """Rows, bits of a cell and of a DAC, in short."""
    bar = config.crossbar
    return f"{bar.rows}r{bar.cell_bits}c{bar.dac_bits}d"


HEAD = (
    f"{'workload':42} {'array':9} {'encoding':12} {'adc':8} {'isa':8} {'float ms':>8} "
    f"{'crossbar':>8} {'counted':>8} {'kernel':>8} {'histogram':>9} {'G sum/s':>7} {'memory':>7}"
)


def line(row: dict[str, Any]) -> str:
    """One row of the table."""
    ratio = {k: f"{row['ratio'][k]:.2f}x" if k in row["ratio"] else "" for k in
             ("crossbar", "counted", "kernel", "histogram")}  # fmt: skip
    memory = f"{row['memory']:.2f}x" if "memory" in row else ""
    return (
        f"{label(row)} {row['seconds']['float'] * 1e3:8.3f} {ratio['crossbar']:>8} "
        f"{ratio['counted']:>8} {ratio['kernel']:>8} {ratio['histogram']:>9} "
        f"{row['sums_per_second'] / 1e9:7.2f} {memory:>7} "
        + " ".join(f"{k} {v:.2f}x kernel" for k, v in row["over_kernel"].items())
    )


def label(row: dict[str, Any]) -> str:
    """What was measured."""
    return (
        f"{row['workload']:42} {row['array']:9} {row['encoding']:12} {row['adc']:8} {row['isa']:8}"
    )


def compare(before: Path, after: Path) -> None:
    """Prints the ratios to float of two result files side by side."""
    old = {tuple(r[k] for k in KEYS): r for r in json.loads(before.read_text())}
    print(f"{HEAD[: HEAD.index(' float ms')]} {'before':>8} {'after':>8}  change")
    for row in json.loads(after.read_text()):
        was = old.get(tuple(row[k] for k in KEYS))
        if was:
            a, b = was["ratio"]["crossbar"], row["ratio"]["crossbar"]
            print(f"{label(row)} {a:7.2f}x {b:7.2f}x {b / a - 1:+7.1%}")


def parser(program: str | None = None) -> argparse.ArgumentParser:
    """The options of a benchmark."""
    made = argparse.ArgumentParser(prog=program, description=ABOUT)
    add = made.add_argument
    add("--sets", nargs="*", choices=SETS, default=["workloads"])
    add("--threads", type=int, default=1)
    add("--isa", nargs="*", choices=ISAS, help="default: the best there is")
    add("--encodings", nargs="*", choices=ENCODINGS, default=["offset"])
    add("--adc", nargs="*", choices=ADCS, default=["slice"])
    add("--rows", type=int, default=128)
    add("--cell-bits", type=int, default=1)
    add("--dac-bits", type=int, default=1)
    add("--devices", metavar="NAME", help="time chips of these devices, with cells and without")
    add("--time", help="since these were programmed (10m, 1d, ...)")
    add("--memory", action="store_true", help="peak memory over the float one's too (Linux)")
    add("--repeats", type=int, default=15)
    add("--json", type=Path, help="write the results here, after each row")
    add("--compare", nargs=2, type=Path, metavar=("BEFORE", "AFTER"))
    return made


def main(arguments: list[str] | None = None, program: str | None = None) -> None:
    """Command line."""
    args = parser(program).parse_args(arguments)
    if args.compare:
        compare(*args.compare)
        return
    aged = (rt.load_devices(args.devices), args.time) if args.devices else None
    if args.time and not aged:
        raise SystemExit("--time is that of --devices, which are not given")
    torch.set_num_threads(args.threads)
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: args.threads])
    torch.manual_seed(0)
    bar = rt.CrossbarConfig(rows=args.rows, cell_bits=args.cell_bits, dac_bits=args.dac_bits)
    print(f"{rt.backend()}, {args.threads} threads, torch {torch.__version__}; times over float")
    print(HEAD)
    cases = [case for name in args.sets for case in SETS[name]()]
    rows: list[dict[str, Any]] = []
    for os.environ["RERAM_TORCH_ISA"] in args.isa or [isa()]:
        for encoding, adc, case in itertools.product(args.encodings, args.adc, cases):
            config = rt.Config(bar, rt.WeightConfig(encoding=encoding))
            rows.append(measure(*case, config, adc, args.repeats, aged))
            if args.memory:
                rows[-1]["memory"] = memory_ratio(case[1], case[2], config)
            print(line(rows[-1]), flush=True)
            if args.json:
                write_atomically(args.json, json.dumps(rows, indent=2) + "\n")
