"""A differentiable stand-in for the A/D comparisons that a network makes, to train it by.

A conversion's comparisons are a table of its bit-line sum S. Over the calibration histogram the
table of cycle i and slice j is replaced by the least-squares line a_ij + slope_ij * |S|, all
activity buckets together, so that conversions that are skipped (S = 0, no comparison) count. What a
layer can save is then

    P = sum_ij slope_ij sum_mnt S[m,n,t,i,j] = sum_ij slope_ij sum_r U_i[r] G_j[r],

with U_i[r] the pulses of word-line r in cycle i, summed over all positions, and G_j[r] its cells of
slice j, summed over all outputs: no bit-line sum is ever made.

Two things are not exact. In a convolution each pixel is taken to serve an equal share of the
windows at every kernel place, so borders and padding are neglected. With positive and negative
cells both kinds add up: for `dual` these are the two conversions' sums, for `differential` they are
an upper bound of |S|.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import nn
from torch.autograd.function import once_differentiable
from torch.utils.hooks import RemovableHandle

from reram_torch._support.checks import check_number
from reram_torch.crossbar.geometry import Geometry, bit_places
from reram_torch.crossbar.quantization import (
    InputScale,
    dequantized_input,
    input_codes,
    largest_code,
    weight_codes,
)
from reram_torch.nn.base import CrossbarLayer
from reram_torch.nn.networks import crossbar_layers, histograms_of
from reram_torch.nn.statistics import Statistics
from reram_torch.power.counts import BASELINE_COMPARISONS, baseline_conversions

INPUT_WINDOW = 1.0
WEIGHT_WINDOW = 1 / 16


class ComparisonPenalty:
    """Adds up what the crossbars of a network in training can save, as a part of the loss.

        with ComparisonPenalty(net, 1.0) as penalty:
            penalty.update()  # and again after each `design_adc`
            for x, y in batches:
                loss = F.cross_entropy(net(x), y) + penalty.take()

    The penalty is the linear part of 1 / reduction: the stand-in for the comparisons over those of
    the ISAAC baseline with the same inputs. While attached it watches forward passes in training
    mode with gradients enabled. The network's state_dict stays as it is.

    The bits of a code are square waves of it. Their derivative is that of a moving average over h
    codes on both sides, (b(code + h) - b(code - h)) / 2h, or over what is left of the window at the
    ends of the codes, and then straight-through; it is zero where a value was clipped. An input can
    go down to zero, so h is the code itself, or a share of it. A weight must not move by more than
    a few codes, and lies close to zero, where with an offset all bits flip at once: h is the same
    for all weights.

    Smaller sums are not cheaper for every ADC. A search tree is made for the sums of calibration,
    most of all one for each activity bucket: whatever moves them, downwards too, can cost
    comparisons until ADCs are designed anew. Measure what a weight saves.

    Args:
        net: a converted network.
        weight: what the penalty is multiplied by, at least 0.
        input_window: h of an input code over the code, 0 to 1; h is at least one code.
        weight_window: h of a weight's code over the largest code, 0 to 1; at least one code.

    Raises:
        ValueError: there are no crossbar layers, one with centers or speculation, or a number out
            of range.
    """

    def __init__(
        self,
        net: nn.Module,
        weight: float,
        *,
        input_window: float = INPUT_WINDOW,
        weight_window: float = WEIGHT_WINDOW,
    ):
        check_number("weight", weight, 0, math.inf)
        check_number("input_window", input_window, 0, 1)
        check_number("weight_window", weight_window, 0, 1)
        self.weight, self._windows = weight, (input_window, weight_window)
        self._net, self._layers = net, crossbar_layers(net)
        for name, layer in self._layers.items():
            if layer.geometry.centered or layer.geometry.speculation:
                raise ValueError(
                    "a penalty knows weights with center='zero' only, and no speculation: not "
                    f"those of layer {name!r}"
                )
        self._lines: dict[str, _Lines] = {}
        self._handles: list[RemovableHandle] = []
        self._parts: list[torch.Tensor] = []
        self._baseline = 0

    # --- slopes ---

    def update(self) -> None:
        """Takes the slopes from the calibration histograms and the ADCs in place.

        Raises:
            RuntimeError: a layer has no histogram.
            ValueError: a layer's ADCs go by other activity buckets than its histogram.
        """
        seen = histograms_of(self._layers, "a penalty")
        self._set({name: _slopes(name, self._layers[name], x) for name, x in seen.items()})

    def state_dict(self) -> dict[str, torch.Tensor]:
        """The slopes by layer, float64 (I, J)."""
        return {name: lines.slopes.cpu() for name, lines in self._lines.items()}

    def load_state_dict(self, state: dict[str, torch.Tensor]) -> None:
        """The inverse of `state_dict`.

        Raises:
            ValueError: the slopes are those of another network.
        """
        calibrated = {n for n, layer in self._layers.items() if layer.input_range is not None}
        wrong = sorted((state.keys() - self._layers.keys()) | (calibrated - state.keys()))
        if wrong:
            raise ValueError(f"slopes of another network: {wrong} are only in one of the two")
        for name, slopes in state.items():
            g = self._layers[name].geometry
            if tuple(slopes.shape) != (g.cycles, g.slices):
                raise ValueError(
                    f"slopes of {name!r} must have shape {(g.cycles, g.slices)}, "
                    f"not {tuple(slopes.shape)}"
                )
        self._set(state)

    def _set(self, slopes: dict[str, torch.Tensor]) -> None:
        self._lines = {
            name: _Lines.of(self._layers[name].geometry, value.double(), *self._windows)
            for name, value in slopes.items()
        }

    # --- watching ---

    def attach(self) -> ComparisonPenalty:
        """Watches the network's forward passes from now on; returns itself."""
        self.detach()
        for name, layer in self._layers.items():
            self._handles.append(layer.register_forward_pre_hook(self._hook(name)))
        return self

    def detach(self) -> None:
        """Stops watching, and forgets what was not taken."""
        for handle in self._handles:
            handle.remove()
        self._handles, self._parts, self._baseline = [], [], 0

    def __enter__(self) -> ComparisonPenalty:
        return self.attach()

    def __exit__(self, *_: object) -> None:
        self.detach()

    def take(self) -> torch.Tensor:
        """The weighed penalty of all passes since the last call, float32; zero without any.

        Of several passes it is the mean, each weighed by its conversions.
        """
        parts, baseline = self._parts, self._baseline
        self._parts, self._baseline = [], 0
        device = next(iter(self._layers.values())).weight.device
        if not baseline:
            return torch.zeros((), device=device)
        total = torch.zeros((), device=device)
        for part in parts:  # one by one: torch's sums of many go by where in memory they lie
            total = total + part.to(device)
        return total * (self.weight / baseline)

    def _hook(self, name: str) -> Callable[[CrossbarLayer, tuple[Any, ...]], None]:
        def hook(layer: CrossbarLayer, args: tuple[Any, ...]) -> None:
            watched = self._net.training and torch.is_grad_enabled()
            if watched and not layer.watchers.computing and layer.input_range is not None:
                self._add(name, layer, args[0])

        return hook

    def _add(self, name: str, layer: CrossbarLayer, x: torch.Tensor) -> None:
        if name not in self._lines:
            raise RuntimeError(f"no slopes for layer {name!r} yet: call update or load_state_dict")
        if self._lines[name].slopes.device != x.device:
            self._lines[name] = _Lines(*(t.to(x.device) for t in self._lines[name]))
        if torch.is_autocast_enabled(x.device.type):
            x = x.to(layer.weight.dtype)  # as the layer does
        layer.check_input(x)
        if not x.numel():
            return
        x, _ = layer.scaled(x)
        call = _Call.of(layer, x)
        self._parts.append(_Penalty.apply(x, layer.weight, self._lines[name], call))
        self._baseline += call.baseline


def _slopes(name: str, layer: CrossbarLayer, statistics: Statistics) -> torch.Tensor:
    """Slopes of the least-squares lines through a layer's comparisons, float64 (I, J)."""
    counts, tables = statistics.by_activity, layer.tables()
    edges = tuple(tables.edges.tolist())
    if edges == (0,):
        counts = counts.sum(0, keepdim=True)
    elif edges != statistics.edges:
        raise ValueError(
            f"layer {name!r}: its ADCs go by activity buckets from {edges}, its calibration "
            f"histogram by {statistics.edges}; design ADCs and calibrate in one session"
        )
    made = torch.cat([tables.comparisons, torch.zeros_like(tables.comparisons[:1])])  # -1: nothing
    made = made.cpu().double()[tables.index.long().cpu()]  # (B, I, J, V)
    g = layer.geometry
    sums = torch.arange(g.lowest, g.highest + 1, dtype=torch.float64).abs()
    pooled = counts.sum(0).double()
    total = pooled.sum(-1, keepdim=True).clamp(min=1)
    away = sums - (pooled * sums).sum(-1, keepdim=True) / total  # (I, J, V)
    variance = (pooled * away.square()).sum(-1)
    covariance = (away * (counts * made).sum(0)).sum(-1)
    return torch.where(variance > 0, covariance / variance.clamp(min=1e-300), 0.0)


class _Lines(NamedTuple):
    """What the penalty of a layer follows from, float64.

    Attributes:
        slopes: comparisons that a bit-line sum costs for each unit, (I, J).
        pulses: derivatives by the input code of what it drives, (2^input_bits, I).
        cells: derivatives by the weight's code of what its cells hold, (2^weight_bits, J), from
            the code -2^(b-1).
    """

    slopes: torch.Tensor
    pulses: torch.Tensor
    cells: torch.Tensor

    @classmethod
    def of(
        cls, g: Geometry, slopes: torch.Tensor, input_window: float, weight_window: float
    ) -> _Lines:
        """The derivatives for a geometry and windows as `ComparisonPenalty` takes them."""
        u = torch.arange(2**g.input_bits)
        q = torch.arange(2**g.weight_bits) - 2 ** (g.weight_bits - 1)
        most = largest_code(g.weight_bits)
        pulses = _parts(u, g.dac_widths)
        cells = _parts(_stored(q, g), g.cell_widths)
        return cls(
            slopes,
            _derivatives(pulses, (u * input_window).long(), 0),
            # The code -2^(b-1) is never used.
            _derivatives(cells, torch.full_like(q, round(most * weight_window)), 1),
        )


def _stored(q: torch.Tensor, g: Geometry) -> torch.Tensor:
    """What the cells of weight codes hold, positive and negative ones together."""
    stored: torch.Tensor = q.short() + 2 ** (g.weight_bits - 1) if g.offset else q.short().abs()
    return stored


def _parts(codes: torch.Tensor, widths: tuple[int, ...]) -> torch.Tensor:
    """Groups of bits of each code, (C, count)."""
    return torch.stack([codes >> below & mask for below, mask in bit_places(widths)], 1)


def _derivatives(values: torch.Tensor, half: torch.Tensor, first: int) -> torch.Tensor:
    """Derivatives of moving averages.

    Args:
        values: by code and bit group, (C, L).
        half: codes that the average of each code reaches to both sides, (C,); at least one.
        first: the lowest code in use.
    """
    codes, half = torch.arange(len(values)), half.clamp(min=1)
    low = (codes - half).clamp(first, len(values) - 2)
    high = (codes + half).clamp(first + 1, len(values) - 1)
    return (values[high] - values[low]).double() / (high - low).unsqueeze(1)


class _Call(NamedTuple):
    """What a layer's penalty depends on beside input and weights.

    Attributes:
        geometry: of the layer.
        groups: of the layer.
        channels: dimension of the input's channels, from the end.
        scale: of input codes.
        weight_scale: of weight codes, (N,).
        share: windows that a pixel serves at each kernel place, on average.
        baseline: comparisons of the ISAAC baseline.
    """

    geometry: Geometry
    groups: int
    channels: int
    scale: InputScale
    weight_scale: torch.Tensor
    share: float
    baseline: int

    @classmethod
    def of(cls, layer: CrossbarLayer, x: torch.Tensor) -> _Call:
        """A call of a layer with an input."""
        g, outputs = layer.geometry, layer.outputs
        channels = -3 if layer.channels_first else -1
        pixels = x.numel() // x.shape[channels]
        positions, share = pixels, 1.0
        padded, window = layer.windowed(x)
        if window is not None:
            windows = math.prod(window.output_size(*padded.shape[-2:]))
            image = x.shape[-2] * x.shape[-1]
            positions, share = pixels // image * windows, windows / image
        baseline = baseline_conversions(layer.depth, positions * outputs) * BASELINE_COMPARISONS
        groups = layer.groups
        scale, weight_scale = layer.input_scale, layer.encoded().scale
        return cls(g, groups, channels, scale, weight_scale, share, baseline)


class _Penalty(torch.autograd.Function):
    """P of a layer; inputs and weights as (rows, channels of all groups, places)."""

    @staticmethod
    def forward(
        ctx: Any, x: torch.Tensor, weight: torch.Tensor, lines: _Lines, call: _Call
    ) -> torch.Tensor:
        g = call.geometry
        codes = input_codes(x, *call.scale, g.input_bits, signed=g.signed_inputs)
        u = _rows(codes.abs() if g.signed_inputs else codes, call.channels)  # in either pass
        q = _grouped(weight_codes(weight, call.weight_scale, g.weight_bits), call.groups)
        # float64 is exact here, and autocast lets it be.
        pulses = _totals(u, g.dac_widths).double() * call.share
        cells = _totals(_stored(q, g), g.cell_widths).double()
        inside = None
        if ctx.needs_input_grad[0]:
            signed = g.signed_inputs
            inside = dequantized_input(x, *call.scale, g.input_bits, signed=signed)[1]
            inside = inside * codes.sign() if signed else inside
        ctx.save_for_backward(u, inside, weight, q, pulses, cells, *lines)
        ctx.call, ctx.shape, ctx.dtype = call, x.shape, x.dtype
        return (pulses @ lines.slopes * cells).sum().float()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        u, inside, weight, q, pulses, cells, *kept_lines = ctx.saved_tensors
        lines, call = _Lines(*kept_lines), ctx.call
        grad_x = grad_w = None
        if ctx.needs_input_grad[0]:
            table = cells @ lines.slopes.T @ lines.pulses.T * (grad * call.share / call.scale.scale)
            grad_x = _look_up(table.to(ctx.dtype), u).reshape(ctx.shape) * inside
        if ctx.needs_input_grad[1]:
            scale = call.weight_scale.view(-1, *[1] * (weight.dim() - 1))
            table = (pulses @ lines.slopes @ lines.cells.T * grad).to(scale.dtype)
            found = _look_up(table, q.long() + len(lines.cells) // 2)
            found = _ungrouped(found, weight.shape, call.groups) / scale
            most = largest_code(call.geometry.weight_bits)
            kept = (weight / scale).abs() < most + 0.5  # a learned scale may clip
            grad_w = (found * kept).to(weight.dtype)
        return grad_x, grad_w, None, None


def _rows(u: torch.Tensor, channels: int) -> torch.Tensor:
    """Input codes as (B, C, pixels)."""
    if channels == -1:
        return u.reshape(-1, u.shape[-1], 1)
    return (u if u.dim() == 4 else u.unsqueeze(0)).flatten(2)


def _grouped(q: torch.Tensor, groups: int) -> torch.Tensor:
    """Weight codes as (N / groups, C, kernel places)."""
    parts = q.reshape(groups, len(q) // groups, q.shape[1], -1).transpose(0, 1)
    return parts.flatten(1, 2)


def _ungrouped(found: torch.Tensor, shape: torch.Size, groups: int) -> torch.Tensor:
    """The inverse of `_grouped`."""
    return torch.unflatten(found, 1, (groups, -1)).transpose(0, 1).reshape(shape)


def _totals(codes: torch.Tensor, widths: tuple[int, ...]) -> torch.Tensor:
    """Groups of bits, added up by channel: int64 (C, count)."""
    # Rows first, as neighbours in memory then go side by side.
    parts = (codes >> below & mask for below, mask in bit_places(widths))
    return torch.stack([part.sum(0, dtype=torch.int32).sum(-1) for part in parts], 1)


def _look_up(table: torch.Tensor, codes: torch.Tensor) -> torch.Tensor:
    """By channel and code, (C, codes), for codes (rows, C, places)."""
    first = torch.arange(len(table), device=codes.device).unsqueeze(1) * table.shape[1]
    return table.take(codes + first)
