"""Cells and cycles of several widths, centers of weights, slices that do not exist."""

import itertools
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from problems import examples, isas
from torch import nn

import reram_torch as rt
from reram_torch.crossbar.cells import read_back
from reram_torch.crossbar.centers import centers_of, less_centers
from reram_torch.crossbar.geometry import Geometry
from reram_torch.evaluation.integers import plain_integer
from reram_torch.native import cuda
from reram_torch.ops import arrays
from reram_torch.ops import layers as layer_operator
from reram_torch.training.penalty import ComparisonPenalty

DIFFERENTIAL = rt.WeightConfig(encoding="differential")


@st.composite
def shares(draw, bits, least=None):
    """Widths from the most significant down that share out so many bits, or one more."""
    found, least = [], bits if least is None else least
    while sum(found) < least:
        found.append(draw(st.integers(1, min(4, bits - sum(found)))))
    return tuple(found[::-1])


@st.composite
def layers(draw):
    """A layer of any slicing, cycles, encoding and center, and an input; K to 1,200."""
    encoding = draw(st.sampled_from(["offset", "differential", "dual"]))
    center = draw(st.sampled_from(["zero", "balanced"])) if encoding == "differential" else "zero"
    bits, input_bits = draw(st.integers(2, 8)), draw(st.integers(2, 8))
    magnitude = bits - (encoding != "offset" and center == "zero")
    pulses = draw(st.one_of(st.integers(1, 4), shares(input_bits)))
    bar = rt.CrossbarConfig(
        rows=draw(st.sampled_from([1, 7, 100, 128, 256, 512, 1000])),
        slicing=draw(st.one_of(st.none(), shares(magnitude))),
        dac_bits=pulses,
    )
    assume(bar.largest_sum < 2**15)  # what an ADC of 16 bits converts, signed sums too
    inputs = rt.InputConfig(input_bits, draw(st.sampled_from(["affine", "sign_magnitude"])))
    config = rt.Config(bar, rt.WeightConfig(bits, encoding, center), inputs)
    torch.manual_seed(draw(st.integers(0, 2**32 - 1)))
    if draw(st.booleans()):
        groups = draw(st.sampled_from([1, 3]))
        layer = nn.Conv2d(3 * groups, 2 * groups, draw(st.sampled_from([1, 3])), groups=groups)
        x = torch.randn(draw(st.integers(0, 2)), 3 * groups, 5, 4)
    else:
        layer = nn.Linear(draw(st.integers(1, 1200)), draw(st.integers(1, 70)))
        x = torch.randn(draw(st.integers(1, 5)), layer.in_features)
    x = x * (torch.rand(x.shape) < draw(st.sampled_from([0.1, 0.5, 1.0])))
    return layer, config, x.relu() if draw(st.booleans()) else x


def converted(layer, config, x):
    net = rt.convert(nn.Sequential(layer), config)
    net[0].set_input_range(min(float(x.min()), 0.0) if x.numel() else 0.0, 1.5)
    return net


@pytest.mark.parametrize("isa", [*isas(), "reference", "emulated"])
def test_lossless_is_the_plain_integer_product(isa, monkeypatch, request):
    if isa == "emulated":
        library = request.getfixturevalue("emulated").library
        monkeypatch.setattr(cuda, "library", lambda: library)
        monkeypatch.setattr(arrays, "library_for", lambda _: cuda)
        monkeypatch.setattr(layer_operator, "use_native", lambda: False)  # not in one pass
    elif isa == "reference":
        monkeypatch.setenv("RERAM_TORCH_BACKEND", "reference")
    else:
        monkeypatch.setenv("RERAM_TORCH_ISA", isa)

    @examples(25 if isa in ("reference", "emulated") else 60)
    @given(layers())
    def check(case):
        layer, config, x = case
        net = converted(layer, config, x)
        with torch.no_grad():
            y = net(x)
            with plain_integer(net):
                assert torch.equal(y, net(x))

    check()


@examples(30)
@given(layers())
def test_counts_are_those_of_the_definition(case):
    """Comparisons, conversions and array figures by counting what there is."""
    layer, config, x = case
    net = converted(layer, config, x)
    layer, g = net[0], net[0].geometry
    u = layer.codes(x)
    positions = u.shape[:3].numel() if u.dim() == 7 else len(u)
    with rt.PowerMeter(net) as meter, torch.no_grad():
        net(x)
    [row] = meter.report().layers
    codes = read_back(layer.encoded().cells, g, layer.outputs // layer.groups, layer.depth).int()
    stored = [codes.clamp(min=0), (-codes).clamp(min=0)]
    if g.offset:
        stored = [codes + 2 ** (g.weight_bits - 1)]
    below = np.cumsum([0, *g.cell_widths])
    present = [
        any(bool((part >> below[j] & 2 ** g.cell_widths[j] - 1).any()) for part in stored)
        for j in range(g.slices)
    ]
    assert layer.encoded().present.tolist() == present
    sums = positions * layer.outputs * g.tiles(layer.depth) * len(g.signs)
    for i, j in itertools.product(range(g.cycles), range(g.slices)):
        there = sums * present[j]
        assert row.conversions_by[i][j] + row.skipped_by[i][j] == there
        assert row.comparisons_by[i][j] == there * layer.adc[0].bits
    across = -(-(layer.outputs // layer.groups) * sum(present) * g.bit_lines // g.cols)
    assert row.arrays == layer.groups * g.tiles(layer.depth) * max(across, 1)
    assert row.conversions + row.skipped == sums * sum(present) * g.cycles


def test_the_eighth_slice_of_a_pair_does_not_exist():
    layer = rt.ReRAMLinear(200, 30, config=rt.Config(weights=DIFFERENTIAL))
    layer.set_input_range(0, 1)
    assert layer.encoded().present.tolist() == [True] * 7 + [False]
    assert layer.tables().index[:, :, 7].tolist() == [[-1] * 8]
    with rt.PowerMeter(layer) as meter:
        layer(torch.rand(4, 200))
    total = meter.report().total
    assert total.conversions + total.skipped == 4 * 30 * 2 * 8 * 7


def test_a_slice_comes_back_with_the_weights():
    """ADCs designed while it did not exist convert it as they do its neighbour."""
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(60, 8))
    with torch.no_grad():  # every code even: the lowest slice is empty
        net[0].weight.copy_(torch.randint(-63, 64, (8, 60)) * 2 / 127)
        net[0].weight[:, 0] = 126 / 127
        net[0].weight[:, 1] = 1.0
    net[0].weight.data[:, 1] = 0.0
    config = rt.Config(weights=rt.WeightConfig(7, "differential"))
    net = rt.convert(net, config)
    x = torch.rand(30, 60)
    rt.calibrate(net, [x], show_progress=False)
    before = net[0].encoded().present.tolist()
    rt.design_adc(net, "search_tree", lossless=True, show_progress=False)
    with torch.no_grad():
        net[0].weight.copy_(torch.randn(8, 60))
    assert net[0].encoded().present.tolist() == [True] * 6 + [False]
    assert not all(before[:6]) or before == [True] * 6 + [False]
    y = net(x)
    with plain_integer(net):
        assert torch.equal(y, net(x))


def test_a_layer_of_zeros_converts_nothing():
    layer = rt.ReRAMLinear(20, 5, config=rt.Config(weights=DIFFERENTIAL))
    torch.nn.init.zeros_(layer.weight)
    net = nn.Sequential(layer)
    rt.calibrate(net, [torch.rand(8, 20)], show_progress=False)
    rt.design_adc(net, "search_tree", lossless=True, show_progress=False)
    with rt.PowerMeter(net) as meter:
        y = net(torch.rand(8, 20))
    total = meter.report().total
    assert (total.conversions, total.comparisons, total.skipped) == (0, 0, 0)
    assert torch.equal(y, layer.bias.expand(8, 5))


@pytest.mark.parametrize("slicing", [(3, 4), (1, 2, 4), (4, 2, 2), (4, 4)])
def test_a_center_is_the_best_of_all(slicing):
    """By trying every integer on every output and tile, as RAELLA's equation has it."""
    g = Geometry(50, 128, slicing[::-1], (1,) * 8, 8, 8, 1, centered=True)
    codes = torch.randint(-127, 128, (2, 5, 120), dtype=torch.int8)
    codes[0, 0] = codes[0, 0].abs()
    centers = centers_of(codes, g)
    assert centers.shape == (2, 3, 5)
    below = np.cumsum([0, *g.cell_widths])
    for group, tile, n in np.ndindex(2, 3, 5):
        q = codes[group, n, 50 * tile : 50 * (tile + 1)].numpy().astype(int)

        def cost(c, q=q):
            away = q - c
            sums = [
                2 ** int(below[j]) * int((np.sign(away) * (abs(away) >> below[j] & 2**w - 1)).sum())
                for j, w in enumerate(g.cell_widths)
            ]
            return sum(s**4 for s in sums)

        costs = {c: cost(c) for c in range(-127, 128)}
        assert costs[int(centers[group, tile, n])] == pytest.approx(min(costs.values()), rel=1e-9)
    left = less_centers(codes, centers, 50)
    assert int(left.abs().max()) <= 254
    assert torch.equal(left[1, 3, 50:100] + centers[1, 1, 3], codes[1, 3, 50:100].to(torch.int16))


@pytest.mark.parametrize(
    ("bar", "weights", "inputs", "words"),
    [
        ({"slicing": (3, 3)}, {}, {}, r"slicing must share out the 8 bits.*not 6"),
        ({"slicing": (1,) * 8}, {"encoding": "dual"}, {}, "must share out the 7 bits"),
        ({"slicing": (1, 4, 4)}, {}, {}, "must share out the 8 bits"),
        ({"slicing": (5, 3)}, {}, {}, "whole number from 1 to 4"),
        ({"slicing": "44"}, {}, {}, "a list of 1 to 8 widths"),
        ({"slicing": (4, 4), "cell_bits": 2}, {}, {}, "cell_bits is the width of all slices"),
        ({"dac_bits": (4, 2)}, {}, {}, "dac_bits must share out the 8 bits"),
        ({"dac_bits": (4, 4, 1)}, {}, {}, "dac_bits must share out"),
        ({"dac_bits": 5}, {}, {}, "or a list"),
        ({}, {"center": "middle"}, {}, "weights.center"),
        ({}, {"center": "balanced"}, {}, "for differential cells"),
    ],
)  # fmt: skip
def test_widths_that_do_not_fit_are_refused(bar, weights, inputs, words):
    with pytest.raises(ValueError, match=words):
        rt.Config(rt.CrossbarConfig(**bar), rt.WeightConfig(**weights), rt.InputConfig(**inputs))


def test_widths_survive_a_file(tmp_path):
    config = rt.Config(
        rt.CrossbarConfig(rows=128, slicing=(4, 2, 2), dac_bits=(4, 2, 2)),
        rt.WeightConfig(encoding="differential", center="balanced"),
    )
    config.save(tmp_path / "own.toml")
    assert rt.load_config(tmp_path / "own.toml") == config
    assert hash(config) == hash(rt.load_config(tmp_path / "own.toml"))
    assert "slicing" not in rt.Config().to_toml()


def test_layers_of_their_own():
    """A pattern of names gives layers another configuration; the first that matches counts."""
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 36, 5))
    pair = rt.Config(weights=DIFFERENTIAL)
    wide = replace(pair, crossbar=rt.CrossbarConfig(slicing=(3, 4)))
    made = rt.convert(net, pair, layers={"[13]": wide, "*": pair})
    assert made[0].config == pair
    assert made[3].config == wide
    assert made[3].geometry.cell_widths == (4, 3)
    with pytest.raises(ValueError, match=r"no layer to convert is named 'conv\*'"):
        rt.convert(net, pair, layers={"conv*": wide})
    with pytest.raises(TypeError, match="must be a reram_torch.Config"):
        rt.convert(net, pair, layers={"0": (3, 4)})


def test_a_penalty_refuses_centers():
    config = rt.Config(weights=rt.WeightConfig(encoding="differential", center="balanced"))
    with pytest.raises(ValueError, match="center='zero' only"):
        ComparisonPenalty(nn.Sequential(rt.ReRAMLinear(4, 2, config=config)), 1.0)
