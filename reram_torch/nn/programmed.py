"""A layer's weights as they lie on crossbars, never stale."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

from reram_torch._support.lasting import lasting
from reram_torch.crossbar.cells import CrossbarWeights
from reram_torch.crossbar.geometry import Geometry
from reram_torch.crossbar.quantization import largest_code
from reram_torch.nn.scales import on_learned_grid, step_of
from reram_torch.ops import backends


class ProgrammedWeights:
    """Encodes weights, and keeps the last encoding.

    It is kept with a hash of the weights' content, since neither an optimizer nor an edit through
    `.data` tells anybody. Where a hash would not pay (under torch.compile, off the CPU) weights are
    encoded in every forward pass.

    Args:
        geometry: of the layer.
        groups: likewise.
    """

    def __init__(self, geometry: Geometry, groups: int):
        self.geometry, self.groups = geometry, groups
        self._kept: tuple[object, CrossbarWeights] | None = None
        self._held: CrossbarWeights | None = None

    def encoded(self, weight: torch.Tensor, log_step: torch.Tensor | None) -> CrossbarWeights:
        """The weights on crossbars as they are now; the scales are the learned ones, if any."""
        if torch.compiler.is_compiling():
            return self._encode(weight, log_step)
        if self._held is not None:
            return self._held
        content = self.fingerprint(weight, log_step)
        key = None if content is None else (content, weight.dtype)
        if key is not None and self._kept is not None and self._kept[0] == key:
            return self._kept[1]
        with lasting():
            encoded = self._encode(weight, log_step)
        self._kept = (key, encoded)
        return encoded

    @contextmanager
    def held(self, encoded: CrossbarWeights) -> Iterator[None]:
        """Inside the block this is the encoding: nobody changes weights there."""
        before, self._held = self._held, encoded
        try:
            yield
        finally:
            self._held = before

    def _encode(self, weight: torch.Tensor, log_step: torch.Tensor | None) -> CrossbarWeights:
        scale = None if log_step is None else step_of(log_step)
        numbers = self.geometry.as_list()
        encode = torch.ops.reram_torch.encode_weight
        return CrossbarWeights(*encode(weight.detach(), self.groups, numbers, scale))

    def fingerprint(
        self, weight: torch.Tensor, log_step: torch.Tensor | None
    ) -> tuple[int | None, ...] | None:
        """A hash of what the crossbars hold, or None where that would cost more than encoding."""
        found = backends.fingerprint(weight)
        if found is None:
            return None
        return (found,) if log_step is None else (found, backends.fingerprint(log_step))

    def on_grid(self, weight: torch.Tensor, log_step: torch.Tensor | None) -> torch.Tensor:
        """The weights, with the gradient by their scales if those are learned."""
        if log_step is None or not torch.is_grad_enabled():
            return weight
        most = largest_code(self.geometry.weight_bits)
        return on_learned_grid(weight, log_step, 0, -most, most)

    def __getstate__(self) -> dict[str, Any]:
        # Copies and pickles encode their weights anew.
        return {**self.__dict__, "_kept": None, "_held": None}
