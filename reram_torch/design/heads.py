"""Where a change of a network is measured: at its output, or before detections are selected.

A detector keeps boxes by their scores and drops those that overlap. How many are left, and in which
order, says little of an error: noise makes two of like scores change places, and a network that
finds nothing finds nothing whatever its ADCs do. What its last part with crossbar layers gives, the
scores and the offsets of all anchors, has one shape always.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from torch import nn

from reram_torch._support.trees import map_tensors
from reram_torch.calibration.calls import Call
from reram_torch.conversion.kinds import is_on_crossbars


class Made(NamedTuple):
    """What a network gave.

    Attributes:
        output: its output.
        compared: what a change is measured on: the output, or what the head gave at each call.
    """

    output: Any
    compared: Any


class Outlet:
    """Runs a network, and gives beside its output what a change of it is measured on.

    Args:
        net: a converted network.

    Attributes:
        name: of the module whose results that is; empty: the network; None before the first run.
    """

    def __init__(self, net: nn.Module):
        self._net = net
        self.name: str | None = None

    def run(self, call: Call) -> Made:
        """The network on a batch; the first one tells where a change is measured."""
        if self.name is None:
            output, self.name = self._look(call)
            if not self.name:
                return Made(output, output)
        if not self.name:
            output = call.run(self._net)
            return Made(output, output)
        given: list[Any] = []

        def keep(_: str, output: Any) -> None:
            given.append(map_tensors(lambda t: t.detach().clone(), output))

        with _told({self.name: self._net.get_submodule(self.name)}, keep):
            output = call.run(self._net)
        return Made(output, given)

    def _look(self, call: Call) -> tuple[Any, str]:
        """The output, and the last part of the network that gives all that it computed.

        Parts are looked for in what selects detections, and in that part of it, as long as that
        selects some itself.
        """
        selecting: dict[str, bool] = {}  # by name, in the order in which modules ended

        def ended(name: str, output: Any) -> None:
            selecting.pop(name, None)
            selecting[name] = holds_detections(output)

        parts = {n: m for n, m in self._net.named_modules() if n and is_on_crossbars(m)}
        with _told(parts, ended):
            output = call.run(self._net)
        name, selects = "", holds_detections(output)
        while selects:
            inner = [n for n in selecting if n.startswith(f"{name}." if name else "")]
            if not inner:
                return output, ""
            name = inner[-1]  # a module ends after what is in it
            selects = selecting[name]
        return output, name


def holds_detections(value: Any) -> bool:
    """Whether there are `boxes` and their `scores` in an output: as many as were found."""
    if isinstance(value, Mapping):
        both = isinstance(value.get("boxes"), torch.Tensor) and "scores" in value
        return both or any(map(holds_detections, value.values()))
    return isinstance(value, list | tuple) and any(map(holds_detections, value))


@contextmanager
def _told(modules: Mapping[str, nn.Module], tell: Callable[[str, Any], None]) -> Iterator[None]:
    """Inside the block a function is told of modules' names and outputs, as they end."""

    def hook(name: str) -> Callable[[nn.Module, Any, Any], None]:
        return lambda _, __, output: tell(name, output)

    handles = [m.register_forward_hook(hook(name)) for name, m in modules.items()]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
