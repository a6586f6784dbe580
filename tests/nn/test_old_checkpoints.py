"""Checkpoints of earlier versions load, and give what they gave."""

import json
from pathlib import Path

import pytest
import torch
from torch import nn

import reram_torch as rt

# Made by commit 9b09ca7: learned scales, trees by slice and activity, and their corrections.
FILE = Path(__file__).with_name("checkpoint_of_9b09ca7.json")


def converted(inputs="affine", **crossbar):
    net = nn.Sequential(nn.Linear(6, 4), nn.ReLU(), nn.Linear(4, 2))
    bar = rt.CrossbarConfig(**{"rows": 4, **crossbar})
    return rt.convert(net, rt.Config(bar, rt.WeightConfig(4), rt.InputConfig(3, inputs)))


@pytest.fixture
def saved():
    values = json.loads(FILE.read_text())
    state = {
        key: value if key.endswith("_extra_state") else torch.tensor(value)
        for key, value in values["state"].items()
    }
    return state, torch.tensor(values["input"]), torch.tensor(values["output"])


def test_a_checkpoint_of_the_flat_package_loads(saved):
    state, x, y = saved
    net = converted()
    net.load_state_dict(state)
    torch.testing.assert_close(net(x), y, rtol=1e-6, atol=1e-7)
    again = net.state_dict()
    assert again.keys() == state.keys()
    plain = json.loads(json.dumps(rt.crossbar_states(net)["0"]))
    new = {"learned": plain["learned"], "input_encoding": "affine"}
    earlier = state["0._extra_state"]
    inputs = {**earlier["inputs"], "encoding": "affine", "scale": "tensor"}
    weights = {**earlier["weights"], "center": "zero"}
    assert plain == {**earlier, **new, "inputs": inputs, "weights": weights}


def test_affine_codes_of_before_are_no_signed_ones(saved):
    state, *_ = saved
    with pytest.raises(RuntimeError, match="inputs.encoding was 'affine' there and is 'sign_mag"):
        converted("sign_magnitude").load_state_dict(state)


def test_another_version_is_named(saved):
    state, *_ = saved
    state["2._extra_state"]["version"] = 0
    with pytest.raises(RuntimeError, match="2: this checkpoint's crossbar state is of another ver"):
        converted().load_state_dict(state)
