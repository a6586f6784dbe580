"""What the sources compile to: instruction sets that stay apart, CUDA or not."""

import itertools
import os
import re
import shutil
import subprocess
import sys

import pytest
from emulation import CSRC

from reram_torch.native import cpu, cuda

ISAS = ("portable", "avx2", "avx512")


def needs(*tools):
    missing = [tool for tool in tools if not shutil.which(tool)]
    return pytest.mark.skipif(bool(missing), reason=f"not installed: {', '.join(missing)}")


def output(*command, **options):
    command = [str(part) for part in command]
    return subprocess.run(command, capture_output=True, text=True, check=True, **options).stdout


def configure(build, *options, **more):
    """Configures the sources; returns what CMake says."""
    return output("cmake", "-S", CSRC, "-B", build, *options, **more)


@pytest.fixture(scope="module")
def plain_build(tmp_path_factory):
    """A build without optimisation, where every function that is used stands for itself."""
    if not CSRC.is_dir():
        pytest.skip("the sources are not at hand")
    build = tmp_path_factory.mktemp("plain")
    configure(build, "-DCMAKE_BUILD_TYPE=Debug", "-DRERAM_CUDA=OFF")
    output("cmake", "--build", build)
    return build


def symbols(*paths):
    """(type, name) of everything that object files define."""
    every = (output("nm", "-C", "--defined-only", path) for path in paths)
    lines = [line for listing in every for line in listing.splitlines()]
    return {(line.split()[1], line.split(maxsplit=2)[2]) for line in lines if line.strip()}


@pytest.mark.slow
@needs("cmake", "c++", "nm", "objdump")
def test_the_linker_merges_nothing_across_instruction_sets(plain_build):
    """A function compiled for one must never serve another: no weak symbols, no shared names, and
    nothing that runs at load time."""
    found = {isa: list(plain_build.rglob(f"{isa}.cpp.o")) for isa in ISAS}
    defined = {isa: symbols(*objects) for isa, objects in found.items() if objects}
    if len(defined) == 1:
        pytest.skip("this processor has one instruction set")
    for isa, those in defined.items():
        weak = {name for kind, name in those if kind in "WwVvu"}
        assert weak <= {"DW.ref.__gxx_personality_v0"}, isa  # an address: the same for all
        functions = {name for kind, name in those if kind in "Tt"}
        assert len(functions) > 100
        own = re.compile(rf"reram::(cpu|search)::{isa}::")
        assert all(own.search(name) for name in functions), isa
    for path in itertools.chain(*found.values()):
        assert ".init_array" not in output("objdump", "-h", path)


@needs("nm")
@pytest.mark.skipif(sys.platform != "linux", reason="the linker's list is for ELF")
@pytest.mark.parametrize("module", [cpu, cuda], ids=["cpu", "cuda"])
def test_libraries_export_the_c_interface_only(module):
    if not module.available():
        pytest.skip("the library is not built")
    lines = output("nm", "-D", "--defined-only", module.library_path()).splitlines()
    assert len(lines) >= 7
    assert [line for line in lines if not line.split()[-1].startswith("reram_")] == []


# What betrays an instruction set, and who may use it.
REGISTERS = {r"%zmm|%k[0-7]\b|%[xy]mm(1[6-9]|2\d|3[01])\b": ISAS[2:], r"%ymm": ISAS[1:]}
MNEMONICS = {r"v[a-z]|popcnt$": ISAS[1:]}


@needs("objdump")
@pytest.mark.skipif(not cpu.available(), reason="the native library is not built")
def test_instructions_stay_in_their_namespaces():
    listing = output("objdump", "-d", "-C", "--no-show-raw-insn", cpu.library_path())
    users, isa, name = {}, "portable", ""
    for line in listing.splitlines():
        if match := re.match(r"^[0-9a-f]+ <(.*)>:$", line):
            name = match.group(1)
            space = re.search(r"reram::(?:cpu|search)::(portable|avx2|avx512)::", name)
            isa = space.group(1) if space else "portable"
        elif match := re.match(r"^ *[0-9a-f]+:\t(\w+)(.*)", line):
            used = [p for p in REGISTERS if re.search(p, match.group(2))]
            used += [p for p in MNEMONICS if re.match(p, match.group(1))]
            for pattern in used:
                allowed = (REGISTERS | MNEMONICS)[pattern]
                assert isa in allowed, f"{name}: {line}"
                users.setdefault(pattern, set()).add(isa)
    if not users:
        pytest.skip("this build has portable kernels only")
    assert {isa for found in users.values() for isa in found} == {"avx2", "avx512"}


# --- a CUDA compiler that is no use ---------------------------------------------------------------

FAKES = {
    "it fails": "echo 'nvcc fatal: host compiler not supported' >&2; exit 1",
    "it is old and fails": "echo 'Cuda compilation tools, release 10.2, V10.2.89'; exit 1",
    "it does nothing": "exit 0",
}


def with_nvcc(folder, script):
    """The environment with an nvcc of one's own in front."""
    nvcc = folder / "nvcc"
    nvcc.write_text(f"#!/bin/sh\n{script}\n")
    nvcc.chmod(0o755)
    rest = {k: v for k, v in os.environ.items() if not k.startswith("CUDA")}
    return {**rest, "PATH": f"{folder}{os.pathsep}{os.environ['PATH']}"}


def assert_cpu_only(build, said):
    assert "CUDA tensors will run through the reference" in said
    makefiles = output("cmake", "--build", build, "--target", "help")
    assert "reram_crossbar_cuda" not in makefiles
    assert "reram_crossbar" in makefiles


@needs("cmake", "c++")
@pytest.mark.parametrize("script", FAKES.values(), ids=FAKES)
def test_a_cuda_compiler_that_fails_leaves_the_cpu_build_alone(tmp_path, script):
    said = configure(tmp_path / "build", env=with_nvcc(tmp_path, script))
    assert_cpu_only(tmp_path / "build", said)


@pytest.mark.slow
@needs("cmake", "c++", "nvcc")
def test_a_cuda_compiler_that_lacks_an_architecture_leaves_the_cpu_build_alone(tmp_path):
    """One that works, but knows nothing of what the kernels need."""
    real = shutil.which("nvcc")
    refuse = "echo 'nvcc fatal: Unsupported gpu architecture' >&2; exit 1"
    script = f'case "$*" in *compute_90*) {refuse};; esac\nexec {real} "$@"'
    debug, environment = "-DCMAKE_BUILD_TYPE=Debug", with_nvcc(tmp_path, script)
    said = configure(tmp_path / "build", debug, env=environment)
    assert "Unsupported gpu architecture" in said
    assert_cpu_only(tmp_path / "build", said)
    output("cmake", "--build", tmp_path / "build", "-j2")
    assert list((tmp_path / "build").glob("*reram_crossbar.*"))


@needs("cmake")
@pytest.mark.parametrize(
    ("version", "architectures"),
    [("10.2.89", ""), ("11.0", "80"), ("11.7.99", "80"), ("11.8.0", "80-real;90"),
     ("13.0.88", "80-real;90")],
)  # fmt: skip
def test_architectures_are_those_that_the_compiler_knows(tmp_path, version, architectures):
    script = tmp_path / "try.cmake"
    script.write_text(
        f"include({CSRC / 'cuda' / 'architectures.cmake'})\n"
        f'reram_cuda_architectures({version} found)\nmessage("<${{found}}>")\n'
    )
    said = subprocess.run(["cmake", "-P", script], capture_output=True, text=True, check=True)
    assert said.stderr.strip() == f"<{architectures}>"
