"""Search trees and their tables."""

import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reram_torch.adc import Intervals, SearchTree, TwinRange, UniformSAR
from reram_torch.adc.base import compile_tables, design_from_dict, design_to_dict
from reram_torch.adc.trees import Leaf, compiled


def walk(tree, v):
    """Follows the comparisons of one sum."""
    made = 0
    while not isinstance(tree, Leaf):
        tree = tree.below if v < tree.threshold else tree.above
        made += 1
    return tree.level, made


def rounded(v, codes, step):
    """A sum rounded to its code, ties away from zero; decoded to the middle of the code's sums.

    The code of zero keeps zero, where sums are of one sign too.
    """
    code = math.floor(abs(v) / step + 0.5) * (-1 if v < 0 else 1)
    code = min(max(code, codes[0]), codes[-1])
    size = abs(code) * step
    middle = size - 0.5 if step % 2 == 0 and size else size
    return -middle if code < 0 else middle


domains = st.sampled_from([(0, 128), (0, 7), (0, 300), (-128, 128), (-5, 5)])
steps = st.sampled_from([1, 2, 4, 8])


@given(domains, st.integers(0, 9), steps)
def test_uniform_sar(domain, bits, step):
    low, high = domain
    tables = compile_tables(UniformSAR(bits, step), low, high)
    first = 0 if low == 0 else -(2**bits) // 2
    codes = range(first, first + 2**bits)
    # Without bits there is one level: the middle of the first sums, or of all.
    single = None if bits else ((step - 1) / 2 if low == 0 else 0)
    assert tables.lowest == low
    for index, v in enumerate(range(low, high + 1)):
        assert tables.level[index] == (rounded(v, codes, step) if bits else single)
        assert tables.comparisons[index] == bits


@given(domains, st.integers(-5, 40), st.integers(0, 5), st.integers(1, 6), steps, st.integers(0, 4))
def test_twin_range(domain, bias, n1, n2, step, m):
    low, high = domain
    design = TwinRange(bias, n1, n2, step, m)
    if bias > high or design.end <= low:
        with pytest.raises(ValueError, match="outside the bit-line sums"):
            compile_tables(design, low, high)
        return
    tables = compile_tables(design, low, high)
    first = 0 if low == 0 else -(2 ** (n2 - 1))
    codes, coarse = range(first, first + 2**n2), step * 2**m
    detection = max((bias > low) + (design.end <= high), 1)
    for index, v in enumerate(range(low, high + 1)):
        inside = bias <= v < design.end
        own = np.sign(bias) * ((abs(bias) + step // 2) // step)  # the code of its first sum
        dense = range(own, own + 2**n1)
        expected = rounded(v, dense, step) if inside else rounded(v, codes, coarse)
        assert tables.level[index] == expected
        assert tables.comparisons[index] == detection + (n1 if inside else n2)


@given(domains, st.one_of(st.builds(UniformSAR, st.integers(1, 8), steps), st.just(TwinRange())))
def test_tables_are_the_tree(domain, design):
    tables = compile_tables(design, *domain)
    tree = design.tree(*domain)
    for index, v in enumerate(range(domain[0], domain[1] + 1)):
        assert walk(tree, v) == (tables.level[index], tables.comparisons[index])


def test_the_isaac_adc_is_lossless():
    tables = compile_tables(UniformSAR(8), 0, 128)
    assert np.array_equal(tables.level, np.arange(129))
    assert set(tables.comparisons) == {8}


@pytest.mark.parametrize(
    ("make", "match"),
    [
        (lambda: UniformSAR(-1), "UniformSAR.bits must be a whole number from 0 to 16, not -1"),
        (lambda: UniformSAR(17), "UniformSAR.bits must be a whole number from 0 to 16, not 17"),
        (lambda: UniformSAR(8.0), "not 8.0"),
        (lambda: UniformSAR(8, 3), "UniformSAR.step must be a power of two.*not 3"),
        (lambda: TwinRange(n1=-1), "TwinRange.n1"),
        (lambda: TwinRange(n2=0), "TwinRange.n2"),
        (lambda: TwinRange(m=True), "TwinRange.m"),
        (lambda: design_from_dict({"kind": "flash"}), r"adc.kind must be one of .*'twin_range'"),
        (lambda: design_from_dict({"kind": "uniform", "bit": 4}), "unknown key 'bit'"),
        (lambda: design_from_dict({}), "not None"),
        (lambda: SearchTree(levels=(0.25,)), "SearchTree.levels must be multiples of 1/2.*0.25"),
        (lambda: SearchTree(levels=(True,)), "SearchTree.levels must be multiples of 1/2.*True"),
        (lambda: SearchTree(levels=(float("nan"),)), "SearchTree.levels.*not nan"),
        (lambda: SearchTree(starts=(0.5,)), "SearchTree.starts must be a whole number"),
        (lambda: Intervals(offsets=(0.1,)), "Intervals.offsets must be multiples of 1/2.*0.1"),
        (lambda: Intervals(offsets=(2**17,)), "Intervals.offsets must be multiples of 1/2 from"),
    ],
)
def test_bad_designs_are_named(make, match):
    with pytest.raises(ValueError, match=match):
        make()


@pytest.mark.parametrize(
    "design",
    [
        UniformSAR(4, 2),
        TwinRange(-3, 2, 4, 2, 1),
        SearchTree((0, 3), (1, 4.5), (1, 1)),
        Intervals((0, 8), (2, 8), (2, 1), (1, 1)),
    ],
)
def test_designs_survive_as_plain_values(design):
    assert design_from_dict(design_to_dict(design)) == design
    assert design_from_dict(json.loads(json.dumps(design_to_dict(design)))) == design


def test_whole_levels_stay_whole_numbers():
    design = SearchTree((0, 3, 6), (1.0, 4.5, 7), (1, 2, 2))
    assert list(map(repr, design.levels)) == ["1", "4.5", "7"]
    assert repr(Intervals((0, 8), (1, 2), (3, 1), (1, 1)).offsets) == "(0, 0.5)"
    leaves = [UniformSAR(3).tree(0, 7), TwinRange(1, 2, 3).tree(0, 128)]
    for tree in leaves:
        while not isinstance(tree, Leaf):
            tree = tree.below
        assert isinstance(tree.level, int)


def test_intervals_decode_runs_to_their_middle_unless_they_are_told():
    runs = Intervals((3, 11), (4, 2), (1, 1), (1, 1))
    tables = compile_tables(runs, 3, 14)
    assert tables.level.tolist() == [4.5] * 4 + [8.5] * 4 + [11.5] * 2 + [13.5] * 2
    told = compile_tables(Intervals((3, 11), (4, 2), (1, 1), (1, 1), (0, 0.5)), 3, 14)
    assert told.level.tolist() == [3, 3, 7, 7, 7, 7, 7, 7, 11.5, 11.5, 13.5, 13.5]
    assert told.level.dtype == np.float64


def test_large_domains_compile():
    tables = compile_tables(UniformSAR(16), -28_800, 28_800)
    assert np.array_equal(tables.level, np.arange(-28_800, 28_801))


@given(
    st.lists(st.integers(-20, 20), min_size=1, max_size=12, unique=True),
    st.integers(-15, 0),
    st.integers(0, 15),
    st.data(),
)
def test_a_search_tree_tells_its_tables_as_its_tree_does(starts, lowest, highest, data):
    depths = [0]
    while len(depths) < len(starts):
        k = data.draw(st.integers(0, len(depths) - 1))
        depths[k : k + 1] = [depths[k] + 1] * 2
    levels = tuple(k / 2 for k in range(len(starts)))
    design = SearchTree(tuple(sorted(starts)), levels, tuple(depths))
    tables = design.tables(lowest, highest)
    expected = compiled(design.tree(lowest, highest), lowest, highest)
    assert tables.level.tolist() == expected.level.tolist()
    assert tables.comparisons.tolist() == expected.comparisons.tolist()
    assert tables.comparisons.dtype == expected.comparisons.dtype
