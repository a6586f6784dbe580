"""What designs say of themselves."""

import numpy as np
import pytest

from reram_torch.adc import Intervals, SearchTree, TwinRange, UniformSAR
from reram_torch.adc.base import compile_tables, design_from_dict, design_to_dict
from reram_torch.hardware.description import describe_adc

DESIGNS = [
    UniformSAR(4, 2),
    TwinRange(3, 2, 3, 1, 2),
    Intervals((0, 4, 12), (1, 2, 8), (2, 2, 1), (1, 2, 2), (0, 1, 4)),
    SearchTree((0, 1, 3, 9), (0, 1, 5, 12), (1, 2, 3, 3)),
]


@pytest.mark.parametrize("design", DESIGNS, ids=lambda d: d.kind)
def test_a_description_agrees_with_the_tables(design):
    histogram = np.arange(20)[::-1]
    found = describe_adc(design, 0, 19, histogram)
    tables = compile_tables(design, 0, 19)
    off = tables.level - np.arange(20)
    assert found.worst_case == tables.comparisons.max()
    assert found.comparisons == pytest.approx(histogram @ tables.comparisons / histogram.sum())
    assert found.mean_square_error == pytest.approx(histogram @ off**2 / histogram.sum())
    words = [c.flag + c.payload for c in found.codes]
    for code, word in zip(found.codes, words, strict=True):
        part = slice(code.first, code.last + 1)
        assert (tables.level[part] == code.level).all()
        assert (tables.comparisons[part] == len(word)).all()
    assert sum(c.last - c.first + 1 for c in found.codes) == 20
    for k, word in enumerate(words):  # no word begins another
        assert not any(other.startswith(word) for other in words[:k] + words[k + 1 :])
    assert design_from_dict(design_to_dict(design)) == design


def test_flags_payloads_and_storage():
    uniform, twin, intervals, tree = (describe_adc(d, 0, 19) for d in DESIGNS)
    assert uniform.thresholds == uniform.table_bits == uniform.decoder_bits == 0
    assert all(c.flag == "" and len(c.payload) == 4 for c in uniform.codes)
    assert twin.thresholds == 2  # sums lie below and above R1
    assert {len(c.payload) for c in twin.codes if 3 <= c.first < 7} == {2}
    assert intervals.thresholds == 2
    assert [c.flag for c in intervals.codes if c.first < 4] == ["0"] * 4
    assert tree.thresholds == 3
    assert all(c.payload == "" for c in tree.codes)
    assert uniform.comparisons is None


@pytest.mark.parametrize(
    ("make", "match"),
    [
        (lambda: SearchTree((0, 1), (0, 1), (1, 2)), "not those of a binary tree's leaves"),
        (lambda: SearchTree((0, 0), (0, 1), (1, 1)), "starts must rise"),
        (lambda: SearchTree((0,), (0, 1), (1, 1)), "equally many"),
        (lambda: Intervals((0, 4), (1, 3), (1, 1), (1, 1)), "Intervals.steps must be a power"),
        (lambda: Intervals((0, 4), (1, 2), (1, -1), (1, 1)), "Intervals.bits"),
        (lambda: describe_adc(UniformSAR(), 0, 3, np.zeros(4)), "histogram must hold counts"),
        (lambda: describe_adc(UniformSAR(), 0, 3, np.ones(5)), "histogram must hold counts"),
    ],
)
def test_bad_designs_are_named(make, match):
    with pytest.raises(ValueError, match=match):
        make()
