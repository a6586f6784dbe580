"""Pictures (needs the extra `plot`)."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from reram_torch.adc import TwinRange, compile_tables
from reram_torch.crossbar_layer import CrossbarLayer

_BLUE, _ORANGE, _GREY, _GREEN = "#3b6fb6", "#d9822b", "#8a8f98", "#3f8f5f"


def _figure(width: float, height: float, columns: int = 1):
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ImportError("pictures need matplotlib, which is in the extra 'plot'") from error
    figure = Figure(figsize=(width, height), dpi=150, layout="constrained")
    FigureCanvasAgg(figure)  # no window system, no global state
    axes = figure.subplots(1, columns, squeeze=False)[0]
    for axis in axes:
        axis.spines[["top", "right"]].set_visible(False)
    return figure, axes


def draw_bit_lines(axis, layer: CrossbarLayer, name: str, slice_index: int) -> None:
    """Draws the calibrated bit-line histogram of a slice, with the search of its ADC over it."""
    g = layer.geometry
    bins = layer._statistics.histogram.sum(0)[slice_index].double().numpy()
    share = bins / bins.sum()
    values = np.arange(g.lowest, g.highest + 1)
    seen = np.flatnonzero(bins)
    low, high = values[seen[0]], values[seen[-1]]
    axis.bar(values, share, width=1.0, color=_BLUE, label="bit-line sums")
    axis.set_yscale("log")
    axis.set_ylim(share[seen].min() / 3, 1.5)
    axis.set_xlim(low - 1.5, high + 1.5)
    axis.set_xlabel("bit-line sum")
    axis.set_ylabel("share of conversions")
    adc = layer.adc[slice_index if len(layer.adc) > 1 else 0]
    table = compile_tables(adc, g.lowest, g.highest)
    if isinstance(adc, TwinRange):
        axis.axvspan(
            max(adc.bias - 0.5, low - 1.5), min(adc.end - 0.5, high + 1.5), color=_ORANGE,
            alpha=0.25, lw=0, zorder=0,
            label=f"R1 = [{adc.bias}, {adc.end}): step {adc.step}, {adc.n1} bit",
        )  # fmt: skip
        axis.plot([], [], " ", label=f"R2: step {adc.step << adc.m}, {adc.n2} bit")
    steps = axis.twinx()
    steps.step(values, table.comparisons, where="mid", color=_ORANGE)
    steps.set_ylim(0, max(9, int(table.comparisons.max()) + 2))
    steps.set_ylabel("comparisons", color=_ORANGE)
    steps.tick_params(axis="y", colors=_ORANGE)
    steps.spines["top"].set_visible(False)
    axis.set_title(f"{name}, slice {slice_index}: {adc.kind}", fontsize=11, pad=26)
    axis.legend(frameon=False, fontsize=8, loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=3)


def draw_accuracy(axis, rows: list[dict], float_top1: float) -> None:
    """Draws top-1 against reduction.

    Args:
        axis: of matplotlib.
        rows: `network`, `reduction`, `top1`, and `curve`, true where points belong to one line.
        float_top1: drawn as a level line.
    """
    axis.axhline(float_top1, color=_GREY, lw=1, ls="--", label="float")
    line = sorted((r["reduction"], r["top1"]) for r in rows if r.get("curve"))
    if line:
        axis.plot(*zip(*line, strict=True), "o-", color=_BLUE, ms=4, label="twin range")
    marks = iter([("s", _GREY), ("D", _GREEN), ("*", _ORANGE), ("^", "#9a4fb0")])
    for row in rows:
        if not row.get("curve"):
            marker, color = next(marks)
            size = 11 if marker == "*" else 7
            axis.plot(
                row["reduction"], row["top1"], marker, color=color, ms=size, label=row["network"]
            )
    axis.set_xlabel("reduction of A/D operations (x)")
    axis.set_ylabel("top-1")
    axis.set_title("Accuracy against reduction", fontsize=11, pad=26)
    axis.grid(alpha=0.25)
    axis.legend(frameon=False, fontsize=8, loc="best")


def plot_demo(
    path: str | Path, layer: CrossbarLayer, name: str, rows: list[dict], float_top1: float
) -> None:
    """The demo's picture: a slice's histogram with its search, and accuracy against reduction."""
    figure, (left, right) = _figure(11.5, 4.6, 2)
    # The slice whose search goes deepest has most to show.
    deepest = int(layer.tables().comparisons.amax(1).argmax())
    draw_bit_lines(left, layer, name, deepest)
    draw_accuracy(right, rows, float_top1)
    figure.savefig(path)


def plot_layers(report, path: str | Path) -> None:
    """Bars of comparisons per conversion and of ADC energy for each layer of a report."""
    names = [layer.name for layer in report.layers]
    height = max(2.5, 0.28 * len(names) + 1.2)
    figure, (left, right) = _figure(10, height, 2)
    each = [layer.comparisons_per_conversion for layer in report.layers]
    left.barh(names, each, color=_BLUE)
    left.axvline(8, color=_GREY, lw=1, ls="--")
    left.set_xlabel("comparisons per conversion (dashed: ISAAC)")
    energy = [layer.adc_energy_pj / 1e6 for layer in report.layers]
    right.barh(names, energy, color=_ORANGE)
    right.set_xlabel(f"ADC energy (uJ, {report.technology})")
    right.tick_params(axis="y", labelleft=False)
    for axis in (left, right):
        axis.invert_yaxis()
    figure.suptitle(
        f"{report.reduction:.2f}x fewer A/D operations, "
        f"{report.comparisons_per_conversion:.2f} comparisons per conversion",
        fontsize=11,
    )
    figure.savefig(path)


def plot_sweep(rows: list[dict], path: str | Path) -> None:
    """Top-1 against reduction of the rows of `scripts/sweep.py`, with the bound of lossless search.

    Args:
        rows: its CSV rows.
        path: of the picture.
    """
    figure, (axis,) = _figure(8.2, 4.8)
    curves: dict[tuple[str, ...], list[tuple[float, float]]] = {}
    for row in rows:
        if row["config"] == "float":
            axis.axhline(float(row["top1"]), color=_GREY, lw=1, ls="--", label="float")
        elif row["config"] == "bound":
            if row["budget"] == "entropy":
                label = f"entropy of the sums ({row['encoding']}): the most of any lossless search"
                axis.axvline(float(row["reduction"]), color=_GREY, lw=1, ls=":", label=label)
        else:
            key = (row["config"], row["granularity"], row["encoding"])
            curves.setdefault(key, []).append((float(row["reduction"]), float(row["top1"])))
    colors = [_BLUE, _ORANGE, _GREEN, "#9a4fb0", "#c0392b", "#00838f", "#6d4c41", "#616161"]
    for k, ((name, granularity, encoding), points) in enumerate(curves.items()):
        x, y = zip(*sorted(points), strict=True)
        label = f"{name.replace('_', ' ')}, {granularity.replace('+', ' x ')}, {encoding}"
        axis.plot(x, y, "osD^vP*X"[k % 8] + "-", color=colors[k % 8], ms=5, lw=1.4, label=label)
    axis.set_xlabel("reduction of A/D operations over the ISAAC baseline (x)")
    axis.set_ylabel("top-1")
    axis.grid(alpha=0.25)
    axis.legend(frameon=False, fontsize=8, loc="lower left")
    figure.savefig(path)
