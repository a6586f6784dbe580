"""Networks on chips: what is kept, what changes, and what must not."""

import copy
import math
import pickle
import warnings

import pytest
import torch
from programmed import conductances, images, network
from torch import nn

import reram_torch as rt
from reram_torch.crossbar.chips import ideal_chip, packed, unpacked

NOISY = rt.load_devices("wan2022")


def program(net, devices=NOISY, **options):
    return rt.program(net, devices, show_progress=False, **options)


def test_ideal_devices_change_no_output_and_a_chip_does():
    net, x = network(), images()
    ideal = net(x)
    program(net, "ideal", seed=5)
    assert torch.equal(net(x), ideal)
    found = program(net, seed=5, time="1d")
    noisy = net(x)
    assert not torch.equal(noisy, ideal)
    assert found.devices.name == "wan2022"
    assert found.time == 86400
    assert found.cells == 2 * 7 * sum(p.numel() for p in net.parameters() if p.dim() > 1)
    program(net, None)
    assert torch.equal(net(x), ideal)


def test_a_chip_drawn_twice_is_equal_and_another_seed_is_another_chip():
    net, other = network(), network()
    program(net, seed=1, time="1d")
    program(other, seed=1, time="1d")
    assert all(map(torch.equal, conductances(net), conductances(other)))
    program(other, seed=2, time="1d")
    assert not any(map(torch.equal, conductances(net), conductances(other)))


def test_a_layer_does_not_depend_on_the_others():
    net = network()
    program(net, seed=1)
    before = conductances(net)
    shorter = network()
    shorter[0] = nn.Identity()
    program(shorter, seed=1)
    assert torch.equal(conductances(shorter)[0], before[1])


def test_weights_that_change_are_programmed_anew_from_the_same_draws():
    net, x = network(), images()
    program(net, seed=1)
    first, before = net(x), conductances(net)
    with torch.no_grad():
        net[0].weight.mul_(-1)
    changed = conductances(net)
    assert not torch.equal(changed[0], before[0])
    assert torch.equal(changed[1], before[1])
    with torch.no_grad():
        net[0].weight.mul_(-1)
    assert torch.equal(net(x), first)


def test_chips_are_saved_and_loaded_copied_and_pickled():
    net, x = network(), images()
    program(net, seed=7, time="1d")
    expected = net(x)
    other = network()
    other.load_state_dict(net.state_dict())
    assert torch.equal(other(x), expected)
    assert torch.equal(copy.deepcopy(net)(x), expected)
    assert torch.equal(pickle.loads(pickle.dumps(net))(x), expected)
    program(net, None)
    other.load_state_dict(net.state_dict())
    assert torch.equal(other(x), net(x))
    assert other[0].site.programming is None


def test_noise_goes_on_from_position_to_position_whatever_the_batches():
    noise = rt.Devices(adc=rt.AdcErrors(noise_steps=2.0))
    net, x = network(), images(4)
    program(net, noise, seed=1)
    whole = net(x)
    program(net, noise, seed=1)
    assert torch.equal(torch.cat([net(x[:1]), net(x[1:])]), whole)
    assert not torch.equal(net(x), whole)  # the next positions
    program(net, noise, seed=1)
    with rt.PowerMeter(net):
        assert torch.equal(net(x), whole)


def test_calibration_meters_and_designs_see_what_chips_read():
    leaky = rt.Devices(cells=rt.Cells(on_off_ratio=4.0))
    net, x = network(rt.Config()), images()
    ideal = net[0].statistics.histogram.clone()
    with pytest.warns(UserWarning, match="set cells.dummy_column"):
        program(net, leaky)
    with pytest.raises(RuntimeError, match="or their chips, changed"):
        rt.design_adc(net, "uniform", reduction=2.0, show_progress=False)
    rt.calibrate(net, [x], ranges="keep", show_progress=False)
    leaked = net[0].statistics.histogram
    sums = torch.arange(leaked.shape[-1])
    assert (leaked * sums).sum() > 1.1 * (ideal * sums).sum()
    assert leaked.sum() == ideal.sum()
    rt.design_adc(net, "search_tree", reduction=2.0, show_progress=False)
    with rt.PowerMeter(net) as meter:
        net(x)
    found = meter.report().total.reduction
    program(net, None)
    with rt.PowerMeter(net) as meter:
        net(x)
    assert abs(math.log(found / meter.report().total.reduction)) > 0.01


def test_conductances_are_near_their_digits():
    net = network()
    program(net, seed=3)
    layer = net[5]
    chip, g = layer.chip(layer.encoded()), layer.geometry
    codes = torch.round(layer.weight.detach() / layer.encoded().scale[:, None])
    ideal = ideal_chip(codes.to(torch.int16)[None], g)
    a, b = (unpacked(c.conductances, g, 5, 96).float() for c in (chip, ideal))
    error = (a - b)[0, :7]
    assert 0 < error.std() < 40
    assert error.mean().abs() < 3
    assert chip.summary.rms_steps[0] == pytest.approx(error[0].square().mean().sqrt() / 256)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"devices": "wan2022", "seed": -1}, "seed must be a whole number from 0"),
        ({"devices": "wan2022", "time": "soon"}, "soon"),
        ({"devices": "milo2021", "time": "1d"}, "time must be None for 'milo2021'"),
        ({"devices": None, "time": "1d"}, "time must be None for ideal devices"),
    ],
)
def test_what_cannot_be_is_refused_and_leaves_the_chip_as_it_was(arguments, said):
    net, x = network(), images()
    program(net, seed=7)
    before = net(x)
    with pytest.raises(ValueError, match=said):
        program(net, **arguments)
    assert torch.equal(net(x), before)
    with pytest.raises(FileNotFoundError, match="wan2022"):
        program(net, "wan2O22")


def test_straight_through_gradients_are_those_of_ideal_devices():
    net, x = network(), images()
    gradients = []
    for devices in (None, NOISY):
        program(net, devices)
        net.zero_grad()
        net(x).sum().backward()
        gradients.append(net[5].weight.grad.clone())
    assert gradients[0].shape == gradients[1].shape
    assert gradients[1].abs().sum() > 0


@pytest.mark.slow
def test_compiled_networks_keep_to_their_chips():
    net, x = network()[5:], torch.rand(3, 96)
    program(net, rt.Devices(adc=rt.AdcErrors(noise_steps=2.0)), seed=1)
    expected = [net(x), net(x)]
    program(net, rt.Devices(adc=rt.AdcErrors(noise_steps=2.0)), seed=1)
    compiled = torch.compile(net)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch's own, of caches that it looks through
        assert all(torch.equal(compiled(x), y) for y in expected)


def test_reports_name_the_chips():
    net, x = network(), images()
    program(net, seed=7, time="1d")
    with rt.PowerMeter(net) as meter:
        net(x)
        program(net, seed=8, time="1d")
        net(x)
    chips = meter.report().to_dict()["configs"]["0"]["chips"]
    assert [(chip["devices"], chip["seed"], chip["time"]) for chip in chips] == [
        ("wan2022", 7, 86400.0), ("wan2022", 8, 86400.0),
    ]  # fmt: skip
    program(net, None)
    with rt.PowerMeter(net) as meter:
        net(x)
    assert "chips" not in meter.report().to_dict()["configs"]["0"]


def test_conductances_are_given_on_request():
    net = network()
    with pytest.raises(ValueError, match="layer '0' is on no chip with cells"):
        rt.conductances(net)
    program(net, seed=3)
    found = rt.conductances(net)
    assert list(found) == ["0", "2", "5"]
    assert found["2"].shape == (1, 8, 2, 3, 36)
    layer = net[2]
    chip = layer.chip(layer.encoded())
    assert torch.equal(packed(found["2"], layer.geometry), chip.conductances)
    program(net, seed=3, exact=False)
    with pytest.raises(ValueError, match="exact=True"):
        rt.conductances(net)


def test_chips_without_cells_are_noise_that_goes_on_from_position_to_position():
    net, x = network(), images(4)
    found = program(net, seed=1, time="2d", exact=False)
    assert "errors drawn conversion by conversion" in str(found)
    whole = net(x)
    assert not torch.equal(net(x), whole)
    program(net, seed=1, time="2d", exact=False)
    assert torch.equal(torch.cat([net(x[:1]), net(x[1:])]), whole)
    other = network()
    other.load_state_dict(net.state_dict())
    assert torch.equal(other(x), whole)
