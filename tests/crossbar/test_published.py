"""Published simulators' errors of a layer, from recorded runs.

CrossSim 3.2.0 (github.com/sandialabs/cross-sim, commit 0a2eb1e), one 7-bit cell for each line of a
pair, whose other cell is off ("balanced", "one-sided"), no ADC and no DAC:

    layer = numpy.random.RandomState(0)
    W, X = layer.randint(-100, 101, (24, 150)) / 127, layer.randint(0, 256, (40, 150)) / 255
    p = simulator.CrossSimParameters()
    p.core.rows_max = p.core.cols_max = 150
    p.core.weight_bits, p.xbar.device.cell_bits = 8, 7
    w = p.core.mapping.weights
    w.min, w.max, w.percentile = -1.0, 1.0, None
    d, e = p.xbar.device, p.xbar.device.programming_error
    d.Rmin, d.Rmax = 1e6 / ON_US, 1e6 / OFF_US  # infinite_on_off_ratio where cells can be off
    e.enable, e.model, e.magnitude = True, MODEL, 0.05
    for t in range(400):
        numpy.random.seed(t)
        y = simulator.AnalogCore(W, params=p) @ X.T
        rms.append(numpy.sqrt(((y - W @ X.T) ** 2).mean()) / (W @ X.T).std())

RRAMMilo has 50 to 225 uS, RRAMWan 0 to 39 uS. CrossSim never lets a cell conduct less than nothing,
as `clamped` does.
"""

import math

import numpy as np
import pytest
import torch
from programmed import geometry, lines_of

from reram_torch.config.device_errors import WriteErrors
from reram_torch.config.devices import Cells, Devices, load_devices
from reram_torch.crossbar.wires import cell_voltages

CHIPS = 200


def clamped(g_max_us, **sigma):
    return Devices(
        cells=Cells(g_max_us, g_off_us=0.0), programming=WriteErrors(clamped=True, **sigma)
    )


def wan():
    """Its cubic as a table."""
    targets = np.linspace(0, 39, 157)
    sigma = np.polynomial.polynomial.polyval(targets, [1.053, 0.2374, -0.01167, 1.536e-4])
    return clamped(39.0, targets=targets.tolist(), sigma=sigma.tolist())


@pytest.mark.parametrize(
    ("devices", "theirs", "deviation"),
    [
        pytest.param(clamped(100.0, polynomial=[5.0]), 0.10650, 0.01116, id="NormalIndependent"),
        pytest.param(
            clamped(100.0, polynomial=[0, 0.05]), 0.03918, 0.00418, id="NormalProportional"
        ),
        pytest.param(load_devices("milo2021"), 0.05644, 0.00587, id="RRAMMilo"),
        pytest.param(wan(), 0.10101, 0.01075, id="RRAMWan"),
    ],
)
def test_outputs_err_as_they_do_in_crosssim(devices, theirs, deviation):
    """The error of outputs over their deviation: the mean and the deviation over chips."""
    layer = np.random.RandomState(0)
    codes = torch.from_numpy(layer.randint(-100, 101, (24, 150)))
    x = torch.from_numpy(layer.randint(0, 256, (40, 150)) / 255)
    g, y = geometry((7,), encoding=1, rows=150), x @ codes.T.double()
    found = []
    for seed in range(CHIPS):
        lines = lines_of(codes.to(torch.int16)[None], g, devices, seed=seed)[0, 0, 0]
        found.append(float((x @ lines.T - y).square().mean().sqrt() / y.std(correction=0)))
    spread = deviation * math.sqrt(1 / CHIPS + 1 / 400)
    assert np.mean(found) == pytest.approx(theirs, abs=4 * spread)
    assert np.std(found) == pytest.approx(deviation, rel=4 * math.sqrt(1 / (2 * CHIPS) + 1 / 800))


def test_wires_take_what_they_take_in_crosssim():
    """Sums of all word-lines, with its own relaxation to 1e-12:

    layer = numpy.random.RandomState(1)
    W, x = layer.randint(0, 128, (40, 100)) / 127, layer.randint(1, 4, 100) / 3
    ...  # as above, without errors, and
    d.Rmin, r = 2e3, p.xbar.array.parasitics
    r.enable, r.Rp_row, r.Rp_col, r.current_from_input = True, 0.35, 0.35, True
    p.simulation.Verr_th_mvm, p.simulation.Niters_max_parasitics = 1e-12, 100000
    y = (simulator.AnalogCore(W, params=p) @ x)[::13]

    Its outputs leave beside the last input, ours beside the first. It gates no word-lines.
    """
    pytest.importorskip("scipy")
    layer = np.random.RandomState(1)
    cells = layer.randint(0, 128, (40, 100)).T[None, ::-1] / 127
    x = np.ascontiguousarray(layer.randint(1, 4, 100)[None, ::-1] / 3)
    left = cell_voltages(cells * 0.35 / 2e3, np.ones((1, 100)), x)
    theirs = [24.09716812, 25.11283365, 25.35882741, 24.96053157]  # of 30.5 to 33.9 without wires
    assert (left * cells)[0].sum(0)[::13] == pytest.approx(theirs, abs=1e-6)
