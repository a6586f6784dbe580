"""Normal numbers from random words, equal on every machine: by tables of whole quantiles."""

from __future__ import annotations

from functools import cache

import numpy as np
import torch

UNIT = 4096  # a standard deviation
_ENTRIES = 1 << 16


@cache
def normal_table() -> torch.Tensor:
    """Quantiles of the normal law in 1/4096, int16 (2, 65536), not to be changed.

    A word of 32 bits reads the first row at its upper half: the quantiles of (k + 1/2) / 65536.
    Where that half is 0 or 65535 the second row stands for them, at the lower half: the quantiles
    within the upper 1/65536, likewise; for 0 the opposite is taken. They reach 6.3 deviations.
    """
    middle = (torch.arange(_ENTRIES, dtype=torch.float64) + 0.5) / _ENTRIES
    rows = torch.stack([middle, middle.flip(0) / _ENTRIES])  # from below, where doubles are fine
    quantiles = torch.special.ndtri(rows)
    quantiles[1].neg_()
    found: torch.Tensor = (quantiles * UNIT).round_().to(torch.int16)
    return found


def normals(words: np.ndarray) -> np.ndarray:
    """A normal number for each word, uint32 of any shape: int16, in 1/4096."""
    body, tail = normal_table().numpy()
    upper = words >> 16
    z: np.ndarray = body.take(upper)
    at = np.nonzero((upper + 1 & _ENTRIES - 1) < 2)
    beyond = tail[words[at] & _ENTRIES - 1]
    z[at] = np.where(upper[at] == 0, -beyond, beyond)
    return z
