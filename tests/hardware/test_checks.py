"""Real conversions, netlists and their gates, and a layer's controllers put to every test."""

import dataclasses

import numpy as np
import pytest
import torch
from searched_words import put, trained

import reram_torch as rt
from reram_torch.hardware.checks import check_words
from reram_torch.hardware.formats import Format
from reram_torch.hardware.gates import synthesised
from reram_torch.hardware.proof import yosys_command
from reram_torch.hardware.simulation import has_simulator
from reram_torch.hardware.streams import conversions_of, real_conversions

needs_yosys = pytest.mark.skipif(yosys_command() is None, reason="no Yosys: the extra 'hardware'")


@pytest.mark.parametrize("encoding", ["offset", "differential"])
def test_real_conversions_are_those_of_the_layer(encoding):
    pytest.importorskip("sklearn")
    net, x = trained(encoding)
    streams = real_conversions(net, x[:3], 1 << 30)
    layers = rt.crossbar_layers(net)
    assert list(streams) == list(layers)
    first, layer = streams["0"], layers["0"]
    g = layer.geometry
    edges = torch.tensor([0, 1, 5], dtype=torch.int32)
    expected = layer.bit_line_histogram(layer.codes(x[:3]), edges).numpy()
    found = np.zeros_like(expected)
    bucket = np.searchsorted(edges.numpy(), first[:, 0], "right") - 1
    np.add.at(found, (bucket, first[:, 1], first[:, 2], first[:, 3] - g.lowest), 1)
    assert (found == expected).all()
    assert len(conversions_of(layer, x[:3], 100)) == 100


@needs_yosys
def test_controllers_are_as_light_as_the_page_says():
    def gates(kind, bare=True, **more):
        return synthesised(Format(kind, 8, **more), bare=bare).gates

    plain = gates("plain")
    assert 90 < plain < 110
    assert gates("activity") <= 1.8 * plain
    assert gates("programmable") <= 1.8 * plain
    assert gates("programmable", bare=False) <= 2 * plain
    assert gates("twin_range") <= 3.3 * plain
    words = {"payload": 4, "words": 16}
    assert gates("segmented", aligned=True, **words) <= 3.4 * plain
    assert gates("segmented", **words) <= 3.8 * plain
    assert gates("search_tree", **words) <= 2.2 * plain
    latches = synthesised(Format("segmented", 8, aligned=True, **words)).latches
    assert latches == 16 * 19 + 3  # the words, and what gates three clocks


@needs_yosys
@pytest.mark.skipif(not has_simulator(), reason="no Icarus Verilog (iverilog, vvp)")
@pytest.mark.filterwarnings("ignore")
def test_a_layer_passes_and_a_spoilt_one_does_not():
    pytest.importorskip("sklearn")
    net, x = trained("differential")
    layer = put(net, "programmable")[1]
    words = rt.program_words(layer)
    stream = real_conversions(net, x[:2], 500)["4"]
    found = check_words(words, stream, layer.geometry.rows, 60)
    assert found.passed
    assert found.proved == found.tables == len(words.tables)
    assert found.conversions > found.netlist_conversions == found.tables * layer.geometry.values
    assert found.chain_conversions == len(stream)
    assert found.cost.kind == "programmable"
    assert 1 < found.cost.clocks < 9
    assert 60 < found.cost.clock_fj < 400
    assert 10 < found.cost.write_fj < 200
    assert not dataclasses.replace(found, netlist_wrong=1).passed
    assert not dataclasses.replace(found, proved=found.proved - 1, refuted=1).passed
