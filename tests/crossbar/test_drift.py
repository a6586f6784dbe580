"""Time: chips move as their laws say, and stay the same chips."""

import math

import pytest
import torch
from programmed import agrees, codes_of, geometry, lines_of, plain

from reram_torch.config.device_errors import (
    LogarithmicDrift,
    PowerDrift,
    TableDrift,
    WriteErrors,
)
from reram_torch.config.devices import Cells, load_devices

ON = codes_of(torch.ones(100, 128))
N = ON.numel()
WAN = load_devices("wan2022")


def test_a_table_by_time_moves_every_cell_by_itself():
    """Its spread at each time is the table's; what a cell was programmed with stays with it."""
    start, second, day = (lines_of(ON, geometry(), WAN, time=t) - 1 for t in (None, "1s", "1d"))
    assert torch.equal(start, second)
    rounding = 1 / 12 / 256**2
    assert agrees(second, 0, (1.103 / 40) ** 2 + rounding)
    assert agrees(day, 0, (2.651 / 40) ** 2 + rounding)
    kept = float(torch.corrcoef(torch.stack([second.flatten(), day.flatten()]))[0, 1])
    assert kept == pytest.approx(1.103 / 2.651, abs=4 / math.sqrt(N))
    assert agrees(day - second, 0, (2.651**2 - 1.103**2) / 40**2 + 2 * rounding)


def test_a_spread_that_shrinks_shrinks_for_every_cell():
    error = WriteErrors(targets=[0, 100], times_s=[1, 100], sigma=[[80, 80], [20, 20]])
    early, late = (lines_of(ON, geometry(), plain(programming=error), time=t) - 1 for t in (1, 100))
    assert torch.allclose(late, early / 4, atol=1 / 256)


def test_relaxation_of_cmo():
    cmo = load_devices("cmo_hfox")
    cells = Cells(cmo.cells.g_max_us, g_off_us=9.0, dummy_column=True)
    devices = plain(cells=cells, programming=cmo.programming, drift=cmo.drift)
    half = codes_of(torch.arange(128) % 2).expand(1, 100, 128)
    now = lines_of(half, geometry(), devices)
    for time, t in (("1s", 1.0), ("1d", 86400.0), ("10y", 315576000.0)):
        later = lines_of(half, geometry(), devices, time=time)
        mean, sigma = -0.089 * math.log(t), 0.4118 + 0.0420 * math.log(t)
        rounding = 2 / 12 / 256**2
        for digit in (0, 1):
            moved = (later - now)[..., digit::2]
            assert agrees(moved, mean / 79.2, (sigma / 79.2) ** 2 + rounding, errors=4.5)


@pytest.mark.parametrize("law", ["normal", "lognormal"])
def test_power_law(law):
    error = WriteErrors(law, polynomial=[0, 0.1])
    drift = PowerDrift(nu=0.05, nu_sigma=0.01, t0_s=2.0)
    devices = plain(programming=error, drift=drift)
    now, start = (lines_of(ON, geometry(), devices, time=t) for t in (None, 2.0))
    assert torch.equal(now, start)
    factor = (lines_of(ON, geometry(), devices, time=2e6) / now).log() / -math.log(1e6)
    assert agrees(factor, 0.05, 0.01**2, errors=5)
    slow = plain(drift=PowerDrift(nu=0.05))
    assert float((lines_of(ON, geometry(), slow, time=1e6) - 1e6**-0.05).abs().max()) < 1 / 256


def test_logarithmic_law_without_spread():
    devices = plain(drift=LogarithmicDrift(mean_us=-2.0, mean_slope_us=1.0, t0_s=10.0))
    found = lines_of(ON, geometry(), devices, time=10 * math.exp(5))
    assert found.unique().tolist() == [round(256 * 1.03) / 256]


def test_a_table_over_conductance_and_time():
    drift = TableDrift([0, 100], [1, 100], [[0, 0], [10, -30]], [[0, 0], [20, 40]])
    devices = plain(drift=drift)
    half = codes_of(torch.arange(128) % 2).expand(1, 100, 128)
    assert torch.equal(
        lines_of(half, geometry(), devices, time=1), lines_of(half, geometry(), devices)
    )
    found = lines_of(half, geometry(), devices, time=10)
    assert agrees(found[..., ::2], 0.05, 0.1**2)
    assert agrees(found[..., 1::2], 1 - 0.15, 0.2**2)


def test_lognormal_cells_by_time():
    """Mean and deviation of both times are the table's."""
    error = WriteErrors("lognormal", targets=[0, 100], times_s=[1, 100], sigma=[[0, 20], [0, 40]])
    devices = plain(programming=error)
    for time, sigma in ((1, 0.2), (100, 0.4)):
        found = lines_of(ON, geometry(), devices, time=time)
        spread = math.sqrt(math.log1p(sigma**2))
        assert agrees(found.log(), -spread * spread / 2, spread**2, errors=4.5)
        assert float(found.mean()) == pytest.approx(1, abs=4 * sigma / math.sqrt(N))
        assert float(found.min()) > 0


def test_stuck_cells_do_not_drift():
    drift = LogarithmicDrift(mean_us=-10.0, sigma_us=5.0)
    cells = Cells(on_off_ratio=4.0, stuck_off_rate=0.5, stuck_on_rate=0.5)
    found = lines_of(ON, geometry(), plain(cells=cells, drift=drift), time=100)
    assert sorted(found.unique().tolist()) == [0.25, 1.0]


def test_clamped_cells_do_not_conduct_less_than_nothing():
    half = codes_of(torch.arange(128) % 2).expand(1, 100, 128)
    error = WriteErrors(polynomial=[50.0], clamped=True)
    drift = LogarithmicDrift(mean_us=-10.0)
    found = lines_of(half, geometry(), plain(programming=error, drift=drift), time=1)[..., ::2]
    assert float(found.min()) == 0
    above = float((found > 0).double().mean())
    wanted = 1 - float(torch.special.ndtr(torch.tensor(0.2)))
    assert above == pytest.approx(wanted, abs=0.002 + 4 * math.sqrt(0.25 / found.numel()))
