"""`scripts/gpu.py` from end to end, with the functions of a device stood in for."""

import json
import subprocess
import sys
from contextlib import contextmanager, nullcontext
from pathlib import Path
from types import SimpleNamespace
from unittest import mock

import pytest
import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from reram_torch.native import cpu, cuda

ROOT = Path(__file__).parents[2]
ARGUMENTS = (
    "--model", "test_gpu_script:tiny", "--size", "8", "--batches", "1", "2",
    "--parity-seconds", "0",
)  # fmt: skip


def tiny():
    return nn.Sequential(
        nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(), nn.Conv2d(4, 50, 3, 2), nn.ReLU(),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(50, 5),
    )  # fmt: skip


class Recording(TorchDispatchMode):
    """What a CUDA graph does: the operators of a block again, on the same memory."""

    def __init__(self):
        super().__init__()
        self.calls = []

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        made = function(*args, **(kwargs or {}))
        self.calls.append((function, args, kwargs or {}, made))
        return made

    def replay(self):
        for function, args, kwargs, made in self.calls:
            again = function(*args, **kwargs)
            for old, new in zip(tree_leaves(made), tree_leaves(again), strict=True):
                if isinstance(old, torch.Tensor) and old.data_ptr() != new.data_ptr():
                    old.copy_(new)


class Event:
    def __init__(self, enable_timing):
        assert enable_timing

    def record(self):
        """On a device: the time."""

    def elapsed_time(self, other):
        return 400.0  # ms: few are needed


@contextmanager
def capturing(graph):
    with graph:
        yield


@pytest.fixture
def stages(monkeypatch):
    """The module of the stages, on a CPU that pretends to be a device."""
    if not cpu.available():
        pytest.skip("the native library is not built")
    monkeypatch.syspath_prepend(ROOT / "scripts")
    import gpu_stages

    for kind in (torch.Tensor, nn.Module):
        monkeypatch.setattr(kind, "cuda", lambda self: self)
    stream = SimpleNamespace(wait_stream=lambda other: None)
    for name, stand_in in {
        "is_available": lambda: True,
        "get_device_name": lambda: "a stand-in",
        "synchronize": lambda: None,
        "current_stream": lambda: stream,
        "Stream": lambda: stream,
        "stream": lambda of: nullcontext(),
        "CUDAGraph": Recording,
        "graph": capturing,
        "Event": Event,
        "set_sync_debug_mode": lambda mode: None,
    }.items():
        monkeypatch.setattr(torch.cuda, name, stand_in)
    monkeypatch.setattr(gpu_stages, "cuda", SimpleNamespace(
        PRODUCTS=cuda.PRODUCTS, program=cpu.program, crossbar=cpu.crossbar, histogram=cpu.histogram,
    ))  # fmt: skip
    monkeypatch.setattr(gpu_stages, "MOST_CONVERSIONS", 100_000)
    profiling, activities = torch.profiler.profile, [torch.profiler.ProfilerActivity.CPU]
    monkeypatch.setattr(torch.profiler, "profile", lambda **_: profiling(activities=activities))
    done = SimpleNamespace(returncode=0, stdout="3 passed\n", stderr="")
    monkeypatch.setattr(gpu_stages, "subprocess", SimpleNamespace(run=mock.Mock(return_value=done)))
    return gpu_stages


@pytest.fixture
def script(stages, monkeypatch, tmp_path):
    """The script, whose build takes no time."""
    import gpu

    monkeypatch.setattr(gpu, "BUILD", tmp_path / "build")
    (tmp_path / "build").mkdir()
    for variable, name in gpu.LIBRARIES.items():
        monkeypatch.setenv(variable, "")  # and back to what it was, afterwards
        (tmp_path / "build" / name).touch()
    monkeypatch.setenv("RERAM_TORCH_BACKEND", "")
    for switch in ("allow_tf32", "benchmark"):
        monkeypatch.setattr(torch.backends.cudnn, switch, False)
    monkeypatch.setattr(gpu, "build", mock.Mock(return_value=1.5))
    return gpu


def read(path):
    return json.loads(path.read_text())


def test_every_stage_leaves_its_results(script, stages, tmp_path, monkeypatch, capsys):
    path, seen = tmp_path / "new" / "gpu.json", []
    write = script.write_atomically

    def writing(to, text):
        write(to, text)
        seen.append(list(read(path)["results"]))

    monkeypatch.setattr(script, "write_atomically", writing)
    script.main(["--json", str(path), *ARGUMENTS])
    names = ["build", *stages.STAGES]
    assert seen == [names[: k + 1] for k in range(len(names))]  # after each stage
    found = read(path)
    assert found["settings"]["device"] == "a stand-in"
    results = found["results"]
    assert results["build"] == {"seconds": 1.5}
    assert all(count >= 1 for count in results["parity_kernels"].values())
    assert results["parity_layers"] == {"uniform": 3, "slice": 3, "activity": 3}
    assert results["tests"] == "3 passed"
    assert len(results["networks"]) == 2 * 3 * 2  # batches, tables, products
    assert all(row["ratio"] == 1 and row["images_per_s"] > 0 for row in results["networks"])
    assert "reram_torch::" in results["profile"]
    assert [row["name"] for row in results["layers"]] == ["0", "2", "6"]
    last = results["layers"][-1]  # 2 images, 50 inputs in one tile, 5 outputs, 8 cycles, 8 slices
    assert last["conversions_per_s"] == pytest.approx(2 * 5 * 64 / last["seconds"]["kernel"])
    out = capsys.readouterr().out
    assert "layers equal to the CPU's" in out
    assert "T conversions/s" in out


def test_the_tests_that_it_runs_are_there(stages):
    work = stages.Work("test_gpu_script:tiny", 8, [1], 0, ROOT)
    stages.run_tests(work)
    (command,), how = stages.subprocess.run.call_args
    texts = [(ROOT / word).read_text() for word in command if word.endswith(".py")]
    assert how["cwd"] == ROOT
    assert all("_device" in text for text in texts)
    text = "".join(texts)
    for word in command[-1].split(" or "):
        assert f"{word}_" in text or f"_{word}" in text
    stages.subprocess.run.return_value.returncode = 1
    with pytest.raises(SystemExit, match="3 passed"):
        stages.run_tests(work)


def test_what_was_found_outlives_a_later_failure(script, stages, tmp_path, monkeypatch):
    path = tmp_path / "gpu.json"
    monkeypatch.setitem(stages.STAGES, "networks", mock.Mock(side_effect=RuntimeError("lost")))
    with pytest.raises(RuntimeError, match="lost"):
        script.main(["--json", str(path), *ARGUMENTS])
    before = read(path)["results"]
    assert list(before) == ["build", "parity_kernels", "parity_layers", "tests"]
    # Resumed, it does what is left, and nothing twice.
    monkeypatch.setitem(stages.STAGES, "networks", lambda work: ["again"])
    monkeypatch.setitem(stages.STAGES, "parity_kernels", None)
    script.main(["--json", str(path), *ARGUMENTS, "--resume"])
    after = read(path)["results"]
    assert list(after) == ["build", *stages.STAGES]
    assert {name: after[name] for name in before} == before
    assert script.build.call_count == 1
    # Some stages only: the others' results stay.
    monkeypatch.setitem(stages.STAGES, "tests", lambda work: "other")
    script.main(["--json", str(path), *ARGUMENTS, "--stages", "tests"])
    assert read(path)["results"] == {**after, "tests": "other"}
    with pytest.raises(SystemExit, match=r"was made with size=8, not 16: resume with the same"):
        script.main(["--json", str(path), *ARGUMENTS, "--size", "16", "--resume"])
    with pytest.raises(SystemExit):
        script.main(["--stages", "nothing"])


@pytest.mark.parametrize("what", ["program", "crossbar", "histogram"])
def test_a_kernel_that_differs_stops_it(script, stages, tmp_path, monkeypatch, what):
    def differs(*arguments):
        getattr(cpu, what)(*arguments)
        written = [a for a in arguments if isinstance(a, torch.Tensor)][-1]
        written.view(-1)[0] += 1

    monkeypatch.setattr(stages.cuda, what, differs)
    with pytest.raises(SystemExit, match="problem 0 differs by tensor_cores"):
        script.main(["--json", str(tmp_path / "gpu.json"), *ARGUMENTS])
    assert list(read(tmp_path / "gpu.json")["results"]) == ["build"]


def test_a_graph_that_differs_stops_it(stages, monkeypatch):
    monkeypatch.setattr(Recording, "replay", lambda self: None)
    work = stages.Work("test_gpu_script:tiny", 8, [1], 0, ROOT)
    with torch.no_grad(), pytest.raises(SystemExit, match="a replayed CUDA graph differs"):
        stages.measure_networks(work)


def test_a_missing_library_is_named(script, tmp_path):
    (tmp_path / "build" / "libreram_crossbar_cuda.so").unlink()
    with pytest.raises(SystemExit, match="was not built: is nvcc on the PATH"):
        script.main(["--json", str(tmp_path / "gpu.json"), *ARGUMENTS])


def test_problems_are_bounded(stages, monkeypatch):
    generator = torch.Generator().manual_seed(0)
    for _ in range(30):
        p = stages.random_problem(generator)
        (M, G, K), g = stages.sizes(p.u), p.geometry
        made = g.conversions_per_cycle(K, M, G * p.codes.shape[1]) * g.cycles * g.slices
        assert made <= stages.MOST_CONVERSIONS or M == 1
        assert g.values <= 1 << 16


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_it_needs_a_device_but_no_installation(tmp_path):
    """In a process that finds no metadata of the package, as in a bare checkout."""
    code = (
        "import importlib.metadata as m, runpy, sys\n"
        "version = m.version\n"
        "def missing(name):\n"
        "    if name == 'reram_torch': raise m.PackageNotFoundError(name)\n"
        "    return version(name)\n"
        "m.version = missing\n"
        f"sys.path.insert(0, {str(ROOT / 'scripts')!r})\n"
        f"runpy.run_path({str(ROOT / 'scripts' / 'gpu.py')!r}, run_name='__main__')\n"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=tmp_path
    )
    assert result.returncode == 1
    assert "no CUDA device" in result.stderr
