"""Pictures (needs the extra `plot`)."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from reram_torch.adc import TwinRange, compile_tables
from reram_torch.report import Converted

BLUE, ORANGE, GREY, GREEN = "#3b6fb6", "#d9822b", "#8a8f98", "#3f8f5f"


def new_figure(width: float, height: float, columns: int = 1, widths: list[float] | None = None):
    """A figure without any global state, and its axes side by side.

    Args:
        width: in inches; `height` likewise.
        height: in inches.
        columns: how many axes.
        widths: their relative widths, instead of `columns`.
    """
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ImportError("pictures need matplotlib, which is in the extra 'plot'") from error
    figure = Figure(figsize=(width, height), dpi=150, layout="constrained")
    FigureCanvasAgg(figure)  # no window system
    columns = len(widths) if widths else columns
    axes = figure.subplots(1, columns, squeeze=False, width_ratios=widths)[0]
    for axis in axes:
        axis.spines[["top", "right"]].set_visible(False)
    return figure, axes


def draw_search(axis, part: Converted) -> None:
    """Draws a histogram of bit-line sums with the thresholds and comparisons of their search."""
    seen = np.flatnonzero(part.histogram)
    values = part.lowest + np.arange(len(part.histogram))
    low, high = values[seen[0]], values[seen[-1]]
    table = compile_tables(part.design, part.lowest, values[-1])
    share = part.histogram / part.histogram.sum()
    axis.bar(values, share, width=1.0, color=BLUE, label="bit-line sums")
    axis.set_yscale("log")
    least = share[seen].min() / 3
    axis.set_ylim(least, least**-0.15)  # room for the legend
    axis.set_yticks(10.0 ** np.arange(int(np.ceil(np.log10(least))), 1))
    axis.minorticks_off()
    axis.set_xlim(low - 1.5, high + 1.5)
    changes = np.flatnonzero(np.diff(table.level)) + 1
    thresholds = [values[c] - 0.5 for c in changes if low < values[c] <= high]
    for k, x in enumerate(thresholds):
        axis.axvline(x, color=GREY, lw=0.6, ls=":", label="thresholds" if k == 0 else None)
    title = f"{part.layer}: {part.design.kind.replace('_', ' ')}\n{part.where}"
    if isinstance(adc := part.design, TwinRange):
        left, right = max(adc.bias - 0.5, low - 1.5), min(adc.end - 0.5, high + 1.5)
        axis.axvspan(left, right, color=ORANGE, alpha=0.2, lw=0, zorder=0, label="R1")
        coarse = adc.step << adc.m
        title += f"; R1: {adc.n1} bit, step {adc.step}; R2: {adc.n2} bit, step {coarse}"
    axis.set_xlabel("bit-line sum")
    axis.set_ylabel("share of conversions")
    steps = axis.twinx()
    steps.step(values, table.comparisons, where="mid", color=ORANGE)
    shown = table.comparisons[seen[0] : seen[-1] + 1]
    steps.set_ylim(0, max(8, int(shown.max())) * 1.3)
    steps.yaxis.get_major_locator().set_params(integer=True)
    steps.set_ylabel("comparisons", color=ORANGE)
    steps.tick_params(axis="y", colors=ORANGE)
    steps.spines["top"].set_visible(False)
    axis.set_title(title, fontsize=9)
    axis.legend(frameon=False, fontsize=7, loc="upper center", ncols=3)


def draw_accuracy(axis, rows: list[dict], float_top1: float) -> None:
    """Draws top-1 against reduction.

    Args:
        axis: of matplotlib.
        rows: `network`, `reduction`, `top1`, and `curve`, true where points belong to one line.
        float_top1: drawn as a level line.
    """
    axis.axhline(float_top1, color=GREY, lw=1, ls="--", label="float")
    line = sorted((r["reduction"], r["top1"]) for r in rows if r.get("curve"))
    if line:
        axis.plot(*zip(*line, strict=True), "o-", color=BLUE, ms=4, label="twin range")
    marks = iter([("s", GREY), ("D", GREEN), ("*", ORANGE), ("^", "#9a4fb0")])
    for row in rows:
        if not row.get("curve"):
            marker, color = next(marks)
            size = 11 if marker == "*" else 7
            axis.plot(
                row["reduction"], row["top1"], marker, color=color, ms=size, label=row["network"]
            )
    axis.set_xlabel("reduction of A/D operations (x)")
    axis.set_ylabel("top-1")
    axis.set_title("Accuracy against reduction", fontsize=11)
    axis.grid(alpha=0.25)
    axis.legend(frameon=False, fontsize=8, loc="best")


def plot_demo(path: str | Path, part: Converted, rows: list[dict], float_top1: float) -> None:
    """The demo's picture: a histogram with its search, and accuracy against reduction."""
    figure, (left, right) = new_figure(11.5, 4.6, 2)
    draw_search(left, part)
    draw_accuracy(right, rows, float_top1)
    figure.savefig(path)


def plot_sweep(rows: list[dict], path: str | Path) -> None:
    """Top-1 against reduction of the rows of `scripts/sweep.py`, with the bound of lossless search.

    Args:
        rows: its CSV rows.
        path: of the picture.
    """
    figure, (axis,) = new_figure(8.2, 4.8)
    curves: dict[tuple[str, ...], list[tuple[float, float]]] = {}
    bounds: list[tuple[float, str]] = []
    for row in rows:
        if row["config"] == "float":
            axis.axhline(float(row["top1"]), color=GREY, lw=1, ls="--", label="float")
        elif row["config"] == "bound":
            if row["budget"] == "entropy":
                x = float(row["reduction"])
                axis.axvline(x, color=GREY, lw=1, ls=":")
                bounds.append(
                    (x, f" no lossless search passes this\n (entropy, {row['encoding']})")
                )
        else:
            key = (row["config"], row["granularity"], row["encoding"])
            curves.setdefault(key, []).append((float(row["reduction"]), float(row["top1"])))
    colors = [BLUE, ORANGE, GREEN, "#9a4fb0", "#c0392b", "#00838f", "#6d4c41", "#616161"]
    for k, ((name, granularity, encoding), points) in enumerate(curves.items()):
        x, y = zip(*sorted(points), strict=True)
        label = f"{name.replace('_', ' ')}, {granularity.replace('+', ' x ')}, {encoding}"
        axis.plot(x, y, "osD^vP*X"[k % 8] + "-", color=colors[k % 8], ms=5, lw=1.4, label=label)
    axis.set_xlabel("reduction of A/D operations over the ISAAC baseline (x)")
    axis.set_ylabel("top-1")
    axis.grid(alpha=0.25)
    for k, (x, text) in enumerate(sorted(bounds)):  # stacked: bounds of encodings lie close
        axis.text(x, 0.03 + 0.09 * k, text, transform=axis.get_xaxis_transform(), color="#555",
                  fontsize=8, va="bottom")  # fmt: skip
    figure.legend(frameon=False, fontsize=8, loc="outside lower center", ncols=2)
    figure.savefig(path)


def plot_training(lines: list[dict], path: str | Path) -> None:
    """Loss and top-1 by epoch, and the reductions that ADCs were designed for.

    Args:
        lines: what `Fit.run` returned, one for each epoch.
        path: of the picture.
    """
    figure, (left, right) = new_figure(9.6, 3.8, 2)
    epochs = [line["epoch"] for line in lines]
    left.plot(epochs, [line["loss"] for line in lines], "o-", color=BLUE, ms=4)
    left.set_ylabel("training loss")
    for key, name, color in (("train_top1", "training", GREY), ("top1", "test", BLUE)):
        right.plot(epochs, [line[key] for line in lines], "o-", color=color, ms=4, label=name)
    right.set_ylabel("top-1")
    designed = [x for x in lines if "designed_reduction" in x]
    if designed:
        steps = right.twinx()
        x = [line["epoch"] for line in designed]
        y = [line["designed_reduction"] for line in designed]
        # The last design stays to the end.
        steps.step([*x, epochs[-1] + 0.5], [*y, y[-1]], where="post", color=ORANGE, lw=1.2)
        steps.set_ylim(0, 1.25 * max(y))
        steps.set_ylabel("reduction designed for (x)", color=ORANGE)
        steps.tick_params(axis="y", colors=ORANGE)
        steps.spines["top"].set_visible(False)
    for axis in (left, right):
        axis.set_xlabel("epoch")
        axis.xaxis.get_major_locator().set_params(integer=True)
        axis.grid(alpha=0.25)
    right.legend(frameon=False, fontsize=8, loc="lower right")
    figure.savefig(path)
