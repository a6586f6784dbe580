"""A layer's input quantizer: the range that it covers, and the codes that follow."""

from __future__ import annotations

from typing import NamedTuple

import torch

from reram_torch._support.checks import check_finite
from reram_torch.crossbar.quantization import InputScale, input_codes
from reram_torch.nn.scales import on_learned_grid, step_of


class QuantizerState(NamedTuple):
    """What an `InputQuantizer` holds."""

    range: tuple[float, float] | None
    calibrated: InputScale


class InputQuantizer:
    """Affine codes of a layer's inputs.

    A scale that is learned is a parameter of the layer, the logarithm of the step; it takes the
    place of the calibrated one and leaves its zero.

    Args:
        bits: of a code.

    Attributes:
        range: calibrated (minimum, maximum), or None before calibration.
        calibrated: the scale that the range gives.
    """

    def __init__(self, bits: int):
        self.bits = bits
        self.range: tuple[float, float] | None = None
        self.calibrated = InputScale(1.0, 0)

    def cover(self, low: float, high: float) -> bool:
        """Sets the range, widened to hold zero; whether codes changed by that.

        Raises:
            ValueError: a bound is NaN or infinite, or `low` exceeds `high`.
        """
        low, high = float(low), float(high)
        if not -float("inf") < low <= high < float("inf"):
            raise ValueError(f"an input range needs finite low <= high, not [{low}, {high}]")
        before, self.range = self.calibrated, (low, high)
        self.calibrated = InputScale.from_range(low, high, self.bits)
        return self.calibrated != before

    def scale(self, log_step: torch.Tensor | None) -> InputScale:
        """s_x and z; the step is the learned one if there is one."""
        if log_step is None:
            return self.calibrated
        return InputScale(step_of(log_step).item(), self.calibrated.zero)

    def codes(self, x: torch.Tensor, log_step: torch.Tensor | None) -> torch.Tensor:
        """Codes of `x`, uint8."""
        return input_codes(x, *self.scale(log_step), self.bits)

    def on_grid(self, x: torch.Tensor, log_step: torch.Tensor | None) -> torch.Tensor:
        """The input, with the gradient by its scale if that is learned."""
        if log_step is None or not torch.is_grad_enabled():
            return x  # the operator makes the same codes
        check_finite("input", x)  # a clipped infinity would be lost
        return on_learned_grid(x, log_step, self.calibrated.zero, 0, 2**self.bits - 1)

    def snapshot(self) -> QuantizerState:
        """What is in place, for `restore`."""
        return QuantizerState(self.range, self.calibrated)

    def restore(self, state: QuantizerState) -> None:
        """Puts a snapshot back."""
        self.range, self.calibrated = state
