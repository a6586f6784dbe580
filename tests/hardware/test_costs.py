"""What netlists take: the library, depth, changes of nets, energy."""

import re
from collections import Counter

import numpy as np
import pytest
import torch
from searched_words import put, trained

import reram_torch as rt
from reram_torch.hardware.costs import controller_cost, units_cost
from reram_torch.hardware.energy import changes, taken_fj
from reram_torch.hardware.library import library, library_text
from reram_torch.hardware.netlists import Netlist
from reram_torch.hardware.proof import yosys_command
from reram_torch.hardware.simulation import has_simulator
from reram_torch.hardware.streams import driven_lines, real_conversions, sampled

needs_tools = pytest.mark.skipif(
    yosys_command() is None or not has_simulator(), reason="no Yosys, or no Icarus Verilog"
)
# An inverter behind a flip-flop that takes what the inverter gives: a divider by two.
DIVIDER = """module divider(clk, q);
  INV _0_ (
    .A(q),
    .Y(\\next [0])
  );
  DFF _1_ (
    .CK(clk),
    .D(\\next [0]),
    .Q(q)
  );
endmodule
"""


def test_the_library_has_the_cells_that_are_simulated():
    models = re.findall(r"^module (\w+) \((.*?)\);", library_text("generic.v"), re.M)
    cells = library().cells
    assert {name for name, _ in models} == set(cells)
    for name, ports in models:
        assert set(re.findall(r"input (\w+)", ports)) == set(cells[name].inputs_ff)
        assert cells[name].change_fj > 0 < cells[name].leakage_nw
        assert cells[name].stores == (name in ("DFF", "LATCH", "LATCHN"))
    assert cells["NAND2"].area == 1
    assert (cells["DFF"].input_fj("CK"), cells["DFF"].input_fj("D")) == (3.44, 3.4)


def test_a_net_takes_half_of_its_capacitance_times_the_voltage_squared():
    known = library()
    assert known.change_fj(0.0, 0) == 0
    assert known.change_fj(2.0, 1) == pytest.approx(0.5 * 2.31 * 1.21)
    more = known.change_fj(0.0, 13) - known.change_fj(0.0, 12)
    assert more == pytest.approx(0.5 * known.wire_more_ff * 1.21)
    assert all(a < b for a, b in zip(known.wires_ff, known.wires_ff[1:], strict=False))


def test_a_netlist_is_its_cells():
    netlist = Netlist(DIVIDER)
    assert (netlist.cells, netlist.flip_flops, netlist.latches) == (2, 1, 0)
    assert netlist.gates == pytest.approx(0.67 + 5.67)
    assert netlist.area_um2 == pytest.approx(0.798 * netlist.gates)
    assert netlist.leakage_nw == pytest.approx(14.4 + 79.1)
    assert netlist.depth == 1
    chained = DIVIDER.replace(
        "endmodule", "  INV _2_ (\n    .A(\\next [0]),\n    .Y(b)\n  );\nendmodule"
    )
    assert Netlist(chained).depth == 2
    with pytest.raises(ValueError, match="loop through"):
        _ = Netlist(
            "  INV _0_ (\n    .A(a),\n    .Y(b)\n  );\n  INV _1_ (\n    .A(b),\n    .Y(a)\n  );\n"
        ).depth


def test_a_divider_takes_what_its_changes_say():
    # Four changes of the clock, two of q and of its inverse.
    found = taken_fj(Netlist(DIVIDER), Counter({"clk": 4, "q": 2, "next[0]": 2}))
    inside = 4 * 3.44 + 2 * 3.40 + 2 * 5.90 + 2 * 0.95
    nets = 0.5 * 1.21 * (4 * (0.95 + 0.31) + 2 * (1.70 + 0.31) + 2 * (1.14 + 0.31))
    assert found == pytest.approx(inside + nets)


def test_changes_are_told_apart_by_scope_and_flag():
    dump = """$scope module bench $end
$var reg 1 ! busy $end
$scope module controller $end
$var wire 1 " clk $end
$var wire 2 # \\at.q [1:0] $end
$upscope $end
$scope module other $end
$var wire 1 $ clk $end
$upscope $end
$upscope $end
$enddefinitions $end
#0
0!
0"
bx #
0$
#1
b01 #
1"
1!
#2
b10 #
0"
1$
"""
    low, high = changes(dump, "busy")
    assert low == Counter({"clk": 1, "at.q[0]": 1, "at.q[1]": 1})
    assert high == Counter({"clk": 1, "at.q[0]": 1, "at.q[1]": 1})
    assert changes(dump, "busy", "other") == (Counter({"clk": 0}), Counter({"clk": 1}))


def test_streams_are_sampled_by_whole_slices_of_cycles():
    stream = np.repeat(np.arange(40).reshape(10, 4), 5, 0)
    stream[:, 3] = np.arange(50)
    taken = sampled(stream, 20)
    assert len(taken) == 20
    assert (np.unique(taken[:, 0], return_counts=True)[1] == 5).all()
    assert (sampled(stream, 1000) == stream).all()


@pytest.mark.parametrize("encoding", ["offset", "differential"])
def test_driven_lines_are_those_of_the_first_array(encoding):
    pytest.importorskip("sklearn")
    net, x = trained(encoding)
    layer = rt.crossbar_layers(net)["0"]
    lines = driven_lines(layer, x[:3], 1 << 20)
    codes = layer.codes(x[:3]).reshape(-1, 9)
    bits = (codes[:, None] >> torch.arange(4)[:, None] & 1).bool().flatten(0, 1)
    assert (lines[:, :9] == bits.numpy()).all()
    assert not lines[:, 9:].any()


@needs_tools
@pytest.mark.filterwarnings("ignore")
def test_costs_of_a_layers_hardware():
    pytest.importorskip("sklearn")
    net, x = trained("offset")
    stream = real_conversions(net, x[:2], 800)["0"]
    lines = driven_lines(rt.crossbar_layers(net)["0"], x[:2], 60)

    def cost(kind):
        words = rt.program_words(put(net, kind)[0])
        return words, controller_cost(words, stream)

    _, plain = cost("plain")
    words, tree = cost("search_tree")
    assert (plain.words, plain.write_fj, plain.clocks) == (1, 0, 9)
    assert plain.gates == plain.gates_with_words
    assert cost("aligned")[1].kind == "segmented_aligned"
    assert tree.latches >= tree.words * tree.word_bits
    assert tree.clock_fj > 1.5 * plain.clock_fj
    assert tree.write_fj > 0
    assert tree.area_um2 > plain.area_um2
    units = units_cost(words, 32, lines)
    assert units.memory_bits == sum(map(len, words.tables)) * words.format.word_bits
    assert units.counter_gates > 150  # a full adder for nearly each of 32 word-lines
    assert min(units.count_fj, units.load_fj, units.lookup_fj) > 0
