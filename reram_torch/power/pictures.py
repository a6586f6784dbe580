"""Pictures of power reports (needs the extra `plot`)."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import numpy as np

from reram_torch.plots.figures import BLUE, GREEN, ORANGE, Axes, new_figure
from reram_torch.plots.searches import SearchView, draw_search
from reram_torch.power.figures import PowerFigures
from reram_torch.power.records import quantity

_Part = TypeVar("_Part")
_OTHERS = (BLUE, GREEN, "#9a4fb0", "#00838f", "#c0392b", "#6d4c41", "#b0a030", "#5d6d9e", "#999999")
_FEW = 0.015  # components below this share of the energy are drawn together


def _components(report: PowerFigures) -> list[tuple[str, list[str], str]]:
    """What is drawn as one: label, names of components, color. The ADC first, small ones last."""
    energy, total = report.plain_sar.component_pj, report.plain_sar.energy_pj or 1.0
    big = sorted((n for n in energy if n != "adc" and energy[n] >= _FEW * total),
                 key=lambda n: -energy[n])  # fmt: skip
    small = [n for n in energy if n != "adc" and n not in big]
    groups = [("adc", ["adc"]), *((n, [n]) for n in big)]
    if small:
        groups.append(("others" if len(small) > 1 else small[0], small))
    colors = [ORANGE, *_OTHERS]
    return [(label.replace("_", " "), names, colors[k % len(colors)])
            for k, (label, names) in enumerate(groups)]  # fmt: skip


def _unit(largest_pj: float) -> tuple[float, str]:
    for factor, unit in ((1e12, "J"), (1e9, "mJ"), (1e6, "uJ"), (1e3, "nJ")):
        if largest_pj >= factor:
            return factor, unit
    return 1.0, "pJ"


def draw_layers(axis: Axes, report: PowerFigures) -> None:
    """Draws energy per layer, stacked by component."""
    names = [layer.name for layer in report.layers]
    scale = 1.0 / (report.inferences or 1)
    factor, unit = _unit(max(layer.energy_pj for layer in report.layers) * scale)
    left = np.zeros(len(names))
    for label, parts, color in _components(report):
        wide = [sum(r.component_pj[p] for p in parts) * scale / factor for r in report.layers]
        axis.barh(names, wide, left=left, color=color, label=label)
        left += wide
    axis.invert_yaxis()
    axis.tick_params(axis="y", labelsize=8)
    axis.set_xlabel(f"energy per inference ({unit})")
    axis.set_title("Energy by layer", fontsize=11)
    axis.legend(frameon=False, fontsize=8, loc="best")


def draw_share(axis: Axes, report: PowerFigures) -> None:
    """Draws the energy with two rivals and with this design, and the ADCs' part of each."""
    rows = [
        ("plain SAR", report.plain_sar),
        ("activity SAR", report.activity_sar),
        ("this design", report.total),
    ]
    scale = 1.0 / (report.inferences or 1)
    factor, unit = _unit(report.plain_sar.energy_pj * scale)
    bottom = np.zeros(len(rows))
    for label, parts, color in _components(report):
        high = [sum(r.component_pj[p] for p in parts) * scale / factor for _, r in rows]
        axis.bar([n for n, _ in rows], high, bottom=bottom, color=color, width=0.55, label=label)
        bottom += high
    for k, (_, r) in enumerate(rows):
        text = f"{quantity(r.energy_pj * scale, 'pJ')}\nADC {r.adc_share:.0%}"
        axis.annotate(text, (k, bottom[k]), xytext=(0, 3), textcoords="offset points",
                      ha="center", fontsize=8)  # fmt: skip
    axis.set_ylim(0, bottom.max() * 1.2 or 1)
    axis.set_ylabel(f"energy per inference ({unit})")
    axis.tick_params(axis="x", labelsize=9)
    activity = report.total.times_less("energy_pj", "activity_sar")
    axis.set_title(
        f"Whole accelerator: {report.energy_reduction:.2f}x and {activity:.2f}x less", fontsize=11
    )


def most_expensive(report: PowerFigures, count: int) -> list[SearchView]:
    """The histograms of the layers whose ADCs take most energy, the first `count`."""
    energy = {layer.name: layer.adc_energy_pj for layer in report.layers}
    return sorted(report.converted, key=lambda part: -energy[part.layer])[:count]


def plot_report(report: PowerFigures, path: str | Path) -> None:
    """Energy by layer and component, the ADCs' share before and after, and a search.

    Args:
        report: what to draw; the search is that of the layer whose ADCs take most energy.
        path: of the picture.
    """
    shown = most_expensive(report, 1)
    height = max(4.4, 0.26 * len(report.layers) + 1.4)
    widths = [1.25, 0.95, 1.1] if shown else [1.25, 0.95]
    figure, axes = new_figure(sum(widths) * 4.6, height, widths=widths)
    draw_layers(axes[0], report)
    draw_share(axes[1], report)
    if shown:
        draw_search(axes[2], shown[0])
    figure.suptitle(
        f"{report.reduction:.2f}x fewer A/D operations than ISAAC, "
        f"{report.comparisons_per_mac:.2f} a multiply-accumulate\nADC energy "
        f"{_range(report, 'plain_sar')} less than a plain SAR's, "
        f"{_range(report, 'activity_sar')} less than an activity SAR's "
        f"({report.technology.name}, {report.adc_model} model)",
        fontsize=11,
    )
    figure.savefig(path)


def _range(report: PowerFigures, than: str) -> str:
    least, most = report.range_of(than)
    return f"{report.total.times_less('adc_energy_pj', than):.2f}x ({least:.2f} to {most:.2f})"


def svg(draw: Callable[[Axes, _Part], None], part: _Part, width: float, height: float) -> str:
    """One drawing as an SVG element, for a page: `draw(axis, part)`, in inches."""
    figure, (axis,) = new_figure(width, height)
    draw(axis, part)
    file = io.StringIO()
    figure.savefig(file, format="svg", metadata={"Date": None})
    return file.getvalue().split("?>", 1)[1].split(">", 1)[1].strip()  # no XML head
