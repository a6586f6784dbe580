"""Bit-line sums on chips: the reference against the contract, written out plainly."""

import torch
from chips import chip_problems, fits, operator_crossbar
from hypothesis import given
from hypothesis import strategies as st
from problems import assert_same, examples, problems

from reram_torch.crossbar.cells import program
from reram_torch.crossbar.chips import ideal_chip
from reram_torch.crossbar.philox import philox
from reram_torch.ops import reference
from reram_torch.ops.arrays_of_chips import normals


@examples(60)
@given(problems(most=40).filter(fits), st.integers(1, 40))
def test_ideal_devices_change_no_integer(p, columns_per_adc):
    chip = ideal_chip(p.codes, p.geometry)
    chip.numbers[0] = columns_per_adc
    expected = reference.crossbar(p.u, p.codes, p.tables, p.geometry)
    assert_same(reference.crossbar(p.u, p.codes, p.tables, p.geometry, chip), expected)
    bins = reference.histogram(p.u, p.codes, p.tables.edges, p.geometry)
    assert torch.equal(reference.histogram(p.u, p.codes, p.tables.edges, p.geometry, chip), bins)


def plain_sum(p, m, g, n, t, i, j, s):
    """A cycle's sum by Python's integers alone, after the contract."""
    geometry, chip, u = p.problem.geometry, p.chip, p.problem.u
    G, N, K = p.problem.codes.shape
    T, J = geometry.tiles(K), geometry.slices
    columns, shift, low_key, high_key, first, _ = chip.numbers.tolist()
    below, width = sum(geometry.dac_widths[:i]), geometry.dac_widths[i]
    inputs = int(2**geometry.input_bits - 1)
    column = (s * J + j) * N + n
    current = driven = 0
    for r in range(min(geometry.rows, K - t * geometry.rows)):
        pulse = (int(u[m, g, t * geometry.rows + r]) & inputs) >> below & 2**width - 1
        driven += pulse > 0
        current += pulse * int(chip.conductances[g, t, column // 64, r, column % 64])

    def rounded(x):
        return max(geometry.lowest, min(geometry.highest, (x + 128) // 256))

    adc = (((s * J + j) * G + g) * T + t) * -(-N // columns) + n // columns
    before = rounded(current)
    if chip.gains.numel():
        current = (current * int(chip.gains[adc]) + 2**15) // 2**16
    if chip.offsets.numel():
        current += int(chip.offsets[adc])
    if chip.sigmas.numel():
        sigma = chip.sigmas[
            int(chip.sigma_of[driven]), min(abs(before) >> shift, chip.sigmas.shape[1] - 1)
        ]
        position = first + m
        counter = (
            position % 2**32,
            position // 2**32,
            (g * T + t) * geometry.phases + i,
            (s * J + j) * -(-N // 4) + n // 4,
        )
        words = philox(tuple(torch.tensor(word) for word in counter), (low_key, high_key))
        z = normals(words[n % 4], chip.normal)
        current += (int(sigma) * int(z) + 2**15) // 2**16
    if chip.mismatch.numel():
        current += int(chip.mismatch[adc, rounded(current) - geometry.lowest])
    return (current + 128) // 256, driven


@examples(60)
@given(chip_problems(), st.data())
def test_the_reference_is_the_contract(p, data):
    problem, g = p.problem, p.problem.geometry
    arrays = reference.arrays_of(problem.u, problem.codes, g, p.chip)
    M, G, K = problem.u.shape
    index = [data.draw(st.integers(0, size - 1)) for size in (M, G, problem.outputs)]
    t = data.draw(st.integers(0, g.tiles(K) - 1))
    i = data.draw(st.integers(0, g.cycles - 1))
    j = data.draw(st.integers(0, g.slices - 1))
    s = data.draw(st.integers(0, len(g.signs) - 1))
    phases = [cycle for cycle, _ in reference.tile_cycles(problem.u, arrays, g)]
    phase = phases[t * g.cycles + i]
    m, group, n = index
    found = int(phase.sums[j][s][group, m, n]), int(phase.activity[group, m])
    assert found == plain_sum(p, m, group, n, t, i, j, s)


@examples(30)
@given(chip_problems())
def test_the_operator_is_the_reference(p):
    problem, g = p.problem, p.problem.geometry
    cells = program(problem.codes, g)
    expected = reference.crossbar(problem.u, problem.codes, problem.tables, g, p.chip)
    found = operator_crossbar(problem.u, cells, problem.tables, problem.outputs, g, p.chip)
    assert_same(found, expected)


def test_philox_gives_the_published_words():
    def words(counter, key):
        counter = tuple(torch.tensor([int(word, 16)]) for word in counter.split())
        return " ".join(f"{int(w):08x}" for w in philox(counter, tuple(int(k, 16) for k in key)))

    # Known answers of Random123's own tests.
    zero, ones = "00000000 " * 4, "ffffffff " * 4
    pi = "243f6a88 85a308d3 13198a2e 03707344"
    assert words(zero, ("0", "0")) == "6627e8d5 e169c58d bc57ac4c 9b00dbd8"
    assert words(ones, ("ffffffff",) * 2) == "408f276d 41c83b0e a20bc7c6 6d5451fd"
    assert words(pi, ("a4093822", "299f31d0")) == "d16cfe09 94fdcceb 5001e420 24126ea1"
