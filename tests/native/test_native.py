"""The C interface: whatever it is handed, it answers with a status and touches nothing."""

import pytest
from arguments import call_cpu as call
from hypothesis import given
from hypothesis import strategies as st

from reram_torch.native import cpu, library
from reram_torch.native.library import NativeError

pytestmark = pytest.mark.skipif(not cpu.available(), reason="the native library is not built")

BAD_LAYER = {
    "image_rows": (0, -3, 1, 2**40), "image_columns": (0, -1, 2**40), "stride": ((0, 1), (2, 1)),
    "padding": ((-1, 0), (2**30, 0)), "dilation": ((0, 1), (1, -1)),
    "input_scale": (0.0, -1.0, float("nan")), "input_zero": (-1, 256),
}  # fmt: skip


def test_a_good_problem_runs():
    statuses, untouched = call({})
    assert statuses == [0, 0, 0, 0]
    assert not untouched


@given(st.data())
def test_bad_layers_are_refused(data):
    fields = data.draw(st.lists(st.sampled_from(sorted(BAD_LAYER)), min_size=1, unique=True))
    layer = {f: data.draw(st.sampled_from(BAD_LAYER[f])) for f in fields}
    assert call({}, layer=layer)[0] == [0, 1, 0, 0]


def test_windows_beyond_the_image_are_refused():
    assert call({"positions": (1, 3, 1)})[0][1] == 1
    assert call({"depth": (5, 2, 1)})[0][1] == 1


@pytest.mark.parametrize("x", [float("nan"), float("inf"), -float("inf")])
def test_inputs_that_are_not_finite_are_told(x):
    assert call({}, x=x)[0] == [0, 5, 0, 0]


@pytest.mark.parametrize(
    ("missing", "expected"),
    [
        ("u", [1, 0, 1, 0]), ("x", [0, 1, 0, 0]), ("cells", [1, 1, 1, 1]),
        ("levels", [1, 1, 0, 0]), ("comparisons", [1, 1, 0, 0]), ("edges", [1, 1, 1, 0]),
        ("index", [1, 1, 0, 0]), ("acc", [1, 0, 0, 0]), ("scale", [0, 1, 0, 0]),
        ("code_sums", [0, 1, 0, 0]), ("y", [0, 1, 0, 0]), ("bins", [0, 0, 1, 0]),
        ("codes", [0, 0, 0, 1]),
    ],
)  # fmt: skip
def test_missing_buffers_are_refused(missing, expected):
    assert call({}, missing)[0] == expected


@pytest.mark.parametrize("isa", [-1, 3, 99])
def test_unknown_instruction_sets_are_refused(isa):
    assert call({"isa": isa})[0][:3] == [2, 2, 2]


@pytest.mark.parametrize("edges", [(1, 2), (0, 0), (0, -3)])
def test_edges_that_do_not_rise_from_zero_are_refused(edges):
    assert call({"buckets": 2}, edges=edges)[0] == [1, 1, 1, 0]


@pytest.mark.parametrize("index", [-2, 1, 10**6])
def test_indices_of_no_table_are_refused(index):
    assert call({"buckets": 2}, index=index)[0] == [1, 1, 0, 0]


def test_no_problem_is_refused():
    library = cpu.library()
    assert library.reram_crossbar(None, *[None] * 9) == 1
    assert library.reram_forward(None, None, *[None] * 12) == 1
    assert library.reram_histogram(None, *[None] * 4) == 1
    assert library.reram_program(None, *[None] * 2) == 1
    assert library.reram_fingerprint(None, 5) == library.reram_fingerprint(None, 0)


def test_libraries_of_another_version_are_refused(monkeypatch):
    monkeypatch.setattr(library, "ABI_VERSION", library.ABI_VERSION + 1)
    cpu.library.cache_clear()
    try:
        with pytest.raises(NativeError, match="another version"):
            cpu.isa()
    finally:
        cpu.library.cache_clear()
