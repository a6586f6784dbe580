"""The definition of what is read without cells: ideal sums, some of which are read as others."""

from __future__ import annotations

from itertools import product

import torch

from reram_torch.crossbar.geometry import Geometry
from reram_torch.crossbar.odds import LOGARITHMS, ODDS_NUMBERS, Odds
from reram_torch.crossbar.philox import philox

_WORD = 0xFFFFFFFF
_SECOND_PASS = 1 << 31
_FRACTION = 20  # bits of a word below the place in the table of waits


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
        runs = list(product(range(g.cycles), range(len(g.signs)), range(g.slices)))
        kinds = [int(odds.kind_of[i, j]) for i, _, j in runs]
        rows = [odds.row_of.long()[activity[i][..., 0]] for i, _, _ in runs]
        each = torch.stack([odds.hazards[k][r] for k, r in zip(kinds, rows, strict=True)], -1).view(
            G * M, len(runs)
        )
        ends = (each * N).cumsum(1)
        starts, total = ends - each * N, ends[:, -1]
        places = torch.arange(G * M, device=total.device)
        x, event = torch.zeros_like(total), 0
        while len(places):
            words = self._words(places, M, tile, event)
            x = x + self._waits(words)
            there = x < total[places]
            places, x, change = places[there], x[there], words[3][there] >> 1
            run = torch.searchsorted(ends[places], x[:, None], right=True)[:, 0]
            h, start = each[places, run], starts[places, run]
            n = (x - start) // h
            for r, (i, s, j) in enumerate(runs):
                mine = run == r
                at = places[mine] // M, places[mine] % M, n[mine]
                row = rows[r][at[0], at[1]]
                read = self._read(sums[i][j][s][at], kinds[r], row, change[mine])
                sums[i][j][s][at] = read
            x, event = start + (n + 1) * h, event + 1

    def _words(
        self, places: torch.Tensor, positions: int, tile: int, event: int
    ) -> tuple[torch.Tensor, ...]:
        """Random words of an event of some groups and positions."""
        numbers, rows = self.numbers, places % positions
        each = max(positions // numbers["passes"], 1)
        position = numbers["first"] + rows % each
        high = position >> 32 | torch.where(rows >= each, _SECOND_PASS, 0)
        tiles = places // positions * self.tiles + tile
        events = torch.full_like(places, event)
        return philox(
            (position & _WORD, high, tiles, events), (numbers["key_lo"], numbers["key_hi"])
        )

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
        self, sums: torch.Tensor, kind: int, row: torch.Tensor, change: torch.Tensor
    ) -> torch.Tensor:
        """What sums are read as, by 31 random bits each."""
        g, shares = self.geometry, self.odds.shares[kind]
        half = shares.shape[-1] // 2
        column = sums - g.lowest >> self.numbers["sum_shift"]
        passed = (shares[row, column] <= change[:, None]).sum(-1)
        delta = torch.where(passed < half, passed - half, passed - half + 1)
        delta = torch.where(passed == 2 * half, 0, delta)
        return (sums + delta).clamp(g.lowest, g.highest)
