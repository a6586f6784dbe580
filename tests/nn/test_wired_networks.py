"""Networks whose wires resist: their loads, what is refused, saved and warned of."""

import copy
import sys
import warnings
from dataclasses import replace

import numpy as np
import pytest
import torch
from programmed import conductances, images, network
from torch import nn

import reram_torch as rt
from reram_torch.crossbar.cells import read_back
from reram_torch.crossbar.geometry import sizes
from reram_torch.crossbar.wires import cell_voltages
from reram_torch.nn.line_loads import LineLoads, as_text, of_text

WAN = rt.load_devices("wan2022")
WIRED = replace(WAN, cells=replace(WAN.cells, wire_ohm=0.35))
LOSSY = replace(rt.load_devices("isaac"), cells=rt.Cells(500.0, g_off_us=0.5, wire_ohm=20.0))


def program(net, devices, **options):
    return rt.program(net, devices, show_progress=False, **options)


def scipy():
    pytest.importorskip("scipy")


@pytest.mark.parametrize("pulses", [1, (4, 2, 2)])
def test_loads_are_means_weighed_by_the_square_of_driven_word_lines(pulses):
    crossbar = rt.CrossbarConfig(rows=20, dac_bits=pulses)
    net = network(rt.Config(crossbar))
    layer, x = net[2], net[1](net[0](images())).detach()
    g, u = layer.geometry, layer.codes(x)
    M, G, K = sizes(u)
    loads = LineLoads(g, G, K)
    loads.see(u)
    assert loads.codes.shape == (32, G, K)
    codes, weighted, weights = u.reshape(M, G, K), 0.0, 0.0
    below = 0
    for width in g.dac_widths:
        digits = (codes >> below & 2**width - 1).double() / (2**width - 1)
        below += width
        for tile in range(g.tiles(K)):
            rows = slice(20 * tile, 20 * tile + 20)
            squares = torch.zeros(M, G, K).double()
            squares[..., rows] = digits[..., rows].sum(-1, keepdim=True).square()
            weighted, weights = weighted + (squares * digits).sum(0), weights + squares.sum(0)
    wanted = weighted / weights
    found = of_text(as_text(loads.shares()), G, K)
    assert found.shape == (G, K)
    assert float((found - wanted).abs().max()) < 0.51 / 255
    tiles = max(float(wanted[:, k : k + 20].sum(-1).max()) for k in range(0, K, 20))
    assert loads.driven() == pytest.approx(tiles, rel=0.01)
    many = LineLoads(g, G, K)
    many.see(torch.cat([u] * 40))  # positions are drawn
    sampled = of_text(as_text(many.shares()), G, K)
    assert float(sampled.sum()) == pytest.approx(float(wanted.sum()), rel=0.1)
    assert float((sampled - wanted).abs().mean()) < 0.02
    with pytest.raises(ValueError, match="2 x 30 word-lines must have as many, not 72"):
        of_text(as_text(loads.shares()), 2, 30)


def test_wires_weaken_cells_and_outputs_follow():
    scipy()
    net, x = network(), images()
    program(net, WAN)
    before, y = conductances(net), net(x)
    with pytest.warns(UserWarning, match="wires of 20 Ohm"):
        found = program(net, replace(WAN, cells=replace(WAN.cells, wire_ohm=20.0)))
    after = conductances(net)
    for a, b in zip(before, after, strict=True):
        assert (b.abs() <= a.abs() + 8).all()  # a difference of two cells
        assert float(b.float().norm()) < float(a.float().norm())
    assert not torch.equal(net(x), y)
    assert set(found.wires) == {"0", "2", "5"}
    assert "wires of 20 Ohm leave sums wrong: rms 0." in str(found)
    program(net, WAN)
    assert torch.equal(net(x), y)
    assert "chip" in rt.crossbar_states(net)["0"]
    assert "load" not in rt.crossbar_states(net)["0"]["chip"]


def test_a_saved_chip_loads_alike_without_calibration():
    scipy()
    net, x = network(), images()
    program(net, WIRED, seed=3, time="1d")
    expected = net(x)
    other = network()
    for layer in rt.crossbar_layers(other).values():
        layer.statistics = None
    other.load_state_dict(net.state_dict())
    assert torch.equal(other(x), expected)
    assert torch.equal(copy.deepcopy(net)(x), expected)
    program(other, WIRED, seed=4)  # with the load that it was saved with
    program(net, WIRED, seed=4)
    assert torch.equal(other(x), net(x))
    with pytest.raises(RuntimeError, match="0 has no inputs to look at: run reram_torch.calibrate"):
        rt.wire_error(other, show_progress=False)


def test_what_was_not_calibrated_is_refused():
    net = network()
    net[2].statistics = None
    before = net(images())
    with pytest.raises(RuntimeError, match=r"calibrate\(net, batches\) first \(missing for \['2'"):
        program(net, WIRED)
    assert torch.equal(net(images()), before)
    with pytest.raises(ValueError, match="0 must lie on a chip whose cells.wire_ohm is above 0"):
        rt.wire_error(net, show_progress=False)
    with pytest.raises(ValueError, match="tile_cycles"):
        rt.wire_error(net, tile_cycles=0)


def test_odds_know_no_wires():
    net, x = network(), images()
    before = net(x)
    with pytest.raises(ValueError, match="cells.wire_ohm"):
        program(net, WIRED, exact=False)
    assert torch.equal(net(x), before)


def test_a_layer_that_saw_nothing_can_be_programmed():
    scipy()
    net = nn.ModuleDict({"used": nn.Linear(9, 4), "idle": nn.Linear(5, 3)})
    net.forward = lambda x: net["used"](x)
    net = rt.convert(net, rt.Config(), inplace=True)
    with pytest.warns(UserWarning, match="saw no input"):
        rt.calibrate(net, [torch.rand(8, 9)], show_progress=False)
    assert set(program(net, WIRED).wires) == {"used"}


def test_wires_that_leave_sums_wrong_are_warned_of():
    scipy()
    net = network(rt.Config())
    with pytest.warns(
        UserWarning, match=r"wires of 20 Ohm .* off by more than half a step"
    ) as seen:
        found = program(net, LOSSY)
    assert len(seen) == 1
    assert seen[0].filename == __file__
    total = sum(found.wires.values(), rt.WireError())
    assert total.largest > 0.5
    assert 0 < total.rms < total.largest
    more = rt.wire_error(net, tile_cycles=20, show_progress=False)
    whole = sum(more.values(), rt.WireError())
    assert whole.sums > 2 * total.sums
    assert 0.5 < whole.rms / total.rms < 2
    again = rt.wire_error(net, tile_cycles=20, show_progress=False)
    assert again == more


def test_wire_errors_are_in_steps_of_digits_of_every_cycle():
    """Cycles of 4, 2 and 2 bits: a sum of the first is 15 times that of the largest pulse."""
    scipy()
    torch.manual_seed(0)
    bar = rt.CrossbarConfig(dac_bits=(4, 2, 2), slicing=(3, 4))
    net = rt.convert(nn.Linear(12, 5), rt.Config(bar, rt.WeightConfig(encoding="differential")))
    x = torch.rand(1, 12)
    rt.calibrate(net, [x], held_back=0, show_progress=False)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program(net, LOSSY)
    found = rt.wire_error(net, tile_cycles=60, show_progress=False)[""]
    wired = net.site.programming.wired(
        read_back(net.encoded().cells, net.geometry, 5, 12), net.geometry
    )
    left = wired.attenuation()
    u, errors = net.codes(x)[0, 0], []
    for below, width in ((0, 2), (2, 2), (4, 4)):
        digits = (u >> below & 2**width - 1).double().numpy()
        arrays = wired.wiring.arrays(wired.cells, 0)[0] * 20e-6
        gated = np.repeat((digits > 0)[None].astype(float), len(arrays), axis=0)
        exact = cell_voltages(arrays, gated, gated * digits) * gated[..., None]
        steps = wired.wiring.by_slice({0: 499.5 / 15 * 20e-6, 1: 499.5 / 7 * 20e-6})
        mean = digits[:, None] * wired.wiring.arrays(left, 0)[0]
        sums = ((mean - exact) * arrays).sum(1).ravel() / steps
        errors.append(sums[::2] - sums[1::2])
    assert found.largest == pytest.approx(np.abs(errors).max(), rel=1e-6)
    assert found.sums == 60 * 10


def test_without_scipy_the_error_names_the_extra(monkeypatch):
    net = network()
    monkeypatch.setitem(sys.modules, "scipy.linalg", None)
    with pytest.raises(ImportError, match="scipy, which is in the extra 'devices'"):
        program(net, WIRED)
    assert net[0].site.programming is None


@pytest.mark.parametrize(
    ("devices", "config", "said"),
    [
        (rt.Cells(225.0, g_off_us=50.0), rt.Config(), True),
        (rt.Cells(225.0, g_off_us=50.0, dummy_column=True), rt.Config(), False),
        (
            rt.Cells(225.0, g_off_us=50.0),
            rt.Config(weights=rt.WeightConfig(encoding="differential")),
            False,
        ),
        (rt.Cells(225.0, g_off_us=0.5), rt.Config(), False),
        (rt.Cells(225.0, g_off_us=5.0), rt.Config(rt.CrossbarConfig(cell_bits=4)), True),
    ],
)
def test_leaks_that_nothing_subtracts_are_warned_of_once(devices, config, said):
    net = network(config)
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        program(net, rt.Devices("leaky", devices))
    assert len(seen) == said
    for warning in seen:
        assert "set cells.dummy_column, or convert with weights.encoding" in str(warning.message)
        assert warning.filename == __file__


def test_presets_that_leak_have_a_dummy_column():
    net = network(rt.Config())
    for name in rt.device_names():
        program(net, name)
