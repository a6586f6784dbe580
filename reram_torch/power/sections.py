"""Sections of a technology file: checked, and varied."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from reram_torch._support.names import check_keys

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

_Section = TypeVar("_Section", bound="DataclassInstance")


def check_numbers(where: str, section: DataclassInstance, *, zero: tuple[str, ...] = ()) -> None:
    """Raises ValueError unless every number is finite and above 0 (or 0, where it may be)."""
    for field in dataclasses.fields(section):
        value, name = getattr(section, field.name), f"{where}.{field.name}"
        if field.type in ("str", "str | None"):
            if value is not None and (not isinstance(value, str) or not value.strip()):
                raise ValueError(f"{name} must be text, not {value!r}")
        elif field.type in ("float", "int", "float | None") and value is not None:
            if field.type == "int" and not isinstance(value, int):
                raise ValueError(f"{name} must be a whole number, not {value!r}")
            check_number(name, value, zero=field.name in zero)


def check_number(name: str, value: object, *, zero: bool = False) -> None:
    """Raises ValueError unless a value is a number, finite and above 0 (or 0, if it may be)."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(f"{name} must be a number, not {value!r}")
    if math.isnan(value):
        raise ValueError(f"{name} is not filled in (nan)")
    if not 0 <= value < math.inf or (value == 0 and not zero):
        least = "at least 0" if zero else "above 0"
        raise ValueError(f"{name} must be finite and {least}, not {value!r}")


def check_variants(where: str, section: Any) -> None:
    """Raises ValueError unless `low` and `high` of a section are other values of its numbers."""
    for name in ("low", "high"):
        values = getattr(section, name)
        if not isinstance(values, Mapping):
            raise ValueError(f"{where}.{name} must be a table, not {values!r}")
        numbers = [
            f.name
            for f in dataclasses.fields(section)
            if isinstance(getattr(section, f.name), int | float)
        ]
        check_keys(f"{where}.{name}", values, numbers)
        try:
            varied(section, name) if values else None  # checks the values
        except ValueError as error:
            raise ValueError(f"{where}.{name}: {error}") from None


def varied(section: _Section, name: str) -> _Section:
    """A section with its `low` or `high` values, and no variants of its own."""
    values: Mapping[str, float] = getattr(section, name)
    return dataclasses.replace(section, **{**values, "low": {}, "high": {}})
