"""Pictures of networks on chips: every chip, means with intervals, bands."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from reram_torch.evaluation.chances import Spread
from reram_torch.plots.figures import BLUE, GREEN, GREY, ORANGE, Axes, new_figure

_COLORS = (BLUE, ORANGE, GREEN, "#9a4fb0", "#c0392b", "#00838f", "#6d4c41", GREY)
_UNITS = {"s": 1.0, "min": 60.0, "h": 3600.0, "d": 86400.0}
Point = tuple[float, Sequence[float]]  # where, and the values of chips there


def since(time: float | None) -> str:
    """A time as a label."""
    if time is None:
        return "as\nprogrammed"
    unit, each = [(u, s) for u, s in _UNITS.items() if time >= s or u == "s"][-1]
    return f"{time / each:g} {unit}"


def _draw(axis: Axes, points: Sequence[Point], color: str, label: str) -> None:
    """A line through means, a band of one deviation, every chip."""
    points = sorted(points, key=lambda point: point[0])
    x, spreads = [at for at, _ in points], [Spread.of(values) for _, values in points]
    means = [s.mean for s in spreads]
    wide = [0.0 if s.chips < 2 else s.deviation for s in spreads]
    axis.fill_between(
        x, [m - w for m, w in zip(means, wide, strict=True)],
        [m + w for m, w in zip(means, wide, strict=True)], color=color, alpha=0.15, lw=0,
    )  # fmt: skip
    away = [0.0 if s.chips < 2 else s.high - s.mean for s in spreads]
    axis.errorbar(x, means, yerr=away, fmt="o-", color=color, ms=5, lw=1.5, elinewidth=1.2,
                  capsize=3, label=label)  # fmt: skip
    for at, values in points:
        axis.plot([at] * len(values), values, ".", color=color, ms=3, alpha=0.5)


def plot_spreads(
    curves: Mapping[str, Sequence[tuple[float | None, Sequence[float]]]],
    figure: str,
    path: str | Path,
) -> None:
    """A figure of chips by time, a line for each name.

    Args:
        curves: for each name, times (s; None: as programmed) and the values of chips then.
        figure: what the values are, for the axis.
        path: of the picture.
    """
    times = {time for points in curves.values() for time, _ in points}
    order = sorted(times, key=lambda time: -1.0 if time is None else time)
    place = {time: float(k) for k, time in enumerate(order)}
    made, (axis,) = new_figure(4.2 + 0.9 * len(order), 4.2)
    for k, (name, points) in enumerate(curves.items()):
        there = [(place[time], values) for time, values in points]
        _draw(axis, there, _COLORS[k % len(_COLORS)], name)
    axis.set_xticks(list(place.values()), [since(time) for time in order])
    axis.set_xlim(-0.5, len(order) - 0.5)
    axis.set_xlabel("time since programming")
    _finish(made, axis, figure, path)


def plot_reductions(
    curves: Mapping[str, Sequence[Point]],
    path: str | Path,
    figure: str = "top-1",
    level: float | None = None,
) -> None:
    """Accuracy of chips against reduction, a line for each name.

    Args:
        curves: for each name of devices, reductions and the scores of chips there.
        path: of the picture.
        figure: what the scores are, for the axis.
        level: of the float network, drawn as a line if it is given.
    """
    made, (axis,) = new_figure(7.6, 4.6)
    if level is not None:
        axis.axhline(level, color=GREY, lw=1, ls="--", label="float")
    for k, (name, points) in enumerate(curves.items()):
        _draw(axis, points, _COLORS[k % len(_COLORS)], name)
    axis.set_xlabel("reduction of A/D operations over the ISAAC baseline (x)")
    _finish(made, axis, figure, path)


def _finish(made: Axes, axis: Axes, figure: str, path: str | Path) -> None:
    axis.set_ylabel(figure.replace("_", " "))
    axis.set_title(
        "mean of chips with its 95% interval; band: one deviation of chips; dots: chips",
        fontsize=8, color="#555", loc="left",
    )  # fmt: skip
    axis.grid(alpha=0.25)
    made.legend(frameon=False, fontsize=8, loc="outside lower center", ncols=3)
    made.savefig(path)
