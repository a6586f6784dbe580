"""Pictures of the demo."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from reram_torch.plots.figures import BLUE, GREEN, GREY, ORANGE, new_figure
from reram_torch.plots.searches import SearchView, draw_search


def draw_accuracy(axis: Any, rows: list[dict[str, Any]], float_top1: float) -> None:
    """Draws top-1 against reduction.

    Args:
        axis: of matplotlib.
        rows: `network`, `reduction`, `top1`, and `curve`, which names the line that points are of.
        float_top1: drawn as a level line.
    """
    axis.axhline(float_top1, color=GREY, lw=1, ls="--", label="float")
    curves = dict.fromkeys(r["curve"] for r in rows if r.get("curve"))
    for curve, color in zip(curves, (BLUE, "#9a4fb0"), strict=False):
        line = sorted((r["reduction"], r["top1"]) for r in rows if r.get("curve") == curve)
        name = curve.replace("_", " ")
        axis.plot(*zip(*line, strict=True), "o-", color=color, ms=4, label=name)
    marks = iter([("s", GREY), ("D", GREEN), ("*", ORANGE), ("^", "#c0392b"), ("v", "#00838f")])
    for row in rows:
        if not row.get("curve"):
            marker, color = next(marks)
            size = 11 if marker == "*" else 7
            axis.plot(
                row["reduction"],
                row["top1"],
                marker,
                color=color,
                ms=size,
                label=row["network"].split(":")[0],
            )
    axis.set_xlabel("times fewer A/D operations than ISAAC")
    axis.set_ylabel("top-1")
    axis.set_title("Accuracy against reduction", fontsize=11)
    axis.grid(alpha=0.25)
    axis.legend(frameon=False, fontsize=8, loc="best")


def plot_demo(
    path: str | Path, part: SearchView, rows: list[dict[str, Any]], float_top1: float
) -> None:
    """The demo's picture: a histogram with its search, and accuracy against reduction."""
    figure, (left, right) = new_figure(11.5, 4.6, 2)
    draw_search(left, part)
    draw_accuracy(right, rows, float_top1)
    figure.savefig(path)
