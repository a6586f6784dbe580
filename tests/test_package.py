"""The package as installed: what importing it needs, what it prints, what native code is there."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import reram_torch as rt
from reram_torch.native import cpu

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


@pytest.mark.skipif(not shutil.which("objdump"), reason="objdump is not installed")
@pytest.mark.skipif(not cpu.available(), reason="the native library is not built")
def test_wide_instructions_stay_in_their_kernels():
    """Nothing but the AVX-512 kernel touches a zmm register, nor runs at load time."""
    listing = subprocess.run(
        ["objdump", "-d", "-C", "--no-show-raw-insn", str(cpu.library_path())],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    users, name = {}, ""
    for line in listing.splitlines():
        if match := re.match(r"^[0-9a-f]+ <(.*)>:$", line):
            name = match.group(1)
        for register in re.findall(r"%([yz])mm", line):
            users.setdefault(register, set()).add(name)
    if "z" not in users:
        pytest.skip("this build has no AVX-512 kernel")
    assert all("Avx512" in user for user in users["z"]), users["z"]
    assert all("Avx512" in user or "Avx2" in user for user in users["y"]), users["y"]


@pytest.mark.parametrize("name", ["README.md", "CHANGELOG.md", "LICENSE"])
def test_documents_are_there(name):
    assert len((ROOT / name).read_text()) > 200
