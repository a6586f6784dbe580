"""Networks measured side by side: their table, their JSON file, and what a stopped run left."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.utils.data import Dataset

from reram_torch._support import processes
from reram_torch._support.files import replacing, write_atomically
from reram_torch._support.resuming import check_same_settings, difference
from reram_torch.conversion.states import crossbar_states, load_crossbar_states
from reram_torch.evaluation.outcomes import Outcome
from reram_torch.evaluation.scoring import Kept, score
from reram_torch.evaluation.tasks import IMAGES, Task
from reram_torch.power.meter import PowerMeter
from reram_torch.power.reports import PowerReport
from reram_torch.power.technology import Technology, load_technology


@dataclass
class Results:
    """Measures networks on a data set and keeps what it finds.

    With a path, what each network did so far lies in a folder beside it, written every minute and
    on Ctrl-C or SIGTERM, until `finish`: a run that resumes measures nothing twice. With several
    processes each does its part of the items, and the first one writes.

    Attributes:
        path: JSON file of the rows, rewritten after each network; or None.
        settings: plain values that tell one run from another, written with the rows.
        data: the items of the task: for images, pairs of input and label.
        batch_size: items of a batch, in each process.
        workers: processes that load data.
        bf16: autocast in the float layers.
        technology: what prices the counts.
        adc_model: likewise.
        task: what networks are to do.
        resume: go on from what a stopped run left; a ValueError if it had other settings.
        note: what must be said of all rows; written with them and below the table.
        rows: what was found, a dict for each network.
        chips: what networks did on chips: spreads of their figures, as plain values.
        reports: the power of each network that was metered.
    """

    path: Path | None
    settings: dict[str, Any]
    data: Dataset[Any]
    batch_size: int
    workers: int = 0
    bf16: bool = False
    technology: str | Technology = "isaac"
    adc_model: str = "bit_cycle"
    task: Task = IMAGES
    resume: bool = False
    note: str = ""
    rows: list[dict[str, Any]] = field(default_factory=list)
    chips: list[dict[str, Any]] = field(default_factory=list)
    reports: dict[str, PowerReport] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.technology = load_technology(self.technology)
        self.settings = json.loads(json.dumps(self.settings))  # as it is read back
        self._parts = None if self.path is None else self.path.with_name(self.path.name + ".parts")
        if self.path is not None and self.resume:
            self._read(self.path)
        elif self._parts is not None:
            if processes.rank() == 0:
                shutil.rmtree(self._parts, ignore_errors=True)
            processes.broadcast(None)  # no one writes before that

    def _read(self, path: Path) -> None:
        """Takes the rows of the run that is resumed."""
        if not path.is_file():
            return
        read = json.loads(path.read_text(encoding="utf-8"))
        check_same_settings(path, read["settings"], self.settings, "file")
        self.rows, self.chips = read["results"], read.get("chips", [])

    def measure(
        self,
        name: str,
        net: nn.Module,
        *,
        metered: bool = True,
        exact: Outcome | None = None,
        floating: Outcome | None = None,
    ) -> Outcome:
        """Runs a network over the data and adds its row.

        Args:
            name: of the row.
            net: float, or converted if `metered`.
            metered: count what its crossbars do.
            exact: what the lossless crossbar found, to compare with.
            floating: what the float network found, likewise.
        """
        row: dict[str, Any] = {"network": name}
        if metered:
            with PowerMeter(net, histograms=self.adc_model == "sar") as meter:
                result = self._score(name, net, meter)
            report = meter.report(self.technology, adc_model=self.adc_model)
            self.reports[name] = report
            row |= _figures(report, self.task.unit)
        else:
            result = self._score(name, net, None)
        row |= result.figures() | {
            "unreadable": result.unreadable,
            "seconds": result.seconds,
            f"seconds_per_100_{self.task.unit}s": result.seconds_per_100,
        }
        for against, other in (("float", floating), ("lossless", exact)):
            if other is not None:
                row |= result.compared(other, against)
        changed = None if exact is None else result.changed(exact)
        if changed is not None:
            row["answers_changed"] = changed
        self.add(row)
        return result

    def add(self, row: dict[str, Any]) -> None:
        """Adds a row, in the place of one of the same network, and writes all."""
        self.rows = [r for r in self.rows if r["network"] != row["network"]] + [row]
        self._write()

    def add_chips(self, rows: list[dict[str, Any]]) -> None:
        """Adds what networks did on chips, in the place of those on the same, and writes all."""
        new = {(row["network"], row["devices"]) for row in rows}
        kept = [row for row in self.chips if (row["network"], row["devices"]) not in new]
        self.chips = kept + rows
        if rows:
            self._write()

    def _write(self) -> None:
        if self.path is not None and processes.rank() == 0:
            note = {"note": self.note} if self.note else {}
            chips = {"chips": self.chips} if self.chips else {}
            results = {"settings": self.settings, **note, "results": self.rows, **chips}
            write_atomically(self.path, json.dumps(results, indent=2) + "\n")

    def copy(self, name: str, of: str) -> None:
        """Adds the row of a network that is another one, which was measured.

        Raises:
            KeyError: there is no row of that other network.
        """
        rows = {row["network"]: row for row in self.rows}
        self.add({**rows[of], "network": name})

    def _score(self, name: str, net: nn.Module, meter: PowerMeter | None) -> Outcome:
        kept = None
        if self._parts is not None:
            file = self._parts / f"{name.replace(' ', '_')}.{processes.rank()}.pt"
            kept = Kept(file, self._key(), meter)
        return score(
            net, self.data, task=self.task, batch_size=self.batch_size, workers=self.workers,
            description=name, bf16=self.bf16, meter=meter, kept=kept,
        )  # fmt: skip

    def _key(self) -> dict[str, Any]:
        return {**self.settings, "processes": processes.world(), "batch_size": self.batch_size}

    def restore(self, name: str, net: nn.Module) -> dict[str, Any] | None:
        """Gives a network the calibration and ADCs that `keep` kept; None if there are none."""
        file = None if self._parts is None else self._parts / f"{name}.adcs.pt"
        if file is None or not file.is_file():
            return None
        state = torch.load(file, weights_only=True)
        if difference(state["key"], self._key()):
            return None
        load_crossbar_states(net, state["states"])
        found: dict[str, Any] = state["found"]
        return found

    def keep(self, name: str, net: nn.Module, found: dict[str, Any]) -> None:
        """Keeps a network's calibration and ADCs, and plain values, for `restore`."""
        if self._parts is not None and processes.rank() == 0:
            with replacing(self._parts / f"{name}.adcs.pt") as new:
                torch.save(
                    {"key": self._key(), "states": crossbar_states(net), "found": found}, new
                )

    def finish(self) -> None:
        """Removes what a resumed run would need: the rows say it all."""
        if self._parts is not None and processes.rank() == 0:
            shutil.rmtree(self._parts, ignore_errors=True)

    def table(self) -> str:
        """All networks, a line each."""
        key = self.task.key
        names, scores = ["network"], [self.task.measure]
        for row in self.rows:
            names.append(row["network"])
            scores.append(f"{row[key]:.4f} +- {row[f'{key}_error']:.4f}")
        wide, broad = max(24, *map(len, names)), max(map(len, scores))
        lines = [
            f"{name:{wide}} {score:>{broad}} " for name, score in zip(names, scores, strict=True)
        ]
        for title, (width, show) in _columns(self.task).items():
            cells = [title, *map(show, self.rows)]
            lines = [f"{line}{cell:>{width}} " for line, cell in zip(lines, cells, strict=True)]
        lines = [line.rstrip() for line in lines]
        lines.append(
            f"{self.task.legend(self.rows[-1])}; "
            "/ISAAC: times fewer A/D operations than ISAAC's 8 on 128 rows; /plain, /activ.: than "
            "a plain and an activity SAR on the same arrays, comparisons and ADC energy"
        )
        if self.note:
            lines.append(self.note)
        return "\n".join(lines)


def _figures(report: PowerReport, unit: str) -> dict[str, Any]:
    """What a row says of a report."""
    total = report.total
    return {
        "report": report.to_dict(),
        "comparisons_per_conversion": report.comparisons_per_conversion,
        "comparisons_per_mac": report.comparisons_per_mac,
        "conversions_per_mac": report.conversions_per_mac,
        "reduction": report.reduction,
        "reduction_over_plain_sar": total.times_less("comparisons", "plain_sar"),
        "reduction_over_activity_sar": total.times_less("comparisons", "activity_sar"),
        "adc_energy_over_plain_sar": total.times_less("adc_energy_pj", "plain_sar"),
        "adc_energy_over_activity_sar": total.times_less("adc_energy_pj", "activity_sar"),
        f"adc_energy_uj_per_{unit}": report.per_inference(report.adc_energy_pj) / 1e6,
    }


_Cell = Callable[[dict[str, Any]], str]


def _number(key: str, form: str, unit: str = "") -> _Cell:
    return lambda row: f"{row[key]:{form}}{unit}" if key in row else ""


def _lost(against: str) -> _Cell:
    key = f"lost_to_{against}"
    return lambda row: f"{row[key]:+.4f} +- {row[f'{key}_error']:.4f}" if key in row else ""


def _columns(task: Task) -> dict[str, tuple[int, _Cell]]:
    """Titles, widths and contents of a table's columns after the score."""
    unit, own = task.unit, task.columns.items()
    return {
        "lost to float": (17, _lost("float")),
        "lost to lossless": (17, _lost("lossless")),
        **{title: (len(title), _number(key, ".4f")) for title, key in own},
        "comp./MAC": (9, _number("comparisons_per_mac", ".3f")),
        "conv./MAC": (9, _number("conversions_per_mac", ".3f")),
        "/ISAAC": (7, _number("reduction", ".2f", "x")),
        "/plain": (7, _number("reduction_over_plain_sar", ".2f", "x")),
        "/activ.": (7, _number("reduction_over_activity_sar", ".2f", "x")),
        f"ADC uJ/{unit}": (7 + len(unit), _number(f"adc_energy_uj_per_{unit}", ".4g")),
        "energy /plain": (13, _number("adc_energy_over_plain_sar", ".2f", "x")),
        "energy /activ.": (14, _number("adc_energy_over_activity_sar", ".2f", "x")),
        "changed": (7, _number("answers_changed", "d")),
        f"s/100 {unit}s": (7 + len(unit), _number(f"seconds_per_100_{unit}s", ".2f")),
    }
