"""What driven cells conduct on a chip."""

from __future__ import annotations

from typing import NamedTuple

import torch

from reram_torch.crossbar.geometry import Geometry, bit_places
from reram_torch.nn.base import CrossbarLayer


class Conducted(NamedTuple):
    """What driven word-lines conducted.

    Attributes:
        us: of all cells on them, added up over word-lines, uS.
        lines: how many were driven; those of recoveries are not among them.
    """

    us: float
    lines: int

    def plus(self, other: Conducted) -> Conducted:
        """Both."""
        return Conducted(self.us + other.us, self.lines + other.lines)


NOTHING = Conducted(0.0, 0)


def conducted(layer: CrossbarLayer, x: torch.Tensor) -> Conducted:
    """What the cells of a layer conduct with an input; nothing on ideal devices."""
    if layer.site.programming is None:
        return NOTHING
    with torch.no_grad():
        drives = drives_of(layer.codes(x), layer.geometry)
        by_line = layer.site.line_us(
            layer.encoded(), layer.geometry, layer.outputs // layer.groups, layer.depth
        )
    return Conducted(float((drives * by_line).sum()), int(drives.sum()))


def drives_of(u: torch.Tensor, geometry: Geometry) -> torch.Tensor:
    """How often each word-line is driven, int64 (G, K) on the CPU.

    Args:
        u: input codes, (M, G, K), or windows of them in seven dimensions.
        geometry: of the layer.
    """
    code, places = torch.arange(256), bit_places(geometry.dac_widths)
    pulses = torch.stack([code >> below & mask > 0 for below, mask in places]).sum(0)
    # Of each code once, not of each window that it is in.
    all_codes = torch.empty(0, dtype=torch.uint8, device=u.device).set_(u.untyped_storage())
    counts = pulses.to(u.device, torch.uint8)[all_codes.int()]
    windows = counts.as_strided(u.shape, u.stride(), u.storage_offset())
    found = windows.sum(0 if u.dim() == 3 else (0, 1, 2), dtype=torch.int64)
    return found.flatten(1).cpu()
