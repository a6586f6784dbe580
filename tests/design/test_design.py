"""The search for ADCs: candidates, choice, budgets."""

import dataclasses

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from problems import examples
from torch import nn

import reram_torch as rt
from reram_torch.adc.base import compile_tables, full_bits
from reram_torch.design.candidates import Choices, candidates, choose
from reram_torch.design.designers import offers_on
from reram_torch.design.loads import Load
from reram_torch.design.measured import Reference
from reram_torch.power.search_prices import COMPARISONS, SearchPrices


@st.composite
def loads(draw):
    lowest = draw(st.sampled_from([0, -12]))
    size = 13 if lowest == 0 else 25
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    counts = random.integers(0, 100, size) * (random.random(size) < draw(st.floats(0.1, 1)))
    counts[draw(st.integers(0, size - 1))] += draw(st.integers(1, 10_000))
    return Load(lowest, counts.astype(float), counts * random.random(), counts * random.random())


def measure(design, load):
    """Both errors, comparisons and whether conversions start, by a design's own tables."""
    values = load.values
    tables = compile_tables(design, int(values[0]), int(values[-1]))
    off = values - tables.level
    made = tables.comparisons
    return load.square @ off**2, load.mean @ off, load.counts @ made, made.any()


PRICES = SearchPrices(2.0, start=3.0)


@examples(40)
@given(loads(), st.sampled_from(["uniform", "twin_range"]))
def test_candidates_are_priced_as_their_tables_say(load, kind):
    found = candidates(*offers_on(kind, [load]), load, PRICES, 5.0)
    for k, design in enumerate(found.designs):
        square, mean, comparisons, starts = measure(design, load)
        energy = 2.0 * comparisons + (3.0 * load.counts.sum() + 5.0) * starts
        assert found.square[k] == pytest.approx(square, rel=1e-9, abs=1e-6)
        assert found.mean[k] == pytest.approx(mean, rel=1e-9, abs=1e-6)
        assert found.energy[k] == pytest.approx(energy, rel=1e-9)


@examples(15)
@given(loads(), st.floats(1e-6, 1e6))
def test_no_twin_range_is_better_than_the_one_chosen(load, price):
    """Against every TwinRange that there is, tried one by one."""
    [offer] = offers_on("twin_range", [load])
    [chosen] = choose([candidates(offer, load, COMPARISONS, 0.0)], price)
    square, mean, made, _ = measure(chosen, load)
    values = load.values
    best = (np.inf, None)
    for bias in range(int(values[0]), int(values[-1]) + 1):
        for n1 in range(5):
            for n2 in range(1, 6):
                for s in range(5 - n1):
                    for m in range(5 - s):
                        if (bias - values[0]) % max(2**s // 2, 1):
                            continue
                        design = rt.TwinRange(bias, n1, n2, 2**s, m)
                        other, lean, comparisons, _ = measure(design, load)
                        best = min(best, (other + lean**2 + price * comparisons, str(design)))
    assert square + mean**2 + price * made <= best[0] * (1 + 1e-9) + 1e-9, (
        f"{best[1]} beats {chosen}"
    )


@pytest.mark.parametrize("lowest", [0, -12])
def test_the_level_above_the_largest_sum_is_offered(lowest):
    """Sums of 12 go to 16 with a step of 8, which takes a bit more than reaching 12 from below."""
    steps = {d.step: d for d in rt.UniformSAR.candidates(lowest, 12)}  # the last has most bits
    assert compile_tables(steps[8], lowest, 12).level[-1] == 15.5  # the middle of 12 to 19
    assert full_bits(lowest, 12, 8) == (3 if lowest else 2)
    assert [full_bits(0, 128, 1 << k) for k in range(9)] == [8, 7, 6, 5, 4, 3, 2, 1, 1]


def test_mean_errors_of_the_tables_of_a_layer_cancel():
    designs = (rt.UniformSAR(1), rt.UniformSAR(2))
    square, mean, energy = np.array([[0.0, 0.1], [1.0, -1.0], [1.0, 1.0]])
    one = Choices(designs, square, mean, energy)
    assert set(choose([one, one], 0.0)) == set(designs)


def test_a_histogram_that_saw_one_value():
    for lowest, at in ((0, 0), (0, 7), (-12, 12)):
        counts = np.zeros(13 if lowest == 0 else 25)
        counts[at] = 5.0
        load = Load(lowest, counts, counts, counts)
        for kind in ("uniform", "twin_range"):
            found = candidates(*offers_on(kind, [load]), load, COMPARISONS, 0.0)
            assert measure(choose([found], 1e-9)[0], load)[0] == 0
            least = {"uniform": 0, "twin_range": 5}[kind]  # without bits nothing is converted
            assert measure(choose([found], 1e9)[0], load)[2] == least


@pytest.mark.slow
@pytest.mark.parametrize("design", ["uniform", "twin_range"])
@pytest.mark.parametrize("granularity", ["layer", "slice"])
def test_a_reduction_is_met(calibrated, batches, design, granularity):
    found = rt.design_adc(calibrated, design, granularity=granularity, reduction=2.5)
    assert found.reduction >= 2.5
    assert (found.design, found.granularity) == (design, granularity)
    tables = {"layer": 1, "slice": 8}[granularity]
    for name, layer in rt.crossbar_layers(calibrated).items():
        assert layer.adc == found.designs[name]
        assert 1 <= len(layer.adc) <= tables  # equal ones are there once
        assert layer.tables().index.shape == (1, 8, 8)
        assert all(d.kind == design for d in layer.adc)
    with rt.PowerMeter(calibrated) as meter:
        for x, _ in batches:
            calibrated(x)
    # The histograms were taken on lossless crossbars, so later layers see slightly other sums.
    assert meter.report().reduction == pytest.approx(found.reduction, rel=0.05)
    again = rt.design_adc(calibrated, design, granularity=granularity, reduction=2.5)
    assert again == found


@pytest.mark.slow
@pytest.mark.parametrize("labelled", [True, False])
def test_a_drop_is_kept_on_the_calibration_data(lenet, batches, labelled):
    data = batches if labelled else [x for x, _ in batches]
    net = rt.calibrate(rt.convert(lenet), data, show_progress=False)
    net.train()
    found = rt.design_adc(net, "twin_range", granularity="slice", max_drop=0.2, show_progress=False)
    assert found.drop <= 0.2
    assert found.reduction > 2
    assert net.training
    assert all(layer.adc == found.designs[n] for n, layer in rt.crossbar_layers(net).items())
    strict = rt.design_adc(
        net, "twin_range", granularity="slice", max_drop=0.0, show_progress=False
    )
    assert strict.drop <= 0
    # Layers are weighed anew at either price, so that three images do not order the two exactly.
    assert strict.adc_energy_pj > 0.75 * found.adc_energy_pj


@pytest.mark.slow
def test_other_data_may_judge_the_drop(calibrated, batches):
    found = rt.design_adc(
        calibrated,
        "twin_range",
        granularity="slice",
        max_drop=0.5,
        batches=batches[:1],
        show_progress=False,
    )
    assert found.drop <= 0.5


def test_what_it_refuses(lenet, calibrated):
    with pytest.raises(ValueError, match="design must be one of .*'twin_range'"):
        rt.design_adc(calibrated, "twinrange", reduction=2.0)
    with pytest.raises(ValueError, match="exactly one of reduction="):
        rt.design_adc(calibrated, "uniform")
    with pytest.raises(ValueError, match="exactly one"):
        rt.design_adc(calibrated, "uniform", reduction=2.0, max_drop=0.1)
    with pytest.raises(ValueError, match="granularity"):
        rt.design_adc(calibrated, "uniform", reduction=2.0, granularity="bit")
    with pytest.raises(ValueError, match="reduction=100.0 is out of reach.*at most"):
        rt.design_adc(calibrated, "twin_range", reduction=100.0, granularity="slice")
    with pytest.raises(RuntimeError, match=r"run reram_torch.calibrate"):
        rt.design_adc(rt.convert(lenet), "uniform", reduction=2.0)
    with pytest.raises(ValueError, match="convert first"):
        rt.design_adc(lenet, "uniform", reduction=2.0)


def test_a_failed_search_leaves_the_adcs_alone():
    net = rt.convert(nn.Sequential(nn.Linear(4, 3), nn.Unflatten(1, (3, 1))))
    rt.calibrate(net, torch.rand(5, 4), show_progress=False)
    before = net[0].adc
    with pytest.raises(ValueError, match="class scores"):
        rt.design_adc(net, "uniform", max_drop=0.1, show_progress=False)
    assert net[0].adc == before


def test_histograms_of_other_weights_or_ranges_are_refused(lenet, batches):
    net = rt.calibrate(rt.convert(lenet), batches, show_progress=False)
    rt.design_adc(net, "uniform", reduction=1.5)
    with torch.no_grad():
        net.fc1.weight[0, 0] += 1
    with pytest.raises(RuntimeError, match=r"\['fc1'\].* changed since .*calibrate again"):
        rt.design_adc(net, "uniform", reduction=1.5)
    rt.calibrate(net, batches, show_progress=False)
    net.load_state_dict(net.state_dict())  # the same weights and ranges
    rt.design_adc(net, "uniform", reduction=1.5)
    net.fc1.set_input_range(0, 99)
    with pytest.raises(RuntimeError, match=r"needs bit-line histograms.*missing for \['fc1'\]"):
        rt.design_adc(net, "uniform", reduction=1.5)


def test_it_says_when_too_few_images_tell_the_drop(calibrated, monkeypatch):
    measure = Reference.measure

    def roughly(self, technology, bar):
        return dataclasses.replace(measure(self, technology, bar), drop=0.0, drop_error=0.02)

    monkeypatch.setattr(Reference, "measure", roughly)
    ask = {"granularity": "slice", "show_progress": False}
    rt.design_adc(calibrated, "uniform", max_drop=0.02, **ask)
    with pytest.warns(UserWarning, match=r"to within 0\.0200 only, more than .* 0\.01: calibrate"):
        rt.design_adc(calibrated, "uniform", max_drop=0.01, **ask)
