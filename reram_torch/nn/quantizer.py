"""A layer's input quantizer: the range that it covers, and the codes that follow."""

from __future__ import annotations

from typing import NamedTuple

import torch

from reram_torch._support.checks import check_choice, check_finite
from reram_torch.config.sections import INPUT_ENCODINGS, InputConfig
from reram_torch.crossbar.quantization import InputScale, input_codes
from reram_torch.nn.scales import on_learned_grid, step_of

AFFINE, SIGN_MAGNITUDE = INPUT_ENCODINGS


class QuantizerState(NamedTuple):
    """What an `InputQuantizer` holds."""

    range: tuple[float, float] | None
    calibrated: InputScale
    signed: bool


class InputQuantizer:
    """Codes of a layer's inputs, affine or sign-magnitude.

    A scale that is learned is a parameter of the layer, the logarithm of the step; it takes the
    place of the calibrated one and leaves its zero.

    Args:
        config: bits and encoding. Codes are affine until `cover` has them signed.

    Attributes:
        config: likewise.
        range: calibrated (minimum, maximum), or None before calibration.
        calibrated: the scale that the range gives.
        signed: whether codes are sign-magnitude.
    """

    def __init__(self, config: InputConfig):
        self.config = config
        self.range: tuple[float, float] | None = None
        self.calibrated = InputScale(1.0, 0)
        self.signed = False

    @property
    def encoding(self) -> str:
        """Of the codes now: one of `INPUT_ENCODINGS`."""
        return SIGN_MAGNITUDE if self.signed else AFFINE

    def cover(self, low: float, high: float, encoding: str | None = None) -> bool:
        """Sets the range, widened to hold zero; whether codes changed by that.

        Args:
            low: the smallest input.
            high: the largest.
            encoding: one of `INPUT_ENCODINGS`; None: that of the configuration, where that leaves
                it open the one in use. Inputs that are never negative are affine in any case.

        Raises:
            ValueError: a bound is NaN or infinite, `low` exceeds `high`, or an unknown encoding.
        """
        low, high = float(low), float(high)
        if not -float("inf") < low <= high < float("inf"):
            raise ValueError(f"an input range needs finite low <= high, not [{low}, {high}]")
        if encoding is None:
            own = self.config.encoding
            encoding = own if own in INPUT_ENCODINGS else self.encoding
        check_choice("encoding", encoding, INPUT_ENCODINGS)
        if encoding == SIGN_MAGNITUDE and self.config.bits < 2:
            raise ValueError("sign_magnitude codes need inputs.bits of 2 at least, not 1")
        before = self.calibrated, self.signed
        self.range, self.signed = (low, high), encoding == SIGN_MAGNITUDE and low < 0
        if self.signed:
            self.calibrated = InputScale.symmetric(low, high, self.config.bits - 1)
        else:
            self.calibrated = InputScale.from_range(low, high, self.config.bits)
        return before != (self.calibrated, self.signed)

    def scale(self, log_step: torch.Tensor | None) -> InputScale:
        """s_x and z; the step is the learned one if there is one."""
        if log_step is None:
            return self.calibrated
        return InputScale(step_of(log_step).item(), self.calibrated.zero)

    def codes(self, x: torch.Tensor, log_step: torch.Tensor | None) -> torch.Tensor:
        """Codes of `x`: uint8, or int8 where they are signed."""
        bits = self.config.bits - self.signed
        return input_codes(x, *self.scale(log_step), bits, signed=self.signed)

    def on_grid(self, x: torch.Tensor, log_step: torch.Tensor | None) -> torch.Tensor:
        """The input, with the gradient by its scale if that is learned."""
        if log_step is None or not torch.is_grad_enabled():
            return x  # the operator makes the same codes
        check_finite("input", x)  # a clipped infinity would be lost
        most = 2 ** (self.config.bits - self.signed) - 1
        low = -most if self.signed else 0
        return on_learned_grid(x, log_step, self.calibrated.zero, low, most)

    def snapshot(self) -> QuantizerState:
        """What is in place, for `restore`."""
        return QuantizerState(self.range, self.calibrated, self.signed)

    def restore(self, state: QuantizerState) -> None:
        """Puts a snapshot back."""
        self.range, self.calibrated, self.signed = state
