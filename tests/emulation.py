"""The CUDA kernels compiled for the CPU: a library that pretends to be a device."""

import ctypes
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from reram_torch.native import cuda

CSRC = Path(__file__).parents[1] / "csrc"
COMPILER = shutil.which(os.environ.get("CXX", "c++"))


class Emulation:
    """The emulated library, and the machine that it pretends to be."""

    def __init__(self, path):
        self.library = cuda.load(path)
        self._knobs = {
            name: ctypes.c_int32.in_dll(self.library, f"reram_emulated_{name}")
            for name in ("shared_memory", "processors", "capability")
        }

    def pretend(self, shared_memory=227 << 10, processors=4, capability=90):
        knobs = (shared_memory, processors, capability)
        for knob, value in zip(self._knobs.values(), knobs, strict=True):
            knob.value = value


def build(folder):
    """Compiles the emulation; skips the test that needs it where that cannot be."""
    source = CSRC / "cuda" / "emulation.cpp"
    if not source.is_file():
        pytest.skip("the sources are not at hand")
    if COMPILER is None:
        pytest.skip("no C++ compiler")
    path = folder / "libemulation.so"
    options = ["-std=c++17", "-O2", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC", f"-I{CSRC}"]
    subprocess.run([COMPILER, *options, str(source), "-o", str(path)], check=True)
    return Emulation(path)
