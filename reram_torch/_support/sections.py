"""Sections of TOML files that are frozen dataclasses: read with all their keys, and written."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from reram_torch._support.names import check_keys

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

_Section = TypeVar("_Section", bound="DataclassInstance")


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
