"""The package as installed: what importing it needs, what it prints, what native code is there."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import reram_torch as rt
from reram_torch import native

ROOT = Path(__file__).parent.parent


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


def test_it_tells_what_runs():
    result = python("-m", "reram_torch", RERAM_TORCH_BACKEND="reference")
    assert re.search(r"^reram_torch: +\d", result.stdout, re.M)
    assert re.search(r"^backend: +reference$", result.stdout, re.M)
    assert re.search(r"^torch: +2\.", result.stdout, re.M)
    if native.available():
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
    assert native.available()


@pytest.mark.parametrize("name", ["README.md", "CHANGELOG.md", "LICENSE"])
def test_documents_are_there(name):
    assert len((ROOT / name).read_text()) > 200
