"""Chips without cells: how likely each sum is read as another one, drawn conversion by conversion.

Conversions err rarely where few word-lines are driven. So errors are not drawn for all: waits say
where in a tile conversions may err, at the largest rate that any sum has with so many driven
word-lines (thinning), and another draw by how much, or that this sum does not.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch

from reram_torch.crossbar.geometry import Geometry

HAZARD_BITS = 32  # of a hazard below the point: a chance p to err is a hazard of -ln(1 - p)
SHARE_BITS = 31  # of a share of a hazard
MOST_HAZARD = 32 << HAZARD_BITS  # of a conversion that errs for certain
LOGARITHMS = 1 << 12  # entries of the table of waits
ODDS_NUMBERS = ("sum_shift", "key_lo", "key_hi", "first", "passes")


class Odds(NamedTuple):
    """How a layer's conversions err. A kind is a slice in cycles of one width.

    Attributes:
        kind_of: kind of each cycle and slice, uint8 (I, J).
        hazards: the largest that a sum of so many driven word-lines has in each cycle, in 2^-32,
            int64 (I, D).
        row_of: the row of `hazards` and `shares`, by driven word-lines, uint8 (rows + 1,).
        shares: by kind, row, error and sum (from `geometry.lowest`, `sum_shift` bits together):
            hazards of errors by -w to -1 and 1 to w steps, cumulative, over the largest one, in
            2^-31, int32 (kinds, D, 2 w, Q).
        waits: -ln(1 - k / 4096) in 2^-32, int64 (4096,).
        numbers: int64 (5,): see `ODDS_NUMBERS`.
    """

    kind_of: torch.Tensor
    hazards: torch.Tensor
    row_of: torch.Tensor
    shares: torch.Tensor
    waits: torch.Tensor
    numbers: torch.Tensor

    @property
    def tensors(self) -> tuple[torch.Tensor, ...]:
        """All tensors, in order."""
        return tuple(self)

    @classmethod
    def of_tensors(cls, tensors: Sequence[torch.Tensor]) -> Odds:
        """The inverse of `tensors`."""
        kind_of, hazards, row_of, shares, waits, numbers = tensors
        return cls(kind_of, hazards, row_of, shares, waits, numbers)

    def at(self, first: int) -> Odds:
        """The same, with the number of the position that comes next."""
        numbers = self.numbers.clone()
        numbers[ODDS_NUMBERS.index("first")] = first
        return self._replace(numbers=numbers)

    def to(self, device: torch.device | str) -> Odds:
        """The same on a device; `numbers` stay on the CPU."""
        *moved, numbers = (t.to(device) for t in self.tensors)
        return Odds.of_tensors([*moved, numbers.cpu()])


def check_odds(geometry: Geometry, odds: Odds) -> None:
    """Everything about odds that the backends take for granted.

    Raises:
        ValueError: a wrong type, shape or number, or a geometry that speculates.
    """
    g = geometry
    if g.speculation:
        raise ValueError("odds are not for crossbars that speculate: program cells (exact=True)")
    if odds.numbers.dtype != torch.int64 or odds.numbers.shape != (len(ODDS_NUMBERS),):
        raise ValueError(f"odds.numbers must be int64 of {len(ODDS_NUMBERS)}, not {odds.numbers!r}")
    numbers = dict(zip(ODDS_NUMBERS, odds.numbers.tolist(), strict=True))
    if not 0 <= numbers["sum_shift"] < 31 or numbers["passes"] not in (1, 2):
        raise ValueError(f"odds.numbers are out of range: {numbers}")
    kinds, rows, deltas, _ = odds.shares.shape if odds.shares.dim() == 4 else (0, 0, 1, 0)
    columns = (g.values - 1 >> numbers["sum_shift"]) + 1
    wanted = {
        "kind_of": (torch.uint8, (g.cycles, g.slices)),
        "hazards": (torch.int64, (g.cycles, rows)),
        "row_of": (torch.uint8, (g.rows + 1,)),
        "shares": (torch.int32, (kinds, rows, deltas, columns)),
        "waits": (torch.int64, (LOGARITHMS,)),
    }
    for name, (dtype, shape) in wanted.items():
        value = getattr(odds, name)
        if value.dtype != dtype or value.shape != shape or not value.numel():
            raise ValueError(
                f"odds.{name} must be {dtype} of shape {shape}, "
                f"not {value.dtype} of {tuple(value.shape)}"
            )
    if deltas % 2:
        raise ValueError(f"odds.shares must be of as many errors down as up, not of {deltas}")
    if int(odds.kind_of.max()) >= kinds or int(odds.row_of.max()) >= rows:
        raise ValueError(f"odds.kind_of must be below {kinds}, and odds.row_of below {rows}")
    for name in ("hazards", "waits"):
        value = getattr(odds, name)
        if int(value.min()) < 0 or int(value.max()) > MOST_HAZARD:
            raise ValueError(f"odds.{name} must be from 0 to {MOST_HAZARD}")
    if bool((odds.waits.diff() < 0).any()):
        raise ValueError("odds.waits must not fall")
