"""Watching layers: a stack of watchers on each, entered and left as context managers.

A watcher may compute a layer's output in its place, and it may be told what the crossbars counted.
The innermost watcher that computes decides the output. Every watcher that counts is told of every
input, whatever computes the output: its counts are those of the ADCs in place. Only passes that are
no inferences, as those of calibration, are kept from the watchers outside.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from reram_torch.nn.base import CrossbarLayer


class Watcher:
    """What a layer has to do with while it is watched.

    Attributes:
        computes: `compute` gives the layer's output.
        counts: `count` is told what the crossbars counted.
        hides: watchers outside this one are told nothing: the pass is no inference.
    """

    computes = False
    counts = False
    hides = False

    def compute(self, layer: CrossbarLayer, x: torch.Tensor) -> torch.Tensor:
        """The layer's output for a checked input."""
        raise NotImplementedError

    def count(
        self, layer: CrossbarLayer, x: torch.Tensor, comparisons: torch.Tensor, driven: torch.Tensor
    ) -> None:
        """Is told of an input, its comparisons (I, J) and driven word-lines (I, rows + 1)."""
        raise NotImplementedError


class Hiding(Watcher):
    """Keeps passes from the watchers outside, and leaves the layer as it is."""

    hides = True


class WatcherStack:
    """The watchers of one layer, the innermost last."""

    def __init__(self) -> None:
        self._watchers: list[Watcher] = []

    def __len__(self) -> int:
        return len(self._watchers)

    def push(self, watcher: Watcher) -> None:
        """Adds a watcher inside all others."""
        self._watchers.append(watcher)

    def remove(self, watcher: Watcher) -> None:
        """Takes out a watcher, wherever it is: the innermost of equal ones."""
        for k in reversed(range(len(self._watchers))):
            if self._watchers[k] is watcher:
                del self._watchers[k]
                return

    @property
    def computing(self) -> bool:
        """Whether something else than the crossbars gives the layer's output."""
        return any(w.computes for w in self._watchers)

    def hidden_from(self, watcher: Watcher) -> bool:
        """Whether passes are kept from a watcher by one inside it."""
        for other in reversed(self._watchers):
            if other is watcher:
                return False
            if other.hides:
                return True
        return False

    def run(self, layer: CrossbarLayer, x: torch.Tensor) -> torch.Tensor:
        """The layer's output as its watchers have it; they are told what they want to know."""
        if not self._watchers:
            return layer.on_crossbars(x)[0]
        computing = next((w for w in reversed(self._watchers) if w.computes), None)
        counting = [w for w in self._watchers if w.counts and not self.hidden_from(w)]
        with layer.holding():
            if computing is None:
                y, *counts = layer.on_crossbars(x, count=bool(counting))
            else:
                if counting:
                    with torch.no_grad():
                        _, *counts = layer.on_crossbars(x, count=True)
                y = computing.compute(layer, x)
            for watcher in counting:
                watcher.count(layer, x, *counts)
        return y

    def __getstate__(self) -> dict[str, Any]:
        return {"_watchers": []}  # nobody watches a copy


@contextmanager
def watching(watchers: Mapping[CrossbarLayer, Watcher]) -> Iterator[None]:
    """Inside the block each layer has its watcher, inside those that it has already."""
    pushed: list[tuple[CrossbarLayer, Watcher]] = []
    try:
        for layer, watcher in watchers.items():
            layer.watchers.push(watcher)
            pushed.append((layer, watcher))
        yield
    finally:
        for layer, watcher in reversed(pushed):
            layer.watchers.remove(watcher)
