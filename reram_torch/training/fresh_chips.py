"""Noise-aware training: another chip every step, so that no chip's errors are learned."""

from __future__ import annotations

from torch import nn

from reram_torch._support import processes
from reram_torch._support.checks import check_int
from reram_torch.config.devices import Devices
from reram_torch.nn.programming import program

# Chips of training and of validation have seeds of their own: those that people evaluate on, from 0
# on, are never among them.
_TRAINING, _VALIDATION = 1 << 41, 1 << 42
_APART = 1_000_003  # a prime: runs of other seeds have other chips


class FreshChips:
    """Programs a network onto another chip every so many steps.

    The chip follows from the step alone, so a run that was stopped and resumed ends as one that was
    not. Processes have chips of their own.

    Args:
        net: a converted network.
        devices: of the chips.
        time: since programming, s; None: just programmed.
        every: steps on a chip.
        seed: of the run.

    Raises:
        ValueError: `every` or `seed` is out of range.
    """

    def __init__(
        self,
        net: nn.Module,
        devices: Devices,
        *,
        time: float | None = None,
        every: int = 1,
        seed: int = 0,
    ):
        check_int("every", every, 1, 1 << 30, "steps on a chip")
        check_int("seed", seed, 0, 1 << 40)
        self.net, self.devices, self.time, self.every, self.seed = net, devices, time, every, seed
        self._on: int | None = None  # seed of the chip that it is on

    def before_step(self, number: int) -> None:
        """The chip of a step of the run."""
        fresh = number // self.every * processes.world() + processes.rank()
        self._program(_TRAINING + (self.seed * _APART + fresh) % _TRAINING)

    def before_validation(self) -> None:
        """A chip that no step is on, the same after each epoch."""
        self._program(_VALIDATION + self.seed)

    def _program(self, seed: int) -> None:
        if seed != self._on:
            program(self.net, self.devices, seed=seed, time=self.time, show_progress=False)
            self._on = seed

    def off(self) -> None:
        """Back to ideal devices."""
        program(self.net, None)
        self._on = None
