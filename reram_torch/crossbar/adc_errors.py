"""ADCs that err: gains, offsets, and the capacitors of their CDACs."""

from __future__ import annotations

import numpy as np
import torch

from reram_torch.crossbar.chips import STEP, adcs_of
from reram_torch.crossbar.drawing import CellDrawer
from reram_torch.crossbar.draws import words
from reram_torch.crossbar.normals import UNIT, normals

_GAIN = 1 << 16
_MOST_ENTRIES = 1 << 27  # of tables of capacitors' errors, 512 MiB
_CAPACITORS = 32  # places in the stream of an ADC


def adc_errors(
    drawer: CellDrawer, groups: int, outputs: int, depth: int
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """What the ADCs of a layer add and multiply.

    Returns:
        gains, offsets and mismatch, as a `Chip` has them; empty where ADCs do not err.

    Raises:
        ValueError: tables of capacitors' errors would take more than 512 MiB.
    """
    g, adc = drawer.geometry, drawer.devices.adc
    count = adcs_of(g, groups, outputs, depth, adc.columns_per_adc)

    def drawn(purpose: str, each: int = 1) -> np.ndarray:
        z: np.ndarray = normals(words(drawer.key(purpose), 0, count * each)) / UNIT
        return z

    gains = offsets = torch.empty(0, dtype=torch.int32)
    mismatch = torch.empty(0, g.values, dtype=torch.int32)
    if adc.gain_sigma:
        gains = _whole(_GAIN * np.maximum(1 + adc.gain_sigma * drawn("gain"), 0))
    if adc.offset_sigma_steps:
        offsets = _whole(STEP * adc.offset_sigma_steps * drawn("offset"))
    if adc.capacitor_sigma:
        if count * g.values > _MOST_ENTRIES:
            raise ValueError(
                f"adc.capacitor_sigma must be 0 for {count} ADCs of {g.values} sums, which is too "
                f"much to store, not {adc.capacitor_sigma:g}: raise adc.columns_per_adc, "
                f"{adc.columns_per_adc}, for fewer ADCs"
            )
        z = drawn("capacitors", _CAPACITORS).reshape(count, _CAPACITORS)
        mismatch = _whole(STEP * capacitor_shifts(adc.capacitor_sigma * z, g.values))
    return gains, offsets, mismatch


def _whole(values: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(np.rint(values).astype(np.int32))


def capacitor_shifts(errors: np.ndarray, values: int) -> np.ndarray:
    """How far ADCs see sums from where they are, since their capacitors err.

    A threshold lies where the capacitors of its code's bits put it. What they do to the ends of
    the scale is gone: that is gain and offset. A sum is seen shifted by the mean of the thresholds
    on its two sides.

    Args:
        errors: of capacitors, those of few units first, as a share of a unit over the square root
            of their units, (adcs, at least as many as `values` needs bits).
        values: V, sums that an ADC tells apart.

    Returns:
        steps, float64 (adcs, V).
    """
    bits = (values - 1).bit_length()
    at = np.zeros((len(errors), 1))  # the error of each code, in units
    for k in range(bits):
        at = np.concatenate([at, at + errors[:, k : k + 1] * 2 ** (k / 2)], 1)
    full = 2**bits - 1
    codes = np.arange(full + 1)
    at = (codes + at) * (full / (full + at[:, -1:])) - codes
    at = np.concatenate([at, np.zeros((len(at), 1))], 1)[:, : values + 1]
    found: np.ndarray = -(at[:, :-1] + at[:, 1:]) / 2
    return found
