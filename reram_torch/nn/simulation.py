"""A layer's arithmetic: its parts, and what they compute together."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

import torch
from torch import nn

import reram_torch.ops.registration  # noqa: F401 - the operators
from reram_torch.config.sections import INPUT_SCALES, Config
from reram_torch.crossbar.cells import CrossbarWeights
from reram_torch.crossbar.chips import Chip
from reram_torch.crossbar.geometry import Geometry, sizes
from reram_torch.crossbar.odds import Odds
from reram_torch.crossbar.quantization import InputScale, in_passes, over_largest, scaled_back
from reram_torch.crossbar.tables import AdcTables, lossless_tables, plain_adc
from reram_torch.crossbar.windows import Window
from reram_torch.nn.bank import AdcBank
from reram_torch.nn.chips import ChipSite
from reram_torch.nn.programmed import ProgrammedWeights
from reram_torch.nn.quantizer import InputQuantizer
from reram_torch.ops.arguments import LayerArguments

_, TOKEN = INPUT_SCALES
# From so many outputs in a group the kernels read a position's channels, not a channel's positions.
_WIDE_OUTPUTS = 40


class SimulatedLayer(nn.Module):
    """A layer on simulated crossbars, without what surrounds it.

    Attributes:
        config: what the layer was made with.
        quantizer: of the inputs.
        programmed: the weights on crossbars.
        site: the chip that holds the weights, if devices are not ideal.
        bank: the ADCs.
        log_input_step: logarithm of the input scale where it is learned (`learn_scales`), or None.
        log_weight_step: of each output's weight scale, likewise.
    """

    weight: torch.Tensor
    bias: torch.Tensor | None
    log_input_step: nn.Parameter | None
    log_weight_step: nn.Parameter | None
    channels_first = False  # outputs are (B, C, H, W)
    groups = 1

    def _set_parts(self, config: Config) -> None:
        self.config = config
        kinds = (False, True) if config.inputs.bits > 1 else (False,)
        self._geometries = tuple(Geometry.of(config, signed_inputs=signed) for signed in kinds)
        for name in ("log_input_step", "log_weight_step"):
            self.register_parameter(name, None)
        self.quantizer = InputQuantizer(config.inputs)
        self.programmed = ProgrammedWeights(self.geometry, self.groups)
        self.site = ChipSite()
        adc = plain_adc(self.geometry) if config.adc is None else config.adc
        self.bank = AdcBank(self.geometry, self.depth, adc)

    @property
    def geometry(self) -> Geometry:
        """The layer's numbers, with the input codes in use."""
        return self._geometries[self.quantizer.signed]

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

    @property
    def input_range(self) -> tuple[float, float] | None:
        """Calibrated (minimum, maximum) of the input, or None before calibration."""
        return self.quantizer.range

    @property
    def input_encoding(self) -> str:
        """Of the input codes in use: `affine` or `sign_magnitude`."""
        return self.quantizer.encoding

    def cover(self, low: float, high: float, encoding: str | None = None) -> bool:
        """Sets the input range; whether codes changed by that, for which ADCs are fitted then."""
        changed = self.quantizer.cover(low, high, encoding)
        self.bank.fit(self.geometry)
        return changed

    @property
    def input_scale(self) -> InputScale:
        """s_x and z of input codes."""
        return self.quantizer.scale(self.log_input_step)

    def tables(self) -> AdcTables:
        """The look-up tables in use, on the device of the weights."""
        return self.bank.tables(self.weight.device, self.encoded().present)

    def lossless_tables(self) -> AdcTables:
        """Tables that convert every bit-line sum to itself, and count nothing."""
        return lossless_tables(self.geometry, self.weight.device)

    def encoded(self) -> CrossbarWeights:
        """The weights on crossbars as they are now."""
        return self.programmed.encoded(self.weight, self.log_weight_step)

    def chip(self, weights: CrossbarWeights) -> Chip | Odds | None:
        """The chip that these weights lie on; None on ideal devices."""
        if self.site.programming is None:
            return None
        return self.site.chip(weights, self.geometry, self.outputs // self.groups, self.depth)

    def holding(self) -> AbstractContextManager[None]:
        """Inside the block weights are looked at once only: nobody changes them there."""
        if torch.compiler.is_compiling():
            return nullcontext()
        return self.programmed.held(self.encoded())

    def fingerprint(self) -> tuple[object, ...] | None:
        """What tells what crossbars hold; None where that would cost more than encoding."""
        found = self.programmed.fingerprint(self.weight, self.log_weight_step)
        if found is None or self.site.programming is None:
            return found
        return *found, self.site.programming

    def on_crossbars(
        self, x: torch.Tensor, *, count: bool = False
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Output, comparisons (I, J) and driven word-lines (I, rows + 1) with the ADCs in place.

        Counts are those of `ops.reference.crossbar`; zeros unless `count`.
        """
        if self.input_range is None:
            raise RuntimeError(
                f"this {type(self).__name__} has no input range yet: run "
                "reram_torch.calibrate(net, batches) on a few batches, or load a state_dict "
                "saved after calibration"
            )
        weights = self.encoded()
        tables = self.bank.tables(self.weight.device, weights.present)
        return self._simulate(x, weights, tables, count=count)

    def simulate(
        self, x: torch.Tensor, tables: AdcTables, *, count: bool = False, corrected: bool = True
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """The same with any tables, and with or without the correction of the ADCs in place."""
        return self._simulate(x, self.encoded(), tables, count=count, corrected=corrected)

    def _simulate(
        self,
        x: torch.Tensor,
        weights: CrossbarWeights,
        tables: AdcTables,
        *,
        count: bool,
        corrected: bool = True,
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        weight, bias = self.weight, self.bias
        if corrected:
            bias = self.bank.corrected(bias, weight)
        scaled, largest = self.scaled(x)
        held = self.quantizer.on_grid(scaled, self.log_input_step)
        padded, window = self.windowed(held)
        chip = self.chip(weights)
        arguments = LayerArguments(weights, tables, self.input_scale, self.geometry, window, chip)
        weight = self.programmed.on_grid(weight, self.log_weight_step)
        if weight.dtype != held.dtype:
            weight = weight.to(held.dtype)
        y, *counts = torch.ops.reram_torch.layer(
            padded, weight, bias if largest is None else None, *arguments.flatten(), count
        )
        if largest is not None:
            y = scaled_back(y, largest, bias)
        y = y if y.dim() == x.dim() else y.squeeze(0)
        return y if y.dtype == x.dtype else y.to(x.dtype), *counts

    @property
    def by_token(self) -> bool:
        """Whether each position has a scale of its own."""
        return self.config.inputs.scale == TOKEN and not self.channels_first

    def scaled(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor | None]:
        """What is coded of an input: over its positions' largest, with those; or as it is."""
        return over_largest(x) if self.by_token else (x, None)

    def codes(self, x: torch.Tensor) -> torch.Tensor:
        """Input codes as word-lines see them, uint8: (M, G, K), or windows in seven dimensions.

        M are the positions of both passes where codes are signed.
        """
        padded, window = self.windowed(self.scaled(x)[0])
        u = in_passes(self.quantizer.codes(padded, self.log_input_step))
        if window is None:
            return u.reshape(-1, 1, self.depth)
        if self.outputs // self.groups >= _WIDE_OUTPUTS:
            u = u.contiguous(memory_format=torch.channels_last)
        return window.over(u, self.quantizer.calibrated.zero)

    def bit_line_histogram(self, u: torch.Tensor, edges: torch.Tensor) -> torch.Tensor:
        """How often each bit-line sum occurs with input codes `u`, as `reference.histogram`."""
        numbers = [self.outputs // sizes(u)[1], *self.geometry.as_list()]
        weights = self.encoded()
        chip = self.chip(weights)
        tensors = [] if chip is None else list(chip.tensors)
        found: torch.Tensor = torch.ops.reram_torch.histogram(
            u, weights.cells, edges, tensors, numbers
        )
        return found

    def windowed(self, x: torch.Tensor) -> tuple[torch.Tensor, Window | None]:
        """The input as the operator takes it, and its windows; None for a linear layer."""
        raise NotImplementedError

    def float_forward(self, x: torch.Tensor) -> torch.Tensor:
        """What torch's own layer gives."""
        raise NotImplementedError
