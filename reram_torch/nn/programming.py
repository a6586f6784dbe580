"""`program`: a network's weights on a chip whose devices are not ideal."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import nn

from reram_torch._support.checks import check_int
from reram_torch._support.progress import progress
from reram_torch.config.devices import Devices, load_devices
from reram_torch.crossbar.chips import Chip, ChipSummary, unpacked
from reram_torch.nn.base import CrossbarLayer
from reram_torch.nn.cautions import loads_for, warn_of_leaks, wire_errors
from reram_torch.nn.chips import Programming
from reram_torch.nn.networks import crossbar_layers, unchanged_on_error
from reram_torch.nn.wire_errors import WireError

_LARGEST_SEED = 2**63 - 1


@dataclass(frozen=True)
class ProgrammedNetwork:
    """What `program` did. Printed, it is a table.

    Attributes:
        devices: of the chip; None: ideal ones.
        seed: that it was drawn from.
        time: since it was programmed, s; None: just programmed.
        layers: what was drawn for each layer, by qualified name; of cells alone.
        wires: what the resistance of wires leaves wrong, by layer, on a sample of sums.
    """

    devices: Devices | None
    seed: int
    time: float | None
    layers: dict[str, ChipSummary]
    wires: dict[str, WireError] = field(default_factory=dict)

    @property
    def cells(self) -> int:
        """Devices that were programmed."""
        return sum(layer.cells for layer in self.layers.values())

    @property
    def pulses(self) -> float:
        """Of a cell that is not stuck, in the mean."""
        weights = [n.cells - n.stuck_off - n.stuck_on for n in self.layers.values()]
        total = sum(w * n.pulses for w, n in zip(weights, self.layers.values(), strict=True))
        return total / sum(weights) if sum(weights) else 0.0

    def __str__(self) -> str:
        if self.devices is None:
            return "ideal devices"
        since = "as programmed" if self.time is None else f"{self.time:g} s after programming"
        head = f"{self.devices.name}, seed {self.seed}, {since}"
        if not self.layers:
            return f"{head}: errors drawn conversion by conversion"
        head += f": {self.cells} cells, {self.pulses:.2f} pulses a cell"
        if self.wires:
            ohm, left = self.devices.cells.wire_ohm, sum(self.wires.values(), WireError())
            head += f"\nwires of {ohm:g} Ohm leave sums wrong: {left}"
        width = max(map(len, self.layers), default=0)
        lines = [
            f"{'layer':{width}}  {'cells':>10}  {'stuck':>8}  {'unverified':>10}  {'clipped':>7}"
            "  error of a cell, digit steps (least significant slice first)"
        ]
        for name, n in self.layers.items():
            errors = " ".join(f"{error:.3f}" for error in n.rms_steps)
            stuck = n.stuck_off + n.stuck_on
            lines.append(
                f"{name:{width}}  {n.cells:10d}  {stuck:8d}  {n.unverified:10d}  {n.clipped:7d}"
                f"  {errors}"
            )
        return "\n".join([head, *lines])


def program(
    net: nn.Module,
    devices: str | Path | Devices | None,
    *,
    seed: int = 0,
    time: float | str | None = None,
    exact: bool = True,
    show_progress: bool = True,
) -> ProgrammedNetwork:
    """Programs every crossbar layer onto a chip, which stays until the next call.

    A chip is drawn from `seed`, a layer's qualified name, and the place of each cell and ADC: it is
    the same on every machine, whatever the threads and the device tensors lie on, and layers have
    nothing in common. Weights that change are programmed anew when they are used next, from the
    same draws. Calibration, designing, meters and forward passes all see the chip's sums; noise is
    that of the positions in the order in which they come. The chip is saved in `state_dict`, by its
    devices, seed and time.

    Where wires resist (`cells.wire_ohm`), each cell is attenuated as at the mean load of
    calibration. `wires` of the result says how far that is from the nodal equations on a sample of
    sums; `wire_error` looks at more.

    Args:
        net: a converted network.
        devices: a name (see `device_names`), the path of a TOML file, or `Devices`; None: back to
            ideal ones.
        seed: of the chip, from 0 to 2^63 - 1.
        time: since programming: seconds, or a number with a unit, as in "1d"; None: just
            programmed.
        exact: draw every cell and ADC. False: the error of each conversion is drawn, by its chances
            given its sum and how many word-lines are driven, and no cells are kept; so the same
            bit-line errs otherwise each time. Faster where errors are rare. Not where wires or
            capacitors err, nor where crossbars speculate, nor for errors of more than 64 steps.
        show_progress: draw a tqdm bar if tqdm is installed.

    Returns:
        What was drawn.

    Raises:
        ValueError: no crossbar layers; a seed out of range; a time that the devices say nothing of;
            cells whose digits cannot be told apart; ADCs in place that could overflow the
            accumulator with sums that devices make larger; wires that take nearly everything.
        RuntimeError: wires that resist, and a layer that was not calibrated.
        ImportError: wires that resist, and scipy is missing.
        FileNotFoundError: neither a known name nor a file.

    Warns:
        UserWarning: leaks of offset cells that nothing subtracts add up to more than a step, or
            the resistance of wires leaves some sums wrong by more than half a step.
    """
    layers = crossbar_layers(net)
    check_int("seed", seed, 0, _LARGEST_SEED)
    if devices is None:
        if time is not None:
            raise ValueError(f"time must be None for ideal devices, not {time!r}")
        for layer in layers.values():
            _put_on_chip(layer, None)
        return ProgrammedNetwork(None, seed, None, {})
    chosen = load_devices(devices)
    since, drawn = chosen.at(time), {}
    loads = loads_for(layers, chosen) if exact else {}  # odds know no wires, and say so
    warn_of_leaks(layers, chosen, stacklevel=2)
    bar = progress(layers.items(), description="program", unit="layer", show=show_progress)
    with unchanged_on_error(layers.values()), bar:
        for name, layer in bar:
            how = Programming(chosen, seed, name, since, exact, loads.get(name))
            summary = _put_on_chip(layer, how)
            if summary is not None:
                drawn[name] = summary
        wires = wire_errors(layers, chosen, stacklevel=2)
    return ProgrammedNetwork(chosen, seed, since, drawn, wires)


def conductances(net: nn.Module) -> dict[str, torch.Tensor]:
    """What the cells of a programmed network hold, to be saved or looked at.

    Args:
        net: on a chip with cells.

    Returns:
        By qualified name of a layer, int16 (S, J, G, N, K), in 1/256 of a digit's step: by
        conversion of a slice (two for `dual`), slice from the least significant one, group, output
        and word-line. Of a differential pair it is the difference; leaks that a dummy column
        subtracts are subtracted.

    Raises:
        ValueError: no crossbar layers, or a layer that is on no chip, or on one without cells.
    """
    found = {}
    for name, layer in crossbar_layers(net).items():
        chip, outputs = layer.chip(layer.encoded()), layer.outputs // layer.groups
        if not isinstance(chip, Chip):
            raise ValueError(
                f"layer {name!r} is on no chip with cells: call reram_torch.program(net, devices) "
                "with exact=True"
            )
        found[name] = unpacked(chip.conductances, layer.geometry, outputs, layer.depth)
    return found


@contextmanager
def chips_as_before(layers: Iterable[CrossbarLayer]) -> Iterator[None]:
    """Programs layers as they were, after the block."""
    before = [(layer, layer.site.programming) for layer in layers]
    try:
        yield
    finally:
        for layer, programming in before:
            if layer.site.programming != programming:
                _put_on_chip(layer, programming)


def _put_on_chip(layer: CrossbarLayer, programming: Programming | None) -> ChipSummary | None:
    """Programs a layer onto another chip, or back into ideal devices."""
    layer.bank.serve(ideal=programming is None)
    layer.site.program(programming)
    chip = layer.chip(layer.encoded())
    return chip.summary if isinstance(chip, Chip) else None
