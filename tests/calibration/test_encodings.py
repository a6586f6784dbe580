"""Which input encoding layers get: as configured, as asked for, or the cheaper one."""

import warnings

import pytest
import torch
from torch import nn

import reram_torch as rt
from reram_torch.calibration.calls import Call
from reram_torch.calibration.encodings import COARSER, first_items
from reram_torch.design.bounds import adc_bound


def network(encoding, **more):
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 16), nn.Linear(16, 4))
    weights = rt.WeightConfig(encoding="differential")
    return rt.convert(net, rt.Config(weights=weights, inputs=rt.InputConfig(8, encoding), **more))


def encodings(net):
    return [layer.input_encoding for layer in rt.crossbar_layers(net).values()]


def calibrated(net, x, **options):
    return rt.calibrate(net, x, held_back=0, show_progress=False, **options)


def sparse(rows=40, inputs=64):
    """Both signs, most near zero: what has many driven word-lines only in affine codes."""
    torch.manual_seed(1)
    return torch.randn(rows, inputs) ** 3


def test_inputs_that_are_never_negative_take_one_pass():
    x = sparse()
    assert encodings(calibrated(network("sign_magnitude"), x)) == [
        "sign_magnitude", "affine", "sign_magnitude"
    ]  # fmt: skip
    assert encodings(calibrated(network("affine"), x)) == ["affine"] * 3


def test_auto_takes_what_needs_fewer_comparisons():
    x = sparse()
    nets = {name: calibrated(network(name), x) for name in ("affine", "sign_magnitude", "auto")}
    bounds = {name: [b.given * b.sums for b in adc_bound(net)[:-1]] for name, net in nets.items()}
    assert bounds["sign_magnitude"][0] < bounds["affine"][0]
    assert encodings(nets["auto"]) == ["sign_magnitude", "affine", last(nets, bounds)]


def last(nets, bounds):
    """The encoding of the layer after one without a ReLU: a close race."""
    steps = {name: nets[name][3].input_scale.scale for name in bounds}
    fine = steps["sign_magnitude"] <= COARSER * steps["affine"]
    fewer = bounds["sign_magnitude"][2] < bounds["affine"][2]
    return "sign_magnitude" if fine and fewer else "affine"


def test_auto_leaves_one_sided_inputs_the_finer_codes():
    """Of a range with little below zero, signed codes would waste their sign."""
    x = sparse().abs() - 0.01
    net = calibrated(network("auto"), x)
    assert encodings(net)[0] == "affine"


def test_a_choice_stays_when_ranges_are_kept_or_set():
    x = sparse()
    net = calibrated(network("auto"), x)
    before = encodings(net)
    assert encodings(calibrated(net, x, ranges="keep")) == before
    net[0].set_input_range(-2.0, 2.0)
    assert encodings(net) == before
    net[0].set_input_range(-2.0, 2.0, "affine")
    assert encodings(net)[0] == "affine"
    with pytest.raises(ValueError, match="encoding must be one of"):
        net[0].set_input_range(-2.0, 2.0, "auto")


@pytest.mark.parametrize("ranges", ["mse", "percentile"])
def test_ranges_are_those_of_the_codes(ranges):
    x = sparse()
    x[0, 0] = 500.0
    net = calibrated(network("sign_magnitude"), x, ranges=ranges, percentile=99.0)
    layer = net[0]
    low, high = layer.input_range
    assert layer.input_scale.scale == pytest.approx(max(-low, high) / 127)
    assert high < 500
    if ranges == "mse":
        codes = layer.quantizer.codes(x, None)
        error = (codes * layer.input_scale.scale - x).square().sum()
        for factor in (0.8, 1.25):
            step = layer.input_scale.scale * factor
            other = ((x / step).round().clamp(-127, 127) * step - x).square().sum()
            assert error <= other * 1.01


def test_a_state_brings_its_encodings():
    x = sparse()
    net = calibrated(network("auto"), x)
    rt.design_adc(net, "search_tree", granularity="cycle+slice", lossless=True, show_progress=False)
    other = network("auto")
    other.load_state_dict(net.state_dict())
    assert encodings(other) == encodings(net)
    assert other[0].geometry == net[0].geometry
    with torch.no_grad():
        assert torch.equal(other(x), net(x))


def test_adcs_follow_the_codes():
    """Seven cycles or eight: what is alike in all goes on, what is not gives way, aloud."""
    net = network("auto")
    tree = rt.UniformSAR(6, 2)
    net[0].set_adc([tree], edges=(0, 4))
    net[0].set_input_range(-1.0, 1.0, "sign_magnitude")
    assert net[0].adc == (tree,)
    assert net[0].tables().index.shape == (2, 7, 8)
    net[0].set_adc([tree, rt.UniformSAR(8)], index=[[[k % 2] * 8 for k in range(7)]])
    with pytest.warns(UserWarning, match="ADCs by cycle, of 7 cycles, do not fit input codes of 8"):
        net[0].set_input_range(-1.0, 1.0, "affine")
    assert net[0].adc == (rt.lossless_adc(net[0].geometry),)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        net[0].set_input_range(-1.0, 2.0, "affine")


@pytest.mark.parametrize("kept", [True, False])
def test_designs_by_cycle_stay_with_their_codes(kept):
    """What is tried on the way drops nothing: only other codes in the end do, and aloud."""
    net = calibrated(network("auto"), sparse())
    options = {"granularity": "cycle+slice", "objective": "comparisons", "show_progress": False}
    rt.design_adc(net, "search_tree", lossless=True, **options)
    before = [layer.adc for layer in rt.crossbar_layers(net).values()]
    assert net[0].input_encoding == "sign_magnitude"
    if kept:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            calibrated(net, sparse())
        assert [layer.adc for layer in rt.crossbar_layers(net).values()] == before
    else:
        with pytest.warns(UserWarning, match="ADCs by cycle, of 7 cycles, do not fit"):
            calibrated(net, sparse().abs() - 0.01)
        assert net[0].adc == (rt.lossless_adc(net[0].geometry),)


def test_an_error_leaves_encodings_as_they_were():
    net = calibrated(network("auto"), sparse())
    before = encodings(net), net[0].input_range, net[0].tables().index.shape
    with pytest.raises(ValueError, match="NaN or infinity"):
        calibrated(net, torch.full((3, 64), float("nan")))
    assert (encodings(net), net[0].input_range, net[0].tables().index.shape) == before


def test_learned_scales_of_signed_codes():
    x = sparse()
    net = calibrated(network("sign_magnitude"), x)
    with torch.no_grad():
        expected = net(x)
    for layer in rt.crossbar_layers(net).values():
        layer.learn_scales()
    assert torch.allclose(net(x), expected, atol=0.1)
    net(x).square().sum().backward()
    assert net[0].log_input_step.grad.abs() > 0


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"encoding": "signed"}, "inputs.encoding must be one of"),
        ({"bits": 1, "encoding": "sign_magnitude"}, "inputs.bits must be a whole number from 2"),
    ],
)
def test_bad_configurations_are_refused(config, message):
    with pytest.raises(ValueError, match=message):
        rt.InputConfig(**config)
    layer = rt.ReRAMLinear(3, 2, config=rt.Config(inputs=rt.InputConfig(1)))
    with pytest.raises(ValueError, match=r"need inputs.bits of 2 at least"):
        layer.set_input_range(-1.0, 1.0, "sign_magnitude")


def test_few_items_tell_encodings_apart():
    calls = [Call((torch.zeros(20, 3),), {}) for _ in range(4)]
    assert len(first_items(calls)) == 2
    assert len(first_items(calls[:1])) == 1
