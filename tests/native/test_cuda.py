"""The CUDA kernels: emulated thread by thread on the CPU, and on a device where there is one.

The emulation compiles the kernels' own code with the C++ compiler; only the instructions of a
device (ballots, tensor-core products, barriers) are stood in for, after NVIDIA's documentation.
"""

import shutil
import warnings
from unittest import mock

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from problems import Kernels, Problem, assert_same, examples, lossless_tables, problems, uniform

import reram_torch as rt
from reram_torch.crossbar.cells import program
from reram_torch.crossbar.geometry import sizes
from reram_torch.crossbar.tables import AdcTables
from reram_torch.crossbar.windows import Window
from reram_torch.native import cuda
from reram_torch.native.library import NativeError
from reram_torch.ops import reference

KERNELS = Kernels(cuda)


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    """The reference's many small products take far longer on several threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def emulation(emulated):
    with mock.patch.object(cuda, "library", return_value=emulated.library):
        yield emulated


def check(p, device="cpu"):
    """All three functions against the reference."""
    g, expected = p.geometry, program(p.codes, p.geometry)
    u, codes = p.u.to(device), p.codes.to(device)
    if u.stride() != p.u.stride():  # a copy to a device keeps no gaps and no overlaps
        u = torch.empty(0, dtype=torch.uint8, device=device)
        whole = p.u.as_strided((p.u.untyped_storage().nbytes(),), (1,), 0)
        u.set_(whole.to(device).untyped_storage(), p.u.storage_offset(), p.u.shape, p.u.stride())
    tables = p.tables.to(device)
    cells = KERNELS.program(codes, g)
    assert torch.equal(cells.cpu(), expected)
    bins = KERNELS.histogram(u, cells, tables.edges, p.outputs, g)
    assert torch.equal(bins.cpu(), reference.histogram(p.u, p.codes, p.tables.edges, g))
    try:
        expected = reference.crossbar(p.u, p.codes, p.tables, g)
    except ValueError:
        return  # refused when a layer is given its tables, before any kernel
    assert_same(KERNELS.crossbar(u, cells, tables, p.outputs, g, True), expected)
    uncounted, *none = KERNELS.crossbar(u, cells, tables, p.outputs, g, False)
    assert torch.equal(uncounted.cpu(), expected[0])
    assert not any(x.any() for x in none)


@st.composite
def convolutions(draw):
    """Problems on the overlapping windows of a convolution, in either memory format."""
    p = draw(problems(most=9))
    kernel, stride, padding, dilation = (
        [draw(st.integers(low, high)) for _ in range(2)]
        for low, high in ((1, 3), (1, 2), (0, 2), (1, 2))
    )
    size = [d * (k - 1) + draw(st.integers(1, 5)) for k, d in zip(kernel, dilation, strict=True)]
    G, N, C = p.codes.shape
    generator = torch.Generator().manual_seed(draw(st.integers(0, 2**32 - 1)))
    shape = draw(st.integers(1, 3)), G * C, *size
    image = torch.randint(0, 256, shape, dtype=torch.uint8, generator=generator)
    if draw(st.booleans()):
        image = image.contiguous(memory_format=torch.channels_last)
    u = Window(kernel, stride, padding, dilation, G).over(image, draw(st.integers(0, 255)))
    half = 2 ** (p.geometry.weight_bits - 1)
    shape = G, N, C * kernel[0] * kernel[1]
    codes = torch.randint(-half, half, shape, dtype=torch.int8, generator=generator)
    return Problem(p.geometry, u, codes, p.tables)


def affordable(p):
    """Whether a problem takes a moment, in the reference (tiles) and the emulation (products)."""
    (M, G, K), g = sizes(p.u), p.geometry
    products = G * -(-M // 16) * -(-p.outputs // 64) * g.cell_bits * g.dac_bits
    return g.tiles(K) <= 9 and g.tiles(K) * products < 150


# Shared memory for tables and bins or hardly for inputs; blocks of eight warps down to one.
machines = st.tuples(st.sampled_from([227 << 10, 48 << 10, 12 << 10]), st.sampled_from([1, 4, 200]))


@examples(100)
@given(p=problems(most=70).filter(affordable), machine=machines)
def test_emulation_equals_reference(emulation, p, machine):
    emulation.pretend(*machine)
    check(p)


@examples(50)
@given(p=convolutions().filter(affordable), machine=machines)
def test_emulation_of_convolutions(emulation, p, machine):
    emulation.pretend(*machine)
    check(p)


@pytest.mark.parametrize("product", cuda.PRODUCTS)
def test_both_products_equal_reference(emulation, monkeypatch, product):
    monkeypatch.setenv("RERAM_TORCH_CUDA_PRODUCT", product)

    @examples(30)
    @given(p=problems(most=150, one_bit=True).filter(affordable), machine=machines)
    def run(p, machine):
        emulation.pretend(*machine)
        check(p)

    run()


@pytest.mark.parametrize("rows", [100, 129, 255, 256, 257])
def test_blocks_without_room_for_tallies(emulation, rows):
    """Word-lines are counted one by one where a device's memory holds no more."""
    g = uniform(rows, 1, 1)
    u = torch.randint(0, 256, (5, 1, 300), dtype=torch.uint8)
    codes = torch.randint(-128, 128, (1, 2, 300), dtype=torch.int8)
    emulation.pretend(12 << 10, 1)
    check(Problem(g, u, codes, lossless_tables(g)))


@pytest.mark.parametrize("encoding", [0, 1, 2])
@pytest.mark.parametrize("rows", [513, 4096])
def test_tall_tiles(emulation, rows, encoding):
    """More word-lines than one product takes, with and without room for their tables."""
    g = uniform(rows, 2, 2, encoding=encoding)
    u = torch.randint(0, 256, (3, 1, 5000), dtype=torch.uint8)
    codes = torch.randint(-128, 128, (1, 2, 5000), dtype=torch.int8)
    levels = torch.arange(g.lowest, g.highest + 1, dtype=torch.int32).unsqueeze(0)
    zero = torch.zeros(1, dtype=torch.int32)
    index = zero.expand(1, g.cycles, g.slices)
    emulation.pretend()
    check(Problem(g, u, codes, AdcTables(levels, levels.to(torch.uint8), zero, index)))


def test_the_smallest_machine_is_refused(emulation):
    g = uniform(4096, 1, 1)
    u = torch.zeros(1, 1, 4096, dtype=torch.uint8)
    cells = program(torch.zeros(1, 1, 4096, dtype=torch.int8), g)
    emulation.pretend(shared_memory=48 << 10)
    with pytest.raises(NativeError):
        KERNELS.histogram(u, cells, torch.zeros(1, dtype=torch.int32), 1, g)


def test_nothing_to_do(emulation):
    p = uniform(128, 1, 1)
    u = torch.zeros(0, 1, 10, dtype=torch.uint8)
    cells = program(torch.ones(1, 3, 10, dtype=torch.int8), p)
    bins = KERNELS.histogram(u, cells, torch.zeros(1, dtype=torch.int32), 3, p)
    assert not bins.any()


# --- the library that nvcc builds -----------------------------------------------------------------


def embedded_code(path):
    """(is machine code, architecture) of everything in a library's fat binaries.

    Their layout: a header (magic number, version, size of the header, size of what follows), then
    entries (kind: 1 PTX, 2 machine code; size of the entry's header at byte 4, size of its content
    at byte 8, architecture at byte 28).
    """
    data, found = path.read_bytes(), set()
    magic = (0xBA55ED50).to_bytes(4, "little")
    start = data.find(magic)
    while start >= 0:
        header = int.from_bytes(data[start + 6 : start + 8], "little")
        end = start + header + int.from_bytes(data[start + 8 : start + 16], "little")
        at = start + header
        while at < end:
            kind, size, content = (
                int.from_bytes(data[at + a : at + b], "little")
                for a, b in ((0, 2), (4, 8), (8, 16))
            )
            found.add((kind == 2, int.from_bytes(data[at + 28 : at + 32], "little")))
            at += size + content
        start = data.find(magic, end)
    return found


def test_the_library_holds_code_for_both_generations():
    if shutil.which("nvcc") is None:
        pytest.skip("no nvcc")
    assert cuda.available(), "nvcc is there, but the CUDA library was not built"
    assert {(True, 80), (True, 90), (False, 90)} <= embedded_code(cuda.library_path())


# --- a device -------------------------------------------------------------------------------------

no_device = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")


@pytest.mark.cuda
@no_device
@pytest.mark.parametrize("product", cuda.PRODUCTS)
@pytest.mark.parametrize("kind", [problems(most=150), convolutions()], ids=["plain", "windows"])
def test_device_equals_reference(monkeypatch, product, kind):
    monkeypatch.setenv("RERAM_TORCH_CUDA_PRODUCT", product)

    @examples(150)
    @given(p=kind)
    def run(p):
        check(p, "cuda")

    run()


@pytest.mark.cuda
@no_device
def test_layers_equal_those_of_the_cpu(calibrated, batches):
    x, _ = batches[0]
    kept = []
    hook = lambda layer, inputs, y: kept.append((layer, inputs[0], y))  # noqa: E731
    for layer in rt.crossbar_layers(calibrated).values():
        layer.register_forward_hook(hook)
    calibrated(x)
    for layer, inputs, y in list(kept):
        assert torch.equal(layer.cuda()(inputs.cuda()).cpu(), y)


@pytest.mark.cuda
@no_device
def test_forward_never_waits_and_replays(calibrated, batches):
    net, (first, _), (second, _) = calibrated.cuda(), *batches
    x = first.cuda()
    with torch.no_grad():
        eager = [net(first.cuda()), net(second.cuda())]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch says that this mode is a prototype
            torch.cuda.set_sync_debug_mode("error")
        try:
            net(x)
        finally:
            torch.cuda.set_sync_debug_mode("default")
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            y = net(x)
        for images, expected in zip((first, second), eager, strict=True):
            x.copy_(images)
            graph.replay()
            assert torch.equal(y, expected)
