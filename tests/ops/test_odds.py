"""Chips without cells: the reference against the contract, written out plainly, and their laws."""

import math

import pytest
import torch
from chips import fits, odds_of, operator_crossbar
from hypothesis import given
from hypothesis import strategies as st
from problems import assert_same, examples, problems

import reram_torch as rt
from reram_torch.crossbar.cells import program
from reram_torch.crossbar.error_odds import error_odds
from reram_torch.crossbar.geometry import Geometry
from reram_torch.crossbar.odds import check_odds
from reram_torch.crossbar.philox import philox
from reram_torch.crossbar.programming import program_chip
from reram_torch.ops import reference


def plainly(p, odds, m, g, t, activity, sums):
    """What is read of a tile at a position, by Python's integers alone: {(i, s, j, n): value}."""
    geometry, N = p.geometry, p.outputs
    shift, low_key, high_key, first, passes = odds.numbers.tolist()
    positions = p.u.shape[0] // passes
    position = first + m % positions
    high = position // 2**32 + (2**31 if m >= positions else 0)
    runs = [
        (i, s, j)
        for i in range(geometry.cycles)
        for s in range(len(geometry.signs))
        for j in range(geometry.slices)
    ]
    kind, row = odds.kind_of.tolist(), odds.row_of.tolist()
    hazard = [int(odds.hazards[i, row[activity[i]]]) for i in range(geometry.cycles)]
    each = len(runs) // geometry.cycles * N
    found, x, event = {}, 0, 0
    while True:
        counter = position % 2**32, high, g * geometry.tiles(p.u.shape[2]) + t, event
        words = [int(w) for w in philox(tuple(map(torch.tensor, counter)), (low_key, high_key))]
        for word in words[:3]:
            k, f = divmod(word, 2**20)
            if k < 4095:
                x += int(odds.waits[k]) + (int(odds.waits[k + 1] - odds.waits[k]) * f >> 20)
                break
            x += int(odds.waits[4095])
        start, event = 0, event + 1
        for i, h in enumerate(hazard):  # noqa: B007 - used after the loop
            if x < start + h * each:
                break
            start += h * each
        else:
            return found
        run, n = divmod(min(int((x - start) * (1 / h)), each - 1), N)
        i, s, j = runs[i * len(runs) // geometry.cycles + run]
        if (i, s, j, n) in found:
            continue
        value = int(sums[i][j][s][g, m, n])
        column = value - geometry.lowest >> shift
        shares = odds.shares[kind[i][j], row[activity[i]], :, column].tolist()
        passed, half = sum(c <= words[3] >> 1 for c in shares), len(shares) // 2
        if passed < 2 * half:
            change = [*range(-half, 0), *range(1, half + 1)][passed]
            found[i, s, j, n] = max(geometry.lowest, min(geometry.highest, value + change))


@examples(40)
@given(problems(most=10).filter(lambda p: not p.geometry.speculation), st.data())
def test_the_reference_is_the_contract(p, data):
    odds = data.draw(odds_of(p))
    g, (M, G, K) = p.geometry, p.u.shape
    ideal = reference.arrays_of(p.u, p.codes, g, None)
    read = reference.arrays_of(p.u, p.codes, g, odds)
    before = [cycle for cycle, _ in reference.tile_cycles(p.u, ideal, g)]
    after = [cycle for cycle, _ in reference.tile_cycles(p.u, read, g)]
    m, group = data.draw(st.integers(0, M - 1)), data.draw(st.integers(0, G - 1))
    t = data.draw(st.integers(0, g.tiles(K) - 1))
    mine = slice(t * g.cycles, (t + 1) * g.cycles)
    activity = [int(cycle.activity[group, m]) for cycle in before[mine]]
    sums = [cycle.sums for cycle in before[mine]]
    changed = plainly(p, odds, m, group, t, activity, sums)
    for i, cycle in enumerate(after[mine]):
        for j in range(g.slices):
            for s in range(len(g.signs)):
                for n in range(p.outputs):
                    expected = int(sums[i][j][s][group, m, n])
                    expected = changed.get((i, s, j, n), expected)
                    assert int(cycle.sums[j][s][group, m, n]) == expected


@examples(30)
@given(problems(most=12).filter(fits).filter(lambda p: not p.geometry.speculation), st.data())
def test_the_operator_is_the_reference(p, data):
    odds, g = data.draw(odds_of(p)), p.geometry
    expected = reference.crossbar(p.u, p.codes, p.tables, g, odds)
    cells = program(p.codes, g)
    assert_same(operator_crossbar(p.u, cells, p.tables, p.outputs, g, odds), expected)
    bins = reference.histogram(p.u, p.codes, p.tables.edges, g, odds)
    numbers = [p.outputs, *g.as_list()]
    found = torch.ops.reram_torch.histogram(p.u, cells, p.tables.edges, list(odds.tensors), numbers)
    assert torch.equal(found, bins)


def layer(encoding="differential", widths=None, rows=128):
    generator = torch.Generator().manual_seed(1)
    config = rt.Config(
        rt.CrossbarConfig(rows=rows, slicing=widths), rt.WeightConfig(encoding=encoding)
    )
    codes = torch.randn(1, 24, 300, generator=generator).mul(35).round().clamp(-127, 127)
    u = (torch.randn(150, 1, 300, generator=generator).relu() * 50).round().clamp(0, 255)
    return Geometry.of(config), codes.to(torch.int16), u.to(torch.uint8)


def errors(u, codes, g, chip):
    """What is read less what is there, float64, by cycle and slice."""
    pairs = zip(
        *(reference.tile_cycles(u, reference.arrays_of(u, codes, g, c), g) for c in (chip, None)),
        strict=True,
    )
    return torch.stack(
        [torch.stack([a[0] - b[0] for a, b in zip(x.sums, y.sums, strict=True)]) for (x, _), (y, _)
         in pairs]
    ).double()  # fmt: skip


@pytest.mark.parametrize(
    ("encoding", "widths", "devices", "time"),
    [
        ("differential", None, "wan2022", "2d"),
        ("offset", None, "stuck", None),
        ("differential", (2, 2, 3), "stuck", None),
        ("offset", None, "read_noise", None),
    ],
)
def test_errors_are_those_of_cells_in_distribution(encoding, widths, devices, time):
    g, codes, u = layer(encoding, widths)
    made = rt.load_devices(devices)
    exact = torch.stack(
        [
            errors(u, codes, g, program_chip(codes, g, made, seed=seed, time=time))
            for seed in range(6)
        ]
    )
    fast = errors(u, codes, g, error_odds(codes, g, made, seed=1, time=time))
    share = (exact != 0).double().mean((1, 2, 3, 4, 5))
    spread = float(share.std())
    # Noise of reads has one table for all slices on chips with cells, and one each without.
    slack = 0.05 * float(share.mean()) if devices == "read_noise" else 2e-4
    assert abs(float((fast != 0).double().mean()) - float(share.mean())) < 4 * spread + slack
    power = exact.square().mean((1, 2, 3, 4, 5))
    away = abs(float(fast.square().mean()) - float(power.mean()))
    assert away < 4 * float(power.std()) + 0.05 * float(power.mean())
    middle = exact.mean((1, 2, 3, 4, 5))
    assert abs(float(fast.mean()) - float(middle.mean())) < 5 * float(middle.std())


def test_sparse_cycles_of_good_cells_never_err():
    g, codes, u = layer()
    odds = error_odds(codes, g, rt.load_devices("wan2022"), time="1s")
    assert int(odds.hazards[:, :5].max()) == 0
    assert int(odds.hazards[0, 128]) > 0
    assert not errors(u, codes, g, error_odds(codes, g, rt.load_devices("ideal"))).any()


@pytest.mark.parametrize("sigma", [0.2, 0.5, 2.0])
def test_hazards_are_those_of_the_chances(sigma):
    """Noise of comparators alone errs alike for every sum, whichever slice and cycle."""
    g, codes, _ = layer("offset")
    odds = error_odds(codes, g, rt.Devices(adc=rt.AdcErrors(noise_steps=sigma)))
    kind, row = odds.kind_of.long(), odds.row_of.long()[60]
    assert len(kind.unique()) == 1  # one-bit cells are all alike
    h = odds.hazards.double()[:, row] / 2**32
    own = h[0] * odds.shares[kind[0, 0], row, :, :61].double() / 2**31
    stays = math.erf(0.5 / sigma / math.sqrt(2))
    assert torch.allclose(own[-1], torch.tensor(-math.log(stays)).double(), rtol=1e-6)
    down = own[len(own) // 2 - 1] / own[-1]
    assert torch.allclose(down, torch.tensor(0.5).double(), rtol=1e-6)
    assert torch.equal(h, h[:1].expand_as(h))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda d: {"cells": rt.Cells(on_off_ratio=math.inf, wire_ohm=1.0)}, "cells.wire_ohm"),
        (lambda d: {"adc": rt.AdcErrors(capacitor_sigma=0.01)}, "adc.capacitor_sigma"),
        (lambda d: {"adc": rt.AdcErrors(noise_steps=30.0)}, "errors up to 64 steps"),
        (lambda d: {"cells": rt.Cells(on_off_ratio=math.inf, stuck_on_rate=0.1, copies=(2,))},
         "stuck cells and copies"),
    ],
)  # fmt: skip
def test_what_no_chance_tells_is_refused(change, said):
    g, codes, _ = layer()
    with pytest.raises(ValueError, match=said):
        error_odds(codes, g, rt.Devices(**change(None)))


@pytest.mark.parametrize(
    ("part", "change", "said"),
    [
        ("hazards", lambda t: t - 1, "odds.hazards must be from 0"),
        ("hazards", lambda t: t[:-1], "odds.hazards must be .* of shape"),
        ("waits", lambda t: t - 1, "odds.waits must be from 0"),
        ("waits", lambda t: t + 2**37, "odds.waits must be from 0"),
        ("waits", lambda t: t.flip(0), "odds.waits must not fall"),
        ("shares", lambda t: t[:, :, :-1], "odds.shares must be of as many errors"),
        ("shares", lambda t: t[..., :-1], "odds.shares must be .* of shape"),
        ("kind_of", lambda t: t + 9, "odds.kind_of must be below"),
        ("row_of", lambda t: t + 127, "odds.row_of below"),
    ],
)
def test_odds_that_cannot_be_are_refused(part, change, said):
    g, codes, _ = layer()
    odds = error_odds(codes, g, rt.load_devices("wan2022"), time="1s")
    check_odds(g, odds)
    with pytest.raises(ValueError, match=said):
        check_odds(g, odds._replace(**{part: change(getattr(odds, part))}))
