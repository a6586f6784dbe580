"""Mean and mean square of what a cell conducts, over all cells of a digit."""

from __future__ import annotations

import numpy as np

from reram_torch.config.devices import Devices
from reram_torch.crossbar.cell_laws import CellLaw, Draw
from reram_torch.crossbar.chips import STEP


def _of(draw: Draw) -> np.ndarray:
    """What a draw can be, by digit and quantile, all equally likely, float64 (D, quantiles)."""
    if draw.exact:
        return draw.constants.astype(np.float64)[:, None]
    return draw.table.reshape(len(draw.mean), -1).astype(np.float64)


def moments(law: CellLaw, devices: Devices) -> tuple[np.ndarray, np.ndarray]:
    """The mean conductance of cells that are to hold a digit, and that of its square.

    Args:
        law: of the cells.
        devices: what they are made of.

    Returns:
        steps, and their square, float64 (D,). Write-verify is taken to succeed.
    """
    written = _of(law.written)
    kept = np.ones_like(written, dtype=bool)
    if law.tolerance is not None:
        kept = np.abs(written - law.targets[:, None]) <= law.tolerance
        kept |= ~kept.any(1, keepdims=True)
    mean, square = ((written**k).mean(1, where=kept) for k in (1, 2))
    if law.relaxed is not None:
        moved = _of(law.relaxed)
        shift, spread = moved.mean(1), (moved**2).mean(1)
        if law.relaxed.exponent:
            mean, square = mean * shift, square * spread
        else:
            mean, square = mean + shift, square + 2 * mean * shift + spread
    off, on = devices.cells.stuck_off_rate, devices.cells.stuck_on_rate
    sound = 1 - off - on
    mean = sound * mean + off * law.leak + on * law.largest
    square = sound * square + off * law.leak**2 + on * law.largest**2
    return mean / STEP, square / STEP**2
