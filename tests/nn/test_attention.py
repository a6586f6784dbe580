"""Multi-head attention with projections on crossbars is torch's, but for the projections."""

import copy

import pytest
import torch
from floats import in_float
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

import reram_torch as rt
from reram_torch.evaluation.integers import plain_integer

NAMES = "q_proj", "k_proj", "v_proj", "out_proj"


@st.composite
def cases(draw):
    """A module, its arguments and its options."""
    flag = st.booleans()
    heads, width = draw(st.sampled_from([1, 2, 3])), draw(st.sampled_from([1, 4]))
    options = {name: draw(flag) for name in ("bias", "add_bias_kv", "add_zero_attn", "batch_first")}
    options |= {name: draw(st.sampled_from([None, 3, heads * width])) for name in ("kdim", "vdim")}
    options["dropout"] = draw(st.sampled_from([0.0, 0.4]))
    torch.manual_seed(draw(st.integers(0, 999)))
    module = nn.MultiheadAttention(heads * width, heads, **options).train(draw(flag))
    for parameter in module.parameters():
        nn.init.normal_(parameter)
    batch, length = draw(st.sampled_from([None, 1, 2])), draw(st.integers(1, 3))
    alone = module.kdim == module.vdim == module.embed_dim and draw(flag)
    keys = length if alone else draw(st.integers(1, 4))

    def tokens(count, width):
        if batch is None:
            return torch.randn(count, width)
        return torch.randn(*((batch, count) if module.batch_first else (count, batch)), width)

    query = tokens(length, module.embed_dim)
    inputs = [query] * 3 if alone else [query, tokens(keys, module.kdim), tokens(keys, module.vdim)]
    boolean = draw(flag)

    def mask(*shape):  # the first key is seen by all
        hidden = torch.rand(shape) < 0.4
        hidden[..., 0] = False
        return hidden if boolean else torch.randn(shape)

    called = {name: draw(flag) for name in ("need_weights", "average_attn_weights")}
    masked = draw(st.sampled_from([None, "all", "each", "causal"]))
    called["is_causal"] = masked == "causal"
    if masked == "causal":
        causal = torch.ones(length, keys, dtype=torch.bool).triu(1)
        called["attn_mask"] = causal if boolean else torch.full(causal.shape, -torch.inf).triu(1)
    elif masked is not None:
        each = ((batch or 1) * heads,) if masked == "each" else ()
        called["attn_mask"] = mask(*each, length, keys)
    if draw(flag):
        called["key_padding_mask"] = mask(*(() if batch is None else (batch,)), keys)
    return module, inputs, called


@settings(max_examples=50, deadline=None)
@given(cases())
def test_it_is_torchs_but_for_the_projections(case):
    module, inputs, called = case
    made = rt.ReRAMMultiheadAttention.from_float(module)
    for gradients in (False, True):
        with torch.set_grad_enabled(gradients):
            torch.manual_seed(0)
            expected, weights = module(*inputs, **called)
            torch.manual_seed(0)
            with in_float(made) as layers:
                y, own = made(*inputs, **called)
        assert layers == [getattr(made, name) for name in NAMES]
        torch.testing.assert_close(y, expected, atol=2e-5, rtol=2e-5)
        assert (own is None) == (weights is None)
        if own is not None:
            torch.testing.assert_close(own, weights, atol=2e-5, rtol=2e-5)
    back = made.to_float()
    assert {n: p.tolist() for n, p in back.named_parameters()} == {
        n: p.tolist() for n, p in module.named_parameters()
    }
    assert str(back) == str(module)


def ready(module):
    """On crossbars, with ranges of the inputs."""
    made = rt.ReRAMMultiheadAttention.from_float(module).eval()
    for layer in rt.crossbar_layers(made).values():
        layer.set_input_range(-3.0, 3.0)
    return made


def test_lossless_crossbars_are_the_integer_module():
    x = torch.rand(2, 5, 8)
    made = ready(nn.MultiheadAttention(8, 2, batch_first=True))
    with torch.no_grad():
        y, weights = made(x, x, x)
        with plain_integer(made):
            expected, expected_weights = made(x, x, x)
    assert torch.equal(y, expected)
    assert torch.equal(weights, expected_weights)
    torch.testing.assert_close(y, made.to_float()(x, x, x)[0], atol=0.05, rtol=0.05)


def test_gradients_reach_every_weight():
    x = torch.randn(5, 2, 8)
    made = ready(nn.MultiheadAttention(8, 2, add_bias_kv=True))
    made(x, x, x)[0].square().sum().backward()
    assert all(p.grad is not None and p.grad.any() for p in made.parameters())


@pytest.mark.parametrize("kdim", [None, 6])
@pytest.mark.parametrize("bias", [True, False])
def test_checkpoints_of_either_kind_load(kdim, bias):
    options = {"kdim": kdim, "bias": bias, "add_bias_kv": bias}
    module, other = (nn.MultiheadAttention(8, 2, **options) for _ in range(2))
    made = nn.Sequential(rt.ReRAMMultiheadAttention.from_float(other))
    made.load_state_dict(nn.Sequential(module).state_dict())
    for name, parameter in made[0].to_float().named_parameters():
        assert torch.equal(parameter, dict(module.named_parameters())[name])
    again = ready(module)
    made[0].load_state_dict(again.state_dict())
    assert made[0].k_proj.input_range == (-3.0, 3.0)
    direct = rt.ReRAMMultiheadAttention(8, 2, **options)
    direct.load_state_dict(again.state_dict())
    assert torch.equal(direct.v_proj.weight, again.v_proj.weight)


def test_checkpoints_that_do_not_fit_are_refused():
    made = rt.ReRAMMultiheadAttention(8, 2)
    with pytest.raises(RuntimeError, match="in_proj_weight: 12 rows in the checkpoint, 24"):
        made.load_state_dict(nn.MultiheadAttention(4, 2).state_dict())
    with pytest.raises(RuntimeError, match="Missing"):
        made.load_state_dict({})
    with pytest.raises(RuntimeError, match=r"size mismatch for k_proj.weight"):
        made.load_state_dict(nn.MultiheadAttention(8, 2, kdim=4).state_dict())


def test_hooks_copies_and_frozen_weights():
    module = nn.MultiheadAttention(8, 2)
    module.in_proj_weight.requires_grad_(False)
    calls = []
    module.register_forward_hook(lambda *_: calls.append(1))
    made = copy.deepcopy(ready(module))
    x = torch.randn(3, 1, 8)
    made(x, x, x)
    assert calls == [1]
    assert not made.q_proj.weight.requires_grad
    assert made.q_proj.bias.requires_grad
    with torch.no_grad():
        made.v_proj.weight.fill_(0.25)
    back = made.to_float()
    assert (back.in_proj_weight[16:] == 0.25).all()
    assert not back.in_proj_weight.requires_grad
    assert not back.training
    assert type(back.out_proj) is type(module.out_proj)
    back(x, x, x)
    assert calls == [1, 1]
    assert not (module.in_proj_weight[16:] == 0.25).any()


@pytest.mark.parametrize(
    ("inputs", "named", "error", "match"),
    [
        ([(3, 2, 8), (4, 2, 8), (5, 2, 8)], {}, ValueError, "as long as each other"),
        ([(3, 2, 8), (4, 1, 8), (4, 1, 8)], {}, ValueError, "batches of query, key and value"),
        ([(3, 2, 8), (4, 8), (4, 8)], {}, ValueError, "2 or 3 dimensions"),
        ([(3, 2, 7), (4, 2, 8), (4, 2, 8)], {}, ValueError, r"\(\*, 8\)"),
        ([(3, 2, 8)] * 3, {"is_causal": True}, ValueError, "give attn_mask"),
        ([(3, 2, 8)] * 3, {"attn_mask": torch.zeros(2, 3)}, ValueError, r"attn_mask .* \(3, 3\)"),
        ([(3, 2, 8)] * 3, {"key_padding_mask": torch.zeros(3)}, ValueError, r"\(2, 3\)"),
        ([(3, 2, 8)] * 3, {"attn_mask": torch.zeros(3, 3).int()}, TypeError, "boolean"),
        ([(3, 2, 8)] * 3, {"attn_mask": torch.ones(3, 3).bool()}, ValueError, "NaN"),
    ],
)
def test_what_does_not_fit_is_refused(inputs, named, error, match):
    made = ready(nn.MultiheadAttention(8, 2))
    with pytest.raises(error, match=match):
        made(*map(torch.rand, inputs), **named)
    with pytest.raises(TypeError, match="query must be a tensor, not NoneType"):
        made(None, None, None)
