"""Builds, checks and measures the CUDA backend in one call, on a machine with a GPU.

    python scripts/gpu.py --json runs/gpu.json

Needs a checkout, nvcc, a C++ compiler, CMake, torch and torchvision; nothing is installed or
fetched. Parity comes first: nothing is measured that is wrong.
It takes a few minutes.
"""

from __future__ import annotations

import argparse
import copy
import importlib.util
import itertools
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import nn

ROOT = Path(__file__).parents[1]
BUILD = ROOT / "build" / "gpu"
PRODUCTS = ("tensor_cores", "popcount")
ADCS = ("uniform", "slice", "activity")


def build() -> float:
    """Both libraries, for this process to load; seconds."""
    start = time.perf_counter()
    jobs = str(os.cpu_count() or 1)
    for command in (
        ["cmake", "-S", ROOT / "csrc", "-B", BUILD, "-DCMAKE_BUILD_TYPE=Release"],
        ["cmake", "--build", BUILD, "--parallel", jobs],
    ):
        subprocess.run([str(part) for part in command], check=True, stdout=subprocess.DEVNULL)
    for variable, name in (
        ("RERAM_TORCH_LIBRARY", "libreram_crossbar.so"),
        ("RERAM_TORCH_CUDA_LIBRARY", "libreram_crossbar_cuda.so"),
    ):
        if not (BUILD / name).is_file():
            sys.exit(f"{BUILD / name} was not built: is nvcc on the PATH?")
        os.environ[variable] = str(BUILD / name)
    os.environ["RERAM_TORCH_BACKEND"] = "native"
    sys.path.insert(0, str(ROOT))
    return time.perf_counter() - start


def parity_of_kernels(seconds: float) -> int:
    """Random problems against the reference until time is up; how many."""
    from reram_torch.mapping import AdcTables, Geometry

    from reram_torch import mapping, native_cuda, reference

    generator = torch.Generator().manual_seed(0)
    pick = lambda *choices: choices[int(torch.randint(len(choices), (), generator=generator))]  # noqa: E731
    made, end = 0, time.perf_counter() + seconds
    while time.perf_counter() < end:
        bits = (1, 1) if pick(True, True, False) else (pick(1, 2, 3, 4), pick(1, 2, 3, 4))
        rows = pick(1, 5, 64, 127, 128, 128, 128, 129, 300, 1024)
        g = Geometry(rows, 128, *bits, pick(8, 8, 1, 5), pick(8, 8, 1, 3), pick(0, 1, 2))
        sizes = [int(x) for x in torch.randint(1, 200, (3,), generator=generator)]
        M, N, K = sizes
        G = pick(1, 1, 3)
        u = torch.randint(0, 256, (M, G, K), dtype=torch.uint8, generator=generator)
        u *= torch.rand(u.shape, generator=generator) < pick(0.05, 0.3, 1.0)
        half = 2 ** (g.weight_bits - 1)
        codes = torch.randint(-half, half, (G, N, K), dtype=torch.int8, generator=generator)
        edges = torch.tensor(pick([0], [0, 1], [0, 1, 3, 9, 33, 65], [0, 7]), dtype=torch.int32)
        n, V = pick(1, g.slices, 5), g.highest - g.lowest + 1
        index = torch.randint(0, n, (len(edges), g.cycles, g.slices), generator=generator)
        if len(edges) > 1 and edges[1] == 1:
            index[0] = -1
        levels = torch.arange(g.lowest, g.highest + 1) + torch.randint(-3, 4, (n, V))
        comparisons = torch.randint(0, 256, (n, V), generator=generator).to(torch.uint8)
        tables = AdcTables(levels.int(), comparisons, edges, index.int())
        mapping.check_tables(g, tables)
        expected = reference.crossbar(u, codes, tables, g)
        on_device = AdcTables(*(t.cuda() for t in tables))
        os.environ["RERAM_TORCH_CUDA_PRODUCT"] = pick(*PRODUCTS)
        cells = native_cuda.program(codes.cuda(), g)
        found = native_cuda.crossbar(u.cuda(), cells, on_device, N, g, True)
        bins = native_cuda.histogram(u.cuda(), cells, on_device.edges, N, g)
        same = [
            torch.equal(cells.cpu(), mapping.program(codes, g)),
            *(torch.equal(a.cpu(), b) for a, b in zip(found, expected, strict=True)),
            torch.equal(bins.cpu(), reference.histogram(u, codes, edges, g)),
        ]
        if not all(same):
            sys.exit(f"problem {made} differs (cells, results, histogram: {same}): {g}, {sizes}")
        made += 1
    return made


def run_tests() -> str:
    """The project's own device tests, where their tools are installed."""
    if any(importlib.util.find_spec(name) is None for name in ("pytest", "hypothesis")):
        return "skipped: pytest or hypothesis is not installed"
    command = [
        sys.executable,
        "-m",
        "pytest",
        "tests/test_cuda.py",
        "-k",
        "device or layers or waits",
    ]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    if done.returncode:
        sys.exit(done.stdout[-6000:] + done.stderr[-2000:])
    return done.stdout.strip().splitlines()[-1]


def device_time(call: Callable, *arguments: object, least: float = 0.3) -> float:
    """Median seconds of a call on the device, by CUDA events."""
    for _ in range(3):
        call(*arguments)
    torch.cuda.synchronize()
    times: list[float] = []
    while len(times) < 5 or (sum(times) < least and len(times) < 200):
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        start.record()
        call(*arguments)
        end.record()
        torch.cuda.synchronize()
        times.append(start.elapsed_time(end) / 1000)
    return statistics.median(times)


def networks() -> tuple[nn.Module, dict[str, nn.Module]]:
    """ResNet-18, and its crossbar form with each kind of tables, calibrated on the CPU.

    The tables are lossless: a kernel takes as long whatever they hold.
    """
    from benchmark import EDGES

    import reram_torch as rt
    from reram_torch import models

    torch.manual_seed(0)
    net = models.build_model("resnet18", 1000).eval()
    calibrated = rt.calibrate(rt.convert(net), torch.randn(1, 3, 224, 224), show_progress=False)
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


def parity_of_layers(net: nn.Module, x: torch.Tensor) -> int:
    """Every layer of a network on the device against the CPU, on the same inputs; how many."""
    import reram_torch as rt

    kept = []
    layers = rt.crossbar_layers(net)
    handles = [
        layer.register_forward_hook(lambda layer, xs, y: kept.append((layer, xs[0], y)))
        for layer in layers.values()
    ]
    net(x)
    for handle in handles:
        handle.remove()
    for layer, inputs, y in kept:
        if not torch.equal(layer.cuda()(inputs.cuda()).cpu(), y):
            sys.exit(f"a layer differs from the CPU's: {layer}")
    return len(kept)


def graph_of(net: nn.Module, x: torch.Tensor) -> tuple[torch.cuda.CUDAGraph, torch.Tensor]:
    """A network's forward pass as a CUDA graph, and where it leaves its output."""
    stream = torch.cuda.Stream()
    with torch.cuda.stream(stream):
        net(x)
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        y = net(x)
    return graph, y


def check_graph(net: nn.Module, x: torch.Tensor) -> torch.cuda.CUDAGraph:
    """No wait in forward; replays on other images equal eager passes."""
    torch.cuda.set_sync_debug_mode("error")
    net(x)
    torch.cuda.set_sync_debug_mode("default")
    graph, y = graph_of(net, x)
    for _ in range(2):
        x.copy_(torch.randn_like(x))
        graph.replay()
        if not torch.equal(y, net(x)):
            sys.exit("a replayed CUDA graph differs from the eager pass")
    return graph


def measure(net: nn.Module, made: dict[str, nn.Module], batches: list[int]) -> list[dict]:
    """Networks: images a second and times over the float network."""
    results = []
    for batch in batches:
        x = torch.randn(batch, 3, 224, 224, device="cuda").contiguous(
            memory_format=torch.channels_last
        )
        graph, _ = graph_of(net, x)
        floats = min(device_time(net, x), device_time(graph.replay))
        for adc, product in itertools.product(ADCS, PRODUCTS):
            os.environ["RERAM_TORCH_CUDA_PRODUCT"] = product
            crossbar = made[adc]
            eager = device_time(crossbar, x)
            graph = check_graph(crossbar, x)
            replayed = device_time(graph.replay)
            results.append(
                {
                    "batch": batch, "adc": adc, "product": product, "float_s": floats,
                    "eager_s": eager, "graph_s": replayed,
                    "images_per_s": batch / replayed, "ratio": replayed / floats,
                }
            )  # fmt: skip
            print(
                f"{batch:4} {adc:9}{product:13}{batch / replayed:9.0f} images/s"
                f"{replayed / floats:7.2f} x float; eager {eager:.4f} s, graph {replayed:.4f} s"
            )
    return results


def layer_times(layer: nn.Module, plain: nn.Module, x: torch.Tensor) -> dict[str, float]:
    """The float layer, the crossbar layer, and its parts; bit-line conversions a second."""
    from reram_torch.mapping import sizes

    u, encoded, g = layer._codes(x), layer.encoded(), layer.geometry
    if u.dim() == 7:  # as the layer itself arranges them
        u = layer._codes(x.contiguous(memory_format=torch.channels_last))
    M, G, K = sizes(u)
    arguments = u, encoded.cells, *layer.tables(), layer.weight.shape[0] // G, g.as_list()
    kernel = torch.ops.reram_torch.crossbar
    seconds = {
        "float": device_time(plain, x, least=0.05),
        "layer": device_time(layer, x, least=0.05),
        "encode": device_time(layer.encoded, least=0.05),
        "kernel": device_time(kernel, *arguments, False, least=0.05),
        "counting": device_time(kernel, *arguments, True, least=0.05),
    }
    conversions = g.conversions_per_slice(K, M, layer.weight.shape[0]) * g.slices
    return {**seconds, "conversions_per_s": conversions / seconds["kernel"]}


def measure_layers(net: nn.Module, crossbar: nn.Module, batch: int) -> list[dict]:
    """Every distinct layer, on the inputs that it meets."""
    import reram_torch as rt

    floats, layers, kept = dict(net.named_modules()), rt.crossbar_layers(crossbar), {}

    def keep(layer: nn.Module, inputs: tuple[torch.Tensor, ...]) -> None:
        key = layer.weight.shape, getattr(layer, "stride", 1), inputs[0].shape
        kept.setdefault(key, (layer, inputs[0].clone()))

    handles = [layer.register_forward_pre_hook(keep) for layer in layers.values()]
    crossbar(torch.randn(batch, 3, 224, 224, device="cuda"))
    for handle in handles:
        handle.remove()
    results = []
    for layer, x in kept.values():
        name = next(name for name, other in layers.items() if other is layer)
        times = layer_times(layer, floats[name], x)
        results.append({"layer": name, "weight": layer.weight.shape, "input": x.shape, **times})
        rate = times.pop("conversions_per_s")
        parts = "".join(f"{what:>10}{1e3 * value:9.3f}" for what, value in times.items())
        print(f"{name:24}{parts} ms{rate / 1e12:7.2f} T conversions/s")
    return results


def profile(net: nn.Module, batch: int) -> str:
    """Where a forward pass spends its time on the device."""
    from torch.profiler import ProfilerActivity

    x = torch.randn(batch, 3, 224, 224, device="cuda")
    net(x)
    with torch.profiler.profile(activities=[ProfilerActivity.CUDA, ProfilerActivity.CPU]) as run:
        net(x)
        torch.cuda.synchronize()
    return run.key_averages().table(sort_by="self_cuda_time_total", row_limit=14,
                                    max_name_column_width=70)  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--json", type=Path, default=ROOT / "build" / "gpu.json")
    parser.add_argument("--batches", type=int, nargs="+", default=[32, 128])
    parser.add_argument("--parity-seconds", type=float, default=40)
    arguments = parser.parse_args()
    if not torch.cuda.is_available():
        sys.exit(f"no CUDA device (torch {torch.__version__}): nothing to check or to measure")
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    torch.backends.cudnn.benchmark = True
    report = {"device": torch.cuda.get_device_name(), "torch": torch.__version__}
    report["build_s"] = build()
    print(f"{report['device']}; built in {report['build_s']:.0f} s")
    with torch.no_grad():
        report["parity_problems"] = parity_of_kernels(arguments.parity_seconds)
        print(f"{report['parity_problems']} random problems equal the reference")
        net, made = networks()
        x = torch.randn(1, 3, 224, 224)
        report["parity_layers"] = {adc: parity_of_layers(m, x) for adc, m in made.items()}
        print(f"layers equal to the CPU's: {report['parity_layers']}")
        report["tests"] = run_tests()
        print(f"pytest: {report['tests']}")
        net = net.cuda().to(memory_format=torch.channels_last)
        for crossbar in made.values():
            crossbar.cuda()
        report["networks"] = measure(net, made, arguments.batches)
        os.environ["RERAM_TORCH_CUDA_PRODUCT"] = PRODUCTS[0]
        report["profile"] = profile(made["activity"], arguments.batches[-1])
        report["layers"] = measure_layers(net, made["activity"], arguments.batches[-1])
    print(report["profile"])
    arguments.json.parent.mkdir(parents=True, exist_ok=True)
    arguments.json.write_text(json.dumps(report, indent=1))


if __name__ == "__main__":
    main()
