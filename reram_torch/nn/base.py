"""What the crossbar layers share; each of its parts has one job."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import numpy as np
import torch
from torch import nn

import reram_torch.ops.registration  # noqa: F401 - the operators
from reram_torch.adc.base import AdcDesign
from reram_torch.config.sections import Config
from reram_torch.crossbar.cells import CrossbarWeights
from reram_torch.crossbar.geometry import Geometry, sizes
from reram_torch.crossbar.quantization import InputScale, weight_scale
from reram_torch.crossbar.tables import AdcTables, lossless_tables
from reram_torch.crossbar.windows import Window
from reram_torch.nn import state
from reram_torch.nn.bank import AdcBank
from reram_torch.nn.programmed import ProgrammedWeights
from reram_torch.nn.quantizer import InputQuantizer
from reram_torch.nn.statistics import Statistics
from reram_torch.nn.watchers import WatcherStack
from reram_torch.ops.arguments import LayerArguments

# From so many outputs in a group the kernels read a position's channels, not a channel's positions.
_WIDE_OUTPUTS = 40
_Layer = TypeVar("_Layer", bound="CrossbarLayer")


class CrossbarLayer(nn.Module):
    """A layer of torch's on simulated crossbars: what all of them share.

    Attributes:
        config: what the layer was made with.
        geometry: its numbers.
        quantizer: of the inputs.
        programmed: the weights on crossbars.
        bank: the ADCs.
        watchers: who watches the layer.
        statistics: what its bit-lines did during calibration, or None.
        log_input_step: logarithm of the input scale where it is learned (`learn_scales`), or None.
        log_weight_step: of each output's weight scale, likewise.
    """

    weight: nn.Parameter
    bias: nn.Parameter | None
    log_input_step: nn.Parameter | None
    log_weight_step: nn.Parameter | None
    channels_first = False  # outputs are (B, C, H, W)
    groups = 1

    def _setup(self, config: Config | None) -> None:
        config = Config() if config is None else config
        if not isinstance(config, Config):
            raise TypeError(f"config must be a reram_torch.Config, not {config!r}")
        self.config, self.geometry = config, Geometry.of(config)
        for name in state.STEPS:
            self.register_parameter(name, None)
        self.quantizer = InputQuantizer(config.inputs.bits)
        self.programmed = ProgrammedWeights(self.geometry, self.groups)
        self.bank = AdcBank(self.geometry, self.depth, config.adc)
        self.watchers = WatcherStack()
        self.statistics: Statistics | None = None

    # --- sizes ---

    @property
    def depth(self) -> int:
        """K, the reduction length of one output."""
        return self.weight[0].numel()

    @property
    def outputs(self) -> int:
        """Output channels of all groups."""
        return self.weight.shape[0]

    @property
    def per_channel(self) -> tuple[int, ...]:
        """Shape of a per-channel tensor against the layer's output."""
        return (-1, 1, 1) if self.channels_first else (-1,)

    # --- ADCs ---

    @property
    def adc(self) -> tuple[AdcDesign, ...]:
        """The ADC designs in use: one, one for each slice, or those that `set_adc` indexed."""
        return self.bank.designs

    @property
    def correction(self) -> torch.Tensor | None:
        """By channel, what is added to the bias against the mean error of the ADCs, or None."""
        return self.bank.correction

    def set_adc(
        self,
        designs: Sequence[AdcDesign],
        *,
        edges: Sequence[int] = (0,),
        index: Sequence[Any] | np.ndarray | None = None,
    ) -> None:
        """Gives the layer its ADCs.

        Args:
            designs: one for all slices or one for each; with `index`, any number.
            edges: fewest driven word-lines of each activity bucket, rising from 0.
            index: (B, I, J) whole numbers: which design converts, by activity bucket, cycle and
                slice. -1, in a bucket of no driven word-line only (edges 0, 1, ...): nothing is
                converted.

        Raises:
            ValueError: a wrong number of designs, one that does not fit the range of the bit-line
                sums or could overflow the accumulator, or an index or edges out of range.
        """
        self.bank.set(designs, edges, index)

    def tables(self) -> AdcTables:
        """The look-up tables in use, on the device of the weights."""
        return self.bank.tables(self.weight.device)

    def lossless_tables(self) -> AdcTables:
        """Tables that convert every bit-line sum to itself, and count nothing."""
        return lossless_tables(self.geometry, self.weight.device)

    # --- inputs ---

    @property
    def input_range(self) -> tuple[float, float] | None:
        """Calibrated (minimum, maximum) of the input, or None before calibration."""
        return self.quantizer.range

    @property
    def input_scale(self) -> InputScale:
        """s_x and z of input codes."""
        return self.quantizer.scale(self.log_input_step)

    def set_input_range(self, low: float, high: float) -> None:
        """Sets the range that input codes cover; it is widened to hold zero.

        A learned input scale starts anew from it.

        Raises:
            ValueError: a bound is NaN or infinite, or `low` exceeds `high`.
        """
        if self.quantizer.cover(low, high):
            self.statistics = None  # they were of other codes
        if self.log_input_step is not None:
            self.log_input_step.data.fill_(math.log(self.quantizer.calibrated.scale))

    def learn_scales(self) -> None:
        """Makes the scales of inputs and weights parameters, from what they are now on.

        They are learned as `nn.scales.on_learned_grid` says, and saved with the weights. What was
        learned before stays.

        Raises:
            RuntimeError: the layer was never calibrated.
        """
        if self.input_range is None:
            raise RuntimeError("scales are learned from calibrated ones on: calibrate first")
        if self.log_input_step is None:
            log = math.log(self.quantizer.calibrated.scale)
            self.log_input_step = nn.Parameter(torch.tensor(log, device=self.weight.device))
        if self.log_weight_step is None:
            scale = weight_scale(self.weight.detach(), self.config.weights.bits)
            self.log_weight_step = nn.Parameter(scale.log())

    # --- weights ---

    def encoded(self) -> CrossbarWeights:
        """The weights on crossbars as they are now."""
        return self.programmed.encoded(self.weight, self.log_weight_step)

    def fingerprint(self) -> tuple[int | None, ...] | None:
        """A hash of what the crossbars hold, or None where that would cost more than encoding."""
        return self.programmed.fingerprint(self.weight, self.log_weight_step)

    # --- forward ---

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """The layer on crossbars: exact in both modes, straight-through gradients.

        Raises:
            RuntimeError: the layer was never calibrated.
            TypeError: `x` is not a floating-point tensor of the weights' type.
            ValueError: `x` has the wrong shape, lies on another device than the weights, or holds
                NaN or infinity.
        """
        if isinstance(x, torch.Tensor) and torch.is_autocast_enabled(x.device.type):
            x = x.to(self.weight.dtype)  # codes are exact; autocast is for the float layers
        self.check_input(x)
        return self.watchers.run(self, x)

    def on_crossbars(
        self, x: torch.Tensor, *, count: bool = False
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Output, counts (3, I, J) and drives (I,) with the ADCs in place; zeros unless `count`."""
        if self.input_range is None:
            raise RuntimeError(
                f"this {type(self).__name__} has no input range yet: run "
                "reram_torch.calibrate(net, batches) on a few batches, or load a state_dict "
                "saved after calibration"
            )
        held = self.quantizer.on_grid(x, self.log_input_step)
        y, counts, drives = self.simulate(held, self.tables(), count=count)
        return y.to(x.dtype), counts, drives

    def simulate(
        self, x: torch.Tensor, tables: AdcTables, *, count: bool = False, corrected: bool = True
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """The same with any tables, and with or without the correction of the ADCs in place."""
        bias = self.bank.corrected(self.bias, self.weight) if corrected else self.bias
        padded, window = self.windowed(x)
        arguments = LayerArguments(self.encoded(), tables, self.input_scale, self.geometry, window)
        weight = self.programmed.on_grid(self.weight, self.log_weight_step)
        y, counts, drives = torch.ops.reram_torch.layer(
            padded, weight, bias, *arguments.flatten(), count
        )
        return (y if y.dim() == x.dim() else y.squeeze(0)), counts, drives

    def codes(self, x: torch.Tensor) -> torch.Tensor:
        """Input codes as word-lines see them, uint8: (M, G, K), or windows in seven dimensions."""
        padded, window = self.windowed(x)
        u = self.quantizer.codes(padded, self.log_input_step)
        if window is None:
            return u.reshape(-1, 1, self.depth)
        if self.outputs // self.groups >= _WIDE_OUTPUTS:
            u = u.contiguous(memory_format=torch.channels_last)
        return window.over(u, self.quantizer.calibrated.zero)

    def bit_line_histogram(self, u: torch.Tensor, edges: torch.Tensor) -> torch.Tensor:
        """How often each bit-line sum occurs with input codes `u`, as `reference.histogram`."""
        numbers = [self.outputs // sizes(u)[1], *self.geometry.as_list()]
        found: torch.Tensor = torch.ops.reram_torch.histogram(
            u, self.encoded().cells, edges, numbers
        )
        return found

    def windowed(self, x: torch.Tensor) -> tuple[torch.Tensor, Window | None]:
        """The input as the operator takes it, and its windows; None for a linear layer."""
        raise NotImplementedError

    def float_forward(self, x: torch.Tensor) -> torch.Tensor:
        """What torch's own layer gives."""
        raise NotImplementedError

    def to_float(self) -> nn.Module:
        """Torch's own layer, sharing the parameters as they are now, and the hooks."""
        raise NotImplementedError

    def check_input(self, x: torch.Tensor) -> None:
        """Raises TypeError or ValueError unless the layer can take an input."""
        if not isinstance(x, torch.Tensor) or not x.is_floating_point():
            what = x.dtype if isinstance(x, torch.Tensor) else type(x).__name__
            raise TypeError(f"input must be a floating-point tensor, not {what}")
        if x.dtype != self.weight.dtype:
            raise TypeError(f"input is {x.dtype}, but the weights are {self.weight.dtype}")
        if x.device != self.weight.device:
            raise ValueError(
                f"input is on {x.device}, but the weights are on {self.weight.device}: "
                "move one of them"
            )

    # --- state ---

    def snapshot(self) -> Callable[[], None]:
        """Takes note of calibration and ADCs; the result puts them back."""
        return state.snapshot(self)

    def get_extra_state(self) -> dict[str, Any]:
        """Calibration and ADC designs as plain values, for `state_dict`."""
        return state.layer_state(self)

    def set_extra_state(self, values: dict[str, Any]) -> None:
        """The inverse of `get_extra_state`.

        Raises:
            ValueError: the values are of another version or of another configuration.
        """
        state.load_layer_state(self, values)

    def _load_from_state_dict(
        self, state_dict, prefix, local_metadata, strict, missing, unexpected, errors
    ):
        if not state.prepare_to_load(self, state_dict, prefix, errors):
            return
        super()._load_from_state_dict(
            state_dict, prefix, local_metadata, strict, missing, unexpected, errors
        )
        state.forgive_missing(prefix, missing)

    def extra_repr(self) -> str:
        """The layer's line in a printed network."""
        bar, weights = self.config.crossbar, self.config.weights
        adc = self.adc[0] if len(self.adc) == 1 else f"{len(self.adc)} x {self.adc[0].kind}"
        return (
            f"{super().extra_repr()}, rows={bar.rows}, cell_bits={bar.cell_bits}, "
            f"dac_bits={bar.dac_bits}, encoding={weights.encoding!r}, adc={adc}, "
            f"calibrated={self.input_range is not None}"
        )

    @classmethod
    def _adopt(cls, layer: nn.Module, made: _Layer) -> _Layer:
        """Gives `made` the parameters, hooks and mode of a float layer."""
        made.weight, made.bias = layer.weight, layer.bias
        carry_over(layer, made)
        return made


def carry_over(source: nn.Module, target: nn.Module) -> None:
    """Hooks (shared, so that their handles go on working) and training mode."""
    for name in (
        "_forward_hooks",
        "_forward_pre_hooks",
        "_forward_hooks_with_kwargs",
        "_forward_pre_hooks_with_kwargs",
        "_forward_hooks_always_called",
        "_backward_hooks",
        "_backward_pre_hooks",
        "_is_full_backward_hook",
    ):
        setattr(target, name, getattr(source, name))
    target.training = source.training
