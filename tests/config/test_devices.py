"""Devices: validated when made, through TOML and back; what presets say, and what time is."""

import dataclasses
import math
import re
import tomllib

import numpy as np
import pytest

from reram_torch.config import device_errors
from reram_torch.config.device_errors import AdcErrors, ReadNoise, TableDrift, WriteErrors
from reram_torch.config.device_tables import seconds
from reram_torch.config.devices import Cells, Devices, device_names, load_devices
from reram_torch.config.files import config_folders

PRESETS = [
    "cmo_hfox",
    "cmo_hfox_2pct",
    "ideal",
    "isaac",
    "milo2021",
    "read_noise",
    "stuck",
    "wan2022",
]
TEMPLATE = config_folders()[0] / "devices" / "template.toml"
OFF = Cells(50.0, on_off_ratio=10.0)


def test_presets_are_known():
    assert device_names() == PRESETS


@pytest.mark.parametrize("name", [*PRESETS, TEMPLATE])
def test_devices_survive(name, tmp_path):
    devices = load_devices(name)
    assert Devices.from_dict(devices.to_dict()) == devices
    devices.save(tmp_path / "copy.toml")
    assert load_devices(tmp_path / "copy.toml") == devices == load_devices(devices)
    assert hash(load_devices(tmp_path / "copy.toml")) == hash(devices)


@pytest.mark.parametrize("name", PRESETS)
def test_every_table_of_a_preset_has_a_source(name):
    devices = load_devices(name)
    assert devices.name == name
    known = devices.to_dict()
    del known["name"]
    assert "cells" in known
    for table in known.values():
        assert len(table["source"]) > 20


def test_the_template_explains_every_key():
    text = TEMPLATE.read_text()
    kinds = [Cells, WriteErrors, ReadNoise, AdcErrors, *device_errors.DRIFTS.values()]
    for kind in kinds:
        for field in dataclasses.fields(kind):
            assert re.search(rf"^(# )?{field.name} = ", text, re.MULTILINE), field.name
    # what is commented out is right, too: one law of drift at a time
    plain, *others = re.split(r"^# \[drift\]$", text, flags=re.MULTILINE)
    for other in others:
        body = "\n".join(line[2:] for line in other.splitlines() if line.startswith("# "))
        start = plain[: plain.index("[drift]")]
        Devices.from_dict(tomllib.loads(f"{start}\n[drift]\n{body}"))


def test_the_figures_of_wan():
    programming = load_devices("wan2022").programming
    targets = np.array([0.0, 10.0, 20.0, 40.0])
    for time, wanted in (
        (None, [0.35, 2.26, 2.02, 1.10]),
        (1.0, [0.35, 2.26, 2.02, 1.10]),
        (86400.0, [0.70, 3.72, 3.91, 2.65]),
        (2 * 86400.0, [0.78, 3.66, 3.93, 2.68]),
    ):
        assert programming.sigma_us(targets, 40.0, time) == pytest.approx(wanted, abs=0.006)
    # halfway between a second and a day by the logarithm
    half = programming.sigma_us(np.array([40.0]), 40.0, math.sqrt(86400.0))
    assert half == pytest.approx([(1.103 + 2.651) / 2])
    assert programming.sigma_us(np.array([37.5]), 40.0) == pytest.approx([(1.352 + 1.103) / 2])


def test_the_figures_of_milo_and_cmo():
    milo, cmo, wide = (load_devices(n) for n in ("milo2021", "cmo_hfox", "cmo_hfox_2pct"))
    assert milo.cells.off_us == 50.0
    assert milo.programming.sigma_us(np.array([100.0]), 225.0) == pytest.approx(
        [4.782 - 0.911], abs=1e-3
    )
    for devices, share in ((cmo, 0.00107), (wide, 0.01129)):
        sigma = devices.programming.sigma_us(np.array([0.0, 50.0]), 88.2)
        assert sigma[1] - sigma[0] == pytest.approx(50 * share, rel=0.01)
    shift = cmo.drift.shift(np.array([9.0, 50.0]), math.exp(5.0))
    assert not shift.exponent
    assert shift.mean == pytest.approx([-0.089 * 5] * 2, rel=1e-3)
    assert shift.sigma == pytest.approx([0.4118 + 0.042 * 5] * 2, rel=1e-3)


def test_shares_of_the_largest_conductance():
    shares = WriteErrors(unit="g_max", targets=[0.0, 1.0], sigma=[0.0, 0.1])
    assert shares.sigma_us(np.array([0.0, 25.0, 50.0]), 50.0) == pytest.approx([0, 2.5, 5])
    shares = WriteErrors(unit="g_max", polynomial=[0.01, 0.0, 0.02])
    assert shares.sigma_us(np.array([25.0]), 50.0) == pytest.approx([50 * (0.01 + 0.02 / 4)])


@pytest.mark.parametrize(
    ("text", "wanted"),
    [("1s", 1), ("90", 90), ("2 min", 120), ("1h", 3600), ("1d", 86400), ("1.5d", 129600),
     ("10y", 315576000), (5, 5), (0.25, 0.25), ("1e3s", 1000)],
)  # fmt: skip
def test_seconds(text, wanted):
    assert seconds(text) == wanted


@pytest.mark.parametrize(
    "text", ["", "d", "1 week", "-1d", "nan", math.inf, -1.0, None, True, "1d2h"]
)
def test_what_is_no_time(text):
    with pytest.raises(ValueError, match="time must be"):
        seconds(text)


def test_a_time_needs_a_model():
    for name in ("ideal", "isaac", "milo2021", "read_noise", "stuck"):
        assert load_devices(name).at(None) is None
        with pytest.raises(ValueError, match=f"time must be None for '{name}'.*not '1d'"):
            load_devices(name).at("1d")
    wan, cmo = load_devices("wan2022"), load_devices("cmo_hfox")
    assert wan.at("1d") == 86400.0
    with pytest.raises(ValueError, match="from 1 to 172800 s, not 259200 s"):
        wan.at("3d")
    with pytest.raises(ValueError, match=r"time must be at least drift.t0_s, 1 s, not 0.5 s"):
        cmo.at(0.5)
    assert cmo.at("10y") > 3e8


def test_either_of_off_and_ratio():
    assert OFF.off_us == 5.0
    assert Cells(50.0, g_off_us=2.0).off_us == 2.0
    assert Cells(on_off_ratio=math.inf).off_us == 0.0
    assert dataclasses.replace(OFF, on_off_ratio=None, g_off_us=1.0).off_us == 1.0
    with pytest.raises(ValueError, match="give one of g_off_us and on_off_ratio"):
        dataclasses.replace(OFF, g_off_us=1.0)


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("[cell]\ng_max_us = 3", "unknown section 'cell'; known: .*'cells'"),
        ("[cells]\ng_max = 3.0\non_off_ratio = 2", "cells: unknown key 'g_max'; .*mean 'g_max_us'"),
        ("[cells]\ng_max_us = 3.0", "give one of g_off_us and on_off_ratio, not g_off_us=None"),
        ("[cells]\non_off_ratio = 0.5", "cells.on_off_ratio must be .* at least 1, not 0.5"),
        ("[cells]\ng_off_us = 101.0", "cells.g_off_us must be .* from 0 to 100.0, not 101.0"),
        ("[cells]\non_off_ratio = nan", "cells.on_off_ratio must be"),
        ("[cells]\non_off_ratio = 2\ncopies = [0]", "cells.copies must be a whole number from 1"),
        ("[cells]\non_off_ratio = 2\ncopies = 2", "cells.copies must be a list"),
        ("[cells]\non_off_ratio = 2\ndummy_column = 1", "dummy_column must be true or false"),
        ("[cells]\non_off_ratio = 2\nstuck_on_rate = 1.5", "stuck_on_rate must be .* 0 to 1"),
        ("[cells]\non_off_ratio = 2\nstuck_on_rate = 0.6\nstuck_off_rate = 0.6", "1 together"),
        ("[programming]\nlaw = 'gauss'", "programming.law must be one of .*'normal'"),
        ("[programming]\nsigma = [1.0]", "programming.targets must be a list of rising"),
        ("[programming]\ntargets = [0, 50]\nsigma = [1, 1]", "must cover .* from 0 to 100"),
        ("[programming]\ntargets = [0, 100]\nsigma = [1]", r"sigma\[0\] must have 2 numbers"),
        ("[programming]\ntargets = [0, 100]\nsigma = [1, -1]", r"sigma\[0\]\[1\] must be"),
        ("[programming]\ntargets = [0, 0]\nsigma = [1, 1]", "targets must be a list of rising"),
        (
            "[programming]\ntargets = [0, 100]\nsigma = [[1, 1]]\ntimes_s = [1.0, 2.0]",
            "programming.sigma must be 2 lists, one for each time",
        ),
        ("[programming]\npolynomial = [1.0, -0.02]", "at least 0 at every target, not -1 at 100"),
        ("[programming]\npolynomial = [1.0]\ntargets = [1]", "or a polynomial, not both"),
        ("[programming]\nlaw = 'lognormal'\npolynomial = [1.0]", "sigma 0 for cells that are off"),
        ("[programming]\nverify_pulses = 3", "and verify_pulses .* go together"),
        ("[programming]\nverify_tolerance_us = 3.0", "go together, not 3.0 and 1"),
        ("[programming]\nclamped = 1", "programming.clamped must be true or false"),
        ("[drift]\nnu = 0.1", "drift.law must be one of .*'power'.* not None"),
        ("[drift]\nlaw = 'power'", "drift: the key 'nu' is missing"),
        ("[drift]\nlaw = 'power'\nnu = 0.1\nmean_us = 3", "drift: unknown key 'mean_us'"),
        ("[drift]\nlaw = 'power'\nnu = inf", "drift.nu must be a finite number"),
        ("[drift]\nlaw = 'logarithmic'\nsigma_us = -1", "drift.sigma_us must be"),
        (
            "[drift]\nlaw = 'table'\ntargets_us = [0, 50]\ntimes_s = [1]\nmean_us = [[0, 0]]\n"
            "sigma_us = [[0, 0]]",
            "drift.targets_us must cover the targets from 0 to 100",
        ),
        (
            "[programming]\ntargets = [0, 100]\nsigma = [[1, 1]]\ntimes_s = [1]\n"
            "[drift]\nlaw = 'power'\nnu = 0.1",
            "times_s and drift both say what time does",
        ),
        ("[reading]\nshare = -0.1", "reading.share must be .* from 0 to 1, not -0.1"),
        ("[reading]\nfloor = 1", "reading: unknown key 'floor'; .* mean 'floor_us'"),
        ("[adc]\ncolumns_per_adc = 0", "adc.columns_per_adc must be a whole number"),
        ("[adc]\ngain_sigma = true", "adc.gain_sigma must be"),
        ("name = 3", "devices.name must be text"),
        ("[cells]\non_off_ratio = 2\nsource = 3", "a source must be text, not 3"),
        ("adc = 3", "adc must be a table"),
        ("[adc\n", "mine.toml"),
    ],
)  # fmt: skip
def test_bad_files_are_named(text, match, tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text(text)
    with pytest.raises(ValueError, match=match) as caught:
        load_devices(path)
    assert str(path) in str(caught.value)


def test_missing_devices_are_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no devices named 'wan'.*mean 'wan2022'\?"):
        load_devices("wan")
    with pytest.raises(FileNotFoundError, match="no devices file"):
        load_devices(tmp_path / "nothing.toml")


def test_parts_have_their_types():
    with pytest.raises(TypeError, match="devices.cells must be Cells"):
        Devices(cells={"g_max_us": 3})
    with pytest.raises(TypeError, match="devices.drift must be one of"):
        Devices(drift="power")


def test_replace_works_on_each_part():
    wan = load_devices("wan2022")
    noisy = dataclasses.replace(wan, reading=ReadNoise(share=0.01))
    assert noisy.programming == wan.programming
    assert noisy != wan
    with pytest.raises(ValueError, match=r"programming.targets must cover .* to 50, not only"):
        dataclasses.replace(wan, cells=dataclasses.replace(wan.cells, g_max_us=50.0))


def test_drift_by_a_table():
    drift = TableDrift(
        [0.0, 10.0], [1.0, 100.0], [[0.0, -1.0], [0.0, -3.0]], [[0.0, 0.0], [0.0, 1.0]]
    )
    shift = drift.shift(np.array([0.0, 5.0, 10.0]), 10.0)  # halfway by the logarithm
    assert shift.mean == pytest.approx([0.0, -1.0, -2.0])
    assert shift.sigma == pytest.approx([0.0, 0.25, 0.5])
    with pytest.raises(
        ValueError, match=r"within those of drift.times_s, from 1 to 100 s, not 200 s"
    ):
        drift.shift(np.array([0.0]), 200.0)
