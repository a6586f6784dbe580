"""Networks that are converted once more."""

import pytest
import torch
from torch import nn

import reram_torch as rt


def test_layers_may_have_different_arrays(lenet, batches):
    narrow, wide = rt.Config(rt.CrossbarConfig(rows=32)), rt.Config(rt.CrossbarConfig(rows=256))
    some = rt.convert(lenet, narrow, skip=["fc1", "fc2", "fc3"])
    first = some.conv1
    net = rt.convert(some, wide, skip=["fc3"], inplace=True)
    assert net.conv1 is first
    rows = {n: layer.config.crossbar.rows for n, layer in rt.crossbar_layers(net).items()}
    assert rows == {"conv1": 32, "conv2": 32, "fc1": 256, "fc2": 256}
    report = net.mapping_report
    assert report.converted == ("conv1", "conv2", "fc1", "fc2")
    assert report.skipped == ("fc3",)
    assert list(report.in_float) == ["fc3"]
    with pytest.raises(ValueError, match=r"nothing left to convert: skipped \['fc3'\]"):
        rt.convert(net, skip=["fc3"])
    rt.calibrate(net, batches, show_progress=False)
    found = rt.design_adc(net, "twin_range", granularity="slice", lossless=True)
    assert set(found.designs) == set(rows)
    torch.testing.assert_close(net(batches[0][0]), lenet(batches[0][0]), rtol=0.1, atol=0.05)
    assert type(rt.revert(net).fc1) is nn.Linear


def test_what_was_folded_before_stays_in_the_report(small_net):
    half = rt.convert(small_net, fold_bn=True, skip=["4"])
    report = rt.convert(half).mapping_report
    assert (report.converted, report.folded) == (("0", "4"), {"0": "1"})


@pytest.mark.parametrize("kind", ["attention", "encoder", "line"])
def test_kinds_with_layers_within_are_converted_once(kind):
    inner = {
        "attention": lambda: nn.MultiheadAttention(8, 2),
        "encoder": lambda: nn.TransformerEncoderLayer(8, 2, 16),
        "line": lambda: nn.Conv1d(8, 8, 3),
    }[kind]()
    model = nn.Sequential(inner, nn.Linear(8, 4))
    once = rt.convert(model)
    twice = rt.convert(rt.convert(model, skip=["1"]))
    assert twice.mapping_report == once.mapping_report
    assert str(twice) == str(once)
    assert str(rt.revert(twice)) == str(model)
    with pytest.raises(ValueError, match="every layer is on crossbars already"):
        rt.convert(twice)
