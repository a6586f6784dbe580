"""Networks whose output says nothing of their layers; what a result says, and warns of."""

import warnings

import pytest
import torch
from torch import nn

import reram_torch as rt

LOW = rt.Config(rt.CrossbarConfig(rows=32), rt.WeightConfig(bits=4), rt.InputConfig(bits=4))


class Wrapped(nn.Module):
    """Two layers, and something else than their scores."""

    def __init__(self, wrap=lambda y: y, bias=True):
        super().__init__()
        self.first, self.head = nn.Linear(40, 9, bias), nn.Linear(9, 4, bias)
        self.wrap = wrap

    def forward(self, x):
        return self.wrap(self.head(self.first(x).relu()))


def masked(y):
    return y.masked_fill(torch.arange(4) == 2, -torch.inf)


def not_a_number(y):
    return y + torch.nan


def zeros():
    net = Wrapped()
    nn.init.zeros_(net.head.weight)
    nn.init.zeros_(net.head.bias)
    return net


ODD = {
    "NaN": lambda: Wrapped(not_a_number),
    "-inf": lambda: Wrapped(masked),
    "zeros": zeros,
    "blank": lambda: Wrapped(bias=False),
    "dict": lambda: Wrapped(lambda y: {"logits": y}),
    "tuple": lambda: Wrapped(lambda y: (y, y)),
}


def calibrated(name):
    net = rt.convert(ODD[name]().eval(), LOW)
    x = torch.zeros(8, 40) if name == "blank" else torch.rand(8, 40)
    return rt.calibrate(net, x.split(4), show_progress=False)


def scores(net, x):
    y = net(x)
    return y["logits"] if isinstance(y, dict) else y[0] if isinstance(y, tuple) else y


@pytest.mark.parametrize("name", ODD)
def test_lossless_stays_lossless(name):
    net = calibrated(name)
    x = torch.rand(20, 40)
    with torch.no_grad():
        before = scores(net, x)
        found = rt.design_adc(
            net, "search_tree", lossless=True, granularity="slice+activity", show_progress=False
        )  # fmt: skip
        assert torch.equal(scores(net, x).nan_to_num(7.0), before.nan_to_num(7.0))
    assert found.reduction >= 4
    assert all(layer.correction is None for layer in rt.crossbar_layers(net).values())


@pytest.mark.parametrize("name", ["NaN", "-inf", "zeros", "blank"])
@pytest.mark.parametrize("design", ["twin_range", "segmented"])
def test_a_reduction_is_met_with_equal_weights(name, design):
    net = calibrated(name)
    with pytest.warns(UserWarning, match="all layers weigh the same") as caught:
        found = rt.design_adc(
            net, design, reduction=6.0, granularity="slice", show_progress=False
        )  # fmt: skip
    assert len(caught) == 1
    assert caught[0].filename == __file__
    assert found.reduction >= 6.0 * 0.999
    assert "\n" not in str(found)
    for layer in rt.crossbar_layers(net).values():
        assert layer.correction is None or layer.correction.isfinite().all()


def test_outputs_that_are_no_scores_have_an_error_and_no_drop():
    net = calibrated("tuple")
    ask = {"granularity": "slice", "show_progress": False}
    found = rt.design_adc(net, "uniform", lossless=True, **ask)
    assert (found.drop, found.drop_error, found.error) == (None, None, 0.0)
    assert found.measured_reduction > 1
    assert 0 < rt.design_adc(net, "uniform", reduction=6.0, **ask).error < 1
    with pytest.raises(ValueError, match="max_drop needs a network that returns class scores"):
        rt.design_adc(net, "uniform", max_drop=0.1, **ask)


def test_logits_in_a_dict_are_scores():
    """As if the network gave them alone."""
    nets = [calibrated("dict"), rt.calibrate(
        rt.convert(Wrapped().eval(), LOW), torch.rand(8, 40), show_progress=False
    )]  # fmt: skip
    nets[1].load_state_dict(nets[0].state_dict())
    data = [(torch.rand(30, 40), torch.randint(4, (30,)))]
    found = []
    for net in nets:
        rt.calibrate(net, data, show_progress=False)
        ask = {"granularity": "slice", "show_progress": False}
        found.append(rt.design_adc(net, "uniform", max_drop=0.2, **ask))
    assert found[0] == found[1]
    assert found[0].drop is not None


# --- what is said of a result ---


def ordinary(count=16):
    net = rt.convert(Wrapped(bias=False).eval(), LOW)
    return rt.calibrate(net, torch.randn(count, 40), show_progress=False)


def test_a_result_is_a_line():
    found = rt.design_adc(
        ordinary(), "twin_range", reduction=6.0, granularity="slice", show_progress=False
    )  # fmt: skip
    line = str(found)
    assert "\n" not in line
    for words in ("twin_range by slice: ", f"{found.reduction:.2f}x fewer A/D operations",
                  f"{found.measured_reduction:.2f}x on held-back images", "top-1 lost",
                  f"tables up to {found.table_bytes} B"):  # fmt: skip
        assert words in line


def test_a_result_without_held_back_images_says_so():
    net = rt.convert(Wrapped().eval(), LOW)
    rt.calibrate(net, torch.rand(8, 40), held_back=0, show_progress=False)
    found = rt.design_adc(net, "uniform", lossless=True, show_progress=False)
    assert not found.held_back
    assert "on the calibration images" in str(found)
    found = rt.design_adc(
        net, "uniform", lossless=True, batches=torch.rand(5, 40), show_progress=False
    )  # fmt: skip
    assert found.held_back


def caught_of(net, *args, **options):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        found = rt.design_adc(net, *args, show_progress=False, **options)
    assert all(each.filename == __file__ for each in caught)
    return found, [str(each.message) for each in caught]


def test_a_reduction_missed_on_other_images_is_warned_of():
    """Calibrated on inputs that drive little, and measured where all is driven."""
    net = rt.convert(Wrapped().eval(), LOW)
    sparse = torch.rand(32, 40) * (torch.rand(32, 40) < 0.1)
    rt.calibrate(net, sparse, show_progress=False)
    for granularity, remedy in (
        ("cycle+slice", "granularity='slice'"),
        ("slice", "calibrate on more images"),
    ):
        found, said = caught_of(
            net, "search_tree", reduction=12.0, granularity=granularity,
            batches=torch.ones(8, 40),
        )  # fmt: skip
        assert found.measured_reduction < 0.97 * 12
        [missed] = [text for text in said if "on held-back images the reduction is" in text]
        assert f"{found.measured_reduction:.2f}x, not 12.00x: calibrate on more images" in missed
        assert remedy in missed
        assert ("granularity" in missed) == ("cycle" in granularity)


def test_a_severe_drop_is_warned_of():
    net = ordinary(64)
    found, said = caught_of(net, "uniform", reduction=40.0, granularity="slice")
    assert found.drop - found.drop_error > 0.05
    [severe] = [text for text in said if "these ADCs cost" in text]
    assert f"cost {found.drop:.4f} of top-1" in severe
    assert "ask for less, or for granularity='slice+activity'" in severe
    mild, said = caught_of(net, "uniform", lossless=True, granularity="slice")
    assert (mild.drop, mild.drop_error, said) == (0.0, 0.0, [])


def test_a_severe_error_is_warned_of_where_there_are_no_classes():
    net = rt.convert(Wrapped(lambda y: y.sum(1, keepdim=True)).eval(), LOW)
    rt.calibrate(net, torch.rand(32, 40), show_progress=False)
    found, said = caught_of(net, "uniform", reduction=200.0, granularity="slice+activity")
    assert found.drop is None
    assert found.error > 0.1
    [severe] = [text for text in said if "these ADCs cost an error of" in text]
    assert "granularity='cycle+slice+activity'" in severe
