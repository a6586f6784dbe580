"""Native work runs on torch's threads: one OpenMP runtime in the process, whatever its name."""

import ctypes
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from problems import Kernels, uniform

from reram_torch.crossbar.cells import program
from reram_torch.crossbar.tables import AdcTables
from reram_torch.native import cpu

KERNELS = Kernels(cpu)
pytestmark = [
    pytest.mark.skipif(not cpu.available(), reason="the native library is not built"),
    pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the library links OpenMP"),
]
PROLOGUE = """
import ctypes, os
def tasks():
    return len(os.listdir("/proc/self/task"))
def runtimes():
    mapped = {line.split()[-1] for line in open("/proc/self/maps") if "/" in line}
    return [path for path in mapped if any(f"lib{k}omp" in path for k in ("g", "i", ""))]
def load():
    return ctypes.CDLL(LIBRARY)
"""


def run(code, **names):
    """Runs code in a process of its own, with the library's path as LIBRARY."""
    names = {"LIBRARY": str(cpu.library_path()), **names}
    given = "".join(f"{name} = {value!r}\n" for name, value in names.items())
    result = subprocess.run(
        [sys.executable, "-c", given + PROLOGUE + code], capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr


def test_torchs_threads_are_used_and_no_others():
    run("""
import torch
from reram_torch.native import cpu, structures
torch.set_num_threads(2)
torch.rand(1 << 22).exp_()  # torch starts its threads when it first needs them
before, known = tasks(), runtimes()
assert len(known) == 1, known
library = cpu.library()
assert library.reram_team(2) == 2
assert library.reram_team(1) == 1
assert runtimes() == known, runtimes()
assert tasks() == before, (before, tasks())
""")


def test_a_layer_keeps_to_torchs_threads():
    run("""
import time, torch
import reram_torch as rt
torch.set_num_threads(2)
net = rt.convert(torch.nn.Conv2d(64, 64, 3))
x = torch.rand(4, 64, 20, 20)
rt.calibrate(net, [x], show_progress=False)
torch.rand(1 << 22).exp_()
def busy():
    ticks = {}
    for task in os.listdir("/proc/self/task"):
        with open(f"/proc/self/task/{task}/schedstat") as file:
            ticks[task] = int(file.read().split()[0])
    return ticks
before = busy()
with torch.no_grad():
    for _ in range(20):
        net(x)
after = busy()
assert set(after) == set(before)
worked = sorted(after[task] - before[task] for task in after)
assert worked[-2] > 0.2 * worked[-1], worked
assert len(runtimes()) == 1
""")


def test_without_a_runtime_it_is_one_thread():
    run("""
library = load()
assert library.reram_team(4) == 1
assert not runtimes()
""")


@pytest.mark.skipif(not shutil.which("cc"), reason="no C compiler")
def test_the_runtime_is_torchs_whatever_it_is_called(tmp_path):
    """A wheel's own copy of the runtime has a name that nobody knows, and its names are not
    visible to others; another runtime may be there, too."""

    def compile(name, code, *options):
        path = tmp_path / f"lib{name}"
        command = ["cc", "-shared", "-fPIC", "-x", "c", "-", "-o", str(path), *options]
        subprocess.run(command, input=code, text=True, check=True)
        return path

    team = "void GOMP_parallel(void (*f)(void*), void* d, unsigned n, unsigned flags) {{ {} }}"
    each = team.format("while (n--) f(d);")
    own = compile("gomp-12345678.so.1", each, "-Wl,-soname,libgomp-12345678.so.1")
    compile("gomp.so.1", team.format("f(d); f(d);"), "-Wl,-soname,libgomp.so.1")
    user = "void GOMP_parallel(); void at_parallel_for() { GOMP_parallel(); }"
    options = ["-Wl,-soname,libtorch_cpu.so", f"-Wl,-rpath,{tmp_path}"]
    compile("torch_cpu.so", user, *options, "-x", "none", str(own))
    run(
        """
library = load()
assert library.reram_team(7) == 1
other = ctypes.CDLL(FOLDER + "/libgomp.so.1", mode=ctypes.RTLD_GLOBAL)
torch = ctypes.CDLL(FOLDER + "/libtorch_cpu.so", mode=ctypes.RTLD_LOCAL)
assert library.reram_team(7) == 7  # the other one: 2
""",
        FOLDER=str(tmp_path),
    )


@pytest.mark.parametrize("threads", [0, -1, 2**30])
def test_bad_numbers_of_threads_are_refused(threads):
    assert cpu.library().reram_team(ctypes.c_int32(threads)) == 0


def test_several_python_threads_may_call_at_once(monkeypatch):
    g = uniform(128, 1, 1)
    generator = torch.Generator().manual_seed(1)
    u = torch.randint(0, 256, (600, 1, 300), dtype=torch.uint8, generator=generator)
    codes = torch.randint(-128, 128, (1, 200, 300), dtype=torch.int8, generator=generator)
    levels = torch.arange(g.lowest, g.highest + 1, dtype=torch.int32).unsqueeze(0)
    zero = torch.zeros(1, dtype=torch.int32)
    index = zero.expand(1, g.cycles, g.slices)
    tables = AdcTables(levels, torch.full_like(levels, 8, dtype=torch.uint8), zero, index)
    cells = program(codes, g)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 2)
    product = torch.einsum("mgk,gnk->mgn", u.long(), codes.long())
    with ThreadPoolExecutor(4) as pool:
        calls = [pool.submit(KERNELS.crossbar, u, cells, tables, 200, g, True) for _ in range(16)]
        found = [call.result() for call in calls]
    for acc, comparisons, driven in found:
        assert torch.equal(acc.long(), product)
        assert torch.equal(comparisons, found[0][1])
        assert torch.equal(driven, found[0][2])
