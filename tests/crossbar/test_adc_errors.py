"""ADCs that err: gains and offsets by their laws, capacitors by the thresholds that they make."""

import itertools
import math

import numpy as np
import pytest
import torch
from programmed import agrees, codes_of, geometry, plain

from reram_torch.config.device_errors import AdcErrors
from reram_torch.crossbar.adc_errors import capacitor_shifts
from reram_torch.crossbar.chips import adcs_of, check_chip
from reram_torch.crossbar.programming import program_chip

ERRORS = AdcErrors(gain_sigma=0.01, offset_sigma_steps=0.5, capacitor_sigma=0.02, columns_per_adc=1)


def test_every_adc_has_its_own_errors():
    g, codes = geometry((1,) * 4), torch.zeros(3, 40, 300, dtype=torch.int16)
    chip = program_chip(codes - 8 + 7, g, plain(adc=ERRORS))
    count = 4 * 3 * 3 * 40  # slices, groups, tiles, outputs
    assert adcs_of(g, 3, 40, 300, 1) == count == len(chip.gains) == len(chip.offsets)
    check_chip(g, chip, 3, 40, 300)
    assert agrees(chip.gains / 65536, 1, 0.01**2)
    assert agrees(chip.offsets / 256, 0, 0.5**2)
    assert abs(float(torch.corrcoef(torch.stack([chip.gains, chip.offsets]).double())[0, 1])) < 0.1
    shared = program_chip(codes - 1, g, plain(adc=AdcErrors(gain_sigma=0.01, columns_per_adc=16)))
    assert len(shared.gains) == 4 * 3 * 3 * 3
    check_chip(g, shared, 3, 40, 300)
    assert not shared.offsets.numel()
    assert not shared.mismatch.numel()


def thresholds(errors, values):
    """Where a SAR's capacitors put the threshold below each sum but the lowest, in steps."""
    bits = math.ceil(math.log2(values))
    units = [2**k + 2 ** (k / 2) * float(errors[k]) for k in range(bits)]
    full = (2**bits - 1) / sum(units)
    found = []
    for code in range(1, values):
        chosen = sum(unit for k, unit in enumerate(units) if code >> k & 1)
        found.append(chosen * full - 0.5)
    return found


@pytest.mark.parametrize("values", [2, 3, 16, 129, 257])
def test_shifts_are_the_thresholds_errors(values):
    errors = 0.1 * np.random.default_rng(0).standard_normal((3, 32))
    found = capacitor_shifts(errors, values)
    assert found.shape == (3, values)
    for adc in range(3):
        ideal = [k - 0.5 for k in range(1, values)]
        off = [0.0] + [at - t for at, t in zip(thresholds(errors[adc], values), ideal, strict=True)]
        for k, (below, above) in enumerate(itertools.pairwise(off)):
            assert found[adc, k] == pytest.approx(-(below + above) / 2, abs=1e-9)


def test_the_ends_of_the_scale_are_right():
    errors = 0.1 * np.random.default_rng(0).standard_normal((50, 32))
    found = capacitor_shifts(errors, 256)
    assert abs(found[:, 0]).max() < 0.5  # half of what the first capacitor is off
    assert abs(found[:, -1]).max() < 0.5
    middle = found[:, 127] - found[:, 128]
    assert abs(middle).max() > 1  # all capacitors change at once


def test_the_largest_error_is_in_the_middle():
    """A binary-weighted CDAC of b bits: at half of the scale, sigma sqrt(2^b - 1) / 2 steps."""
    sigma, bits = 0.01, 10
    errors = sigma * np.random.default_rng(0).standard_normal((4000, 32))
    found = capacitor_shifts(errors, 2**bits).std(0)
    wanted = sigma * math.sqrt(2**bits - 1) / 2
    assert found[2**9 - 5 : 2**9 + 5].max() == pytest.approx(wanted, rel=0.05)
    assert found.max() == pytest.approx(wanted, rel=0.08)


@pytest.mark.parametrize(("sigma", "wanted"), [(0.005, 0.004), (0.02, 0.016)])
@pytest.mark.parametrize("values", [129, 257])
def test_a_shift_stands_for_a_search(sigma, wanted, values):
    """How often the integer of a shifted sum is not the one that a SAR's comparisons end at."""
    generator, bits, differ = np.random.default_rng(0), (values - 1).bit_length(), []
    for errors in sigma * generator.standard_normal((100, 1, 32)):
        sums = generator.integers(-128, 256 * values - 128, 2000)  # in 1/256 of a step
        units = [2**k + 2 ** (k / 2) * errors[0, k] for k in range(bits)]
        full = (2**bits - 1) / sum(units)
        code = np.zeros(len(sums), dtype=int)
        for k in reversed(range(bits)):
            tried = code | 1 << k
            level = full * sum((tried >> b & 1) * unit for b, unit in enumerate(units)) - 0.5
            code = np.where(sums / 256 >= level, tried, code)
        shifts = np.rint(256 * capacitor_shifts(errors, values)[0]).astype(int)
        shifted = sums + shifts[(sums + 128 >> 8).clip(0, values - 1)]
        found = (shifted + 128 >> 8).clip(0, values - 1)
        differ.append(float((found != code.clip(0, values - 1)).mean()))
        assert abs(found - code.clip(0, values - 1)).max() <= 1
    assert np.mean(differ) == pytest.approx(wanted, rel=0.15)


def test_mismatch_is_of_whole_steps_over_256():
    g = geometry((2,), encoding=1, rows=20, weight_bits=3)
    chip = program_chip(torch.ones(1, 4, 20).short(), g, plain(adc=ERRORS), seed=5)
    assert chip.mismatch.shape == (4, 121)  # from -60 to 60
    again = program_chip(torch.zeros(1, 4, 20).short(), g, plain(adc=ERRORS), seed=5)
    assert torch.equal(chip.mismatch, again.mismatch)  # whatever the weights
    assert 0 < float(chip.mismatch.abs().max()) / 256 < 2


def test_tables_that_nobody_can_store_are_refused():
    g = geometry((4,), rows=4096)
    with pytest.raises(ValueError, match=r"capacitor_sigma must be 0 for 3000 ADCs of 61441 sums"):
        program_chip(torch.zeros(1, 3000, 2).short(), g, plain(adc=ERRORS))


def test_codes_of_one_bit_weights():
    assert codes_of([[0, 1]]).tolist() == [[[-1, 0]]]
