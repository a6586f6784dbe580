"""Saving and loading; threads."""

import pickle
import threading

import pytest
import torch

import reram_torch as rt
from reram_torch.models.zoo import LeNet5


def outputs(net, x):
    with rt.PowerMeter(net) as meter:
        y = net(x)
    return y, meter.report().total


@pytest.mark.slow
@pytest.mark.parametrize("encoding", ["offset", "differential"])
def test_a_saved_network_needs_no_calibration(lenet, batches, tmp_path, encoding):
    config = rt.Config(weights=rt.WeightConfig(encoding=encoding))
    net = rt.calibrate(rt.convert(lenet, config), batches, show_progress=False)
    rt.design_adc(net, "twin_range", granularity="slice", reduction=2.4)
    torch.save(net.state_dict(), tmp_path / "net.pt")
    fresh = rt.convert(LeNet5().eval(), config)
    fresh.load_state_dict(torch.load(tmp_path / "net.pt", weights_only=True))
    x = batches[0][0]
    assert torch.equal(fresh(x), net(x))
    assert outputs(fresh, x)[1] == outputs(net, x)[1]
    assert fresh.conv1.adc == net.conv1.adc


@pytest.mark.slow
def test_a_whole_network_can_be_pickled(calibrated, batches):
    x = batches[0][0]
    again = pickle.loads(pickle.dumps(calibrated))
    assert torch.equal(again(x), calibrated(x))
    assert again.calibration.inputs == []  # a saved network does not carry its images
    rt.design_adc(again, "twin_range", granularity="slice", reduction=2.0)
    with pytest.raises(RuntimeError, match="max_drop needs data"):
        rt.design_adc(again, "twin_range", granularity="slice", max_drop=0.1)


def test_keys_of_weights_and_biases_are_torchs(lenet, calibrated):
    own = [k for k in calibrated.state_dict() if not k.endswith("_extra_state")]
    assert own == list(lenet.state_dict())


def test_a_float_checkpoint_brings_new_weights(calibrated, batches):
    x = batches[0][0]
    other = LeNet5()
    before = calibrated.conv1.input_range
    calibrated.load_state_dict(other.state_dict())
    assert calibrated.conv1.input_range == before
    wanted = rt.convert(other.eval())
    for name, layer in rt.crossbar_layers(wanted).items():
        layer.set_input_range(*rt.crossbar_layers(calibrated)[name].input_range)
    assert torch.equal(calibrated(x), wanted(x))


def test_a_checkpoint_of_another_design_is_named(lenet, calibrated):
    other = rt.convert(lenet, rt.Config(rt.CrossbarConfig(rows=64)))
    with pytest.raises(
        RuntimeError,
        match="conv1: a checkpoint of another configuration: crossbar.rows was 128 there",
    ):
        other.load_state_dict(calibrated.state_dict())
    state = calibrated.state_dict()
    state["conv1._extra_state"] = {**rt.crossbar_states(calibrated)["conv1"], "version": 0}
    with pytest.raises(RuntimeError, match="another version"):
        calibrated.load_state_dict(state)


def test_an_uncalibrated_checkpoint_stays_uncalibrated(lenet, calibrated):
    calibrated.load_state_dict(rt.convert(lenet).state_dict())
    assert calibrated.conv1.input_range is None


def test_training_goes_on_from_a_checkpoint(calibrated, batches):
    x, y = batches[0]
    calibrated.train()
    step = torch.optim.Adam(calibrated.parameters(), 1e-3)
    losses = []
    for _ in range(12):
        loss = torch.nn.functional.cross_entropy(calibrated(x), y)
        step.zero_grad()
        loss.backward()
        step.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0]


@pytest.mark.slow
def test_results_do_not_depend_on_threads(calibrated):
    """Nor on two Python threads that use one network at once."""
    rt.design_adc(calibrated, "twin_range", granularity="slice", reduction=2.4)
    x = torch.rand(16, 1, 32, 32)
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        one, counts = outputs(calibrated, x)
        torch.set_num_threads(2)
        two, counts_of_two = outputs(calibrated, x)
    finally:
        torch.set_num_threads(before)
    assert torch.equal(one, two)
    assert counts == counts_of_two
    parts = list(x.split(4))
    expected = [calibrated(part) for part in parts]
    calibrated.conv1.programmed._kept = None
    found = {}

    def work(worker):
        for k in range(12):
            part = (worker + k) % len(parts)
            found[worker, k] = part, calibrated(parts[part])

    threads = [threading.Thread(target=work, args=(n,)) for n in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 24
    assert all(torch.equal(y, expected[part]) for part, y in found.values())


def test_a_refused_checkpoint_touches_no_weights(lenet, calibrated):
    other = rt.convert(LeNet5(), rt.Config(rt.CrossbarConfig(rows=64)))
    before = {k: v.clone() for k, v in lenet.state_dict().items()}
    with pytest.raises(RuntimeError, match="fc3: a checkpoint of another configuration"):
        calibrated.load_state_dict(other.state_dict())
    assert all(torch.equal(calibrated.state_dict()[k], v) for k, v in before.items())


def test_tables_do_not_depend_on_how_memory_is_made(lenet, calibrated, batches):
    x = batches[0][0]
    expected = calibrated(x)
    state = calibrated.state_dict()
    calibrated.to("meta")
    calibrated.load_state_dict(lenet.state_dict(), assign=True)
    assert torch.equal(calibrated(x), expected)
    empty = rt.convert(LeNet5().eval()).to_empty(device="cpu")
    empty.load_state_dict(state)
    assert torch.equal(empty(x), expected)
