"""Attention, and torch's transformers around it, on crossbars and back."""

import copy
import io

import pytest
import torch
from floats import in_float
from torch import nn

import reram_torch as rt

PARTS = "q_proj", "k_proj", "v_proj", "out_proj"


def encoder(**options):
    layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True, **options)
    return nn.TransformerEncoder(layer, 2).eval()


def ready(model, **options):
    net = rt.convert(model, **options)
    for layer in rt.crossbar_layers(net).values():
        layer.set_input_range(-3.0, 3.0)
    return net


def padding():
    mask = torch.zeros(3, 5, dtype=torch.bool)
    mask[1, 3:] = mask[2, 1:] = True
    return mask


def test_attention_is_converted_by_its_projections():
    net = rt.convert(nn.Sequential(encoder(), nn.Linear(8, 2)))
    names = {f"0.layers.{k}.self_attn.{part}" for k in (0, 1) for part in PARTS}
    names |= {f"0.layers.{k}.linear{n}" for k in (0, 1) for n in (1, 2)} | {"1"}
    report = net.mapping_report
    assert set(report.converted) == set(rt.crossbar_layers(net)) == names
    assert report.weights_on_crossbars == 1.0
    assert not report.left_alone
    assert set(report.in_float) == {"0.layers.0.self_attn", "0.layers.1.self_attn"}
    assert report.in_float["0.layers.0.self_attn"].weights == 0
    assert "products of two activations" in report.in_float["0.layers.0.self_attn"].reason


@pytest.mark.parametrize("skip", [(), ["layers.0.linear1", "layers.0.linear2"],
                                  ["layers.0.self_attn", "layers.1.self_attn"]])  # fmt: skip
@pytest.mark.parametrize("padded", [False, True])
@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode, torch.enable_grad])
@pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors")
def test_no_fused_path_passes_a_layer(skip, padded, mode):
    model, x = encoder(), torch.randn(3, 5, 8)
    mask = padding() if padded else None
    net = ready(model, skip=skip)
    layers = list(rt.crossbar_layers(net).values())
    with mode(), in_float(net) as called:
        y = net(x, src_key_padding_mask=mask)
    assert called == layers
    torch.testing.assert_close(y, _slowly(model, x, mask), atol=1e-5, rtol=1e-4)
    with mode(), rt.PowerMeter(net) as meter:
        net(x, src_key_padding_mask=mask)
    assert [r.name for r in meter.report().layers] == list(rt.crossbar_layers(net))
    assert all(r.comparisons > 0 for r in meter.report().layers)
    assert meter.report().inferences == 3


def _slowly(model, x, mask):
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        return model(x, src_key_padding_mask=mask)
    finally:
        torch.backends.mha.set_fastpath_enabled(True)


@pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors")
def test_reverted_encoders_take_the_fused_path_again():
    model = encoder()
    back = rt.revert(rt.convert(model))
    assert back.use_nested_tensor
    assert [layer.activation_relu_or_gelu for layer in back.layers] == [1, 1]
    x = torch.randn(3, 5, 8)
    with torch.no_grad():
        given = back(x, src_key_padding_mask=padding())
        assert torch.equal(given, model(x, src_key_padding_mask=padding()))
    assert vars(back.layers[0]).keys() == vars(model.layers[0]).keys()
    assert vars(back).keys() == vars(model).keys()
    other = encoder(activation="gelu")
    assert rt.revert(rt.convert(other)).layers[1].activation_relu_or_gelu == 2


def test_layers_that_are_converted_alone_take_no_fused_path_in_a_new_encoder():
    net = rt.convert(nn.TransformerEncoderLayer(8, 2, 16, batch_first=True).eval())
    with pytest.warns(UserWarning, match="use_nested_tensor is False"):
        stack = nn.TransformerEncoder(net, 2).eval()
    with torch.no_grad(), in_float(stack) as called:
        stack(torch.randn(3, 5, 8), src_key_padding_mask=padding())
    assert len(called) == 12


@pytest.mark.filterwarnings("ignore:enable_nested_tensor is True")
@pytest.mark.parametrize("batch_first", [False, True])
def test_whole_transformers_convert(batch_first):
    model = nn.Transformer(8, 2, 1, 1, 16, batch_first=batch_first).eval()
    x, y = torch.randn(3, 3, 8), torch.randn(3, 3, 8)
    causal = model.generate_square_subsequent_mask(3)
    net = rt.convert(model)
    assert net.mapping_report.weights_on_crossbars == 1.0
    with torch.no_grad():
        expected = model(x, y, tgt_mask=causal, tgt_is_causal=True)
        with in_float(net) as called:
            given = net(x, y, tgt_mask=causal, tgt_is_causal=True)
    assert set(called) == set(rt.crossbar_layers(net).values())
    torch.testing.assert_close(given, expected, atol=1e-5, rtol=1e-4)


def test_skipped_attention_stays_whole():
    model = nn.Sequential(nn.MultiheadAttention(8, 2), nn.Linear(8, 2))
    net = rt.convert(model, skip=["0"])
    assert type(net[0]) is nn.MultiheadAttention
    assert net.mapping_report.skipped == ("0",)
    assert set(net.mapping_report.in_float) == {"0", "0.out_proj"}
    with pytest.raises(ValueError, match=r"'0.out_proj'; there are \['0', '1'\]"):
        rt.convert(model, skip=["0.out_proj"])
    seen = []
    rt.convert(model, skip=lambda name, module: seen.append((name, type(module))))
    assert seen == [("0", nn.MultiheadAttention), ("1", nn.Linear)]


class Grown(nn.MultiheadAttention):
    pass


def test_attention_that_cannot_be_taken_apart_is_left_alone():
    tied = [nn.MultiheadAttention(8, 2) for _ in range(2)]
    tied[1].in_proj_weight = tied[0].in_proj_weight
    more, wrapped, patched = (nn.MultiheadAttention(8, 2) for _ in range(3))
    more.scale = nn.Parameter(torch.ones(1))
    wrapped.out_proj = nn.Sequential(wrapped.out_proj)
    patched.forward = lambda *x: x
    normed = nn.MultiheadAttention(8, 2)
    nn.utils.parametrizations.weight_norm(normed.out_proj)
    net = nn.ModuleList([*tied, more, wrapped, patched, normed, Grown(8, 2), nn.Linear(2, 2)])
    report = rt.convert(net).mapping_report
    assert report.converted == ("7",)
    words = "shared", "shared", "scale", "Sequential", "replaced", "out_proj", "Grown"
    for k, word in enumerate(words):
        assert word in report.left_alone[str(k)]


@pytest.mark.parametrize("inplace", [False, True])
def test_shared_attention_comes_back(inplace):
    shared = nn.MultiheadAttention(8, 2, kdim=4)
    model = nn.ModuleDict({"a": shared, "b": nn.ModuleList([shared, nn.Linear(2, 2)])})
    before = {name: value.clone() for name, value in model.state_dict().items()}
    net = copy.deepcopy(rt.convert(model, inplace=inplace))
    assert net["a"] is net["b"][0]
    assert net["a"].k_proj.weight.shape == (8, 4)
    back = rt.revert(net, inplace=inplace)
    assert back["a"] is back["b"][0]
    assert type(back["a"]) is nn.MultiheadAttention
    assert back.state_dict().keys() == before.keys()
    assert all(torch.equal(value, before[name]) for name, value in back.state_dict().items())


def test_ties_that_are_lost_on_the_way_back_are_named(caplog):
    net = rt.convert(nn.ModuleList([nn.MultiheadAttention(8, 2), nn.Linear(8, 8)]))
    rt.revert(net)
    assert not caplog.text
    net[1].weight = net[0].k_proj.weight
    back = rt.revert(net)
    assert "the weight of 0.k_proj is shared" in caplog.text
    assert torch.equal(back[0].in_proj_weight[8:16], back[1].weight)


def test_checkpoints_of_either_network_load():
    model, other = encoder(), encoder()
    for p in other.parameters():
        nn.init.normal_(p)
    net = rt.convert(model)
    net.load_state_dict(other.state_dict())
    assert torch.equal(net.layers[1].self_attn.v_proj.weight,
                       other.layers[1].self_attn.in_proj_weight[16:])  # fmt: skip
    trained = ready(other)
    file = io.BytesIO()
    torch.save(trained.state_dict(), file)
    file.seek(0)
    net.load_state_dict(torch.load(file))
    x = torch.randn(3, 5, 8)
    with torch.no_grad():
        assert torch.equal(net(x), trained(x))
