"""Chips: conductances are packed as kernels read them, and back; ideal ones hold their digits."""

import pytest
import torch
from hypothesis import given
from problems import examples, problems

from reram_torch.crossbar.chips import check_chip, digits_of, ideal_chip, packed, unpacked
from reram_torch.crossbar.geometry import bit_places


@examples(40)
@given(problems(most=90))
def test_an_ideal_chip_holds_the_codes(p):
    g, (G, N, K) = p.geometry, p.codes.shape
    chip = ideal_chip(p.codes, g)
    check_chip(g, chip, G, N, K)
    lines = unpacked(chip.conductances, g, N, K)
    assert torch.equal(packed(lines, g), chip.conductances)
    below = torch.tensor([1 << low for low, _ in bit_places(g.cell_widths)]).view(-1, 1, 1, 1)
    values = (lines.int() * below).sum(1)  # in 1/256, by sign
    held = values[0] - values[1] if len(values) == 2 else values[0]
    offset = 2 ** (g.weight_bits - 1) if g.offset else 0
    assert torch.equal(held, 256 * (p.codes.int() + offset))


@examples(20)
@given(problems(most=90))
def test_a_bit_line_is_where_the_contract_has_it(p):
    g, (G, N, K) = p.geometry, p.codes.shape
    lines = torch.randint(-(2**15) + 1, 2**15, (len(g.signs), g.slices, G, N, K)).short()
    found, R = packed(lines, g), min(g.rows, K)
    for _ in range(20):
        s, j, group, n, k = (int(torch.randint(0, size, ())) for size in lines.shape)
        column = (s * g.slices + j) * N + n
        value = found[group, k // R, column // 64, k % R, column % 64]
        assert value == lines[s, j, group, n, k]
    assert int((found != 0).sum()) == int((lines != 0).sum())  # padding is 0


def test_digits_of_a_pair():
    from problems import uniform

    g = uniform(8, 2, 1, encoding=1)
    digits = digits_of(torch.tensor([[[-100, 27]]]), g)  # 100 = 1210 in base 4, 27 = 0123
    assert digits[:, :, 0, 0].tolist() == [
        [[0, 3], [0, 2], [0, 1], [0, 0]],
        [[0, 0], [1, 0], [2, 0], [1, 0]],
    ]


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"numbers": torch.zeros(6)}, "chip.numbers must be int64"),
        ({"numbers": torch.tensor([0, 0, 0, 0, 0, 1])}, "out of range.*'columns_per_adc': 0"),
        (
            {"gains": torch.ones(3, dtype=torch.int32)},
            r"chip.gains must be torch.int32 of shape \(32,",
        ),
        ({"sigmas": torch.ones(1, 1, dtype=torch.int32)}, r"chip.sigma_of must be .* \(9,\)"),
        ({"conductances": torch.ones(3, dtype=torch.int16)}, "chip.conductances must be"),
    ],
)
def test_a_wrong_chip_is_refused(change, match):
    from problems import uniform

    g, codes = uniform(8, 2, 1), torch.zeros(2, 4, 5, dtype=torch.int8)
    chip = ideal_chip(codes, g)._replace(**change)
    with pytest.raises(ValueError, match=match):
        check_chip(g, chip, 2, 4, 5)
