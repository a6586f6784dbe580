"""Budgets of other metrics than top-1; labels of any kind."""

import math

import pytest
import torch
from torch import nn

import reram_torch as rt

LOW = rt.Config(rt.CrossbarConfig(rows=32), rt.WeightConfig(bits=4), rt.InputConfig(bits=4))
ASK = {"granularity": "slice", "show_progress": False}


class Pixels(nn.Module):
    """A map of the input, beside what is no tensor of floating point."""

    def __init__(self):
        super().__init__()
        self.conv, self.out = nn.Conv2d(1, 6, 3, padding=1), nn.Conv2d(6, 2, 3, padding=1)

    def forward(self, x):
        y = self.out(self.conv(x).relu())
        return {"out": y, "kinds": y.argmax(1), "aux": [y.mean((2, 3))]}


def mapped():
    torch.manual_seed(0)
    model, data = Pixels().eval(), [torch.rand(12, 1, 8, 8) for _ in range(2)]
    with torch.no_grad():
        pairs = [(x, model(x)["out"]) for x in data]
    return rt.calibrate(rt.convert(model, LOW), pairs, show_progress=False)


def closeness(outputs, inputs, targets):
    """Minus the distance of each output to that of the float network, the target here."""
    assert [len(x) for x in inputs] == [len(t) for t in targets]
    pairs = zip(outputs, targets, strict=True)
    return torch.cat([-(y["out"] - t).square().mean((1, 2, 3)) for y, t in pairs])


@pytest.mark.parametrize("single", [False, True])
def test_a_drop_of_a_metric_is_kept(single):
    net = mapped()

    def metric(outputs, inputs, targets):
        each = closeness(outputs, inputs, targets)
        return float(each.mean()) if single else each

    loose = rt.design_adc(net, "uniform", max_drop=0.05, metric=metric, **ASK)
    tight = rt.design_adc(net, "uniform", max_drop=0.0005, metric=metric, **ASK)
    assert tight.drop <= 0.0005
    assert loose.drop <= 0.05
    assert loose.adc_energy_pj < tight.adc_energy_pj
    assert (loose.drop_error is None) == single
    assert f"metric lost {loose.drop:.4f}" in str(loose)
    held = net.calibration.held_back
    with torch.no_grad():
        made = [net(x) for x in held.inputs]
        for layer in rt.crossbar_layers(net).values():
            layer.set_adc([rt.UniformSAR(6 + layer.geometry.signed, 1)])
        ideal = [net(x) for x in held.inputs]
    rt.design_adc(net, "uniform", max_drop=0.0005, metric=metric, **ASK)
    lost = closeness(ideal, held.inputs, held.targets) - closeness(made, held.inputs, held.targets)
    assert float(lost.mean()) == pytest.approx(tight.drop, abs=1e-6)


def test_a_metric_may_be_of_any_size():
    net = mapped()

    def far(outputs, inputs, targets):
        return 1e4 * closeness(outputs, inputs, targets)

    found = rt.design_adc(net, "uniform", max_drop=200.0, metric=far, **ASK)
    assert 1 < found.drop <= 200
    with pytest.raises(ValueError, match="max_drop must be a number from 0 to 1, not 200"):
        rt.design_adc(net, "uniform", max_drop=200.0, **ASK)


def test_what_is_no_metric_is_refused():
    net = mapped()
    for metric, error, message in [
        (lambda *_: "good", TypeError, "metric must give a number.* not str"),
        (lambda *_: torch.ones(2, 2), TypeError, r"not \(2, 2\)"),
        (lambda *_: math.nan, ValueError, "every value must be finite"),
    ]:
        with pytest.raises(error, match=message):
            rt.design_adc(net, "uniform", max_drop=0.1, metric=metric, **ASK)


def test_a_metric_over_chips_gives_as_many_values_for_each():
    given = {"devices": "stuck", "chips": 2, **ASK}
    with pytest.raises(ValueError, match="metric gave 3 values of 2 chips"):
        rt.design_adc(mapped(), "uniform", max_drop=0.1, metric=lambda *_: torch.ones(3), **given)


def test_without_a_metric_there_is_the_error_of_all_float_tensors():
    net = mapped()
    mild = rt.design_adc(net, "uniform", reduction=2.0, **ASK)
    harsh = rt.design_adc(net, "uniform", reduction=9.0, **ASK)
    assert mild.drop is None
    assert 0 <= mild.error < harsh.error
    with pytest.raises(ValueError, match="class scores .*or metric="):
        rt.design_adc(net, "uniform", max_drop=0.1, **ASK)


def pixel_accuracy(outputs, inputs, targets):
    pairs = zip(outputs, targets, strict=True)
    return torch.cat([(y["out"].argmax(1) == t).double().mean((1, 2)) for y, t in pairs])


def test_labels_of_pixels_need_a_metric():
    """They are held back with their images, and are never taken for labels of images."""
    net, x = mapped(), torch.rand(16, 1, 8, 8)
    with torch.no_grad():
        labels = net(x)["out"].argmax(1)
    rt.calibrate(net, [(x, labels)], show_progress=False)
    held = net.calibration.held_back
    assert torch.equal(torch.cat(held.targets), labels[3::4])
    found = rt.design_adc(net, "uniform", max_drop=0.05, metric=pixel_accuracy, **ASK)
    with torch.no_grad():
        made = pixel_accuracy([net(held.inputs[0])], held.inputs, held.targets)
        for layer in rt.crossbar_layers(net).values():
            layer.set_adc([rt.UniformSAR(6 + layer.geometry.signed, 1)])
        ideal = pixel_accuracy([net(held.inputs[0])], held.inputs, held.targets)
    assert found.drop == pytest.approx(float((ideal - made).mean()), abs=1e-9)
    assert found.drop <= 0.05
    form = r"\{out: \(4, 2, 8, 8\), kinds: \(4, 8, 8\), aux: \[\(4, 2\)\]\}"
    with pytest.raises(ValueError, match=f"class scores .*metric= to judge its outputs.* {form}"):
        rt.design_adc(net, "uniform", max_drop=0.05, **ASK)


# --- labels ---


def classifier(labels):
    torch.manual_seed(0)
    net = rt.convert(nn.Sequential(nn.Linear(10, 8), nn.ReLU(), nn.Linear(8, 4)).eval(), LOW)
    return rt.calibrate(net, [(torch.rand(16, 10), labels)], show_progress=False)


LABELS = torch.arange(16) % 4


@pytest.mark.parametrize(
    "labels",
    [LABELS.to(torch.uint8), LABELS.int(), LABELS.float(), LABELS[:, None], LABELS.tolist()],
    ids=["uint8", "int32", "float", "column", "list"],
)
def test_labels_of_any_type_are_labels(labels):
    wanted = rt.design_adc(classifier(LABELS), "uniform", max_drop=0.3, **ASK)
    assert rt.design_adc(classifier(labels), "uniform", max_drop=0.3, **ASK) == wanted


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (LABELS - 1, "a target is -1: labels are from 0 on"),
        (LABELS + 1, "a label is 4, but the network has 4 outputs"),
        (LABELS + 0.5, "targets must be whole numbers, not"),
        (
            torch.eye(4)[LABELS],
            r"\(4, 4\) targets of torch.float32 for 4 inputs: one label .*metric=",
        ),
        ([{"label": torch.ones(1)}] * 16, "targets must be tensors of labels, not list"),
    ],
    ids=["negative", "too large", "halves", "one-hot", "dicts"],
)
def test_other_labels_are_refused_before_work_starts(labels, message, monkeypatch):
    net = classifier(labels)
    monkeypatch.setattr("reram_torch.design.problem.layer_sensitivities", None)
    with pytest.raises(ValueError, match=message):
        rt.design_adc(net, "uniform", max_drop=0.3, **ASK)
