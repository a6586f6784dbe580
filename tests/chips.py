"""Chips for hypothesis: cells, ADCs and noise of any size beside a crossbar problem."""

from dataclasses import dataclass

import torch
from hypothesis import strategies as st
from problems import Problem, problems

from reram_torch.crossbar.chips import Chip, ideal_chip, packed, unpacked
from reram_torch.crossbar.geometry import ceil_div
from reram_torch.crossbar.odds import LOGARITHMS, MOST_HAZARD, Odds
from reram_torch.crossbar.tables import check_accumulator
from reram_torch.ops.arguments import ArrayArguments


@dataclass
class ChipProblem:
    problem: Problem
    chip: Chip


def fits(p: Problem):
    """Whether a chip may have the problem: more can come together there than on ideal devices."""
    try:
        check_accumulator(p.geometry, p.codes.shape[2], p.tables, ideal=False)
    except ValueError:
        return False
    return True


@st.composite
def chips(draw, p: Problem):
    """A chip that holds a problem's weights, near enough or not at all."""
    generator = torch.Generator().manual_seed(draw(st.integers(0, 2**32)))
    g, (G, N, K) = p.geometry, p.codes.shape
    columns = draw(st.integers(1, 2 * N + 1))
    chip = ideal_chip(p.codes, g)
    chip.numbers[0] = columns
    noise = draw(st.sampled_from([0, 20, 300, 40000]))
    stored = unpacked(chip.conductances, g, N, K).long()
    stored = stored + (noise * torch.randn(stored.shape, generator=generator)).long()
    chip = chip._replace(conductances=packed(stored.clamp(-32767, 32767).to(torch.int16), g))
    adcs = len(g.signs) * g.slices * G * g.tiles(K) * ceil_div(N, columns)

    def integers(low, high, shape):
        found = torch.randint(low, high, shape, generator=generator)
        return found.to(torch.int32)

    if draw(st.booleans()):
        chip = chip._replace(gains=integers(60000, 72000, (adcs,)))
    if draw(st.booleans()):
        chip = chip._replace(offsets=integers(-700, 700, (adcs,)))
    if draw(st.booleans()):
        chip = chip._replace(mismatch=integers(-300, 300, (adcs, g.values)))
    if draw(st.booleans()):
        D, Q = draw(st.integers(1, 9)), draw(st.integers(1, 9))
        sigmas = integers(0, draw(st.sampled_from([2000, 2**20])), (D, Q))
        sigma_of = integers(0, D, (g.rows + 1,)).to(torch.uint8)
        normal = integers(-(2**15), 2**15, (2, 65536)).to(torch.int16)
        numbers = chip.numbers.clone()
        numbers[1] = draw(st.integers(0, 5))
        numbers[2], numbers[3] = draw(st.integers(0, 2**32 - 1)), draw(st.integers(0, 2**32 - 1))
        numbers[4] = draw(st.sampled_from([0, 5, 2**32 - 1, 2**33 + 7]))
        chip = chip._replace(sigmas=sigmas, sigma_of=sigma_of, normal=normal, numbers=numbers)
    return chip


@st.composite
def chip_problems(draw):
    """A crossbar problem and a chip."""
    p = draw(problems().filter(fits))
    return ChipProblem(p, draw(chips(p)))


def operator_crossbar(u, cells, tables, outputs, g, chip, count=True):
    """The operator on a chip, its arguments flattened."""
    arguments = ArrayArguments(cells, tables, g, outputs, chip=chip)
    return torch.ops.reram_torch.crossbar(u, *arguments.flatten(), count)


@st.composite
def odds_of(draw, p: Problem):
    """Odds of any size beside a problem: of rare errors, of frequent ones, and of certain ones."""
    generator = torch.Generator().manual_seed(draw(st.integers(0, 2**32)))
    g, kinds, half = p.geometry, draw(st.integers(1, 4)), draw(st.integers(1, 3))
    D, shift = draw(st.integers(1, 9)), draw(st.integers(0, 3))
    Q = (g.values - 1 >> shift) + 1

    def integers(high, shape, dtype):
        return torch.randint(0, high, shape, generator=generator, dtype=torch.int64).to(dtype)

    few = g.cycles * len(g.signs) * g.slices * p.outputs < 100  # so that events are not many
    most = draw(st.sampled_from([2**20, 2**26, MOST_HAZARD // 8 if few else 2**29]))
    hazards = integers(most + 1, (g.cycles, D), torch.int64)
    hazards[torch.rand(hazards.shape, generator=generator) < 0.3] = 0
    shares = integers(2**31, (kinds, D, 2 * half, Q), torch.int32).sort(2).values
    waits = -torch.log1p(-torch.arange(LOGARITHMS, dtype=torch.float64) / LOGARITHMS)
    first = draw(st.sampled_from([0, 5, 2**32 - 1, 2**33 + 7]))
    key = [draw(st.integers(0, 2**32 - 1)) for _ in range(2)]
    return Odds(
        integers(kinds, (g.cycles, g.slices), torch.uint8),
        hazards,
        integers(D, (g.rows + 1,), torch.uint8),
        shares,
        (waits * 2**32).round().long(),
        torch.tensor([shift, *key, first, g.passes]),
    )
