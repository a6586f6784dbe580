"""The definition of what is read without cells: ideal sums, some of which are read as others."""

from __future__ import annotations

import torch

from reram_torch.crossbar.geometry import Geometry
from reram_torch.crossbar.odds import LOGARITHMS, ODDS_NUMBERS, Odds
from reram_torch.crossbar.philox import philox

_WORD = 0xFFFFFFFF
_SECOND_PASS = 1 << 31
_FRACTION = 20  # bits of a word below the place in the table of waits
_BATCH = 64  # events at once


class Errors:
    """Which conversions of a layer err, and by how much.

    Args:
        odds: of the layer.
        geometry: likewise.
        depth: K.
    """

    def __init__(self, odds: Odds, geometry: Geometry, depth: int):
        self.odds, self.geometry, self.tiles = odds, geometry, geometry.tiles(depth)
        self.numbers = dict(zip(ODDS_NUMBERS, odds.numbers.tolist(), strict=True))

    def disturb(
        self, tile: int, activity: list[torch.Tensor], sums: list[list[list[torch.Tensor]]]
    ) -> None:
        """Changes the sums of a tile that are read as others.

        Args:
            tile: t.
            activity: driven word-lines of each cycle, int64 (G, M, 1).
            sums: of each cycle, by slice and by sign of the shift-add, int64 (G, M, N).
        """
        g, odds = self.geometry, self.odds
        G, M, N = sums[0][0][0].shape
        rows = torch.stack([odds.row_of.long()[a[..., 0]] for a in activity], -1).view(G * M, -1)
        hazards = odds.hazards.gather(1, rows.T).T
        # By place, and conversion: cycles, signs, slices, outputs.
        ordered = [value for cycle in sums for pair in zip(*cycle, strict=True) for value in pair]
        ideal = torch.stack(ordered, 2).view(G * M, -1)
        read, erred = ideal.clone(), torch.zeros_like(ideal, dtype=torch.bool)
        each = ideal.shape[1] // g.cycles
        ends = (hazards * each).cumsum(1)
        places = torch.arange(G * M, device=ideal.device)
        x, first = torch.zeros_like(places), 0
        while len(places):
            words = self._words(places, M, tile, first)
            at = x[:, None] + self._waits(words).cumsum(1)
            here, event = (at < ends[places, -1:]).nonzero(as_tuple=True)
            place, where, change = places[here], at[here, event], words[3][here, event] >> 1
            cycle = torch.searchsorted(ends[place], where[:, None], right=True)[:, 0]
            h = hazards[place, cycle]
            within = where - (ends[place, cycle] - h * each)
            n = (within.double() * (1 / h.double())).long().clamp(max=each - 1)
            kind, number = odds.kind_of.long()[cycle, n // N % g.slices], cycle * each + n
            value, errs = self._read(ideal[place, number], kind, rows[place, cycle], change)
            # Events come in order, and only a conversion's first error counts.
            errs &= ~erred[place, number]
            place, number, value = place[errs], number[errs], value[errs]
            new = torch.ones_like(place, dtype=torch.bool)
            new[1:] = (place.diff() != 0) | (number.diff() != 0)
            read[place[new], number[new]] = value[new]
            erred[place, number] = True
            there = at[:, -1] < ends[places, -1]
            places, x, first = places[there], at[there, -1], first + _BATCH
        for value, found in zip(ordered, read.view(G, M, -1, N).unbind(2), strict=True):
            value.copy_(found)

    def _words(
        self, places: torch.Tensor, positions: int, tile: int, first: int
    ) -> tuple[torch.Tensor, ...]:
        """Random words of events from one on, by group and position."""
        numbers, rows = self.numbers, places % positions
        each = max(positions // numbers["passes"], 1)
        position = numbers["first"] + rows % each
        high = position >> 32 | torch.where(rows >= each, _SECOND_PASS, 0)
        tiles = places // positions * self.tiles + tile
        by_place = [word[:, None] for word in (position & _WORD, high, tiles)]
        events = torch.arange(first, first + _BATCH, device=places.device)
        return philox((*by_place, events), (numbers["key_lo"], numbers["key_hi"]))

    def _waits(self, words: tuple[torch.Tensor, ...]) -> torch.Tensor:
        """Exponential waits, in 2^-32."""
        waits, last = self.odds.waits, LOGARITHMS - 1  # the last is that of all beyond, and more
        found = torch.zeros_like(words[0])
        open_ = torch.ones_like(words[0], dtype=torch.bool)
        for word in words[:3]:
            k, f = word >> _FRACTION, word & (1 << _FRACTION) - 1
            inner = k.clamp(max=last - 1)
            wait = waits[inner] + ((waits[inner + 1] - waits[inner]) * f >> _FRACTION)
            far = k == last
            found += torch.where(open_, torch.where(far, waits[last], wait), 0)
            open_ &= far
        return found

    def _read(
        self, sums: torch.Tensor, kind: torch.Tensor, row: torch.Tensor, change: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """What sums are read as where they err, by 31 random bits each, and whether they do."""
        g, shares = self.geometry, self.odds.shares
        half = shares.shape[2] // 2
        column = sums - g.lowest >> self.numbers["sum_shift"]
        passed = (shares[kind, row, :, column] <= change[:, None]).sum(-1)
        read = sums + passed - half + (passed >= half)
        return read.clamp(g.lowest, g.highest), passed < 2 * half
