"""What the crossbar layers share: input range, ADCs, programmed cells, saved state."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import nn

from reram_torch._support.checks import check_finite
from reram_torch.adc.registry import AdcDesign, compile_tables, design_from_dict, design_to_dict
from reram_torch.config.sections import Config
from reram_torch.crossbar.geometry import Geometry, sizes
from reram_torch.crossbar.quantization import InputScale, weight_scale
from reram_torch.crossbar.tables import AdcTables, check_accumulator, check_tables
from reram_torch.nn.scales import on_learned_grid, step_of
from reram_torch.ops import backends

STATE_VERSION = 1


_STEPS = "log_input_step", "log_weight_step"


class Encoded(NamedTuple):
    """Weights as they lie on the crossbars, and what brings results back to floats."""

    cells: torch.Tensor
    scale: torch.Tensor
    code_sums: torch.Tensor


class CrossbarLayer(nn.Module):
    """What both layers share: the calibrated input range, the ADCs, and the programmed cells.

    Attributes:
        config: the design that the layer was made with.
        geometry: its numbers.
        input_range: calibrated (minimum, maximum) of the input, or None before calibration.
        adc: the ADC designs in use: one, one for each slice, or those that `set_adc` indexed.
        log_input_step: logarithm of the input scale where it is learned (`learn_scales`), or None.
        log_weight_step: of each output's weight scale, likewise.
    """

    # Set by `calibrate` while it watches: called with the layer and its input instead of `forward`.
    _observer: Callable[[CrossbarLayer, torch.Tensor], torch.Tensor] | None = None
    # Set by `PowerMeter` while it counts: called with the layer, its input, and its counts.
    _meter: Callable[..., None] | None = None
    # Set by `calibrate`, read by `design_adc`.
    _statistics = None
    # By channel, what is added to the bias against the mean error of the ADCs, or None.
    correction: torch.Tensor | None = None
    # Whether outputs are (B, C, H, W).
    channels_first = False

    def _setup(self, config: Config | None) -> None:
        config = Config() if config is None else config
        if not isinstance(config, Config):
            raise TypeError(f"config must be a reram_torch.Config, not {config!r}")
        self.config = config
        self.geometry = Geometry.of(config)
        self.input_range: tuple[float, float] | None = None
        self._calibrated_scale = InputScale(1.0, 0)
        for name in _STEPS:
            self.register_parameter(name, None)
        self._encoded: tuple[object, Encoded] | None = None
        # Plain attributes: they follow from the designs, and nothing but `set_adc` may touch them.
        self._tables: AdcTables | None = None
        self.set_adc([config.adc])

    @property
    def depth(self) -> int:
        """K, the reduction length of one output."""
        return self.weight[0].numel()

    def set_adc(
        self,
        designs: Sequence[AdcDesign],
        *,
        edges: Sequence[int] = (0,),
        index: Sequence | None = None,
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
        designs, g = tuple(designs), self.geometry
        if index is None:
            if len(designs) not in (1, g.slices):
                raise ValueError(
                    f"designs must be one or one for each of {g.slices} slices, not {len(designs)}"
                )
            slices = np.arange(g.slices) % len(designs)
            index = np.broadcast_to(slices, (len(edges), g.cycles, g.slices))
        compiled = [compile_tables(design, g.lowest, g.highest) for design in designs]
        tables = AdcTables(
            torch.from_numpy(np.stack([t.level for t in compiled])),
            torch.from_numpy(np.stack([t.comparisons for t in compiled])),
            torch.from_numpy(np.array(edges, dtype=np.int32)),
            torch.from_numpy(np.array(index, dtype=np.int32)),
        )
        check_tables(g, tables)
        check_accumulator(g, self.depth, tables)
        self.adc, self._tables = designs, tables
        self.correction = None  # it was that of other ADCs

    def lossless_tables(self) -> AdcTables:
        """Tables that convert every bit-line sum to itself, and count nothing."""
        g, device = self.geometry, self.weight.device
        levels = torch.arange(g.lowest, g.highest + 1, dtype=torch.int32, device=device)[None]
        one = torch.zeros(1, dtype=torch.int32, device=device)
        made = torch.zeros_like(levels, dtype=torch.uint8)
        return AdcTables(levels, made, one, one.expand(1, g.cycles, g.slices))

    def corrected_bias(self) -> torch.Tensor | None:
        """The bias with the correction of the ADCs' mean errors."""
        if self.correction is None:
            return self.bias
        if self.correction.device != self.weight.device:
            self.correction = self.correction.to(self.weight.device)
        correction = self.correction.to(self.weight.dtype)
        return correction if self.bias is None else self.bias + correction

    def tables(self) -> AdcTables:
        """The look-up tables in use, on the device of the weights."""
        if self._tables.levels.device != self.weight.device:
            self._tables = AdcTables(*(t.to(self.weight.device) for t in self._tables))
        return self._tables

    def set_input_range(self, low: float, high: float) -> None:
        """Sets the range that input codes cover; it is widened to hold zero.

        A learned input scale starts anew from it.

        Raises:
            ValueError: a bound is NaN or infinite, or `low` exceeds `high`.
        """
        self._cover(low, high)
        if self.log_input_step is not None:
            self.log_input_step.data.fill_(math.log(self._calibrated_scale.scale))

    def _cover(self, low: float, high: float) -> None:
        low, high = float(low), float(high)
        if not -float("inf") < low <= high < float("inf"):
            raise ValueError(f"an input range needs finite low <= high, not [{low}, {high}]")
        self.input_range = (low, high)
        scale = InputScale.from_range(low, high, self.config.inputs.bits)
        if scale != self._calibrated_scale:
            self._statistics = None  # they were of other codes
        self._calibrated_scale = scale

    # --- scales ---

    @property
    def _input_scale(self) -> InputScale:
        if self.log_input_step is None:
            return self._calibrated_scale
        return InputScale(step_of(self.log_input_step).item(), self._calibrated_scale.zero)

    def learn_scales(self) -> None:
        """Makes the scales of inputs and weights parameters, from what they are now on.

        They are learned as `scales.on_learned_grid` says, and saved with the weights. What was
        learned before stays.

        Raises:
            RuntimeError: the layer was never calibrated.
        """
        if self.input_range is None:
            raise RuntimeError("scales are learned from calibrated ones on: calibrate first")
        if self.log_input_step is None:
            log = torch.tensor(math.log(self._calibrated_scale.scale), device=self.weight.device)
            self.log_input_step = nn.Parameter(log)
        if self.log_weight_step is None:
            scale = weight_scale(self.weight.detach(), self.config.weights.bits)
            self.log_weight_step = nn.Parameter(scale.log())

    def _inputs_on_grid(self, x: torch.Tensor) -> torch.Tensor:
        """The input, with the gradient by its scale if that is learned."""
        if self.log_input_step is None or not torch.is_grad_enabled():
            return x  # the operator makes the same codes
        check_finite("input", x)  # a clipped infinity would be lost
        most = 2**self.config.inputs.bits - 1
        return on_learned_grid(x, self.log_input_step, self._calibrated_scale.zero, 0, most)

    def _weight_on_grid(self) -> torch.Tensor:
        """The weights, with the gradient by their scales if those are learned."""
        if self.log_weight_step is None or not torch.is_grad_enabled():
            return self.weight
        most = 2 ** (self.config.weights.bits - 1) - 1
        return on_learned_grid(self.weight, self.log_weight_step, 0, -most, most)

    # --- weights ---

    def encoded(self) -> Encoded:
        """The weights on crossbars as they are now.

        The last encoding is kept with a hash of the weights' content, since neither an optimizer
        nor an edit through `.data` tells the layer anything. Where a hash would not pay (under
        torch.compile, off the CPU) weights are encoded in every forward pass.
        """
        weight = self.weight.detach()
        if torch.compiler.is_compiling():
            return self._encode(weight)
        key = self.fingerprint()
        if key is not None:
            key = (key, weight.dtype, backends.backend())
            if self._encoded is not None and self._encoded[0] == key:
                return self._encoded[1]
        encoded = self._encode(weight)
        self._encoded = (key, encoded)
        return encoded

    def _encode(self, weight: torch.Tensor) -> Encoded:
        groups, steps = getattr(self, "groups", 1), self.log_weight_step
        scale = None if steps is None else step_of(steps)
        return Encoded(
            *torch.ops.reram_torch.encode_weight(weight, groups, self.geometry.as_list(), scale)
        )

    def fingerprint(self) -> tuple | None:
        """A hash of what the crossbars hold, or None where that would cost more than encoding."""
        weight = backends.fingerprint(self.weight.detach())
        if weight is None or self.log_weight_step is None:
            return weight and (weight,)
        return weight, backends.fingerprint(self.log_weight_step.detach())

    def bit_line_histogram(self, u: torch.Tensor, edges: torch.Tensor) -> torch.Tensor:
        """How often each bit-line sum occurs with input codes `u`, as `reference.histogram`."""
        outputs = self.weight.shape[0] // sizes(u)[1]
        return torch.ops.reram_torch.histogram(
            u, self.encoded().cells, edges, outputs, self.geometry.as_list()
        )

    # --- forward ---

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """The layer on crossbars: exact in both modes, straight-through gradients.

        Raises:
            RuntimeError: the layer was never calibrated.
            TypeError: `x` is not a floating-point tensor.
            ValueError: `x` has the wrong shape, or holds NaN or infinity.
        """
        if isinstance(x, torch.Tensor) and torch.is_autocast_enabled(x.device.type):
            x = x.to(self.weight.dtype)  # codes are exact; autocast is for the float layers
        self._check_input(x)
        if self._observer is not None:
            return self._observer(self, x)
        if self.input_range is None:
            raise RuntimeError(
                f"this {type(self).__name__} has no input range yet: run "
                "reram_torch.calibrate(net, batches) on a few batches, or load a state_dict "
                "saved after calibration"
            )
        held = self._inputs_on_grid(x)
        y, *counts = self._simulate(held, self.tables(), self._meter is not None)
        if self._meter is not None:
            self._meter(self, x, *counts)
        return y.to(x.dtype)

    def _simulate(
        self, x: torch.Tensor, tables: AdcTables, count: bool
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Output, counts (3, I, J) and drives (I,)."""
        raise NotImplementedError

    def _codes(self, x: torch.Tensor) -> torch.Tensor:
        """Input codes as word-lines see them, uint8: (M, G, K), or windows in seven dimensions."""
        raise NotImplementedError

    def _float(self, x: torch.Tensor) -> torch.Tensor:
        """What torch's own layer gives."""
        raise NotImplementedError

    def _check_input(self, x: torch.Tensor) -> None:
        if not isinstance(x, torch.Tensor) or not x.is_floating_point():
            what = x.dtype if isinstance(x, torch.Tensor) else type(x).__name__
            raise TypeError(f"input must be a floating-point tensor, not {what}")
        if x.dtype != self.weight.dtype:
            raise TypeError(f"input is {x.dtype}, but the weights are {self.weight.dtype}")

    # --- state ---

    def get_extra_state(self) -> dict:
        """Calibration and ADC designs as plain values, for `state_dict`."""
        design = self.config.to_dict()
        return {
            "version": STATE_VERSION,
            **{name: design[name] for name in ("crossbar", "weights", "inputs")},
            "input_range": None if self.input_range is None else list(self.input_range),
            "adc": [design_to_dict(d) for d in self.adc],
            "edges": self._tables.edges.tolist(),
            "index": self._tables.index.tolist(),
            "correction": None if self.correction is None else self.correction.tolist(),
        }

    def set_extra_state(self, state: dict) -> None:
        """The inverse of `get_extra_state`.

        Raises:
            ValueError: the state is of another version or of another design.
        """
        self._check_state(state)
        designs = [design_from_dict(d) for d in state["adc"]]
        self.set_adc(designs, edges=state["edges"], index=state["index"])
        if state.get("correction") is not None:
            self.correction = torch.tensor(state["correction"], dtype=self.weight.dtype)
        if state["input_range"] is None:
            self.input_range = self._statistics = None
        else:
            self._cover(*state["input_range"])  # a learned scale came with the parameters

    def _check_state(self, state: dict) -> None:
        if not isinstance(state, dict) or state.get("version") != STATE_VERSION:
            raise ValueError("this checkpoint's crossbar state is of another version")
        mine = self.get_extra_state()
        for section in ("crossbar", "weights", "inputs"):
            for key, value in state[section].items():
                if mine[section].get(key) != value:
                    raise ValueError(
                        f"a checkpoint of another design: {section}.{key} was {value!r} there and "
                        f"is {mine[section].get(key)!r} here; convert with the same config"
                    )

    def _load_from_state_dict(
        self, state_dict, prefix, local_metadata, strict, missing, unexpected, errors
    ):
        key = prefix + "_extra_state"
        if key in state_dict:
            try:
                self._check_state(state_dict[key])
            except ValueError as error:
                errors.append(f"{prefix.removesuffix('.')}: {error}")
                return  # before any weight is touched
        for name in _STEPS:
            if prefix + name in state_dict and getattr(self, name) is None:
                learned = torch.empty_like(state_dict[prefix + name], device=self.weight.device)
                setattr(self, name, nn.Parameter(learned))
        super()._load_from_state_dict(
            state_dict, prefix, local_metadata, strict, missing, unexpected, errors
        )
        # A float network's checkpoint brings new weights and leaves the calibration as it is.
        if key in missing:
            own = {prefix + name for name in ("_extra_state", *_STEPS)}
            missing[:] = [name for name in missing if name not in own]

    def __getstate__(self) -> dict:
        # Copies and pickles encode their weights anew.
        return {**self.__dict__, "_encoded": None, "_observer": None, "_meter": None}

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
    def _adopt(cls, layer: nn.Module, made: CrossbarLayer) -> CrossbarLayer:
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
