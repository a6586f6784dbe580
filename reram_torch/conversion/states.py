"""Calibration and ADCs of a network as plain values."""

from __future__ import annotations

from typing import Any

from torch import nn

from reram_torch._support.processes import broadcast, rank, world
from reram_torch.nn.networks import crossbar_layers


def same_adcs(net: nn.Module) -> None:
    """Gives the crossbars of every process the calibration and the ADCs of the first."""
    if world() > 1:
        states: dict[str, dict[str, Any]] = broadcast(crossbar_states(net) if rank() == 0 else None)
        if rank():
            load_crossbar_states(net, states)


def crossbar_states(net: nn.Module) -> dict[str, dict[str, Any]]:
    """Calibration and ADCs of every crossbar layer, as plain values."""
    return {name: layer.get_extra_state() for name, layer in crossbar_layers(net).items()}


def load_crossbar_states(net: nn.Module, states: dict[str, dict[str, Any]]) -> None:
    """The inverse of `crossbar_states`.

    Raises:
        ValueError: the states are of other layers, of another version or of another configuration.
    """
    layers = crossbar_layers(net)
    if set(layers) != set(states):
        raise ValueError(f"states of the layers {sorted(states)}, not of {sorted(layers)}")
    for name, layer in layers.items():
        layer.set_extra_state(states[name])
