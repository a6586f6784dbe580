"""Both C interfaces refuse the same problems, since they ask the same check; and touch nothing."""

import pytest
import torch
from arguments import BAD, GOOD, OWN_TO_THE_CPU, call_cpu, call_cuda, structure
from hypothesis import given
from hypothesis import strategies as st

from reram_torch.native import cpu, structures

BAD_ISA = 2
# The ends of each range.
ENDS = {
    "positions": ((0, 1, 1), (2**31, 1, 1), (1, 2**31 + 1, 1), (2**16, 2**15, 1)),
    "depth": ((1, 1, 1), (2**22, 1, 1), (2**11, 2**11, 1), (2**11, 2**11, 2)),
    "groups": (1, 2**20, 2**20 + 1), "outputs": (1, 2**22, 2**22 + 1), "rows": (1, 4096, 4097),
    "cell_bits": ((1,) * 8, (1,) * 7 + (4,)), "dac_bits": ((1,) * 8, (1,) * 6 + (4, 1)),
    "slices": (1, 8), "cycles": (1, 8), "weight_bits": (1, 8), "input_bits": (1, 8),
    "encoding": (0, 1, 2), "tables": (1, 2**16, 2**16 + 1), "buckets": (1, 255), "unit": (1, 2, 3),
    "speculation": (0, 1),
}  # fmt: skip


@pytest.fixture(params=["cpu", "cuda"])
def call(request):
    """Calls all functions of an interface that take a problem."""
    if request.param == "cuda":
        library = request.getfixturevalue("emulated").library
        return lambda values: call_cuda(library, values)
    if not cpu.available():
        pytest.skip("the native library is not built")
    return call_cpu


@pytest.mark.parametrize(("field", "value"), [(f, v) for f in BAD for v in BAD[f]])
def test_bad_sizes_are_refused(call, field, value):
    if call is not call_cpu and field in OWN_TO_THE_CPU:
        pytest.skip("CUDA does not read it")
    statuses, untouched = call({field: value})
    assert set(statuses) == {1}
    assert untouched


@given(st.data())
def test_both_refuse_the_same(emulated, data):
    """Without work on sizes that would take it: CUDA tells its workspace, and the CPU refuses an
    unknown instruction set once the sizes are good."""
    if not cpu.available():
        pytest.skip("the native library is not built")
    shared = sorted(set(BAD) - set(OWN_TO_THE_CPU))
    fields = data.draw(st.lists(st.sampled_from(shared), min_size=1, max_size=2, unique=True))
    values = {f: data.draw(st.sampled_from((*BAD[f], *ENDS[f]))) for f in fields}
    problem = structure(structures.Problem, {**GOOD, **values, "isa": 99})
    room = torch.zeros(64, dtype=torch.uint8)
    at = [room.data_ptr()] * 7
    status = cpu.library().reram_crossbar(problem, *at, None, None)
    assert status == (BAD_ISA if emulated.library.reram_cuda_workspace(problem) else 1)


def test_cuda_does_not_read_what_is_the_cpus(emulated):
    values = dict.fromkeys(OWN_TO_THE_CPU, -1)
    problem = structure(structures.Problem, {**GOOD, **values})
    assert emulated.library.reram_cuda_workspace(problem) > 0


def test_missing_arrays_and_unknown_products_are_refused(emulated):
    problem, library = structure(structures.Problem, GOOD), emulated.library
    at = torch.zeros(4096, dtype=torch.uint8).data_ptr()
    crossbar, histogram = [at] * 10, [at] * 5
    for missing in range(10):  # both counts may only be missing together
        arrays = [None if k == missing else at for k in range(10)]
        assert library.reram_cuda_crossbar(problem, 0, *arrays, None) == 1
    for missing in range(5):
        arrays = [None if k == missing else at for k in range(5)]
        assert library.reram_cuda_histogram(problem, 0, *arrays, None) == 1
    for product in (-1, 2):
        assert library.reram_cuda_crossbar(problem, product, *crossbar, None) == 1
        assert library.reram_cuda_histogram(problem, product, *histogram, None) == 1
    assert library.reram_cuda_crossbar(None, 0, *crossbar, None) == 1
    assert library.reram_cuda_histogram(None, 0, *histogram, None) == 1
    assert library.reram_cuda_program(None, at, at, None) == 1
    assert library.reram_cuda_workspace(None) == 0


@pytest.mark.parametrize(
    ("capability", "words"),
    [(80, "no error"), (90, "no error"), (120, "no error"), (75, "below 8.0"),
     (0, "no CUDA device"), (-1, "no NVIDIA driver"), (-2, "older")],
)  # fmt: skip
def test_a_device_that_cannot_run_the_kernels_is_told(emulated, capability, words):
    emulated.pretend(capability=capability)
    try:
        status = emulated.library.reram_cuda_fitness()
    finally:
        emulated.pretend()
    assert (status == 0) == (words == "no error")
    assert words in emulated.library.reram_cuda_status_text(status).decode()


def test_errors_of_cuda_are_told_in_words(emulated):
    """cudaErrorInsufficientDriver, cudaErrorNoDevice, cudaErrorNoKernelImageForDevice."""
    for error, words in ((-35, "driver"), (-100, "no CUDA device"), (-209, "capability")):
        assert words in emulated.library.reram_cuda_status_text(error).decode()
