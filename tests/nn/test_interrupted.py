"""What is interrupted leaves every layer exactly as it was."""

import copy

import pytest
import torch

import reram_torch as rt
from reram_torch.design.sensitivity import fold_mean_errors
from reram_torch.nn.networks import crossbar_layers


@pytest.fixture
def designed(calibrated):
    """Coarse ADCs with corrections, so that there is something to lose."""
    layers = crossbar_layers(calibrated)
    for layer in layers.values():
        layer.set_adc([rt.UniformSAR(5, 4)])
    fold_mean_errors(calibrated, layers, calibrated.calibration)
    return calibrated


def everything(net):
    return {
        name: (
            layer.input_range, layer.input_scale, layer.adc, layer.statistics,
            [t.clone() for t in layer.tables().tensors],
            None if layer.correction is None else layer.correction.clone(),
        )
        for name, layer in crossbar_layers(net).items()
    }  # fmt: skip


def assert_unchanged(net, before, y, x):
    after = everything(net)
    for name, (span, scale, adc, statistics, tables, correction) in before.items():
        found = after[name]
        assert found[:3] == (span, scale, adc)
        assert found[3] is statistics
        assert all(torch.equal(a, b) for a, b in zip(found[4], tables, strict=True))
        assert (found[5] is None) == (correction is None)
        assert correction is None or torch.equal(found[5], correction)
    assert torch.equal(net(x), y)
    assert not any(len(layer.watchers) for layer in crossbar_layers(net).values())


def interrupt_after(net, passes):
    """Ctrl-C in the middle of a later forward pass."""
    left = [passes]

    def hook(*_):
        left[0] -= 1
        if left[0] < 0:
            raise KeyboardInterrupt

    return net.conv2.register_forward_pre_hook(hook)


# Ranges are set after 2 passes, histograms after 4.
@pytest.mark.parametrize("passes", [0, 1, 2, 3])
@pytest.mark.parametrize("ranges", ["min_max", "mse", "keep"])
@pytest.mark.parametrize("learned", [False, True])
def test_an_interrupted_calibration(designed, passes, ranges, learned):
    if ranges == "keep" and passes > 1:
        pytest.skip("a single sweep of two batches")
    if learned:
        for layer in crossbar_layers(designed).values():
            layer.learn_scales()
    assert any(layer.correction is not None for layer in crossbar_layers(designed).values())
    x = torch.rand(3, 1, 32, 32)
    before, y, data = everything(designed), designed(x).detach(), designed.calibration
    handle = interrupt_after(designed, passes)
    with pytest.raises(KeyboardInterrupt):
        rt.calibrate(
            designed, [3 * torch.rand(4, 1, 32, 32) for _ in range(2)], ranges=ranges,
            show_progress=False,
        )  # fmt: skip
    handle.remove()
    assert_unchanged(designed, before, y, x)
    assert designed.calibration is data


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "budget"),
    [
        ("search_tree", {"reduction": 6.0, "grid": 16}),
        ("twin_range", {"reduction": 3.0, "granularity": "slice"}),
        ("uniform", {"max_drop": 0.2}),
    ],
)
@pytest.mark.parametrize("passes", [1, 8, 15])
def test_an_interrupted_design(designed, kind, budget, passes):
    x = torch.rand(3, 1, 32, 32)
    before, y = everything(designed), designed(x)
    handle = interrupt_after(designed, passes)
    with pytest.raises(KeyboardInterrupt):
        rt.design_adc(designed, kind, **budget, show_progress=False)
    handle.remove()
    assert_unchanged(designed, before, y, x)


def test_a_design_that_cannot_be_leaves_what_was(designed):
    x = torch.rand(3, 1, 32, 32)
    before, y = everything(designed), designed(x)
    with pytest.raises(ValueError, match="out of reach"):  # its range takes a comparison to find
        rt.design_adc(
            designed, "twin_range", reduction=1e9, granularity="slice", show_progress=False
        )
    assert_unchanged(designed, before, y, x)


def test_a_copy_is_not_touched_by_what_happens_to_the_other(designed):
    x = torch.rand(3, 1, 32, 32)
    other, y = copy.deepcopy(designed), designed(x)
    rt.design_adc(other, "uniform", reduction=2.0, show_progress=False)
    assert torch.equal(designed(x), y)
