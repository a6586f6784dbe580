"""Conversion, reversion, and folding of batch norms."""

import copy

import pytest
import torch
from torch import nn
from torch.nn.utils import prune

import reram_torch as rt


def test_lenet_and_back(lenet, batches):
    x = batches[0][0]
    net = rt.convert(lenet)
    assert type(net.conv1) is rt.ReRAMConv2d
    assert type(net.fc3) is rt.ReRAMLinear
    assert type(lenet.conv1) is nn.Conv2d
    assert isinstance(net.conv1, nn.Conv2d)
    assert net.mapping_report.converted == ("conv1", "conv2", "fc1", "fc2", "fc3")
    back = rt.revert(net)
    assert not any(isinstance(m, rt.ReRAMConv2d | rt.ReRAMLinear) for m in back.modules())
    assert torch.equal(back(x), lenet(x))
    assert back.state_dict().keys() == lenet.state_dict().keys()


def test_revert_brings_the_weights_as_they_are(calibrated):
    with torch.no_grad():
        calibrated.fc1.weight.fill_(0.25)
    assert (rt.revert(calibrated).fc1.weight == 0.25).all()


def test_in_place_keeps_the_parameters(lenet):
    weight = lenet.conv1.weight
    assert rt.convert(lenet, inplace=True) is lenet
    assert lenet.conv1.weight is weight
    assert rt.revert(lenet, inplace=True) is lenet
    assert type(lenet.conv1) is nn.Conv2d
    assert lenet.conv1.weight is weight


def test_the_network_may_be_one_layer():
    net = rt.convert(nn.Linear(3, 2))
    assert type(net) is rt.ReRAMLinear
    assert type(rt.revert(net)) is nn.Linear


def test_skip_by_name_and_by_predicate(lenet):
    net = rt.convert(lenet, skip=["conv1", "fc3"])
    assert type(net.conv1) is nn.Conv2d
    assert net.mapping_report.skipped == ("conv1", "fc3")
    net = rt.convert(lenet, skip=lambda name, module: isinstance(module, nn.Linear))
    assert net.mapping_report.converted == ("conv1", "conv2")
    with pytest.raises(ValueError, match="no layer to convert is named 'conv7'"):
        rt.convert(lenet, skip=["conv7"])
    with pytest.raises(ValueError, match="nothing left to convert"):
        rt.convert(lenet, skip=lambda name, module: True)


def test_shared_modules_and_tied_parameters_stay_so():
    shared = nn.Linear(4, 4)
    net = nn.Sequential(shared, nn.ReLU(), nn.Sequential(shared), nn.Linear(4, 4))
    net.again = shared
    net[3].weight = shared.weight
    made = rt.convert(net)
    assert made[0] is made[2][0] is made.again
    assert made[3].weight is made[0].weight
    assert made.mapping_report.converted == ("0", "3")
    back = rt.revert(made)
    assert back[0] is back[2][0] is back.again
    assert back[3].weight is back[0].weight


class MyConv(nn.Conv2d):
    def forward(self, x):
        return super().forward(x).relu()


def test_what_cannot_be_converted_is_left_alone_and_listed(caplog):
    net = nn.ModuleDict(
        {
            "mine": MyConv(3, 4, 3),
            "normed": nn.utils.parametrizations.weight_norm(nn.Linear(3, 3)),
            "plain": nn.Linear(3, 3),
        }
    )
    made = rt.convert(net)
    assert made.mapping_report.converted == ("plain",)
    assert set(made.mapping_report.left_alone) == {"mine", "normed"}
    assert type(made["mine"]) is MyConv
    assert "MyConv, with a forward of its own" in made.mapping_report.left_alone["mine"]
    assert "mine stays in float" in caplog.text


@pytest.mark.filterwarnings("ignore")  # torch calls the old weight norm deprecated
def test_weights_computed_by_a_hook_are_left_alone():
    net = nn.Sequential(nn.utils.weight_norm(nn.Linear(3, 3)), nn.Linear(3, 3))
    made = rt.convert(net, inplace=True)  # torch itself cannot copy such a network
    assert made.mapping_report.left_alone == {"0": "its weight is computed by a hook"}


def test_hooks_mode_and_requires_grad_are_kept(batches):
    net = nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU())
    net[0].weight.requires_grad_(False)
    net[0].eval()
    calls = []
    net[0].register_forward_hook(lambda *_: calls.append(1))
    made = rt.convert(net)
    assert not made[0].weight.requires_grad
    assert not made[0].training
    assert made[1].training
    rt.calibrate(made, batches, show_progress=False)
    assert calls
    assert not made[0].training


def test_what_makes_no_sense_says_what_to_do(lenet):
    net = rt.convert(lenet)
    with pytest.raises(ValueError, match="on crossbars already: revert it"):
        rt.convert(net)
    with pytest.raises(ValueError, match="no Conv2d and no Linear"):
        rt.convert(nn.ReLU())
    with pytest.raises(ValueError, match=r"run reram_torch.convert first"):
        rt.revert(lenet)
    with pytest.raises(TypeError, match="load_config"):
        rt.convert(lenet, "isaac")


def test_copies_are_independent(calibrated, batches):
    x = batches[0][0]
    other = copy.deepcopy(calibrated)
    assert torch.equal(other(x), calibrated(x))
    with torch.no_grad():
        other.fc3.weight.neg_()
    assert not torch.equal(other(x), calibrated(x))


# --- batch norm ---


def trained_norm(norm):
    with torch.no_grad():
        norm.running_mean.normal_()
        norm.running_var.uniform_(0.5, 2)
        norm.weight.normal_()
        norm.bias.normal_()
    return norm


def test_batch_norm_is_folded(small_net):
    trained_norm(small_net[1])
    x = torch.randn(4, 3, 8, 8)
    net = rt.convert(small_net, fold_bn=True)
    assert net.mapping_report.folded == {"0": "1"}
    assert isinstance(net[1], nn.Identity)
    assert net[0].bias is not None
    torch.testing.assert_close(rt.revert(net)(x), small_net(x))
    assert isinstance(small_net[1], nn.BatchNorm2d)
    assert rt.convert(small_net).mapping_report.folded == {}


class Graph(nn.Module):
    """conv -> norm, and whatever `use` makes of them."""

    def __init__(self, use, norm=None):
        super().__init__()
        self.conv = nn.Conv2d(3, 3, 1)
        self.norm = trained_norm(nn.BatchNorm2d(3)) if norm is None else norm
        self.use = use

    def forward(self, x):
        return self.use(self, x)


class Untracked(nn.BatchNorm2d):
    def __init__(self):
        super().__init__(3, track_running_stats=False)


def two_users(net, x):
    y = net.conv(x)
    return net.norm(y) + y


def conv_twice(net, x):
    return net.norm(net.conv(net.conv(x)))


def norm_twice(net, x):
    return net.norm(net.norm(net.conv(x)))


def weight_read(net, x):
    return net.norm(net.conv(x)) * net.conv.weight.sum()


def straight(net, x):
    return net.norm(net.conv(x))


@pytest.mark.parametrize(
    ("use", "why"),
    [
        (two_users, "used elsewhere"),
        (conv_twice, "conv is called 2 times"),
        (norm_twice, "it is called 2 times"),
        (weight_read, "read elsewhere"),
    ],
)
def test_folding_is_refused_where_the_graph_makes_it_wrong(use, why, caplog):
    model = Graph(use).eval()
    x = torch.randn(2, 3, 4, 4)
    net = rt.convert(model, fold_bn=True)
    assert not net.mapping_report.folded
    assert why in net.mapping_report.not_folded["norm"]
    assert "norm is not folded" in caplog.text
    torch.testing.assert_close(rt.revert(net)(x), model(x))


def test_folding_is_refused_for_other_norms_and_shared_parameters():
    for norm, why in (
        (nn.BatchNorm2d(3, track_running_stats=False), "no running statistics"),
        (Untracked(), "subclass"),
    ):
        net = rt.convert(Graph(straight, norm).eval(), fold_bn=True)
        assert why in net.mapping_report.not_folded["norm"]
    model = Graph(straight)
    model.other = nn.Conv2d(3, 3, 1)
    model.other.weight = model.conv.weight
    net = rt.convert(model.eval(), fold_bn=True)
    assert "shared" in net.mapping_report.not_folded["norm"]
    model = Graph(straight).eval()
    model.conv.register_forward_hook(lambda *_: None)
    assert "hook" in rt.convert(model, fold_bn=True).mapping_report.not_folded["norm"]


def test_skipped_convolutions_keep_their_norm(small_net):
    net = rt.convert(small_net, fold_bn=True, skip=["0"])
    assert isinstance(net[1], nn.BatchNorm2d)
    assert net.mapping_report.folded == {}


def branching(net, x):
    return net.norm(net.conv(x)) if x.sum() > 0 else x


def test_what_cannot_be_traced_or_is_in_training_is_an_error(small_net):
    with pytest.raises(ValueError, match=r"torch.fx can trace"):
        rt.convert(Graph(branching).eval(), fold_bn=True)
    with pytest.raises(ValueError, match=r"model.eval\(\)"):
        rt.convert(small_net.train(), fold_bn=True)


class Alias(nn.Module):
    """The same modules under two names, as backbones often have them."""

    def __init__(self):
        super().__init__()
        self.conv, self.norm = nn.Conv2d(3, 8, 3), trained_norm(nn.BatchNorm2d(8))
        self.stem = nn.Sequential(self.conv, self.norm, nn.ReLU())

    def forward(self, x):
        return self.stem(x)


def test_norms_are_folded_under_every_name():
    model = Alias().eval()
    x = torch.randn(2, 3, 8, 8)
    net = rt.convert(model, fold_bn=True)
    assert not any(isinstance(m, nn.BatchNorm2d) for m in net.modules())
    torch.testing.assert_close(rt.revert(net)(x), model(x))
    assert type(net.stem[0]) is rt.ReRAMConv2d


def test_shared_layers_may_be_skipped_by_any_name():
    net = Alias()
    net.head = nn.Linear(3, 2)
    made = rt.convert(net, skip=["stem.0"])
    assert made.mapping_report.skipped == ("conv",)
    assert type(made.conv) is nn.Conv2d


def test_a_refusal_changes_nothing():
    net = nn.Sequential(
        nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.Flatten(), nn.Linear(40_000, 2)
    ).eval()
    with pytest.raises(ValueError, match=r"layer '3'"):
        rt.convert(net, inplace=True, fold_bn=True)
    assert [type(m) for m in net] == [nn.Conv2d, nn.BatchNorm2d, nn.Flatten, nn.Linear]


def test_computed_biases_are_left_alone():
    net = nn.Sequential(nn.Linear(4, 3), nn.Linear(3, 2))
    prune.l1_unstructured(net[0], "bias", 1)
    made = rt.convert(net, inplace=True)
    assert made.mapping_report.left_alone == {"0": "its bias is computed by a hook"}


def test_backward_hooks_are_kept():
    seen = []
    net = nn.Sequential(nn.Linear(4, 3))
    net[0].register_full_backward_hook(lambda *_: seen.append(1))
    made = rt.calibrate(rt.convert(net), torch.rand(5, 4), show_progress=False)
    made(torch.rand(2, 4, requires_grad=True)).sum().backward()
    assert seen


def test_construction_under_meta_does_not_spoil_later_layers():
    with torch.device("meta"):
        layer = rt.ReRAMLinear(4, 3, config=rt.Config(adc=rt.UniformSAR(7)))
    assert layer.weight.device.type == "meta"
    x = torch.rand(5, 4)
    for made in (
        rt.ReRAMLinear(4, 3, config=rt.Config(adc=rt.UniformSAR(7))),
        torch.nn.utils.skip_init(rt.ReRAMLinear, 4, 3),
    ):
        with torch.no_grad():
            made.weight.normal_()
            made.bias.zero_()
        y = rt.calibrate(made, x, show_progress=False)(x)
        torch.testing.assert_close(y, made.to_float()(x), atol=0.1, rtol=0.1)


class Everything(nn.Module):
    """What convert does not take, of every kind."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)
        self.line, self.back = nn.Conv3d(2, 3, 2), nn.ConvTranspose2d(2, 3, 4)
        self.attention = nn.MultiheadAttention(8, 2)
        self.rnn, self.cell = nn.LSTM(4, 5, bidirectional=True), nn.GRUCell(3, 4)
        self.table, self.pairs = nn.Embedding(10, 4), nn.Bilinear(2, 3, 4)
        self.head = nn.Linear(4, 10)
        self.normal = nn.utils.parametrizations.weight_norm(nn.Linear(4, 6))
        self.place = nn.Parameter(torch.rand(1, 5, 4))
        self.norm = nn.LayerNorm((3, 4))


def test_what_stays_in_float_is_named_with_its_weights():
    report = rt.convert(Everything(), skip=["head", "attention"]).mapping_report
    assert {n: (x.kind, x.weights) for n, x in report.in_float.items()} == {
        "place": ("parameter", 20),
        "line": ("Conv3d", 48),
        "back": ("ConvTranspose2d", 96),
        "attention": ("MultiheadAttention", 192),
        "attention.out_proj": ("NonDynamicallyQuantizableLinear", 64),
        "rnn": ("LSTM", 360),
        "cell": ("GRUCell", 84),
        "table": ("Embedding", 40),
        "pairs": ("Bilinear", 24),
        "head": ("Linear", 40),
        "normal": ("ParametrizedLinear", 24),
    }
    reasons = {name: layer.reason for name, layer in report.in_float.items()}
    assert reasons["head"] == "skip names it"
    assert reasons["attention"] == reasons["attention.out_proj"] == "skip names it"
    assert reasons["line"].startswith("convert takes Conv1d, Conv2d")
    assert reasons["place"] == "Everything reads it itself"
    assert report.crossbar_weights == 108
    assert report.float_weights == 992
    assert report.weights_on_crossbars == pytest.approx(108 / 1100)


def test_weights_that_a_crossbar_layer_shares_are_not_in_float():
    net = nn.Sequential(nn.Embedding(10, 4), nn.Linear(4, 10, bias=False), MyLinear(4, 10))
    net[1].weight = net[0].weight
    net[2].weight = net[0].weight
    report = rt.convert(net).mapping_report
    assert {n: x.weights for n, x in report.in_float.items()} == {"2": 0}  # it multiplies, though
    assert (report.crossbar_weights, report.weights_on_crossbars) == (40, 1.0)


def test_everything_on_crossbars(lenet):
    report = rt.convert(lenet).mapping_report
    assert report.in_float == {}
    assert report.weights_on_crossbars == 1.0


class MyLinear(nn.Linear):
    def forward(self, x):
        return super().forward(x).relu()
