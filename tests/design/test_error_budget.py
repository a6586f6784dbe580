"""`max_error`: the least energy with at most so much change of the output."""

import pickle
import warnings

import pytest
import torch
from torch import nn

import reram_torch as rt

ASK = {"granularity": "slice", "show_progress": False}


class Named(nn.Module):
    """No class scores: a picture and a number under names."""

    def __init__(self):
        super().__init__()
        self.body, self.tail = nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(8, 4, 1)

    def forward(self, x):
        y = self.tail(self.body(x).relu())
        return {"picture": y, "size": y.mean((1, 2, 3))}


@pytest.fixture
def net():
    torch.manual_seed(0)
    net = rt.convert(Named().eval())
    return rt.calibrate(net, [torch.rand(6, 3, 12, 12) for _ in range(2)], show_progress=False)


def test_an_error_is_kept_and_used(net):
    errors, energies = [], []
    for most in (0.001, 0.03):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            found = rt.design_adc(net, "uniform", max_error=most, **ASK)
        assert found.error <= most
        assert found.drop is None
        errors.append(found.error)
        energies.append(found.adc_energy_pj)
    assert energies[1] < 0.9 * energies[0]
    assert errors[1] > 0.003  # the budget is used


def test_what_is_measured_is_what_was_promised(net):
    held = net.calibration.held_back
    found = rt.design_adc(net, "search_tree", max_error=0.01, **ASK)
    with torch.no_grad():
        made = [call.run(net) for call in held.calls]
        for layer in rt.crossbar_layers(net).values():
            layer.set_adc([rt.lossless_adc(layer.geometry)])
        exact = [call.run(net) for call in held.calls]
    errors = [
        sum(float((b[k] - a[k]).square().sum() / a[k].square().sum()) for k in a) / 2
        for a, b in zip(exact, made, strict=True)
    ]
    sizes = [len(call) for call in held.calls]
    mean = sum(e * n for e, n in zip(errors, sizes, strict=True)) / sum(sizes)
    assert found.error == pytest.approx(mean, rel=1e-4)


def test_no_error_at_all_is_a_budget_too(net):
    assert rt.design_adc(net, "uniform", max_error=0.0, **ASK).error == 0


def test_it_is_one_budget_of_four(net):
    with pytest.raises(ValueError, match=r"exactly one of reduction=, max_drop=, max_error= and"):
        rt.design_adc(net, "uniform", max_error=0.1, reduction=2.0, **ASK)
    for wrong in (-0.1, float("nan"), True):
        with pytest.raises(ValueError, match="max_error must be a finite number of at least 0"):
            rt.design_adc(net, "uniform", max_error=wrong, **ASK)


def test_it_needs_data_and_numbers(net):
    saved = pickle.loads(pickle.dumps(net))  # without its images
    with pytest.raises(RuntimeError, match="max_error needs data"):
        rt.design_adc(saved, "uniform", max_error=0.1, **ASK)
    nn.init.zeros_(net.tail.weight)
    nn.init.zeros_(net.tail.bias)
    rt.calibrate(net, torch.rand(4, 3, 12, 12), show_progress=False)
    with pytest.raises(ValueError, match="max_error needs a network that returns numbers"):
        rt.design_adc(net, "uniform", max_error=0.1, **ASK)


def test_a_configuration_may_name_it(tmp_path):
    search = rt.SearchConfig("uniform", max_error=0.02)
    rt.Config(search=search).save(tmp_path / "error.toml")
    assert rt.load_config(tmp_path / "error.toml").search == search
