"""Noise of reads: the table has the variance of the cells that are driven."""

import math
from collections import defaultdict
from dataclasses import replace

import pytest
import torch
from problems import lossless_tables
from programmed import codes_of, geometry, plain

from reram_torch.config.device_errors import AdcErrors, ReadNoise, WriteErrors
from reram_torch.config.devices import Cells, load_devices
from reram_torch.crossbar.chips import check_chip, digits_of
from reram_torch.crossbar.programming import program_chip
from reram_torch.ops.reference import crossbar

UNIT = 4096  # sigmas of a step


def table_of(codes, g, devices, **options):
    """The standard deviation of noise in steps, by driven word-lines and size of the sum."""
    chip = program_chip(codes, g, devices, **options)
    check_chip(g, chip, *codes.shape)
    shift = int(chip.numbers[1])

    def sigma(driven, size):
        q = min(abs(size) >> shift, chip.sigmas.shape[1] - 1)
        return float(chip.sigmas[int(chip.sigma_of[driven]), q]) / UNIT

    return sigma


def test_one_bit_cells_are_exact():
    """var A = S s_on^2 + (driven - S) s_off^2, and the comparator's."""
    reading, adc = ReadNoise(share=0.02, floor_us=0.5), AdcErrors(noise_steps=0.1)
    devices = plain(cells=Cells(on_off_ratio=math.inf), reading=reading, adc=adc)
    codes = codes_of(torch.rand(50, 128) < 0.3)
    sigma = table_of(codes, geometry(), devices)
    for driven, S in ((1, 0), (1, 1), (20, 5), (20, 20), (128, 64), (128, 128)):
        wanted = S * (0.02**2 + 0.005**2) + (driven - S) * 0.005**2 + 0.1**2
        assert sigma(driven, S) == pytest.approx(math.sqrt(wanted), rel=0.002)
    assert sigma(0, 0) == pytest.approx(0.1, rel=0.002)


def test_errors_and_stuck_cells_are_read_too():
    """E G^2 is the square of the mean and the variance, of cells as they are."""
    cells = Cells(on_off_ratio=math.inf, stuck_off_rate=0.1)
    error = WriteErrors(polynomial=[0, 0.5])
    codes = codes_of(torch.ones(50, 128))
    sigma = table_of(
        codes, geometry(), plain(cells=cells, programming=error, reading=ReadNoise(0.02))
    )
    assert sigma(100, 90) == pytest.approx(0.02 * math.sqrt(100 * 0.9 * 1.25), rel=0.01)
    cmo = replace(load_devices("cmo_hfox"), reading=ReadNoise(0.02))
    cmo = replace(cmo, cells=replace(cmo.cells, dummy_column=True))
    later = table_of(codes, geometry(), cmo, time="1d")
    at = (88.2 - 0.089 * math.log(86400)) / 79.2
    assert later(100, 100) == pytest.approx(0.02 * at * 10, rel=0.01)


@pytest.mark.parametrize(
    ("widths", "encoding", "pulses", "near"),
    [
        ((1,) * 7, 1, (1,), 0.05),
        ((1,) * 8, 0, (1,), 0.06),
        ((4, 3), 1, (1,), 0.10),
        ((2, 2, 2, 1), 2, (1,), 0.04),
        ((2, 2, 2, 1), 1, (2, 2), 0.15),
    ],
)
def test_driven_cells_are_as_noisy_as_the_table_has_it(widths, encoding, pulses, near):
    """By drawing driven word-lines of a layer and looking at the cells that they drive."""
    g = geometry(widths, encoding, rows=256, weight_bits=8, pulses=pulses)
    codes = (torch.randn(1, 200, 256) * 30).round().clamp(-127, 127).short()
    cells = Cells(on_off_ratio=10.0 if g.offset else math.inf)
    sigma = table_of(codes, g, plain(cells=cells, reading=ReadNoise(0.1)))
    digits = digits_of(codes, g).double()[:, :, 0]
    if g.offset:
        digits = digits.clamp(min=0.1)
    seen = defaultdict(lambda: [0, 0.0])
    driven = 60
    for _ in range(40):
        rows, u = torch.randperm(256)[:driven], torch.randint(1, 2**g.dac_bits, (driven,)).double()
        sums, noise = (digits[..., rows] * u).sum(-1), ((0.1 * digits[..., rows] * u) ** 2).sum(-1)
        if g.signed:
            sums, noise = sums[0] - sums[1], noise.sum(0)
        sizes = (sums + 0.5).floor().abs().long().flatten()
        for size in sizes.unique().tolist():
            seen[size][0] += int((sizes == size).sum())
            seen[size][1] += float(noise.flatten()[sizes == size].sum())
    total = sum(noise for _, noise in seen.values())
    table = sum(n * sigma(driven, size) ** 2 for size, (n, _) in seen.items())
    assert table == pytest.approx(total, rel=0.04)
    often = {size: math.sqrt(noise / n) for size, (n, noise) in seen.items() if n > 400}
    assert len(often) > 10
    for size, wanted in often.items():
        if size > 4 * (g.dac_bits - 1):  # small sums of large pulses: good to 1 / driven only
            assert sigma(driven, size) == pytest.approx(wanted, rel=near, abs=0.01)


def test_tables_are_small_and_cover_every_number_of_driven_lines():
    g = geometry((4,), 1, rows=2000, weight_bits=5)
    codes = torch.randint(-15, 16, (1, 3, 2000)).short()
    chip = program_chip(codes, g, plain(reading=ReadNoise(0.1)))
    check_chip(g, chip, *codes.shape)
    assert chip.sigmas.shape[0] <= 256
    assert chip.sigmas.shape[1] <= 1024
    at = chip.sigmas[chip.sigma_of.long(), 0].double()  # steps, by driven word-lines
    assert at[0] == 0
    assert (at[50:].diff() >= 0).all()
    smooth = (torch.arange(1, 2001).double() / 2000).sqrt() * at[-1]
    assert torch.allclose(at[50:], smooth[49:], rtol=0.02)


def test_no_noise_no_table():
    chip = program_chip(codes_of(torch.ones(2, 3)), geometry(), plain())
    assert not any(part.numel() for part in (chip.sigmas, chip.sigma_of, chip.normal))
    only = plain(adc=AdcErrors(noise_steps=0.25))
    chip = program_chip(codes_of(torch.ones(2, 3)), geometry(), only, layer="a")
    assert chip.sigmas.tolist() == [[1024]]
    other = program_chip(codes_of(torch.ones(2, 3)), geometry(), only, layer="b")
    assert chip.numbers[2:4].tolist() != other.numbers[2:4].tolist()  # keys are the layer's own
    assert all(0 <= key < 2**32 for key in chip.numbers[2:4].tolist())
    assert chip.numbers.tolist()[4:] == [0, 1]


def test_conversions_err_as_often_as_the_noise_has_it():
    """Through the reference: read and comparator noise on sums of 64, drawn by conversion."""
    driven, S, share, comparator = 128, 64, 0.03, 0.15
    g, codes = geometry(), codes_of(torch.arange(driven) < S).expand(1, 40, driven)
    adc = AdcErrors(noise_steps=comparator)
    devices = plain(reading=ReadNoise(share=share), adc=adc)
    chip = program_chip(codes, g, devices, seed=3)
    u = torch.ones(500, 1, driven, dtype=torch.uint8)
    found, *_ = crossbar(u, codes, lossless_tables(g), g, chip)
    errors = found + driven - S  # the offset of a 1-bit weight is 1 for each driven word-line
    sigma = math.sqrt(S * share**2 + comparator**2)
    for steps in (1, 2):
        beyond = float((errors.abs() >= steps).double().mean())
        wanted = math.erfc((steps - 0.5) / sigma / math.sqrt(2))
        assert beyond == pytest.approx(wanted, abs=4 * math.sqrt(wanted / errors.numel()) + 1e-4)
    one, other = errors[..., 0].double().flatten(), errors[..., 1].double().flatten()
    assert abs(float(torch.corrcoef(torch.stack([one, other]))[0, 1])) < 4 / math.sqrt(500)
    again, *_ = crossbar(u, codes, lossless_tables(g), g, chip)
    assert torch.equal(again, found)
