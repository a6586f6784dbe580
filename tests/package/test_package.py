"""The package as installed: what importing it needs, what it prints, what native code is there."""

import importlib.util
import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy
import pytest
import torch

import reram_torch as rt
from reram_torch.native import cpu

ROOT = Path(__file__).parents[2]


def python(*arguments, **variables):
    return subprocess.run(
        [sys.executable, *arguments],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, **variables},
    )


def test_importing_needs_torch_and_numpy_only():
    code = (
        "import sys, warnings; warnings.simplefilter('error')\n"
        "extras = ['torchvision', 'tqdm', 'sklearn', 'matplotlib']\n"
        "sys.modules.update(dict.fromkeys(extras))\n"  # importing one of them is an error now
        "import reram_torch as rt, torch\n"
        "assert not torch.cuda.is_initialized()\n"
        "net = rt.convert(torch.nn.Linear(3, 2))\n"
        "rt.calibrate(net, torch.rand(4, 3))\n"
        "print(net(torch.rand(1, 3)).shape)"
    )
    result = python("-c", code)
    assert result.returncode == 0, result.stderr
    assert result.stdout.strip() == "torch.Size([1, 2])"


@pytest.mark.slow
def test_it_tells_what_runs():
    result = python("-m", "reram_torch", RERAM_TORCH_BACKEND="reference")
    assert re.search(r"^reram_torch: +\d", result.stdout, re.M)
    assert re.search(r"^backend: +reference$", result.stdout, re.M)
    assert re.search(r"^torch: +2\.", result.stdout, re.M)
    if cpu.available():
        result = python("-m", "reram_torch", RERAM_TORCH_ISA="portable", RERAM_TORCH_BACKEND="")
        assert re.search(r"^backend: +native \(portable\)$", result.stdout, re.M)
        assert re.search(r"^library: +.*reram_crossbar", result.stdout, re.M)


def test_everything_listed_is_there():
    for name in rt.__all__:
        assert getattr(rt, name) is not None
    assert rt.__all__ == sorted(rt.__all__)


def test_the_native_library_is_there_when_it_is_demanded():
    """CI demands it: a build that fails must not pass as a pure Python install."""
    if os.environ.get("RERAM_TORCH_BACKEND") != "native":
        pytest.skip("RERAM_TORCH_BACKEND=native is not set")
    assert cpu.available()


@pytest.mark.parametrize("name", ["README.md", "CHANGELOG.md", "LICENSE"])
def test_documents_are_there(name):
    assert len((ROOT / name).read_text()) > 200


# --- the wheel ------------------------------------------------------------------------------------

SMALL_NETWORK = """
import torch
import reram_torch as rt

torch.manual_seed(0)
net = torch.nn.Sequential(
    torch.nn.Conv2d(3, 8, 3), torch.nn.ReLU(), torch.nn.Flatten(), torch.nn.Linear(8 * 36, 4)
)
x = torch.rand(4, 3, 8, 8)
converted = rt.convert(net, rt.load_config("isaac"))
rt.calibrate(converted, [x], show_progress=False)
assert (converted(x) - net(x)).abs().max() < 0.1
print(rt.__file__)
"""


def build_wheel(folder):
    """The package as it is distributed, built from the sources at hand where they were built."""
    if not (ROOT / "csrc").is_dir():
        pytest.skip("the sources are not at hand")
    missing = [tool for tool in ("cmake", "c++") if not shutil.which(tool)]
    missing += [] if importlib.util.find_spec("build") else ["build"]
    if missing:
        pytest.skip(f"not installed: {', '.join(missing)}")
    # The backend of this environment, or one of its own from the network.
    known = importlib.util.find_spec("scikit_build_core") is not None
    command = ["-m", "build", "--wheel", "--outdir", str(folder), *["--no-isolation"] * known]
    result = python(*command, str(ROOT))
    assert result.returncode == 0, result.stdout + result.stderr
    (built,) = folder.glob("*.whl")
    return built


def clean_python(wheel, folder):
    """The Python of an environment that has the wheel, and sees this one's torch and numpy."""
    result = python("-m", "venv", str(folder))
    assert result.returncode == 0, result.stderr
    (site,) = folder.glob("lib/python*/site-packages")
    # Behind the environment's own, and without the hooks of what is installed editable there.
    beside = {str(Path(module.__file__).parents[1]) for module in (torch, numpy)}
    (site / "beside.pth").write_text("\n".join(sorted(beside)) + "\n")
    executable = folder / "bin" / "python"
    install = [executable, "-m", "pip", "install", "--no-deps", "--no-index", wheel]
    result = subprocess.run(install, capture_output=True, text=True, check=False, cwd=folder)
    assert result.returncode == 0, result.stderr
    return executable


def run_clean(executable, *command):
    """Runs a command without a compiler on the PATH and without this environment's variables."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("RERAM_", "PYTHON"))}
    folder = executable.parents[1]
    result = subprocess.run(
        [str(part) for part in command],
        capture_output=True,
        text=True,
        check=False,
        cwd=folder,
        env={**kept, "PATH": str(executable.parent), "RERAM_TORCH_BACKEND": "native"},
    )
    assert result.returncode == 0, result.stderr
    return result.stdout


def assert_holds_all(wheel):
    """It serves every Python."""
    assert "-py3-none-" in wheel.name
    names = zipfile.ZipFile(wheel).namelist()
    assert {"reram_torch/libreram_crossbar.so", "reram_torch/py.typed"} <= set(names)
    assert "reram_torch/configs/isaac.toml" in names
    hardware = {"verilog/words.v", "cells/generic.lib", "cells/generic.v"}
    assert {f"reram_torch/hardware/{name}" for name in hardware} <= set(names)
    assert not [name for name in names if name.split("/")[0] in ("tests", "csrc", "build")]
    if shutil.which("nvcc"):
        assert "reram_torch/libreram_crossbar_cuda.so" in names


def assert_needs_the_system_only(wheel, folder):
    """Neither Python, torch, an OpenMP runtime, nor CUDA's driver."""
    zipfile.ZipFile(wheel).extractall(folder)
    for library in folder.rglob("*.so"):
        needed = subprocess.run(
            ["readelf", "-d", library], capture_output=True, text=True, check=True
        )
        found = set(re.findall(r"\(NEEDED\).*\[(.*)\]", needed.stdout))
        system = r"lib(c|m|dl|rt|pthread|gcc_s|stdc\+\+)\.so\.\d|ld-linux.*"
        assert [name for name in found if not re.fullmatch(system, name)] == []


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="looks for ELF libraries")
def test_the_wheel(tmp_path):
    """All in it; it runs in a clean environment, without a compiler, from a neutral folder."""
    wheel = build_wheel(tmp_path)
    assert_holds_all(wheel)
    if shutil.which("readelf"):
        assert_needs_the_system_only(wheel, tmp_path / "unpacked")
    executable = clean_python(wheel, tmp_path / "clean")
    where = run_clean(executable, executable, "-c", SMALL_NETWORK).strip()
    assert Path(where).is_relative_to(tmp_path / "clean")
    told = run_clean(executable, executable.with_name("reram-torch"), "info")
    assert re.search(r"^backend: +native \(", told, re.M)
    assert re.search(rf"^library: +{re.escape(str(tmp_path / 'clean'))}", told, re.M)
