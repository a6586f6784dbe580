"""What surrounds a layer's arithmetic: its ADCs, checks, watchers, saved state."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import fx, nn
from torch.nn.utils import parametrize

from reram_torch._support.lasting import lasting
from reram_torch.adc.base import AdcDesign
from reram_torch.config.sections import Config
from reram_torch.crossbar.quantization import weight_scale
from reram_torch.nn import state
from reram_torch.nn.carrying import carry_over
from reram_torch.nn.shells import Shell
from reram_torch.nn.simulation import SimulatedLayer
from reram_torch.nn.statistics import Statistics
from reram_torch.nn.tracing import record
from reram_torch.nn.watchers import WatcherStack


class CrossbarLayer(SimulatedLayer):
    """A layer of torch's on simulated crossbars: what all of them share.

    Attributes:
        watchers: who watches the layer.
        statistics: what its bit-lines did during calibration, or None.
        shell: what is left of the float layer, where that was of a class of its own, or None.
    """

    def _setup(self, config: Config | None) -> None:
        config = Config() if config is None else config
        if not isinstance(config, Config):
            raise TypeError(f"config must be a reram_torch.Config, not {config!r}")
        self._set_parts(config)
        self.watchers = WatcherStack()
        self.statistics: Statistics | None = None
        self.shell: Shell | None = None

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
        index: Sequence[Any] | np.ndarray | torch.Tensor | None = None,
    ) -> None:
        """Gives the layer its ADCs.

        Args:
            designs: one for all slices or one for each; with `index`, any number.
            edges: fewest driven word-lines of each activity bucket, rising from 0.
            index: (B, I, J) whole numbers: which design converts, by activity bucket, cycle and
                slice; with speculation (B, I + R, J), recoveries by input bit after the cycles.
                -1, in a bucket of no driven word-line only (edges 0, 1, ...): nothing is
                converted.

        Raises:
            ValueError: a wrong number of designs, one that does not fit the range of the bit-line
                sums or could overflow the accumulator, or an index or edges out of range.
        """
        self.bank.set(designs, edges, index)

    # --- scales ---

    def set_input_range(self, low: float, high: float, encoding: str | None = None) -> None:
        """Sets the range that input codes cover; it is widened to hold zero.

        A learned input scale starts anew from it.

        Args:
            low: the smallest input.
            high: the largest.
            encoding: of inputs that can be negative: `affine` or `sign_magnitude`; by default that
                of the configuration, or the one in use where that says `auto`.

        Raises:
            ValueError: a bound is NaN or infinite, `low` exceeds `high`, or an unknown encoding.

        Warns:
            UserWarning: ADCs by cycle are dropped, since the codes take other cycles now.
        """
        if self.cover(low, high, encoding):
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
        with lasting():
            if self.log_input_step is None:
                log = math.log(self.quantizer.calibrated.scale)
                self.log_input_step = nn.Parameter(torch.tensor(log, device=self.weight.device))
            if self.log_weight_step is None:
                scale = weight_scale(self.weight.detach(), self.config.weights.bits)
                self.log_weight_step = nn.Parameter(scale.log())

    # --- forward ---

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        """The layer on crossbars: exact in both modes, straight-through gradients.

        Raises:
            RuntimeError: the layer was never calibrated.
            RuntimeError: a transform of torch.func is on its way.
            TypeError: `input` is not a floating-point tensor of the weights' type.
            ValueError: `input` has the wrong shape, lies on another device than the weights, or
                holds NaN or infinity.
        """
        if isinstance(input, fx.Proxy):
            return record(self, input)
        if "parametrizations" not in self._modules:
            return self._watched(input)
        # A weight that is computed is computed once: spectral norm moves on with every look.
        with parametrize.cached():
            return self._watched(input)

    def _watched(self, x: torch.Tensor) -> torch.Tensor:
        weight = self.weight
        here = isinstance(x, torch.Tensor) and x.device == weight.device
        if here and torch.is_autocast_enabled(weight.device.type):
            x = x.to(weight.dtype)  # codes are exact; autocast is for the float layers
        self.check_input(x)
        return self.site.passed(self.watchers.run(self, x), self.outputs)

    def _came_from(self, layer: nn.Module) -> None:
        """Takes over a float layer's parameters and hooks, and keeps its shell."""
        self.shell = Shell(layer)
        self.shell.lend(self)
        carry_over(layer, self)

    def to_float(self) -> nn.Module:
        """The float layer, sharing the parameters as they are now, and the hooks.

        It is of the class that `from_float` was given, or torch's own.
        """
        made = self._float_layer() if self.shell is None else self.shell.filled(self)
        carry_over(self, made)
        return made

    def _float_layer(self) -> nn.Module:
        """Torch's own layer without weights."""
        raise NotImplementedError

    def check_input(self, x: torch.Tensor) -> None:
        """Raises TypeError or ValueError unless the layer can take an input."""
        if not isinstance(x, torch.Tensor) or not x.is_floating_point():
            what = x.dtype if isinstance(x, torch.Tensor) else type(x).__name__
            raise TypeError(f"input must be a floating-point tensor, not {what}")
        weight = self.weight
        if x.dtype != weight.dtype:
            raise TypeError(f"input is {x.dtype}, but the weights are {weight.dtype}")
        if x.device != weight.device:
            raise ValueError(
                f"input is on {x.device}, but the weights are on {weight.device}: move one of them"
            )

    # --- state ---

    def snapshot(self) -> Callable[[], None]:
        """Takes note of calibration and ADCs; the result puts them back."""
        return state.snapshot(self)

    def get_extra_state(self) -> torch.Tensor:
        """Calibration and ADC designs for `state_dict`, as bytes; see `crossbar_states`."""
        return state.packed_state(self)

    def set_extra_state(self, values: torch.Tensor | dict[str, Any]) -> None:
        """The inverse of `get_extra_state`; takes plain values too.

        Raises:
            ValueError: the values are of another version or of another configuration, or bytes that
                changed.
        """
        state.load_layer_state(self, values)

    def _load_from_state_dict(
        self,
        state_dict: dict[str, Any],
        prefix: str,
        local_metadata: dict[str, Any],
        strict: bool,
        missing: list[str],
        unexpected: list[str],
        errors: list[str],
    ) -> None:
        if not state.prepare_to_load(self, state_dict, prefix, errors):
            return
        load: Callable[..., None] = super()._load_from_state_dict
        load(state_dict, prefix, local_metadata, strict, missing, unexpected, errors)
        state.forgive_missing(prefix, missing)

    def extra_repr(self) -> str:
        """The layer's line in a printed network."""
        bar, weights = self.config.crossbar, self.config.weights
        adc = self.adc[0] if len(self.adc) == 1 else f"{len(self.adc)} x {self.adc[0].kind}"
        return (
            f"{super().extra_repr()}, rows={bar.rows}, cell_bits={bar.slicing or bar.cell_bits}, "
            f"dac_bits={bar.dac_bits}, encoding={weights.encoding!r}, adc={adc}, "
            f"inputs={self.input_encoding!r}, calibrated={self.input_range is not None}{self.site}"
        )
