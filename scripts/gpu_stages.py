"""The stages of `gpu.py`: parity with the CPU first, then times."""

from __future__ import annotations

import copy
import importlib.util
import itertools
import os
import statistics
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import ModuleType
from typing import Any, TypeVar

import torch
from torch import nn

import reram_torch as rt
from reram_torch.cli.benchmarking import ADCS, EDGES
from reram_torch.crossbar.counting import no_counts
from reram_torch.crossbar.geometry import Geometry, sizes
from reram_torch.crossbar.tables import AdcTables, check_tables
from reram_torch.models import zoo
from reram_torch.native import cpu, cuda
from reram_torch.nn.base import CrossbarLayer
from reram_torch.ops.arguments import ArrayArguments

# The CPU library takes about a second for so many conversions.
MOST_CONVERSIONS = 100_000_000
MOST_VALUES = 1 << 16  # of a bit-line sum: an ADC has 16 bits at most
T = TypeVar("T")


@dataclass
class Work:
    """What the stages share.

    Attributes:
        model: name of the network.
        size: of its images, which have three channels.
        batches: how many images at once.
        parity_seconds: to spend on random problems.
        root: of the checkout.
    """

    model: str
    size: int
    batches: list[int]
    parity_seconds: float
    root: Path

    def images(self, batch: int) -> torch.Tensor:
        """Random images on the CPU."""
        return torch.randn(batch, 3, self.size, self.size)

    @cached_property
    def networks(self) -> tuple[nn.Module, dict[str, nn.Module]]:
        """The float network, and its crossbar form with each kind of tables, on the CPU.

        They are calibrated. The tables are lossless: a kernel takes as long whatever they hold.
        """
        torch.manual_seed(0)
        net = zoo.build_model(self.model, 1000).eval()
        calibrated = rt.calibrate(rt.convert(net), self.images(1), show_progress=False)
        made = {adc: copy.deepcopy(calibrated).eval() for adc in ADCS}
        for layer in rt.crossbar_layers(made["slice"]).values():
            layer.set_adc(layer.adc * layer.geometry.slices)
        for layer in rt.crossbar_layers(made["activity"]).values():
            g = layer.geometry
            index = torch.arange(len(EDGES) * g.slices).view(-1, 1, g.slices)
            index = index.expand(-1, g.cycles, -1).clone()
            index[0] = -1
            designs = layer.adc * (len(EDGES) * g.slices)
            layer.set_adc(designs, edges=EDGES, index=index.tolist())
        return net, made

    @cached_property
    def on_device(self) -> tuple[nn.Module, dict[str, nn.Module]]:
        """The same networks on the device."""
        net, made = self.networks
        for crossbar in made.values():
            crossbar.cuda()
        return net.cuda().to(memory_format=torch.channels_last), made


# --- parity ---


@dataclass(frozen=True)
class Problem:
    """Input codes (M, G, K), weight codes (G, N, K) and tables."""

    geometry: Geometry
    u: torch.Tensor
    codes: torch.Tensor
    tables: AdcTables

    def solved_by(self, library: ModuleType) -> list[torch.Tensor]:
        """Cells, results, both counts and histogram, by a library on tensors of its device."""
        g, device = self.geometry, self.u.device
        (M, G, K), N = sizes(self.u), self.codes.shape[1]
        cells = torch.empty(g.cells_shape(G, N, K), dtype=torch.int64, device=device)
        library.program(g, self.codes, cells)
        acc = torch.empty(M, G, N, dtype=torch.int32, device=device)
        counts = no_counts(g, device)
        library.crossbar(g, self.u, cells, self.tables, acc, counts)
        shape = len(self.tables.edges), g.cycles, g.slices, g.values
        bins = torch.zeros(shape, dtype=torch.int64, device=device)
        library.histogram(g, self.u, cells, self.tables.edges, N, bins)
        return [cells, acc, *counts, bins]

    def cuda(self) -> Problem:
        """The same problem on the device."""
        levels, comparisons, edges, index = (table.cuda() for table in self.tables.tensors)
        tables = AdcTables(levels, comparisons, edges, index, self.tables.unit)
        return Problem(self.geometry, self.u.cuda(), self.codes.cuda(), tables)


def random_geometry(pick: Callable[..., Any]) -> Geometry:
    """A geometry whose bit-line sums an ADC can convert."""
    while True:
        several = pick(False, False, True)
        cell, dac = (pick(1, 2, 3, 4) if several else 1 for _ in range(2))
        rows = pick(1, 5, 64, 127, 128, 128, 128, 129, 300, 1024)
        weight_bits, input_bits = pick(8, 8, 1, 5), pick(8, 8, 1, 3)
        widths = (cell,) * -(-weight_bits // cell), (dac,) * -(-input_bits // dac)
        g = Geometry(rows, 128, *widths, weight_bits, input_bits, pick(0, 1, 2))
        if g.values <= MOST_VALUES:
            return g


def random_problem(generator: torch.Generator) -> Problem:
    """A problem of odd sizes, that the CPU solves in about a second at most."""

    def pick(*choices: Any) -> Any:
        return choices[int(torch.randint(len(choices), (), generator=generator))]

    g = random_geometry(pick)
    M, N, K = (int(x) for x in torch.randint(1, 200, (3,), generator=generator))
    G = pick(1, 1, 3)
    of_one = g.conversions_per_cycle(K, 1, G * N) * g.cycles * g.slices
    M = max(1, min(M, MOST_CONVERSIONS // of_one))
    u = torch.randint(0, 256, (M, G, K), dtype=torch.uint8, generator=generator)
    u *= torch.rand(u.shape, generator=generator) < pick(0.05, 0.3, 1.0)
    half = 2 ** (g.weight_bits - 1)
    codes = torch.randint(-half, half, (G, N, K), dtype=torch.int8, generator=generator)
    edges = torch.tensor(pick([0], [0, 1], [0, 1, 3, 9, 33, 65], [0, 7]), dtype=torch.int32)
    n = pick(1, g.slices, 5)
    index = torch.randint(0, n, (len(edges), g.cycles, g.slices), generator=generator)
    if len(edges) > 1 and edges[1] == 1:
        index[0] = -1
    near = torch.randint(-3, 4, (n, g.values), generator=generator)
    unit = pick(1, 2)
    levels = unit * torch.arange(g.lowest, g.highest + 1) + near
    comparisons = torch.randint(0, 256, (n, g.values), generator=generator).to(torch.uint8)
    tables = AdcTables(levels.int(), comparisons, edges, index.int(), unit)
    check_tables(g, tables)
    return Problem(g, u, codes, tables)


def parity_of_kernels(work: Work) -> dict[str, int]:
    """Random problems on the device against the CPU until time is up; how many of each product."""
    generator = torch.Generator().manual_seed(0)
    made = dict.fromkeys(cuda.PRODUCTS, 0)
    end = time.perf_counter() + work.parity_seconds
    while time.perf_counter() < end or not all(made.values()):
        problem = random_problem(generator)
        expected, on_device = problem.solved_by(cpu), problem.cuda()
        for product in cuda.PRODUCTS:
            with using(product):
                found = on_device.solved_by(cuda)
            same = [torch.equal(a.cpu(), b) for a, b in zip(found, expected, strict=True)]
            if not all(same):
                sys.exit(
                    f"problem {made[product]} differs by {product} (cells, results, comparisons, "
                    f"driven, histogram: {same}): {problem.geometry}, inputs "
                    f"{tuple(problem.u.shape)}, weights {tuple(problem.codes.shape)}"
                )
            made[product] += 1
    print(f"random problems equal to the CPU's: {made}")
    return made


def parity_of_layers(work: Work) -> dict[str, int]:
    """Every layer of the networks on the device against the CPU, on the same inputs; how many."""
    x, counted = work.images(1), {}
    for adc, net in work.networks[1].items():
        calls = calls_of_layers(copy.deepcopy(net), x)
        for layer, inputs, y in calls:
            if not torch.equal(layer.cuda()(inputs.cuda()).cpu(), y):
                sys.exit(f"a layer differs from the CPU's with ADCs by {adc}: {layer}")
        counted[adc] = len(calls)
    print(f"layers equal to the CPU's: {counted}")
    return counted


def calls_of_layers(
    net: nn.Module, x: torch.Tensor
) -> list[tuple[CrossbarLayer, torch.Tensor, torch.Tensor]]:
    """The crossbar layers with what went in and what came out in a forward pass."""
    kept: list[tuple[CrossbarLayer, torch.Tensor, torch.Tensor]] = []
    handles = [
        layer.register_forward_hook(lambda layer, xs, y: kept.append((layer, xs[0].clone(), y)))
        for layer in rt.crossbar_layers(net).values()
    ]
    net(x)
    for handle in handles:
        handle.remove()
    return kept


def run_tests(work: Work) -> str:
    """The project's own device tests, where their tools are installed."""
    if any(importlib.util.find_spec(name) is None for name in ("pytest", "hypothesis")):
        return "skipped: pytest or hypothesis is not installed"
    words = "device or layers or waits"
    files = [f"tests/native/test_cuda{of}.py" for of in ("", "_chips", "_odds")]
    command = [sys.executable, "-m", "pytest", *files, "-k", words]
    environment = {**os.environ, "PYTHONPATH": str(work.root)}
    done = subprocess.run(
        command, cwd=work.root, env=environment, capture_output=True, text=True, check=False
    )
    if done.returncode:
        sys.exit(done.stdout[-6000:] + done.stderr[-2000:])
    last = done.stdout.strip().splitlines()[-1]
    print(f"pytest: {last}")
    return last


# --- times ---


def device_time(call: Callable[..., object], *arguments: object, least: float = 0.3) -> float:
    """Median seconds of a call on the device, by CUDA events."""
    for _ in range(3):
        call(*arguments)
    torch.cuda.synchronize()
    times: list[float] = []
    while len(times) < 5 or (sum(times) < least and len(times) < 200):
        start, end = (
            torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]
            for _ in range(2)
        )
        start.record()
        call(*arguments)
        end.record()
        torch.cuda.synchronize()
        times.append(start.elapsed_time(end) / 1000)
    return statistics.median(times)


@contextmanager
def using(product: str) -> Iterator[None]:
    """Bit-line sums are made in this way inside the block."""
    os.environ["RERAM_TORCH_CUDA_PRODUCT"] = product
    try:
        yield
    finally:
        del os.environ["RERAM_TORCH_CUDA_PRODUCT"]


@contextmanager
def no_waiting() -> Iterator[None]:
    """Inside the block it is an error to wait for the device."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a prototype, as torch says each time
        torch.cuda.set_sync_debug_mode("error")
    try:
        yield
    finally:
        torch.cuda.set_sync_debug_mode("default")


def graph_of(net: nn.Module, x: torch.Tensor) -> tuple[torch.cuda.CUDAGraph, torch.Tensor]:
    """A network's forward pass as a CUDA graph, and where it leaves its output."""
    stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        net(x)
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        y = net(x)
    return graph, y


def checked_graph(net: nn.Module, x: torch.Tensor) -> torch.cuda.CUDAGraph:
    """The graph of a network whose forward pass does not wait; replays equal eager passes."""
    net(x)  # tables are moved to the device once
    with no_waiting():
        net(x)
    graph, y = graph_of(net, x)
    for _ in range(2):
        x.copy_(torch.randn_like(x))
        graph.replay()
        if not torch.equal(y, net(x)):
            sys.exit("a replayed CUDA graph differs from the eager pass")
    return graph


def measure_networks(work: Work) -> list[dict[str, Any]]:
    """Networks: images a second and times over the float network."""
    (net, made), results = work.on_device, []
    for batch in work.batches:
        x = work.images(batch).cuda().contiguous(memory_format=torch.channels_last)
        graph, _ = graph_of(net, x)
        floats = min(device_time(net, x), device_time(graph.replay))
        for adc, product in itertools.product(ADCS, cuda.PRODUCTS):
            with using(product):
                eager = device_time(made[adc], x)
                replayed = device_time(checked_graph(made[adc], x).replay)
            results.append({
                "batch": batch, "adc": adc, "product": product, "float_s": floats,
                "eager_s": eager, "graph_s": replayed, "images_per_s": batch / replayed,
                "ratio": replayed / floats,
            })  # fmt: skip
            print(
                f"{batch:4} {adc:9}{product:13}{batch / replayed:9.0f} images/s"
                f"{replayed / floats:7.2f} x float; eager {eager:.4f} s, graph {replayed:.4f} s"
            )
    return results


def profile(work: Work) -> str:
    """Where a forward pass spends its time on the device."""
    from torch.profiler import ProfilerActivity

    net, x = work.on_device[1]["activity"], work.images(work.batches[-1]).cuda()
    net(x)
    with torch.profiler.profile(activities=[ProfilerActivity.CUDA, ProfilerActivity.CPU]) as run:
        net(x)
        torch.cuda.synchronize()
    table: str = run.key_averages().table(
        sort_by="self_cuda_time_total", row_limit=14, max_name_column_width=70
    )
    print(table)
    return table


def measure_layers(work: Work) -> list[dict[str, Any]]:
    """Every distinct layer, on the inputs that it meets."""
    net, crossbar = work.on_device[0], work.on_device[1]["activity"]
    floats = dict(net.named_modules())
    names = {id(layer): name for name, layer in rt.crossbar_layers(crossbar).items()}
    seen, results = set(), []
    for layer, x, _ in calls_of_layers(crossbar, work.images(work.batches[-1]).cuda()):
        key = layer.weight.shape, getattr(layer, "stride", 1), x.shape
        if key in seen:
            continue
        seen.add(key)
        name = names[id(layer)]
        times, conversions = layer_times(layer, floats[name], x)
        rate = conversions / times["kernel"]
        results.append({
            "name": name, "weight": list(layer.weight.shape), "input": list(x.shape),
            "seconds": times, "conversions_per_s": rate,
        })  # fmt: skip
        parts = "".join(f"{what:>10}{1e3 * value:9.3f}" for what, value in times.items())
        print(f"{name:24}{parts} ms{rate / 1e12:7.2f} T conversions/s")
    return results


def layer_times(
    layer: CrossbarLayer, plain: nn.Module, x: torch.Tensor
) -> tuple[dict[str, float], int]:
    """Seconds of the float layer, the crossbar layer and its parts; its bit-line conversions."""
    if x.dim() == 4:  # as the operator arranges images on a device
        x = x.contiguous(memory_format=torch.channels_last)
    u, g = layer.codes(x), layer.geometry
    M, G, K = sizes(u)
    flat = ArrayArguments(layer.encoded().cells, layer.tables(), g, layer.outputs // G).flatten()
    kernel = torch.ops.reram_torch.crossbar
    seconds = {
        "float": device_time(plain, x, least=0.05),
        "layer": device_time(layer, x, least=0.05),
        "encode": device_time(layer.encoded, least=0.05),
        "kernel": device_time(kernel, u, *flat, False, least=0.05),
        "counting": device_time(kernel, u, *flat, True, least=0.05),
    }
    return seconds, g.conversions_per_cycle(K, M, layer.outputs) * g.slices * g.cycles


STAGES: dict[str, Callable[[Work], Any]] = {
    "parity_kernels": parity_of_kernels,
    "parity_layers": parity_of_layers,
    "tests": run_tests,
    "networks": measure_networks,
    "profile": profile,
    "layers": measure_layers,
}
