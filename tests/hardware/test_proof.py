"""Proofs of controllers close, and do not where something is spoilt."""

import pytest

import reram_torch as rt
from reram_torch.adc.base import compile_tables
from reram_torch.adc.trees import ESCAPE
from reram_torch.hardware import proof
from reram_torch.hardware.controllers import controller
from reram_torch.hardware.formats import Format
from reram_torch.hardware.words import format_of, words_of

pytestmark = pytest.mark.skipif(
    proof.yosys_command() is None, reason="no Yosys: the extra 'hardware'"
)


def proved(some, span, **more):
    made = format_of(some, *span)
    tables = [compile_tables(design, *span) for design in some]
    return proof.prove(made, [words_of(d, made, *span) for d in some], tables, **more)


DESIGNS = {
    "activity": [rt.ActivitySAR(0), rt.ActivitySAR(3)],
    "programmable": [rt.UniformSAR(5), rt.UniformSAR(3, 4), rt.UniformSAR(1, 8), rt.UniformSAR(0)],
    "twin_range": [rt.TwinRange(0, 2, 3, 2, 1), rt.TwinRange(5, 3, 4, 1, 1), rt.TwinRange(9, 0, 2)],
    "search_tree": [
        rt.SearchTree((-20, 3, 7, 11), (2, 3.5, 7, 12), (1, 2, 3, 3)), rt.SearchTree((0,), (3.5,)),
        rt.SearchTree((-20, 3, 7), (ESCAPE, 4.5, ESCAPE), (2, 2, 1)),
    ],
    "segmented": [
        rt.Segmented((-16, 4, 9), (1, 2, 4), (4, 2, 1), (1, 2, 2)),
        rt.Segmented((-16, 7), (2, 1), (0, 3), (1, 1)), rt.Segmented((0,), (2,), (4,), (0,)),
    ],
    "aligned": [
        rt.Segmented((-16, 0, 8), (2, 1, 4), (3, 3, 1), (2, 2, 1), None, True),
        rt.Segmented((0,), (1,), (5,), (0,), None, True),
    ],
}  # fmt: skip


@pytest.mark.parametrize("span", [(0, 24), (-16, 15)])
@pytest.mark.parametrize("kind", DESIGNS)
def test_controllers_do_what_tables_say_from_any_state(kind, span):
    found = proved(DESIGNS[kind], span)
    assert found.closed, found.outcomes
    assert len(found.outcomes) == len(DESIGNS[kind])


def test_a_plain_sar():
    for signed in (False, True):
        made, lowest = Format("plain", 5, signed), -16 * signed
        table = compile_tables(rt.UniformSAR(5), lowest, lowest + 31)
        assert proof.prove(made, [()], [table]).closed


@pytest.mark.parametrize(
    ("design", "before", "after"),
    [
        (rt.UniformSAR(3, 2), "& ~{1'b0, last[BITS-1:1]}", ""),  # not half a step below
        (rt.UniformSAR(3, 2), ".number(step)", ".number(step + 1'b1)"),
        (rt.TwinRange(8, 2, 3, 2, 1), "| ~found", ""),
        (rt.SearchTree((0, 3, 9), (1, 4.5, 10), (1, 2, 2)), "cmp ? link_above", "cmp ? link_below"),
        (rt.Segmented((0, 16), (2, 4), (3, 2), (1, 1), None, True), "~start & in_run", "in_run"),
    ],
)
def test_spoilt_controllers_are_refuted(design, before, after):
    made = format_of([design], 0, 40)
    text = controller(made)
    assert before in text
    words, table = words_of(design, made, 0, 40), compile_tables(design, 0, 40)
    assert proof.prove(made, [words], [table]).closed
    found = proof.prove(made, [words], [table], verilog=text.replace(before, after))
    assert found.outcomes == ("refuted",)


def test_spoilt_words_are_refuted():
    design, span = rt.SearchTree((0, 3, 9), (1, 4.5, 10), (1, 2, 2)), (0, 40)
    made = format_of([design], *span)
    first, *rest = words_of(design, made, *span)
    spoilt = [(first ^ made.packed({"code": 1}), *rest), (first ^ made.packed({"above": 1}), *rest)]
    tables = [compile_tables(design, *span)] * 2
    assert proof.prove(made, spoilt, tables).outcomes == ("refuted", "refuted")


def test_a_gated_register_is_one_with_an_enable(monkeypatch):
    assert proof.prove_gates()
    source = proof.source
    monkeypatch.setattr(proof, "source", lambda name: source(name).replace("(!clk)", "(clk)"))
    assert not proof.prove_gates()
