"""What a layer's bit-lines did during calibration."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch

from reram_torch._support import processes


@dataclass
class Statistics:
    """What a layer's bit-lines did during calibration.

    Attributes:
        by_activity: conversions by activity bucket, cycle, slice and bit-line sum, int64
            (B, I, J, V), sums from `geometry.lowest`.
        edges: fewest driven word-lines of each bucket, rising from 0, 1.
        square_sum: of the lossless shift-add results, less the encoding's offset.
        results: how many of those there were.
        fingerprint: of the weights on the crossbars that made them.
        derived: what designers keep of it, by a key of their own.
    """

    by_activity: torch.Tensor
    edges: tuple[int, ...]
    square_sum: float = 0.0
    results: int = 0
    fingerprint: tuple[int | None, ...] | None = None
    derived: dict[Any, Any] = field(default_factory=dict)

    def clear(self) -> None:
        """Forgets everything but the buckets."""
        self.by_activity.zero_()
        self.square_sum, self.results = 0.0, 0

    def add_up(self) -> None:
        """Adds what all processes saw."""
        self.by_activity = processes.add_up(self.by_activity)
        totals = torch.tensor([self.square_sum, self.results], dtype=torch.float64)
        square_sum, results = processes.add_up(totals).tolist()
        self.square_sum, self.results = square_sum, int(results)

    @property
    def histogram(self) -> torch.Tensor:
        """Conversions by cycle, slice and bit-line sum, (I, J, V)."""
        return self.by_activity.sum(0)
