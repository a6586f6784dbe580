"""Full scale and step of ADCs as part of a design."""

import dataclasses

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import reram_torch as rt
from reram_torch.adc.resolution import window_of
from reram_torch.design.reaches import Reach, climbed
from reram_torch.design.searches import Histograms

KINDS = ("uniform", "search_tree", "segmented")


@given(st.integers(1, 10), st.integers(0, 3), st.booleans())
def test_what_a_reach_allows_needs_no_more_than_its_bits(full, fine, signed):
    reach, lowest = Reach(full + fine, fine), -4096 * signed
    designs = [rt.UniformSAR(b, 1 << s) for b in range(9) for s in range(5)]
    windows = [window_of([d], lowest, 4096) for d in designs]
    given_ = np.array([(w.first, w.last, w.step) if w else (0, 0, 0) for w in windows])
    allowed = reach.allows(given_, lowest)
    for design, window, fits in zip(designs, windows, allowed, strict=True):
        inside = design.bits + (design.step.bit_length() - 1) <= reach.full
        if design.bits != 1:  # whose threshold may lie anywhere
            assert fits == (window is None or (inside and design.step >= reach.step)), design
        if fits and window is not None:
            assert window.bits <= reach.bits


@given(st.integers(1, 9), st.integers(1, 14), st.integers(0, 8))
def test_climbing_finds_the_only_hollow(start, full, fine):
    fine = min(fine, full - 1)

    def cost(reach):
        return abs(reach.full - full) + 2 * abs(reach.fine - fine)

    assert climbed(Reach(start), 14, cost) == Reach(full, fine)


def test_thresholds_keep_to_a_window():
    counts = np.ones((1, 201))
    whole = Histograms(counts, counts, -100)
    within = whole.within((-31, 31), saturating=False)
    [cuts], _ = within.cuts(1, runs=False)
    assert (cuts[1] - 100, cuts[-2] - 100) == (-31, 31)
    folded = whole.within((-31, 31), saturating=True)
    assert folded.counts.sum() == counts.sum()
    assert np.flatnonzero(folded.counts[0]).tolist() == list(range(68, 132))
    assert folded.bounds.tolist() == [[68, 132]]


@pytest.mark.filterwarnings("ignore:on held-back images")
def test_dearer_resolution_makes_coarser_adcs():
    """Of a layer whose sums have a long tail, which is cut off where it is dear to reach."""
    torch.manual_seed(0)
    crossbar = rt.CrossbarConfig(rows=64, slicing=(2, 3, 2))
    config = rt.Config(crossbar, rt.WeightConfig(encoding="differential"))
    net = rt.convert(torch.nn.Sequential(torch.nn.Linear(64, 32)), config)
    rt.calibrate(net, [torch.rand(64, 64).square()], show_progress=False)
    isaac, found = rt.load_technology("isaac"), {}
    for price in (0.0, 0.00041, 0.04):
        model = dataclasses.replace(isaac.adc.bit_cycle, resolution_pj=price, noise_pj=0.0)
        mine = dataclasses.replace(isaac, adc=dataclasses.replace(isaac.adc, bit_cycle=model))
        for kind in KINDS:
            made = rt.design_adc(
                net, kind, max_error=1e-3, granularity="slice+activity", technology=mine,
                show_progress=False,
            )  # fmt: skip
            g = rt.crossbar_layers(net)["0"].geometry
            window = window_of(made.designs["0"], g.lowest, g.highest)
            found[kind, price] = window.bits, made.error
    for kind in KINDS:
        bits = [found[kind, price][0] for price in (0.0, 0.00041, 0.04)]
        assert bits[0] >= bits[1] >= bits[2], (kind, bits)
        assert bits[0] > bits[2], (kind, bits)
        assert all(found[kind, p][1] <= 1e-3 for p in (0.0, 0.00041, 0.04))


def test_a_lossless_search_reaches_every_sum():
    crossbar = rt.CrossbarConfig(rows=64, slicing=(3, 4))
    net = rt.convert(torch.nn.Sequential(torch.nn.Linear(64, 8)), rt.Config(
        crossbar, rt.WeightConfig(encoding="differential")))  # fmt: skip
    x = torch.rand(16, 64)
    rt.calibrate(net, [x], show_progress=False)
    with torch.no_grad():
        before = net(x)
        rt.design_adc(net, "search_tree", lossless=True, show_progress=False)
        torch.testing.assert_close(net(x), before, rtol=0, atol=0)
    assert before.abs().sum() > 0
