"""A state_dict in the hands of others: distributed checkpoints, safetensors, averaging."""

import copy
import json

import pytest
import torch
import torch.distributed.checkpoint as dcp
from torch import nn
from torch.distributed.checkpoint.state_dict import get_model_state_dict, set_model_state_dict

import reram_torch as rt
from reram_torch.nn.packing import pack, unpack

pytestmark = pytest.mark.filterwarnings("ignore:torch.distributed is disabled:UserWarning")
CONFIG = rt.Config(rt.CrossbarConfig(rows=16))


def network():
    return rt.convert(nn.Sequential(nn.Linear(40, 12), nn.ReLU(), nn.Linear(12, 4)), CONFIG)


def designed(design="search_tree", granularity="slice+activity"):
    net = rt.calibrate(network(), torch.rand(64, 40), show_progress=False)
    rt.design_adc(net, design, granularity=granularity, reduction=3.0, show_progress=False)
    for layer in rt.crossbar_layers(net).values():
        layer.bank.correction = torch.randn(layer.outputs)
    return net


def assert_same(a, b):
    x = torch.rand(5, 40)
    assert torch.equal(a(x), b(x))
    assert rt.crossbar_states(a) == rt.crossbar_states(b)


@pytest.mark.parametrize("by_torch", [False, True])
def test_a_distributed_checkpoint_loads_into_a_fresh_network(tmp_path, by_torch):
    net, fresh = designed(), network()
    read = get_model_state_dict if by_torch else nn.Module.state_dict
    dcp.save(read(net), checkpoint_id=tmp_path / "a", no_dist=True)
    state = read(fresh)
    dcp.load(state, checkpoint_id=tmp_path / "a", no_dist=True)
    if by_torch:
        set_model_state_dict(fresh, state)
    else:
        fresh.load_state_dict(state)
    assert_same(fresh, net)


def test_a_distributed_checkpoint_does_not_lose_learned_scales(tmp_path):
    net, fresh = designed(), network()
    for layer in rt.crossbar_layers(net).values():
        layer.learn_scales()
        layer.log_input_step.data += 0.1
    dcp.save(net.state_dict(), checkpoint_id=tmp_path / "a", no_dist=True)
    state = fresh.state_dict()
    dcp.load(state, checkpoint_id=tmp_path / "a", no_dist=True)
    with pytest.raises(RuntimeError, match="0: its scales were learned, but .* call learn_scales"):
        fresh.load_state_dict(state)
    for layer in rt.crossbar_layers(fresh).values():
        layer.set_input_range(0, 1)
        layer.learn_scales()
    state = fresh.state_dict()
    dcp.load(state, checkpoint_id=tmp_path / "a", no_dist=True)
    fresh.load_state_dict(state)
    assert_same(fresh, net)


def test_safetensors(tmp_path):
    files = pytest.importorskip("safetensors.torch")
    net, fresh = designed(), network()
    files.save_file(net.state_dict(), tmp_path / "a.safetensors")
    fresh.load_state_dict(files.load_file(tmp_path / "a.safetensors"))
    assert_same(fresh, net)


def average(*states):
    return {k: sum(s[k].float() for s in states) / len(states) for k in states[0]}


def test_averages_of_one_design_load_and_of_two_are_refused():
    net = designed()
    other = copy.deepcopy(net)
    with torch.no_grad():
        other[0].weight.add_(0.5)
    fresh = network()
    fresh.load_state_dict(average(net.state_dict(), other.state_dict()))
    torch.testing.assert_close(fresh[0].weight, net[0].weight + 0.25)
    assert rt.crossbar_states(fresh) == rt.crossbar_states(net)
    states = net.state_dict(), designed("twin_range", "slice").state_dict()
    before = copy.deepcopy(fresh.state_dict())
    with pytest.raises(RuntimeError, match="0: this crossbar state was changed .*averaged"):
        fresh.load_state_dict(average(*states))
    assert all(torch.equal(v, before[k]) for k, v in fresh.state_dict().items())


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.int64])
def test_other_types_of_number_hold_the_bytes(dtype):
    net, fresh = designed(), network()
    state = {k: v.to(dtype) if "_extra" in k else v for k, v in net.state_dict().items()}
    fresh.load_state_dict(state)
    assert_same(fresh, net)


@pytest.mark.parametrize("spoil", [
    lambda t: t.float() + 0.5, lambda t: t[:100], lambda t: t[:0], lambda t: t.roll(1),
    lambda t: t * 0, lambda t: t.float() / 0, lambda t: t[None],
])  # fmt: skip
def test_changed_bytes_are_refused(spoil):
    packed = pack({"a": [1, 2.5, None]}, 256)
    assert unpack(packed) == {"a": [1, 2.5, None]}
    with pytest.raises(ValueError, match="changed since it was saved"):
        unpack(spoil(packed))


def test_a_long_state_takes_more_room():
    values = {"a": torch.rand(500).tolist()}
    packed = pack(values, 256)
    assert len(packed) % 256 == 0
    assert unpack(packed) == values


def test_states_are_plain_values():
    net, fresh = designed(), network()
    states = json.loads(json.dumps(rt.crossbar_states(net)))
    fresh.load_state_dict(
        {k: v for k, v in net.state_dict().items() if not k.endswith("_extra_state")}
    )
    rt.load_crossbar_states(fresh, states)
    assert_same(fresh, net)


def test_states_lie_on_the_cpu_under_any_device():
    net, fresh = designed(), network()
    with torch.device("meta"):
        state = net.state_dict()
    fresh.load_state_dict(state)
    assert_same(fresh, net)
