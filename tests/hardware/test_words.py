"""Words of controllers: decoding them gives the tables of the designs."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from searched_words import KINDS, SPANS, designs, put, trained

import reram_torch as rt
from reram_torch.adc.base import compile_tables
from reram_torch.hardware.formats import Format
from reram_torch.hardware.words import format_of, tables_of, words_of


def same(found, expected):
    return (found.level == expected.level).all() and (
        found.comparisons == expected.comparisons
    ).all()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("span", SPANS)
@given(st.data())
def test_words_decode_to_the_tables_of_their_designs(kind, span, data):
    some = data.draw(st.lists(designs(kind, *span), min_size=1, max_size=3))
    try:
        tables = [compile_tables(design, *span) for design in some]
    except ValueError:  # a twin range outside the sums
        return
    if all(np.isinf(each.level).all() for each in tables):
        return
    made = format_of(some, *span)
    for design, expected in zip(some, tables, strict=True):
        words = words_of(design, made, *span)
        assert 1 <= len(words) <= made.words
        assert all(0 <= word < 1 << made.word_bits for word in words)
        assert same(tables_of(words, made, *span), expected)


def test_every_uniform_and_every_twin_range_of_small_sums():
    for lowest, highest in ((0, 17), (-9, 9)):
        for bits in range(17):
            for shift in range(17):
                design = rt.UniformSAR(bits, 1 << shift)
                made = format_of([design], lowest, highest)
                words = words_of(design, made, lowest, highest)
                expected = compile_tables(design, lowest, highest)
                assert same(tables_of(words, made, lowest, highest), expected)


@pytest.mark.parametrize("kind", ["plain", "activity", "programmable", "twin_range", "intervals",
                                  "segmented", "aligned", "search_tree"])  # fmt: skip
@pytest.mark.parametrize("encoding", ["offset", "differential"])
@pytest.mark.filterwarnings("ignore")
def test_a_layers_words_hold_its_tables_and_go_through_bytes(encoding, kind):
    pytest.importorskip("sklearn")
    net, _ = trained(encoding)
    for layer in put(net, kind):
        words = rt.program_words(layer)
        assert rt.LayerWords.from_bytes(words.to_bytes()) == words
        tables, index = layer.tables(), np.array(words.directory)
        assert index.shape == tuple(tables.index.shape)
        assert words.edges == tuple(tables.edges.tolist())
        for at in np.ndindex(index.shape):
            old = int(tables.index[at])
            assert (index[at] < 0) == (old < 0)
            if old >= 0:
                found = words.decoded(int(index[at]))
                assert (found.level * tables.unit == tables.levels[old].numpy()).all()
                assert (found.comparisons == tables.comparisons[old].numpy()).all()
        order = words.order
        assert [load[:2] for load in order[:2]] == [(0, 0), (0, 1)]
        assert len(order) == index.shape[1] * index.shape[2]
        assert order[1].tables == tuple(index[:, 0, 1])


def test_the_words_of_a_programmable_sar_to_the_bit():
    made = format_of([rt.UniformSAR(8)], 0, 128)
    assert made == Format("programmable", 8)
    assert made.word_bits == 7
    assert words_of(rt.UniformSAR(5, 4), made, 0, 128) == (0b0_110_010,)
    assert words_of(rt.UniformSAR(0, 8), made, 0, 128) == (0b1_000_011,)


def test_the_words_of_a_segmented_search_to_the_bit():
    design = rt.Segmented((0, 1, 8), (1, 1, 8), (0, 0, 1), (2, 2, 1), (0, 2.5, 3.5))
    made = format_of([design], 0, 128)
    assert (made.bits, made.payload, made.words, made.aligned) == (5, 3, 3, False)
    whole = rt.Segmented((0, 1, 16), (1, 1, 8), (0, 0, 1), (2, 2, 1), (0, 2.5, 3.5), True)
    made = format_of([whole], 0, 128)
    assert (made.bits, made.payload, made.words, made.aligned) == (5, 3, 3, True)
    root, low, run = words_of(whole, made, 0, 128)
    # Below 16 goes on at word 1, above at word 2, a run whose first trial parts 23 from 24.
    assert root == 0b0_01111_0001_0010
    assert run == 0b1_10111_0000_1011
    # 0 and below is 0, above that 4 less a half: 3 above the threshold.
    assert low == 0b0_00000_1110_1111


@pytest.mark.parametrize(
    ("make", "match"),
    [
        (lambda: format_of([rt.UniformSAR(), rt.TwinRange()], 0, 9), "controller of one kind"),
        (lambda: format_of([rt.SpeculativeSAR()], 0, 9), "'speculative' design has no words"),
        (lambda: format_of([rt.SearchTree((0, 4), (6, 7), (1, 1))], 0, 9), "level 6 below"),
        (lambda: format_of([rt.Intervals((0,), (2,), (2,), (0,), (1,))], 0, 9), "half a unit low"),
        (lambda: rt.program_words(None), "layer must be one of"),
        (lambda: rt.LayerWords.from_bytes(b"what"), "it begins otherwise"),
        (lambda: Format("plain", 1), "Format.bits"),
        (lambda: Format("flash"), "Format.kind"),
        (lambda: Format("segmented", 8, payload=2, words=16), "Format.payload"),
        (lambda: Format("search_tree", 8, payload=4, words=4, aligned=True), "Format.aligned"),
        (lambda: Format("plain", 8, escapes=True), "Format.escapes"),
        (lambda: words_of(rt.UniformSAR(9), Format("programmable", 8), 0, 9), "top takes 3 bits"),
        (lambda: words_of(rt.TwinRange(), Format("programmable", 8), 0, 128), "do not hold"),
    ],
)  # fmt: skip
def test_what_has_no_words_is_refused(make, match):
    with pytest.raises((ValueError, TypeError), match=match):
        make()


def test_bytes_that_are_cut_are_refused():
    words = rt.LayerWords(Format("programmable", 8), 0, 128, ((5,), (6,)), (0,), (((0, 1),),))
    data = words.to_bytes()
    assert rt.LayerWords.from_bytes(data) == words
    with pytest.raises(ValueError, match="bytes, not"):
        rt.LayerWords.from_bytes(data[:-1])
    with pytest.raises(ValueError, match="describes no words"):
        rt.LayerWords.from_bytes(data[:30])
