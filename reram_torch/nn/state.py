"""A layer's calibration and ADCs as plain values, and as they were."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from reram_torch._support.lasting import lasting
from reram_torch.config.sections import INPUT_ENCODINGS, INPUT_SCALES
from reram_torch.nn.chips import Programming
from reram_torch.nn.packing import pack, unpack

if TYPE_CHECKING:
    from reram_torch.nn.base import CrossbarLayer

STATE_VERSION = 1
STEPS = "log_input_step", "log_weight_step"
# Bytes of a packed state: designs and tables of most kinds, and by output a correction.
_ROOM, _ROOM_BY_OUTPUT = 4096, 12
_SECTIONS = "crossbar", "weights", "inputs"


def layer_state(layer: CrossbarLayer) -> dict[str, Any]:
    """Configuration, calibration and ADCs of a layer."""
    config, span, how = layer.config.to_dict(), layer.input_range, layer.site.programming
    learned = [name for name in STEPS if getattr(layer, name) is not None]
    return {
        "version": STATE_VERSION,
        **{name: config[name] for name in _SECTIONS},
        "input_range": None if span is None else list(span),
        "input_encoding": layer.input_encoding,
        **layer.bank.to_dict(),
        **({"learned": learned} if learned else {}),
        **({} if how is None else {"chip": how.to_dict()}),
    }


def packed_state(layer: CrossbarLayer) -> torch.Tensor:
    """The same as a tensor of bytes on the CPU."""
    return pack(layer_state(layer), _ROOM + _ROOM_BY_OUTPUT * layer.outputs)


def plain_state(state: Any) -> Any:
    """A saved state as plain values; earlier versions saved those.

    Raises:
        ValueError: a tensor of other bytes than were saved.
    """
    return unpack(state) if isinstance(state, torch.Tensor) else state


def load_layer_state(layer: CrossbarLayer, saved: torch.Tensor | dict[str, Any]) -> None:
    """The inverse of `layer_state` and of `packed_state`.

    Raises:
        ValueError: the state is of another version or of another configuration.
    """
    state: dict[str, Any] = plain_state(saved)
    check_layer_state(layer, state)
    span = state["input_range"]
    low, high = span or (0.0, 0.0)
    # Earlier versions knew affine codes only. A learned scale came with the parameters.
    changed = layer.cover(low, high, state.get("input_encoding", INPUT_ENCODINGS[0]))
    if span is None:
        layer.quantizer.range = None
    if span is None or changed:
        layer.statistics = None  # they were of other codes
    chip = state.get("chip")
    layer.site.program(None if chip is None else Programming.from_dict(chip))
    layer.bank.ideal = chip is None
    layer.bank.load_dict(state, layer.weight.dtype)


def check_layer_state(layer: CrossbarLayer, state: Any) -> None:
    """Raises ValueError unless a state is of this version and of the layer's configuration."""
    if not isinstance(state, dict) or state.get("version") != STATE_VERSION:
        raise ValueError("this checkpoint's crossbar state is of another version")
    mine = layer.config.to_dict()
    # What states of earlier versions did not name.
    earlier = {"inputs": {"encoding": INPUT_ENCODINGS[0], "scale": INPUT_SCALES[0]}}
    for section in _SECTIONS:
        for key, value in (earlier.get(section, {}) | state[section]).items():
            if mine[section].get(key) != value:
                raise ValueError(
                    f"a checkpoint of another configuration: {section}.{key} was {value!r} there "
                    f"and is {mine[section].get(key)!r} here; convert with the same config"
                )


def prepare_to_load(
    layer: CrossbarLayer, state_dict: dict[str, Any], prefix: str, errors: list[str]
) -> bool:
    """Checks what is loaded before any weight is touched, and makes room for learned scales."""
    key = prefix + "_extra_state"
    if key in state_dict:
        try:
            state = plain_state(state_dict[key])
            check_layer_state(layer, state)
            _check_steps(state.get("learned", []), state_dict, prefix)
        except ValueError as error:
            errors.append(f"{prefix.removesuffix('.')}: {error}")
            return False
    for name in STEPS:
        if prefix + name in state_dict and getattr(layer, name) is None:
            with lasting():
                learned = torch.empty_like(state_dict[prefix + name], device=layer.weight.device)
                setattr(layer, name, nn.Parameter(learned))
    return True


def _check_steps(learned: list[str], state_dict: dict[str, Any], prefix: str) -> None:
    lost = [name for name in learned if prefix + name not in state_dict]
    if lost:
        raise ValueError(
            f"its scales were learned, but {lost} did not come with it: where what is loaded is "
            "what the network has, call learn_scales on its layers first"
        )


def forgive_missing(prefix: str, missing: list[str]) -> None:
    """A float network's checkpoint brings new weights and leaves the calibration as it is."""
    if prefix + "_extra_state" in missing:
        own = {prefix + name for name in ("_extra_state", *STEPS)}
        missing[:] = [name for name in missing if name not in own]


def snapshot(layer: CrossbarLayer) -> Callable[[], None]:
    """Takes note of a layer's calibration, ADCs and chip; the result puts them back."""
    quantizer, bank, statistics = (
        layer.quantizer.snapshot(),
        layer.bank.snapshot(),
        layer.statistics,
    )
    programming, ideal = layer.site.programming, layer.bank.ideal
    step = layer.log_input_step
    value = None if step is None else step.detach().clone()

    def back() -> None:
        layer.quantizer.restore(quantizer)
        layer.bank.restore(bank)
        layer.statistics = statistics
        layer.bank.ideal = ideal
        if layer.site.programming != programming:
            layer.site.program(programming)
        layer.log_input_step = step
        if step is not None and value is not None:
            step.data.copy_(value)

    return back
