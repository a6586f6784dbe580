"""What driven cells conduct on a chip."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
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
    code, places = np.arange(256), bit_places(geometry.dac_widths)
    pulses = sum((code >> below & mask > 0).astype(np.uint8) for below, mask in places)
    # Of each code once, not of each window that it is in, and of all images together.
    codes = torch.empty(0, dtype=torch.uint8, device=u.device).set_(u.untyped_storage()).cpu()
    counts = torch.from_numpy(np.asarray(pulses)[codes.numpy()])
    each, start = u.stride(0), u.storage_offset()
    extent = zip(u.shape[1:], u.stride()[1:], strict=True)
    within = start + sum((size - 1) * stride for size, stride in extent) < each  # of one image
    if u.dim() == 3 or not within or len(u) * each > len(counts):
        windows = counts.as_strided(u.shape, u.stride(), start)
        found = windows.sum(0 if u.dim() == 3 else (0, 1, 2), dtype=torch.int64)
        return found.flatten(1)
    images = counts[: len(u) * each].view(len(u), each).sum(0, dtype=torch.int32)
    windows = images.as_strided(u.shape[1:], u.stride()[1:], start)
    return windows.sum((0, 1), dtype=torch.int64).flatten(1)
