"""What a layer's bit-lines did during calibration."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, NamedTuple

import torch

from reram_torch._support import processes
from reram_torch.nn.line_loads import LineLoads


class Tries(NamedTuple):
    """What bit-lines did in some tiles in one cycle of several bits, and bit by bit.

    Attributes:
        activity: driven word-lines, (P,).
        sums: bit-line sums by slice and conversion, int32 (P, J, N).
        bit_activity: driven word-lines, the least significant of the cycle's bits first, (P, D).
        bit_sums: bit-line sums likewise, int32 (P, D, J, N).
    """

    activity: torch.Tensor
    sums: torch.Tensor
    bit_activity: torch.Tensor
    bit_sums: torch.Tensor

    @classmethod
    def joined(cls, several: list[Tries]) -> Tries:
        """All tiles of several."""
        return cls(*(torch.cat(parts) for parts in zip(*several, strict=True)))


@dataclass
class Statistics:
    """What a layer's bit-lines did during calibration.

    Attributes:
        by_activity: conversions by activity bucket, cycle, slice and bit-line sum, int64
            (B, I, J, V), sums from `geometry.lowest`; with speculation those of recoveries after
            the cycles, as if every sum were recovered.
        edges: fewest driven word-lines of each bucket, rising from 0, 1.
        square_sum: of the lossless shift-add results, less the encoding's offset.
        results: how many of those there were.
        fingerprint: of what was on the crossbars that made them.
        tries: a sample of the cycles that can be recovered, by cycle.
        loads: of the word-lines.
        derived: what designers keep of it, by a key of their own.
    """

    by_activity: torch.Tensor
    edges: tuple[int, ...]
    square_sum: float = 0.0
    results: int = 0
    fingerprint: tuple[object, ...] | None = None
    tries: dict[int, Tries] = field(default_factory=dict)
    loads: LineLoads | None = None
    derived: dict[Any, Any] = field(default_factory=dict)

    def clear(self) -> None:
        """Forgets everything but the buckets."""
        self.by_activity.zero_()
        self.square_sum, self.results, self.tries = 0.0, 0, {}
        if self.loads is not None:
            self.loads.clear()

    def add_tries(self, found: dict[int, Tries]) -> None:
        """Adds a sample."""
        for cycle, more in found.items():
            before = self.tries.get(cycle)
            self.tries[cycle] = more if before is None else Tries.joined([before, more])

    def add_up(self) -> None:
        """Adds what all processes saw."""
        self.by_activity = processes.add_up(self.by_activity)
        totals = torch.tensor([self.square_sum, self.results], dtype=torch.float64)
        square_sum, results = processes.add_up(totals).tolist()
        self.square_sum, self.results = square_sum, int(results)
        if self.loads is not None:
            self.loads.add_up()
        several, self.tries = processes.gather(self.tries), {}
        for found in several:
            self.add_tries(found)

    @property
    def histogram(self) -> torch.Tensor:
        """Conversions by cycle, slice and bit-line sum, (I, J, V)."""
        return self.by_activity.sum(0)
