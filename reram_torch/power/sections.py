"""Sections of a technology file: read with all their keys, checked, and varied."""

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


def table_of(where: str, table: object) -> dict[str, Any]:
    """A table of a TOML file.

    Raises:
        ValueError: it is missing, or no table.
    """
    if table is None:
        raise ValueError(f"the table [{where}] is missing")
    if not isinstance(table, dict):
        raise ValueError(f"{where} must be a table, not {table!r}")
    return table


def made(kind: type[_Section], where: str, table: object) -> _Section:
    """A section from a table that has its keys, no other, and all that have no default.

    Raises:
        ValueError: an unknown key, a missing one, or a value out of range.
    """
    table = table_of(where, table)
    fields = {f.name: f for f in dataclasses.fields(kind)}
    check_keys(where, table, fields)
    missing = [n for n, f in fields.items() if _needed(f) and n not in table]
    if missing:
        raise ValueError(f"{where}: the key {missing[0]!r} is missing")
    return kind(**table)


def _needed(field: dataclasses.Field[Any]) -> bool:
    given = (field.default, field.default_factory)
    return all(value is dataclasses.MISSING for value in given)


def plain(section: DataclassInstance) -> dict[str, Any]:
    """Nested plain values, without what is None or an empty table."""
    values = {}
    for field in dataclasses.fields(section):
        value = getattr(section, field.name)
        if dataclasses.is_dataclass(value) and not isinstance(value, type):
            value = plain(value)
        elif isinstance(value, Mapping):
            value = dict(value)
        if value is not None and value != {} and not isinstance(value, tuple):
            values[field.name] = value
    return values
