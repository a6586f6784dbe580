"""Calibration and ADCs of a network as plain values."""

from __future__ import annotations

from typing import Any

from torch import nn

from reram_torch._support.processes import broadcast, rank, world
from reram_torch.nn.networks import crossbar_layers
from reram_torch.nn.state import layer_state


def same_adcs(net: nn.Module) -> None:
    """Gives the crossbars of every process the calibration and the ADCs of the first."""
    if world() > 1:
        states: dict[str, dict[str, Any]] = broadcast(crossbar_states(net) if rank() == 0 else None)
        if rank():
            load_crossbar_states(net, states)


def crossbar_states(net: nn.Module) -> dict[str, dict[str, Any]]:
    """Calibration and ADCs of every crossbar layer, as plain values that JSON can hold.

    They are what `state_dict` keeps as bytes under `_extra_state`; learned scales are parameters.

    Args:
        net: a converted network.

    Raises:
        ValueError: there are no crossbar layers.
    """
    return {name: layer_state(layer) for name, layer in crossbar_layers(net).items()}


def load_crossbar_states(net: nn.Module, states: dict[str, dict[str, Any]]) -> None:
    """The inverse of `crossbar_states`.

    Args:
        net: a converted network.
        states: of layers of the same names.

    Raises:
        ValueError: the states are of other layers, of another version or of another configuration.
    """
    layers = crossbar_layers(net)
    if set(layers) != set(states):
        raise ValueError(f"states of the layers {sorted(states)}, not of {sorted(layers)}")
    for name, layer in layers.items():
        layer.set_extra_state(states[name])
