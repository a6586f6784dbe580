"""What the sources compile to: instruction sets that stay apart."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from reram_torch import native

CSRC = Path(__file__).parents[1] / "csrc"
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


def symbols(path):
    """(type, name) of everything that an object file defines."""
    lines = output("nm", "-C", "--defined-only", path).splitlines()
    return {(line.split()[1], line.split(maxsplit=2)[2]) for line in lines if line.strip()}


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
        assert all(f"reram::cpu::{isa}::" in name for name in functions), isa
    for (path,) in found.values():
        assert ".init_array" not in output("objdump", "-h", path)


# What betrays an instruction set, and who may use it.
REGISTERS = {r"%zmm|%k[0-7]\b|%[xy]mm(1[6-9]|2\d|3[01])\b": ISAS[2:], r"%ymm": ISAS[1:]}
MNEMONICS = {r"v[a-z]|popcnt$": ISAS[1:]}


@needs("objdump")
@pytest.mark.skipif(not native.available(), reason="the native library is not built")
def test_instructions_stay_in_their_namespaces():
    listing = output("objdump", "-d", "-C", "--no-show-raw-insn", native.library_path())
    users, isa, name = {}, "portable", ""
    for line in listing.splitlines():
        if match := re.match(r"^[0-9a-f]+ <(.*)>:$", line):
            name = match.group(1)
            space = re.search(r"reram::cpu::(portable|avx2|avx512)::", name)
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
