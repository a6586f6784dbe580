"""Energy of arrays on chips: that of the cells that are driven."""

import pytest
import torch
from torch import nn

import reram_torch as rt
from reram_torch.crossbar.cells import read_back
from reram_torch.crossbar.programming import cell_conductances
from reram_torch.power.conducted import conducted, drives_of

DEVICES = rt.Devices(
    cells=rt.Cells(g_max_us=40.0, g_off_us=2.0, copies=(2,)),
    programming=rt.WriteErrors(polynomial=(0.5,)),
)


def network(config=None):
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(2, 6, 3, padding=1, groups=2), nn.Flatten(), nn.Linear(150, 4))
    net = rt.convert(net, config or rt.Config(weights=rt.WeightConfig(encoding="differential")))
    x = torch.randn(3, 2, 5, 5, generator=torch.Generator().manual_seed(1))
    return rt.calibrate(net, [x], show_progress=False), x


@pytest.mark.parametrize("dac_bits", [1, 2])
def test_word_lines_are_counted_as_kernels_count_them(dac_bits):
    net, x = network(rt.Config(rt.CrossbarConfig(dac_bits=dac_bits)))
    with rt.PowerMeter(net) as meter:
        net(x)
    layer = net[0]
    drives = drives_of(layer.codes(x), layer.geometry)
    u, found = layer.codes(x).reshape(75, 2, 9), torch.zeros(2, 9, dtype=torch.int64)
    for i in range(layer.geometry.cycles):
        found += (u >> i * dac_bits & 2**dac_bits - 1 > 0).sum(0)
    assert torch.equal(drives, found)
    assert int(drives.sum()) == meter.report().layers[0].events["word_line_drives"]


def test_energy_is_that_of_the_cells_that_are_driven():
    net, x = network()
    with rt.PowerMeter(net) as meter:
        net(x)
    ideal = meter.report("isaac").layers[0].component_pj
    rt.program(net, DEVICES, seed=3, show_progress=False)
    layer = net[0]
    assert conducted(layer, x).lines > 0
    with rt.PowerMeter(net) as meter:
        net(x)
    report = meter.report("isaac")
    codes = read_back(layer.encoded().cells, layer.geometry, 3, 9)
    cells = cell_conductances(codes, layer.geometry, DEVICES, seed=3, layer="0").double()
    cells[:, 6] *= 2  # the most significant slice that exists lies on two cells
    by_line = cells.sum((0, 1)).sum(1)  # (G, K)
    drives = drives_of(layer.codes(x), layer.geometry)
    technology = rt.load_technology("isaac")
    part = next(c for c in technology.components if c.name == "array")
    expected = float((drives * by_line).sum()) / part.cell_us * technology.event_pj(part)
    assert report.layers[0].component_pj["array"] == pytest.approx(expected, rel=1e-6)
    assert report.layers[0].component_pj["array"] < 0.5 * ideal["array"]
    assert report.layers[0].component_pj["dac"] == ideal["dac"]


def test_counts_of_processes_add_up():
    net, x = network()
    rt.program(net, DEVICES, seed=3, show_progress=False)
    with rt.PowerMeter(net) as whole:
        net(x)
        net(x[:1])
    with rt.PowerMeter(net) as one:
        net(x)
    with rt.PowerMeter(net) as two:
        net(x[:1])
    two.load_state_dict(one.state_dict())
    pairs = [m.report().total.component_pj["array"] for m in (whole, two)]
    assert pairs[0] == pytest.approx(pairs[1], rel=1e-9)


def test_a_conductance_is_of_cells_that_are_read():
    values = rt.load_technology("isaac").to_dict()
    values["component"][0]["cell_us"] = 3.0
    with pytest.raises(ValueError, match="cell_us must be above 0, of the event 'cell_reads'"):
        rt.Technology.from_dict(values)
