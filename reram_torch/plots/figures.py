"""Pictures (needs the extra `plot`)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

Figure: TypeAlias = Any  # matplotlib's, an extra
Axes: TypeAlias = Any

BLUE, ORANGE, GREY, GREEN = "#3b6fb6", "#d9822b", "#8a8f98", "#3f8f5f"


def new_figure(
    width: float, height: float, columns: int = 1, widths: list[float] | None = None
) -> tuple[Figure, Sequence[Axes]]:
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
