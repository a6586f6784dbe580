"""Checks of arguments that several rooms share; their messages name the argument."""

from __future__ import annotations

import math

import torch


def check_int(name: str, value: object, low: int, high: int, why: str = "") -> None:
    """Raises ValueError unless `value` is a whole number from `low` to `high`."""
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        why = f" ({why})" if why else ""
        raise ValueError(f"{name} must be a whole number from {low} to {high}{why}, not {value!r}")


def check_number(name: str, value: object, low: float, high: float) -> None:
    """Raises ValueError unless `value` is a finite number from `low` to `high`."""
    number = value if isinstance(value, int | float) and not isinstance(value, bool) else math.nan
    if not (math.isfinite(number) and low <= number <= high):
        span = f"from {low} to {high}" if high < math.inf else f"at least {low}"
        raise ValueError(f"{name} must be a finite number {span}, not {value!r}")


def check_choice(name: str, value: object, choices: tuple[str, ...]) -> None:
    """Raises ValueError unless `value` is one of `choices`."""
    if value not in choices:
        raise ValueError(f"{name} must be one of {list(choices)}, not {value!r}")


def check_finite(name: str, value: torch.Tensor) -> None:
    """Raises ValueError if a tensor holds NaN or infinity.

    On a CUDA device the kernel asserts it instead: an answer here would have to wait for it.
    """
    if value.numel() == 0:
        return
    low, high = torch.aminmax(value.detach())  # one pass; NaN spreads to both
    finite = torch.isfinite(low) & torch.isfinite(high)
    if value.is_cuda:
        torch._assert_async(finite, f"{name} holds NaN or infinity; a crossbar has no code for it")
    elif not bool(finite):
        bad = int((~torch.isfinite(value)).sum())
        raise ValueError(
            f"{name} holds NaN or infinity in {bad} of {value.numel()} places; "
            "a crossbar has no code for them"
        )
