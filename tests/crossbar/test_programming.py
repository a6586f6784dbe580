"""Programmed chips: the laws that were asked for, closed forms, and what never changes."""

import hashlib
import math
from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from problems import examples, problems
from programmed import agrees, codes_of, geometry, kolmogorov_smirnov, lines_of, normal_law, plain

from reram_torch.config.device_errors import AdcErrors, ReadNoise, WriteErrors
from reram_torch.config.devices import Cells, device_names, load_devices
from reram_torch.crossbar.chips import check_chip, digits_of, ideal_chip
from reram_torch.crossbar.programming import cell_conductances, program_chip

DAY = 86400.0
WAN = load_devices("wan2022")
EVERYTHING = replace(
    WAN,
    cells=replace(WAN.cells, stuck_off_rate=0.02, stuck_on_rate=0.01, copies=(2,), g_off_us=1.0,
                  on_off_ratio=None, dummy_column=True),
    programming=replace(WAN.programming, verify_tolerance_us=1.0, verify_pulses=4),
    reading=ReadNoise(0.02, 0.1),
    adc=AdcErrors(0.2, 0.01, 0.3, 0.02, 5),
)  # fmt: skip


@examples(30)
@given(problems(most=40))
def test_ideal_devices_give_ideal_chips(p):
    (G, N, K), wanted = p.codes.shape, ideal_chip(p.codes, p.geometry)
    for name in ("ideal", "isaac"):
        devices = load_devices(name)
        devices = replace(devices, cells=replace(devices.cells, dummy_column=True))
        chip = program_chip(p.codes, p.geometry, devices)
        assert torch.equal(chip.conductances, wanted.conductances)
        check_chip(p.geometry, chip, G, N, K)
        assert not any(part.numel() for part in chip.tensors[1:-1])
        assert max(chip.summary.rms_steps) == 0


@examples(30)
@given(problems(most=40), st.sampled_from([*device_names(), "everything"]), st.integers(0, 9))
def test_chips_of_every_geometry_hold_together(p, name, seed):
    g, (G, N, K) = p.geometry, p.codes.shape
    devices = EVERYTHING if name == "everything" else load_devices(name)
    chip = program_chip(p.codes, g, devices, seed=seed, layer="a")
    check_chip(g, chip, G, N, K)
    again = program_chip(p.codes, g, devices, seed=seed, layer="a")
    assert all(torch.equal(a, b) for a, b in zip(chip.tensors, again.tensors, strict=True))
    assert chip.summary == again.summary
    assert int(chip.conductances.int().abs().max()) < 2**15
    assert chip.summary.cells % (g.bit_lines * G * N * K) == 0
    assert math.isfinite(sum(chip.summary.rms_steps) + sum(chip.summary.conductance_us))


def test_a_small_chip_is_the_same_on_every_machine():
    g = geometry((2, 3, 2), encoding=2, rows=10, pulses=(2, 1))
    codes = (torch.arange(2 * 7 * 23, dtype=torch.int16) * 37 % 255 - 127).view(2, 7, 23)
    chip = program_chip(codes, g, EVERYTHING, seed=11, layer="layer1.0.conv", time="1d")
    found = hashlib.sha256()
    for part in chip.tensors:
        found.update(part.numpy().tobytes())
    assert found.hexdigest()[:16] == "1e80418007e0b2b3"


def test_a_chip_depends_on_its_seed_and_its_layer_only():
    g = geometry()
    codes = codes_of(torch.ones(64, 128))
    chips = {
        (seed, layer): lines_of(codes, g, WAN, seed=seed, layer=layer).flatten() - 1
        for seed in (0, 1)
        for layer in ("a", "b")
    }
    found = torch.corrcoef(torch.stack(list(chips.values()))).fill_diagonal_(0)
    assert float(found.abs().max()) < 4 / math.sqrt(64 * 128)
    # an output's cells are where its number puts them: more weights change nothing before them
    less = lines_of(codes[:, :10], g, WAN, layer="a").flatten() - 1
    assert torch.equal(less, chips[0, "a"][: 10 * 128])


@pytest.mark.parametrize("law", ["normal", "lognormal"])
def test_cells_have_the_law_that_was_asked_for(law):
    """Over 1,000 chips, every digit of a 2-bit cell by Kolmogorov-Smirnov."""
    sigma = {0: 0.0, 1: 20.0, 2: 35.0, 3: 30.0}
    error = WriteErrors(law, targets=[0, 100 / 3, 200 / 3, 100], sigma=list(sigma.values()))
    g, codes = geometry((2,)), torch.arange(4, dtype=torch.int16).repeat_interleave(25) - 2
    chips = [
        lines_of(codes.view(1, 1, -1), g, plain(programming=error), seed=k) for k in range(1000)
    ]
    cells = torch.cat(chips).view(1000, 4, 25)
    assert (cells[:, 0] == 0).all()
    for digit in (1, 2, 3):
        x, spread = cells[:, digit], sigma[digit] * 3 / 100
        if law == "normal":
            expected = normal_law(digit, spread)
        else:
            scale = math.sqrt(math.log1p((spread / digit) ** 2))
            x, expected = x.log(), normal_law(math.log(digit) - scale**2 / 2, scale)
            assert agrees(cells[:, digit], digit, spread**2, errors=8)  # its tails are heavy
        assert kolmogorov_smirnov(x, expected) < 1.95


def test_the_mean_and_variance_of_sums():
    """E A = S + (driven - S) G_off / step; its variance, S s_on^2 + (driven - S) s_off^2."""
    driven, S, N = 128, 64, 20000
    cells = codes_of(torch.arange(driven) < S).expand(1, N, driven)
    error = WriteErrors(targets=[5.0, 100.0], sigma=[1.5, 4.0])
    for dummy in (False, True):
        devices = plain(cells=Cells(on_off_ratio=20.0, dummy_column=dummy), programming=error)
        A = lines_of(cells, geometry(), devices).sum(-1)
        step = 95.0 if dummy else 100.0
        leak = 0 if dummy else (driven - S) * 5 / step
        assert agrees(A, S + leak, (S * 4.0**2 + (driven - S) * 1.5**2) / step**2)


@pytest.mark.parametrize(
    ("time", "driven", "digits", "wanted"),
    [("1s", 128, 64, 0.030), ("2d", 128, 64, 0.37), ("2d", 20, 5, 0.003), ("1s", 20, 5, 0.0)],
)
def test_how_often_a_conversion_errs_with_wan(time, driven, digits, wanted):
    N = 20000
    cells = codes_of(torch.arange(driven) < digits).expand(1, N, driven)
    A = lines_of(cells, geometry(), WAN, time=time).sum(-1)
    errs = float(((A - digits).abs() > 0.5).double().mean())
    assert errs == pytest.approx(wanted, abs=0.0005 + 4 * math.sqrt(wanted * (1 - wanted) / N))


@pytest.mark.parametrize(
    ("name", "time"),
    [("milo2021", None), ("wan2022", None), ("wan2022", "1d"), ("cmo_hfox_2pct", "1d")],
)
def test_products_err_as_published_deviations_have_it(name, time):
    """Weights in 3- and 4-bit pairs: the whole shift-add, from sigma of every cell's target."""
    devices, g = load_devices(name), geometry((4, 3), encoding=1)
    codes = (torch.randn(1, 400, 128) * 40).round().clamp(-127, 127).short()
    u = torch.randint(0, 256, (128,)).double()
    lines = lines_of(codes, g, devices, time=time)[0, :, 0]
    found = (lines * torch.tensor([1.0, 16.0]).view(2, 1, 1)).sum(0) @ u
    errors = found - codes[0].double() @ u
    cells, variance = devices.cells, torch.zeros(400, 128, dtype=torch.double)
    for j, digits in enumerate(digits_of(codes, g)[:, :, 0].unbind(1)):
        most = (15, 7)[j]
        targets = cells.off_us + digits.double().numpy() * (cells.g_max_us - cells.off_us) / most
        at = None if devices.drift else devices.at(time)
        sigma = devices.programming.sigma_us(targets.ravel(), cells.g_max_us, at)
        spread = sigma.reshape(targets.shape) ** 2
        if time is not None and devices.drift:
            spread = spread + devices.drift.shift(targets, DAY).sigma ** 2
        steps = 16.0**j * most / (cells.g_max_us - cells.off_us)
        variance += torch.from_numpy(spread).sum(0) * steps**2
    wanted = variance @ u.square()
    assert agrees(errors / wanted.sqrt(), 0, 1)


def test_sums_of_pairs_have_the_noise_of_both_cells():
    g, codes = geometry(encoding=1, weight_bits=2), torch.ones(1, 500, 128, dtype=torch.int16)
    found = lines_of(codes, g, WAN)
    assert agrees(found, 1, (1.103**2 + 0.348**2) / 40**2 + 1 / 12 / 256**2)


@pytest.mark.parametrize("tolerance", [0.5, 1.5])
def test_write_verify_takes_one_over_the_chance_of_pulses(tolerance):
    """Of cells that are a step off, or so, in the unit of that step."""
    error = WriteErrors(polynomial=[0, 1.0], verify_tolerance_us=100 * tolerance, verify_pulses=100)
    codes = codes_of(torch.ones(100, 128))
    summary = program_chip(codes, geometry(), plain(programming=error)).summary
    within = math.erf(tolerance / math.sqrt(2))
    spread = math.sqrt(1 - within) / within / math.sqrt(100 * 128)
    assert summary.pulses == pytest.approx(1 / within, abs=4 * spread)
    assert summary.unverified == 0
    cells = lines_of(codes, geometry(), plain(programming=error)) - 1
    assert float(cells.abs().max()) <= tolerance
    law, below = normal_law(0, 1), (1 - within) / 2
    assert kolmogorov_smirnov(cells, lambda x: (law(x) - below) / within) < 1.95


def test_write_verify_gives_up():
    error = WriteErrors(polynomial=[0, 0.2], verify_tolerance_us=0.01, verify_pulses=3)
    chip = program_chip(codes_of(torch.ones(10, 128)), geometry(), plain(programming=error))
    assert chip.summary.pulses > 2.9
    assert chip.summary.unverified > 1200


def test_stuck_cells():
    codes = codes_of(torch.arange(128) % 2).expand(1, 100, 128)
    cells = Cells(on_off_ratio=50.0, stuck_off_rate=0.0175, stuck_on_rate=0.0904)
    devices = plain(cells=cells)
    chip, found = (f(codes, geometry(), devices) for f in (program_chip, lines_of))
    for count, rate in ((chip.summary.stuck_off, 0.0175), (chip.summary.stuck_on, 0.0904)):
        assert count / 12800 == pytest.approx(rate, abs=4 * math.sqrt(rate / 12800))
    of_digit = found.view(100, 64, 2)
    on, off = (of_digit[..., 0] > 0.5).sum(), (of_digit[..., 1] < 0.5).sum()
    assert 0 < off < on < chip.summary.stuck_on
    assert set(found.flatten().tolist()) == {5 / 256, 1.0}


@pytest.mark.parametrize("encoding", [0, 1, 2])
def test_a_stuck_array(encoding):
    g = geometry((2, 2), encoding=encoding)
    codes = torch.randint(-8, 8, (1, 5, 60)).short()
    for rates, wanted in (((1.0, 0.0), 0.0), ((0.0, 1.0), 3.0)):
        cells = Cells(on_off_ratio=math.inf, stuck_off_rate=rates[0], stuck_on_rate=rates[1])
        chip = program_chip(codes, g, replace(WAN, cells=replace(cells, g_max_us=40.0)))
        assert chip.summary.stuck_off + chip.summary.stuck_on == chip.summary.cells
        found = lines_of(codes, g, plain(cells=cells))
        assert (found == (0.0 if encoding == 1 else wanted)).all()  # both cells of a pair are equal
    assert chip.summary.pulses == 0


def test_a_dead_column():
    g, codes = geometry((1,) * 7, encoding=1), torch.full((1, 4, 30), 127, dtype=torch.int16)
    left = torch.ones(2, 7, 1, 4, 30)
    left[:, :, :, 2] = 0
    found = lines_of(codes, g, WAN, attenuation=left)
    assert (found[:, :, :, 2] == 0).all()
    kept = lines_of(codes, g, WAN)
    assert torch.equal(found[:, :, :, [0, 1, 3]], kept[:, :, :, [0, 1, 3]])
    with pytest.raises(ValueError, match=r"attenuation must be float of shape \(2, 7, 1, 4, 30\)"):
        program_chip(codes, g, WAN, attenuation=left[0])


@pytest.mark.parametrize("encoding", [0, 1, 2])
def test_cells_conduct_what_the_chip_stores(encoding):
    g = geometry((2, 2), encoding=encoding, rows=20)
    codes = torch.randint(-7, 8, (2, 5, 33)).short()
    options = {"seed": 3, "layer": "a", "time": "1d"}
    cells = cell_conductances(codes, g, WAN, **options)
    chip = program_chip(codes, g, WAN, **options)
    steps = cells.double() * 3 / 40
    if encoding == 1:
        steps = steps[:1] - steps[1:]
    assert torch.allclose(lines_of(codes, g, WAN, **options), steps, rtol=0, atol=0.51 / 256)
    assert cells.sum((0, 2, 3, 4)) / 330 == pytest.approx(chip.summary.conductance_us, rel=1e-5)
    half = program_chip(codes, g, WAN, attenuation=torch.full(cells.shape, 0.5), **options).summary
    wanted = [us / 2 for us in chip.summary.conductance_us]
    assert half.conductance_us == pytest.approx(wanted, rel=1e-5)


def test_wires_need_an_attenuation():
    wired = replace(WAN, cells=replace(WAN.cells, wire_ohm=0.35))
    with pytest.raises(ValueError, match=r"cells.wire_ohm must be 0 .* not 0.35"):
        program_chip(codes_of(torch.ones(2, 3)), geometry(), wired)
    half = torch.full((1, 1, 1, 2, 3), 0.5)
    found = lines_of(codes_of(torch.ones(2, 3)), geometry(), plain(), attenuation=half)
    assert (found == 0.5).all()


def test_cells_that_are_on_and_off_alike():
    same = plain(cells=Cells(on_off_ratio=1.0))
    found = lines_of(codes_of(torch.arange(6).view(2, 3) % 2), geometry(), same)
    assert (found == 1).all()  # sums count driven word-lines
    found = lines_of(torch.tensor([[[-2, -1, 0, 1]]]), geometry((2,)), same)
    assert (found == 3).all()
    codes = torch.tensor([[[0, 1]]])
    for g, cells in (
        (geometry((2,), encoding=1), same.cells),
        (geometry((2,), encoding=2), same.cells),
        (geometry((2,)), replace(same.cells, dummy_column=True)),
    ):
        with pytest.raises(
            ValueError, match="cannot tell apart: cells.on_off_ratio must be above 1"
        ):
            program_chip(codes, g, replace(same, cells=cells))


@pytest.mark.parametrize("encoding", [0, 1, 2])
@pytest.mark.parametrize("dummy", [False, True])
def test_where_leaks_go(encoding, dummy):
    """They cancel in pairs, or a dummy column takes them; else they add up."""
    cells = Cells(100.0, g_off_us=10.0, dummy_column=dummy)
    codes = torch.tensor([[[-3, -1, 0, 2]]])
    g = geometry((2,), encoding=encoding) if encoding else geometry((3,))
    found = lines_of(codes, g, plain(cells=cells))[:, 0, 0, 0]
    wanted = [[1.0, 3.0, 4.0, 6.0]] if encoding == 0 else [[-3.0, -1.0, 0.0, 2.0]]
    if encoding == 2:
        wanted = [[0.0, 0.0, 0.0, 2.0], [3.0, 1.0, 0.0, 0.0]]
    wanted = torch.tensor(wanted, dtype=torch.double)
    if not dummy and encoding == 0:
        wanted = wanted.clamp(min=10 / (100 / 7))  # the digit 1 is not off, but 14 uS
    elif not dummy and encoding == 2:
        wanted += 10 / (90 / 3)
    assert torch.allclose(found, wanted, rtol=0, atol=0.5 / 256)


def test_copies_halve_the_variance_of_the_highest_slice_that_exists():
    g = geometry((1,) * 8, encoding=1, weight_bits=8)  # the eighth slice of a magnitude is none
    codes = torch.randint(-127, 128, (1, 50, 128)).short()
    one, two = (
        program_chip(codes, g, replace(WAN, cells=replace(WAN.cells, copies=copies))).summary
        for copies in ((), (4, 2))
    )
    ratio = [b / a if a else None for a, b in zip(one.rms_steps, two.rms_steps, strict=True)]
    assert ratio[:5] == pytest.approx([1] * 5)
    assert ratio[5:7] == pytest.approx([math.sqrt(1 / 2), math.sqrt(1 / 4)], rel=0.03)
    assert ratio[7] is None
    crossings = 50 * 128
    assert (one.cells, two.cells) == (14 * crossings, (14 + 2 * 4) * crossings)


def test_nothing_overflows():
    error = WriteErrors(polynomial=[0.0, 100.0])  # of 100 steps
    for encoding in (0, 1, 2):
        g = geometry((1,) * 7, encoding=encoding, rows=1000, weight_bits=7 + (encoding > 0))
        codes = torch.full((1, 20, 1000), 63, dtype=torch.int16)
        chip = program_chip(codes, g, plain(programming=error))
        assert chip.summary.clipped > 1000
        assert int(chip.conductances.int().abs().max()) == 32767
        assert int(chip.conductances.int().sum(-2).abs().max()) * 15 < 2**31
    floor = WriteErrors(polynomial=[0.0, 100.0], clamped=True)
    assert float(lines_of(codes[:, :2], geometry((7,)), plain(programming=floor)).min()) == 0
