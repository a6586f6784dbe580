"""Pictures of what an ADC converts and how it searches."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from reram_torch.adc.base import AdcDesign, compile_tables
from reram_torch.plots.figures import BLUE, GREY, ORANGE, Axes


def draw_search(axis: Axes, part: SearchView) -> None:
    """Draws a histogram of bit-line sums with the thresholds and comparisons of their search."""
    seen = np.flatnonzero(part.histogram)
    values = part.lowest + np.arange(len(part.histogram))
    low, high = values[seen[0]], values[seen[-1]]
    table = compile_tables(part.design, part.lowest, values[-1])
    share = part.histogram / part.histogram.sum()
    near = slice(seen[0], seen[-1] + 1)  # tall arrays have ten thousands of sums
    axis.bar(values[near], share[near], width=1.0, color=BLUE, label="bit-line sums")
    axis.set_yscale("log")
    least = share[seen].min() / 3
    axis.set_ylim(least, least**-0.15)  # room for the legend
    axis.set_yticks(10.0 ** np.arange(int(np.ceil(np.log10(least))), 1))
    axis.minorticks_off()
    axis.set_xlim(low - 1.5, high + 1.5)
    changes = np.flatnonzero(table.level[1:] != table.level[:-1]) + 1  # some may be infinite
    thresholds = [values[c] - 0.5 for c in changes if low < values[c] <= high]
    for k, x in enumerate(thresholds):
        axis.axvline(x, color=GREY, lw=0.6, ls=":", label="thresholds" if k == 0 else None)
    title = f"{part.layer}: {part.design.kind.replace('_', ' ')}\n{part.where}"
    if (pointed := part.design.shown) is not None:
        left, right = max(pointed.first - 0.5, low - 1.5), min(pointed.end - 0.5, high + 1.5)
        axis.axvspan(left, right, color=ORANGE, alpha=0.2, lw=0, zorder=0, label=pointed.name)
        title += f"; {pointed.text}"
    axis.set_xlabel("bit-line sum")
    axis.set_ylabel("share of conversions")
    steps = axis.twinx()
    steps.step(values, table.comparisons, where="mid", color=ORANGE)
    shown = table.comparisons[near]
    steps.set_ylim(0, max(8, int(shown.max())) * 1.3)
    steps.yaxis.get_major_locator().set_params(integer=True)
    steps.set_ylabel("comparisons", color=ORANGE)
    steps.tick_params(axis="y", colors=ORANGE)
    steps.spines["top"].set_visible(False)
    axis.set_title(title, fontsize=9)
    axis.legend(frameon=False, fontsize=7, loc="upper center", ncols=3)


@dataclass(frozen=True, eq=False)
class SearchView:
    """The conversions of a layer that took most of its comparisons, for a picture.

    Attributes:
        layer: its name.
        where: slices, cycles and numbers of driven word-lines, in words.
        design: of the ADC.
        lowest: the sum that the histogram begins with.
        histogram: how often each sum was converted, (V,).
    """

    layer: str
    where: str
    design: AdcDesign
    lowest: int
    histogram: np.ndarray
