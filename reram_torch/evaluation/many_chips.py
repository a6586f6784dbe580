"""`monte_carlo`: a network on many chips."""

from __future__ import annotations

import csv
import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import nn

from reram_torch._support import processes
from reram_torch._support.checks import check_int
from reram_torch._support.files import write_atomically
from reram_torch._support.modules import evaluating
from reram_torch._support.progress import progress
from reram_torch._support.resuming import check_same_settings
from reram_torch.config.devices import Devices, load_devices
from reram_torch.conversion.states import crossbar_states
from reram_torch.evaluation.batch_norms import check_batch_norms, estimated_anew
from reram_torch.evaluation.chances import Spread
from reram_torch.evaluation.chip_pictures import plot_spreads
from reram_torch.nn.networks import crossbar_layers
from reram_torch.nn.programming import chips_as_before, program
from reram_torch.power.meter import PowerMeter
from reram_torch.power.technology import Technology, load_technology

Evaluate = Callable[[nn.Module], float | Mapping[str, float]]
SCORE = "score"  # what a single number is called
Time = float | str | None


@dataclass
class MonteCarlo:
    """A network on many chips. Printed, it is a table.

    Attributes:
        settings: plain values: devices, times (s; None: as programmed), seed, chips.
        rows: of each chip at each time: its `seed`, the `time`, and its figures: what `evaluate`
            gave, `comparisons_per_mac`, `conversions_per_mac`, and `adc_energy_pj` of an inference.
    """

    settings: dict[str, Any]
    rows: list[dict[str, Any]] = field(default_factory=list)

    @property
    def times(self) -> list[float | None]:
        """Times since programming, s."""
        found: list[float | None] = self.settings["times"]
        return found

    @property
    def figures(self) -> list[str]:
        """Names of the figures."""
        return [name for name in self.rows[0] if name not in ("seed", "time")] if self.rows else []

    def spread(self, figure: str = SCORE, time: float | None = None) -> Spread:
        """A figure over chips at a time.

        Raises:
            ValueError: there is no such figure, or no chip was looked at then.
        """
        if figure not in self.figures:
            raise ValueError(f"figure must be one of {self.figures}, not {figure!r}")
        values = [row[figure] for row in self.rows if row["time"] == time]
        if not values:
            raise ValueError(f"time must be one of {self.times}, not {time!r}")
        return Spread.of(values)

    def spreads(self) -> list[dict[str, Any]]:
        """Every figure at every time, as plain values."""
        return [
            {"time": time, "figure": figure, **asdict(self.spread(figure, time))}
            for time in self.times
            for figure in self.figures
        ]

    def __str__(self) -> str:
        name, chips = self.settings["devices"]["name"], len(self.rows) // max(len(self.times), 1)
        head = f"{name}, {chips} chips from seed {self.settings['seed']}"
        width = max(map(len, self.figures), default=0)
        lines = [
            f"{'time':>10}  {'figure':{width}}  {'mean':>10}  {'95% interval of it':>23}  "
            f"{'deviation':>10}  {'lowest':>10}  {'highest':>10}"
        ]
        for row in self.spreads():
            time = "-" if row["time"] is None else f"{row['time']:g} s"
            numbers = [
                row[key] for key in ("mean", "low", "high", "deviation", "lowest", "highest")
            ]
            mean, low, high, *rest = (f"{number:10.4g}" for number in numbers)
            lines.append(
                f"{time:>10}  {row['figure']:{width}}  {mean}  {low} - {high}  {'  '.join(rest)}"
            )
        return "\n".join([head, *lines])

    def to_json(self, path: str | Path) -> None:
        """Writes settings, every chip's row, and the spreads."""
        found = {"settings": self.settings, "rows": self.rows, "spreads": self.spreads()}
        write_atomically(Path(path), json.dumps(found, indent=2) + "\n")

    def to_csv(self, path: str | Path) -> None:
        """Writes a line for each chip and time."""
        with Path(path).open("w", newline="", encoding="utf-8") as file:
            names = ["devices", "seed", "time", *self.figures]
            writer = csv.DictWriter(file, names)
            writer.writeheader()
            name = self.settings["devices"]["name"]
            writer.writerows({"devices": name, **row} for row in self.rows)

    def plot(self, path: str | Path, figure: str = SCORE) -> None:
        """Draws a figure of every chip, and the mean with its interval, by time."""
        plot_spreads(
            {self.settings["devices"]["name"]: [(t, self._values(figure, t)) for t in self.times]},
            figure,
            path,
        )

    def _values(self, figure: str, time: float | None) -> list[float]:
        return [row[figure] for row in self.rows if row["time"] == time]


def monte_carlo(
    net: nn.Module,
    devices: str | Path | Devices,
    evaluate: Evaluate,
    *,
    chips: int = 20,
    time: Time | Sequence[Time] = None,
    seed: int = 0,
    exact: bool = True,
    batch_norms: bool = False,
    technology: str | Path | Technology = "isaac",
    path: str | Path | None = None,
    resume: bool = False,
    show_progress: bool = True,
) -> MonteCarlo:
    """Evaluates a network on chip after chip, with the ADCs that it has.

    Afterwards the network is programmed as it was. With several processes of torch.distributed each
    takes its share of the chips (`evaluate` then goes through all data), and every one gets all
    rows; all must call this.

    Args:
        net: a converted and calibrated network.
        devices: as `program` takes them.
        evaluate: called with the programmed network in eval mode, without gradients; gives its
            score, or several figures by name.
        chips: how many, of the seeds from `seed` on.
        time: since programming, as `program` takes it; several: each chip is looked at at each.
        seed: of the first chip.
        exact: as `program` takes it.
        batch_norms: take their running statistics anew on each chip, from the calibration images,
            as whoever tests chips can.
        technology: prices the energy of ADCs.
        path: a JSON file that is written after each chip, with all rows so far; processes beyond
            the first write to files beside it until all are done.
        resume: go on from what a stopped run left at `path`; all its chips stay in the result.
        show_progress: draw a tqdm bar if tqdm is installed.

    Raises:
        ValueError: no crossbar layers, no chips, a time that the devices say nothing of, a figure
            that is no number, `batch_norms` without any, or `resume` of a run with other settings,
            or without a `path`.
        RuntimeError: `batch_norms` of a network that was not calibrated in this session.
        FileNotFoundError: neither a known name of devices nor a file.
    """
    layers = crossbar_layers(net)
    check_int("chips", chips, 1, 1 << 20)
    chosen, prices = load_devices(devices), load_technology(technology)
    if batch_norms:
        check_batch_norms(net)
    several = time if isinstance(time, list | tuple) else [time]
    times = [chosen.at(each) for each in several]  # type: ignore[arg-type]  # as the union has it
    settings = {
        "devices": chosen.to_dict(), "times": times, "seed": seed, "chips": chips,
        "exact": exact, "batch_norms": batch_norms, "technology": prices.name,
        "network": _digest(net),
    }  # fmt: skip
    rows = _Rows(path, settings, resume=resume)
    wanted = [(seed + k, t) for k in range(chips) for t in times]
    mine = list(wanted[processes.rank() :: processes.world()])
    left = [pair for pair in mine if not rows.done(*pair)]
    bar = progress(
        description=f"chips of {chosen.name}", total=len(mine), unit="chip",
        show=show_progress and processes.rank() == 0, done=len(mine) - len(left),
    )  # fmt: skip
    with chips_as_before(layers.values()), bar, evaluating(net), torch.no_grad():
        for number, at in left:
            program(net, chosen, seed=number, time=at, exact=exact, show_progress=False)
            with estimated_anew(net) if batch_norms else nullcontext():
                figures = _figures(net, evaluate, prices)
            rows.add({"seed": number, "time": at, **figures})
            bar.update()
            bar.set_postfix_str(", ".join(f"{k} {v:.4g}" for k, v in list(figures.items())[:1]))
    return rows.all(wanted)


def _digest(net: nn.Module) -> str:
    """A hash of parameters, buffers, calibration and ADCs: what a run that goes on must share."""
    found = hashlib.sha256()
    for name, value in net.state_dict().items():
        if isinstance(value, torch.Tensor) and not name.endswith("_extra_state"):
            found.update(name.encode())
            raw = value.detach().cpu().reshape(-1).view(torch.uint8)
            found.update(raw.numpy().tobytes())
    states = {
        name: {key: value for key, value in state.items() if key != "chip"}
        for name, state in crossbar_states(net).items()
    }
    found.update(json.dumps(states, sort_keys=True).encode())
    return found.hexdigest()[:16]


def _figures(net: nn.Module, evaluate: Evaluate, technology: Technology) -> dict[str, float]:
    """What a row says of a network as it is programmed."""
    with PowerMeter(net) as meter:
        given = evaluate(net)
    named = dict(given) if isinstance(given, Mapping) else {SCORE: given}
    for name, value in named.items():
        number = isinstance(value, int | float) and not isinstance(value, bool)
        if not number:
            raise ValueError(
                f"evaluate must give a number, or numbers by name, not {name}={value!r}"
            )
    report = meter.report(technology)
    return {
        **{name: float(value) for name, value in named.items()},
        "comparisons_per_mac": report.comparisons_per_mac,
        "conversions_per_mac": report.conversions_per_mac,
        "reduction": report.reduction,
        "adc_energy_pj": report.per_inference(report.adc_energy_pj),
    }


class _Rows:
    """Rows as they come, in a file that is rewritten after each.

    Args:
        path: of the file, or None.
        settings: plain values.
        resume: take the rows that are there.
    """

    def __init__(self, path: str | Path | None, settings: dict[str, Any], *, resume: bool):
        if resume and path is None:
            raise ValueError("resume=True needs the path of the run that was stopped")
        self.settings: dict[str, Any] = json.loads(json.dumps(settings))  # as it is read back
        self.path = None if path is None else Path(path)
        self.earlier: list[dict[str, Any]] = []
        if self.path is not None and resume:
            for file in (self.path, *self._parts()):
                self.earlier += self._read(file)
        self.earlier = processes.broadcast(self.earlier)
        self.rows: list[dict[str, Any]] = []
        if processes.rank() == 0 and self.path is not None and not resume:
            self._remove_parts()

    def _parts(self) -> list[Path]:
        assert self.path is not None
        return sorted(self.path.parent.glob(f"{self.path.name}.*.part"))

    def _remove_parts(self) -> None:
        for file in self._parts():
            file.unlink(missing_ok=True)

    def _read(self, file: Path) -> list[dict[str, Any]]:
        if not file.is_file():
            return []
        read = json.loads(file.read_text(encoding="utf-8"))
        was = {**read["settings"], "chips": self.settings["chips"]}  # there may be more now
        check_same_settings(file, was, self.settings, "path")
        found: list[dict[str, Any]] = read["rows"]
        return found

    def done(self, seed: int, time: float | None) -> bool:
        """Whether a chip was evaluated at a time."""
        return any(row["seed"] == seed and row["time"] == time for row in self.earlier)

    def add(self, row: dict[str, Any]) -> None:
        """Adds a row and writes those of this process, and what there was."""
        self.rows.append(row)
        if self.path is None:
            return
        rank, file = processes.rank(), self.path
        if rank:
            file = file.with_name(f"{file.name}.{rank}.part")
        found = {"settings": self.settings, "rows": self.earlier + self.rows}
        write_atomically(file, json.dumps(found, indent=2) + "\n")

    def all(self, wanted: list[tuple[int, float | None]]) -> MonteCarlo:
        """The rows of all processes, in order; those of an earlier run that had more chips too."""
        rows = self.earlier + [row for each in processes.gather(self.rows) for row in each]
        at = {(row["seed"], row["time"]): row for row in rows}
        found = MonteCarlo(self.settings, [at.pop(pair) for pair in wanted] + [*at.values()])
        found.settings["chips"] = len({row["seed"] for row in found.rows})
        if self.path is not None and processes.rank() == 0:
            found.to_json(self.path)
            self._remove_parts()
        return found
