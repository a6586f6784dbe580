"""What is not on crossbars, and its part of the work."""

import json

import pytest
import torch
from torch import nn

import reram_torch as rt
from reram_torch.evaluation.integers import plain_integer
from reram_torch.power.float_macs import macs_of


def metered(net, *args, **named):
    for layer in rt.crossbar_layers(net).values():
        layer.set_input_range(0.0, 1.0)
    with torch.no_grad(), rt.PowerMeter(net) as meter:
        net(*args, **named)
    return meter.report()


@pytest.mark.parametrize("config", [None, rt.Config(rt.CrossbarConfig(cols=64))])
def test_isaac_makes_four_comparisons_for_a_mac(config):
    report = metered(rt.convert(nn.Linear(256, 7), config), torch.rand(5, 256))
    assert report.macs == 5 * 256 * 7
    assert report.comparisons_per_mac == 4.0
    assert report.conversions_per_mac == 0.5
    assert report.mac_share_on_crossbars == report.weight_share_on_crossbars == 1.0
    [row] = report.to_dict()["layers"]
    assert row["comparisons_per_mac"] == report.to_dict()["comparisons_per_mac"] == 4.0
    assert row["conversions_per_mac"] == report.to_dict()["conversions_per_mac"] == 0.5


def test_tiles_that_are_not_full_make_more():
    report = metered(rt.convert(nn.Linear(192, 7)), torch.rand(5, 192))
    assert report.comparisons_per_mac == pytest.approx(4 * 256 / 192)


@pytest.mark.parametrize("groups", [1, 2, 4])
def test_groups_are_not_dense(groups):
    report = metered(rt.convert(nn.Conv2d(4, 8, 3, groups=groups)), torch.rand(2, 4, 6, 6))
    assert report.macs == 2 * 16 * 8 * 9 * 4 // groups


def test_skipped_sums_are_no_conversions():
    net = rt.convert(nn.Linear(128, 4))
    net.set_adc([rt.UniformSAR()] * 8, edges=(0, 1), index=[[[-1] * 8] * 8, [list(range(8))] * 8])
    x = torch.zeros(2, 128)
    x[1] = 1.0
    report = metered(net, x)
    assert report.conversions_per_mac == 0.25
    assert report.comparisons_per_mac == 2.0


def test_nothing_is_nothing(calibrated):
    report = rt.PowerMeter(calibrated).report()
    for value in (report.comparisons_per_mac, report.conversions_per_mac):
        assert value != value  # NaN
    assert report.mac_share_on_crossbars != report.mac_share_on_crossbars
    assert report.to_dict()["comparisons_per_mac"] is None


@pytest.mark.parametrize(
    ("layer", "shapes", "macs"),
    [
        (nn.Linear(6, 5), [(2, 3, 6)], 6 * 30),
        (nn.Linear(6, 5), [(6,)], 30),
        (nn.Conv1d(4, 6, 3, groups=2), [(2, 4, 10)], 2 * 8 * 6 * 2 * 3),
        (nn.Conv2d(4, 6, 3, stride=2), [(2, 4, 9, 9)], 2 * 16 * 6 * 4 * 9),
        (nn.Conv3d(1, 2, 3), [(1, 5, 5, 5)], 27 * 2 * 27),
        (nn.ConvTranspose2d(4, 6, 3, stride=2, groups=2), [(2, 4, 5, 5)], 2 * 4 * 25 * 3 * 9),
        (nn.Bilinear(3, 4, 5), [(2, 3), (2, 4)], 2 * 60),
        (nn.LSTM(4, 5), [(7, 2, 4)], 14 * 4 * 5 * (4 + 5)),
        (nn.GRU(4, 5, 2, bidirectional=True), [(7, 2, 4)], 14 * 2 * 15 * (4 + 5 + 10 + 5)),
        (nn.RNNCell(4, 5), [(3, 4)], 3 * 5 * 9),
    ],
)  # fmt: skip
def test_macs_of_each_kind(layer, shapes, macs):
    given = tuple(torch.rand(shape) for shape in shapes)
    assert macs_of(layer, given, {}, layer(*given)) == macs


@pytest.mark.filterwarnings("ignore:LSTM with projections")
def test_macs_of_a_projection():
    layer, x = nn.LSTM(4, 6, proj_size=2), torch.rand(7, 4)
    assert macs_of(layer, (x,), {}, layer(x)) == 7 * (24 * (4 + 2) + 12)


def test_macs_are_half_the_flops_that_torch_counts():
    flops = pytest.importorskip("torch.utils.flop_counter")
    cases = [
        (nn.Conv2d(4, 6, 3, stride=2, padding=1, groups=2), torch.rand(2, 4, 9, 9)),
        (nn.ConvTranspose1d(4, 6, 3, stride=2), torch.rand(2, 4, 9)),
        (nn.Linear(6, 5), torch.rand(2, 3, 6)),
    ]
    for layer, x in cases:
        with flops.FlopCounterMode(display=False) as counter:
            y = layer(x)
        assert 2 * macs_of(layer, (x,), {}, y) == counter.get_total_flops()


class Conv1D(nn.Module):
    """Hugging Face's."""

    def __init__(self, outputs, inputs):
        super().__init__()
        self.weight = nn.Parameter(torch.rand(inputs, outputs))

    def forward(self, x):
        return x @ self.weight


class Mixed(nn.Module):
    """Every kind of thing that stays in float, and a layer that does not."""

    def __init__(self):
        super().__init__()
        self.embed = nn.Embedding(10, 8)
        self.place = nn.Parameter(torch.rand(6, 8))
        self.attention = nn.MultiheadAttention(8, 2, batch_first=True)
        self.hidden = Conv1D(16, 8)
        self.rnn = nn.GRU(16, 8, batch_first=True)
        self.head = nn.Linear(8, 4)
        self.norm = nn.LayerNorm((6, 8))

    def forward(self, ids):
        x = self.embed(ids) + self.place
        x = self.attention(x, x, value=x)[0]
        return self.head(self.norm(self.rnn(self.hidden(x))[0]).relu())


def test_everything_in_float_is_named_with_its_part(tmp_path):
    net = rt.convert(Mixed().eval(), skip=["attention"])
    report = metered(net, torch.randint(10, (3, 6)))
    tokens = 3 * 6
    products = 2 * tokens * 6 * 8
    assert {n: (x.kind, x.weights, x.macs) for n, x in report.in_float.items()} == {
        "embed": ("Embedding", 80, 0),
        "place": ("parameter", 48, None),
        "attention": ("MultiheadAttention", 192, tokens * 192 + products),
        "attention.out_proj": ("NonDynamicallyQuantizableLinear", 64, tokens * 64),
        "hidden": ("Conv1D", 128, tokens * 128),
        "rnn": ("GRU", 576, tokens * 576),
    }
    assert report.inferences == 3
    assert report.uncounted == ("place",)
    assert report.macs == tokens * 32
    assert report.float_macs == tokens * (192 + 64 + 128 + 576) + products
    assert report.mac_share_on_crossbars == pytest.approx(32 / (992 + 96))
    assert report.weight_share_on_crossbars == pytest.approx(32 / (32 + 1088))
    report.to_json(tmp_path / "r.json")
    read = json.loads((tmp_path / "r.json").read_text())
    assert read["in_float"]["place"] == {"kind": "parameter", "weights": 48, "macs": None}
    assert read["mac_share_on_crossbars"] == report.mac_share_on_crossbars
    lines = str(report).splitlines()
    lines = lines[: lines.index("")]  # assumptions follow
    assert lines[-1] == (
        "in float: rnn (GRU), attention (MultiheadAttention), hidden (Conv1D), embed (Embedding) "
        "and 2 more"
    )
    assert lines[-2].split()[-3:] == ["at", "most", "2.9%"]
    assert "2.9%" in lines[-3]


def test_products_of_two_activations_are_counted():
    net = rt.convert(nn.MultiheadAttention(8, 2, kdim=6, add_bias_kv=True, add_zero_attn=True))
    report = metered(net, torch.rand(5, 3, 8), torch.rand(4, 3, 6), torch.rand(4, 3, 8))
    assert report.inferences == 3
    products = report.in_float[""]
    assert (products.kind, products.weights) == ("ReRAMMultiheadAttention", 0)
    assert report.uncounted == ("bias_k", "bias_v")
    assert products.macs == 2 * 3 * 2 * 5 * (4 + 2) * 4  # two products, B, heads, L, S, width
    assert report.macs == 3 * (5 * 64 + 4 * 48 + 4 * 64 + 5 * 64)
    alone = metered(net, torch.rand(5, 8), torch.rand(4, 6), value=torch.rand(4, 8))
    assert alone.inferences == 1
    assert alone.in_float[""].macs * 3 == products.macs


def test_a_network_all_on_crossbars_says_nothing_of_float(calibrated):
    report = metered(calibrated, torch.rand(2, 1, 32, 32))
    assert report.in_float == {}
    assert "float" not in str(report)
    assert report.float_macs == 0


def test_the_page_has_a_table_of_what_is_in_float(tmp_path):
    pytest.importorskip("matplotlib")
    net = rt.convert(Mixed().eval(), skip=["attention"])
    metered(net, torch.randint(10, (3, 6))).to_html(tmp_path / "r.html")
    text = (tmp_path / "r.html").read_text(encoding="utf-8")
    for words in ("Not on crossbars", "MultiheadAttention", "not counted", "at most 2.9%"):
        assert words in text


def test_what_is_counted_when(lenet, batches):
    net = rt.convert(lenet, skip=["conv1"])
    x = torch.rand(2, 1, 32, 32)
    each = 28 * 28 * 6 * 25
    with rt.PowerMeter(net) as outer:
        rt.calibrate(net, batches, show_progress=False)  # no inference
        assert outer.inferences == 0
        net.conv1(x)
        with rt.PowerMeter(net) as inner, plain_integer(net), torch.inference_mode():
            net(x)
        net(x)
    net(x)
    assert inner.report().in_float["conv1"].macs == 2 * each
    assert outer.report().in_float["conv1"].macs == 6 * each
    assert outer.inferences == 4
    again = rt.PowerMeter(net)
    for meter in (inner, outer):
        again.load_state_dict(meter.state_dict())
    assert again.report().in_float["conv1"].macs == 8 * each
    again.add_up()
    assert again.report().in_float["conv1"].macs == 8 * each
    assert not net.conv1._forward_hooks


def test_what_cannot_be_counted_is_said_so():
    class Odd(nn.Linear):
        def forward(self, x):
            return {"y": super().forward(x)}

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.odd, self.fc = Odd(4, 3), nn.Linear(3, 2)

        def forward(self, x):
            return self.fc(self.odd(x)["y"].relu())

    report = metered(rt.convert(Net()), torch.rand(2, 4))
    assert report.in_float["odd"].macs is None
    assert report.uncounted == ("odd",)


def test_meters_count_alike_under_compile():
    model = nn.Sequential(nn.Conv1d(2, 3, 3), nn.Flatten(), nn.Linear(12, 4)).eval()
    net = rt.convert(model, skip=["0"])
    x = torch.rand(5, 2, 6)
    expected = metered(net, x)
    compiled = torch.compile(net, backend="eager")
    with torch.no_grad(), rt.PowerMeter(net) as meter:
        compiled(x)
        compiled(x)
    assert meter.report().macs == 2 * expected.macs
    assert meter.report().float_macs == 2 * expected.float_macs
