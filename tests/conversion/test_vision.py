"""Transformers of torchvision and timm are on crossbars whole: every Conv2d and Linear."""

import pytest
import torch
from floats import in_float

import reram_torch as rt

SWIN = {"embed_dim": 8, "num_heads": (2, 2), "depths": (2, 1)}
TORCHVISION = {
    "VisionTransformer": {
        "image_size": 16, "patch_size": 8, "num_layers": 2, "num_heads": 2, "hidden_dim": 8,
        "mlp_dim": 16, "num_classes": 4,
    },
    "SwinTransformer": {
        "patch_size": [4, 4], "embed_dim": 8, "depths": [2, 1], "num_heads": [2, 2],
        "window_size": [2, 2], "num_classes": 4,
    },
}  # fmt: skip
TIMM = {
    "vit_tiny_patch16_224": {"img_size": 32, "depth": 2, "embed_dim": 12},
    "deit_tiny_patch16_224": {"img_size": 32, "depth": 2, "embed_dim": 12},
    "swin_tiny_patch4_window7_224": {"img_size": 32, "window_size": 2, **SWIN},
    "mobilenetv4_conv_small": {},
    # Their attention multiplies by its layers' weights itself.
    "beit_base_patch16_224": {"img_size": 32, "depth": 2, "embed_dim": 12, "num_heads": 2},
    "eva02_tiny_patch14_224": {"img_size": 28, "depth": 2, "embed_dim": 12, "num_heads": 3},
    "swinv2_tiny_window8_256": {"img_size": 32, "window_size": 2, **SWIN},
}


def check(model, x):
    """Every layer is on crossbars, and called; what stays in float is named; the way back."""
    model.eval()
    net = rt.convert(model)
    report = net.mapping_report
    assert not report.left_alone
    assert all(
        layer.kind == "parameter" or (layer.weights == 0 and "products" in layer.reason)
        for layer in report.in_float.values()
    )
    matrices = sum(p.numel() for p in model.parameters() if p.dim() > 1)
    assert report.crossbar_weights + report.float_weights == matrices
    with torch.no_grad():
        with in_float(net) as called:
            y = net(x)
        expected = model(x)
        assert set(called) == set(rt.crossbar_layers(net).values())
        torch.testing.assert_close(y, expected, atol=1e-5, rtol=1e-4)
        back = rt.revert(net)
        assert [type(m) for m in back.modules()] == [type(m) for m in model.modules()]
        assert torch.equal(back(x), expected)
    return report


@pytest.mark.parametrize("name", TORCHVISION)
def test_torchvisions(name):
    models = pytest.importorskip("torchvision.models")
    module = models.vision_transformer if name == "VisionTransformer" else models.swin_transformer
    report = check(getattr(module, name)(**TORCHVISION[name]), torch.randn(2, 3, 16, 16))
    assert report.in_float  # positions, and products of two activations


@pytest.mark.parametrize("name", TIMM)
def test_timms(name):
    timm = pytest.importorskip("timm")
    model = timm.create_model(name, **TIMM[name], num_classes=4)
    report = check(model, torch.randn(2, 3, *[TIMM[name].get("img_size", 32)] * 2))
    assert (report.weights_on_crossbars == 1.0) == (name == "mobilenetv4_conv_small")


def test_transformers():
    transformers = pytest.importorskip("transformers")
    config = transformers.GPT2Config(
        n_embd=8, n_head=2, n_layer=2, vocab_size=20, n_positions=6, attn_implementation="eager"
    )
    model = transformers.GPT2LMHeadModel(config).eval()
    net, ids = rt.convert(model), torch.randint(20, (2, 6))
    report = net.mapping_report
    assert not report.left_alone
    assert {n: x.kind for n, x in report.in_float.items() if x.weights} == {
        "transformer.wpe": "Embedding"
    }
    assert net.lm_head.weight is net.transformer.wte.weight
    with torch.no_grad():
        with in_float(net) as called:
            y = net(ids).logits
        assert set(called) == set(rt.crossbar_layers(net).values())
        torch.testing.assert_close(y, model(ids).logits, atol=1e-5, rtol=1e-4)
        assert torch.equal(rt.revert(net)(ids).logits, model(ids).logits)
