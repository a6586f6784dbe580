"""The rows of a sweep: a CSV file, and the settings that they share beside it."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from reram_torch._support.files import write_atomically
from reram_torch._support.resuming import check_same_settings

FIELDS = (
    "config", "design", "granularity", "encoding", "budget", "reduction", "top1",
    "top1_error", "comparisons_per_sum", "comparisons_per_mac", "conversions_per_mac",
    "reduction_over_plain_sar", "reduction_over_activity_sar", "adc_energy_over_plain_sar",
    "adc_energy_over_activity_sar", "reduction_on_calibration", "reduction_on_held_back",
    "design_seconds", "images",
)  # fmt: skip
KEY = ("config", "granularity", "encoding", "budget")


class SweepRows:
    """Rows in a CSV file that is rewritten whole after each; what it holds already is kept.

    Settings lie beside it (`<name>.settings.json`). Those of one run and of another add up, but
    what both have must be equal.

    Args:
        path: of the CSV file.
        settings: plain values.

    Attributes:
        rows: texts by field.

    Raises:
        ValueError: the file's rows were made with other settings.
    """

    def __init__(self, path: Path, settings: Mapping[str, Any]):
        self.path = path
        self._beside = path.with_name(path.name + ".settings.json")
        self._settings: dict[str, Any] = json.loads(json.dumps(settings))  # as it is read back
        self.rows = self._read()
        if self.rows and self._beside.is_file():  # older rows have none
            was = json.loads(self._beside.read_text(encoding="utf-8"))
            shared = {key: value for key, value in self._settings.items() if key in was}
            check_same_settings(path, {key: was[key] for key in shared}, shared, "file")
            self._settings = {**was, **self._settings}

    def _read(self) -> list[dict[str, str]]:
        if not self.path.is_file():
            return []
        with self.path.open(newline="", encoding="utf-8") as file:
            read = csv.DictReader(file)
            rows = list(read)
        if set(read.fieldnames or FIELDS) != set(FIELDS):
            raise ValueError(
                f"{self.path} has other columns than a sweep of this version: give another file"
            )
        # A kill may have cut the last row short.
        return [r for r in rows if set(r) == set(FIELDS) and all(v is not None for v in r.values())]

    def done(self, *key: object) -> bool:
        """Whether there is a row with these values of `KEY`."""
        return any(tuple(row[k] for k in KEY) == tuple(map(str, key)) for row in self.rows)

    def add(self, **values: object) -> dict[str, str]:
        """Adds a row and writes the file; fields that are not given are empty."""
        row = {field: str(values.get(field, "")) for field in FIELDS}
        self.rows.append(row)
        write_atomically(self._beside, json.dumps(self._settings, indent=2) + "\n")
        lines = [",".join(FIELDS), *(",".join(row[f] for f in FIELDS) for row in self.rows)]
        write_atomically(self.path, "\n".join(lines) + "\n")
        return row
