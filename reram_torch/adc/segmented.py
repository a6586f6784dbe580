"""Any number of ranges, each a small plain ADC or a single level."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from reram_torch.adc.base import register_adc
from reram_torch.adc.intervals import Intervals


@register_adc
@dataclass(frozen=True)
class Segmented(Intervals):
    """Intervals without a limit on their number, for a controller that reads its search as words.

    A detection node takes a word, and so does every range that has bit cycles; a single level is
    part of the node that leads to it. See `Intervals` for the parameters.

    Args:
        aligned: every range with bit cycles begins at a multiple of its width, 2^bits * step, so
            that its bits need no adder: a lighter controller.
    """

    aligned: bool = False

    kind: ClassVar[str] = "segmented"
    limits: ClassVar[tuple[str, ...]] = ("grid", "aligned")

    def __post_init__(self) -> None:
        super().__post_init__()
        if not isinstance(self.aligned, bool):
            raise ValueError(f"Segmented.aligned must be true or false, not {self.aligned!r}")
        for start, step, bits in zip(self.starts, self.steps, self.bits, strict=True):
            if self.aligned and bits and start % (step << bits):
                raise ValueError(
                    f"Segmented: the range from {start} is not aligned to its width, {step << bits}"
                )

    @property
    def controller(self) -> str:
        """The kind of controller that a technology prices."""
        return "segmented_aligned" if self.aligned else self.kind
