"""Power reports as text: layers, designs side by side, and what assumptions change."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeAlias

import numpy as np

from reram_torch.power.figures import PowerFigures
from reram_torch.power.records import LayerReport, quantity

_IN_FLOAT = 4  # names in a line
_LABEL = 40  # columns
_RIVALS = {"plain_sar": "plain SAR", "activity_sar": "activity SAR"}


def layer_table(report: PowerFigures) -> str:
    """Counts, energy and latency of every layer."""
    head = (
        "{:24} {:>15} {:>15} {:>6} {:>7} {:>9} {:>8} {:>8} {:>12} {:>5} {:>4} {:>7} {:>7} {:>5} "
        "{:>10}"
    ).format(
        "layer", "conversions", "comparisons", "each", "per MAC", "reduction", "/plain", "/activ.",
        "energy/inf.", "ADC", "bits", "tables", "arrays", "used", "average",
    )  # fmt: skip
    lines = [head]
    for r in (*report.layers, report.total):
        energy = quantity(report.per_inference(r.energy_pj), "pJ")
        lines.append(
            f"{r.name:24} {r.conversions:15,} {r.comparisons:15,} "
            f"{r.comparisons_per_conversion:6.2f} {r.comparisons_per_mac:7.3f} "
            f"{r.reduction:8.2f}x {r.times_less('comparisons', 'plain_sar'):7.2f}x "
            f"{r.times_less('comparisons', 'activity_sar'):7.2f}x {energy:>12} "
            f"{r.adc_share:5.0%} {r.resolution:4} {r.table_bytes:5,} B {r.arrays:7,} "
            f"{r.utilisation:5.0%} {quantity(r.latency.average_ns, 'ns'):>10}"
        )
    return "\n".join(lines)


def _comparable(reports: Mapping[str, PowerFigures]) -> PowerFigures:
    """The first of reports, all of one technology and one ADC energy model."""
    if not reports:
        raise ValueError("there is no report to compare")
    first = next(iter(reports.values()))
    for report in reports.values():
        if (report.technology, report.adc_model) != (first.technology, first.adc_model):
            raise ValueError("reports of different technologies or ADC models do not compare")
    return first


_Column: TypeAlias = tuple[PowerFigures, LayerReport]  # a report and its total
_Show: TypeAlias = Callable[[PowerFigures, LayerReport], str]  # a cell


def comparison_table(reports: Mapping[str, PowerFigures], *, plain: bool = False) -> str:
    """Designs side by side, for one inference each, and what assumptions change.

    Args:
        reports: by the name that heads its column; of one technology and one ADC energy model.
        plain: begin with a plain and an activity SAR ADC on the arrays of the first.

    Raises:
        ValueError: nothing to compare, or reports of different technologies or models.
    """
    first = _comparable(reports)
    columns: dict[str, _Column] = {name: (r, r.total) for name, r in reports.items()}
    if plain:
        rivals = {text: (first, getattr(first, name)) for name, text in _RIVALS.items()}
        columns = {**rivals, **columns}
    wide = max(16, *(len(name) + 2 for name in columns))

    def row(label: str, show: _Show) -> str:
        return f"{label:{_LABEL}}" + "".join(f"{show(r, t):>{wide}}" for r, t in columns.values())

    lines = [
        f"technology {first.technology.name}, {first.technology.process_nm} nm; ADC energy model "
        f"{first.adc_model}; {first.inferences} inferences",
        f"{'of one inference':{_LABEL}}" + "".join(f"{name:>{wide}}" for name in columns),
        *(row(label, show) for label, show in _rows(first).items()),
    ]
    if any(r.in_float for r in reports.values()):
        lines += [
            row("weights on crossbars", lambda r, _: f"{r.weight_share_on_crossbars:.1%}"),
            row("MACs on crossbars", lambda r, _: r.mac_share()),
        ]
    lines += dict.fromkeys(in_float_line(r) for r in reports.values() if r.in_float)
    lines += dict.fromkeys(line for r in reports.values() for line in unpriced_lines(r))
    lines += ["", *assumption_lines(columns, wide)]
    return "\n".join(lines)


def _rows(first: PowerFigures) -> dict[str, _Show]:
    """The rows of a comparison by their labels."""

    def energy(value: Callable[[LayerReport], float]) -> _Show:
        return lambda r, t: quantity(r.per_inference(value(t)), "pJ")

    def component(name: str) -> _Show:
        return energy(lambda t: t.component_pj[name])

    def part(name: str) -> _Show:
        return energy(lambda t: t.adc_parts_pj.get(name, 0.0))

    def less(figure: str, than: str) -> _Show:
        def show(_: PowerFigures, total: LayerReport) -> str:
            value = total.times_less(figure, than)
            return "" if np.isnan(value) else f"{value:.2f}x"

        return show

    def latency(kind: str) -> _Show:
        return lambda r, t: quantity(getattr(t.latency, kind), "ns")

    rows: dict[str, _Show] = {}
    for name in first.total.component_pj:
        rows[name] = component(name)
        if name == "adc":
            rows |= {f"  {p.replace('_', ' ')}": part(p) for p in first.total.adc_parts_pj}
    rows |= {
        "total energy": energy(lambda t: t.energy_pj),
        "share of the ADCs": lambda _, t: f"{t.adc_share:.1%}",
        "comparisons per sum": lambda _, t: f"{t.comparisons_per_conversion:.3f}",
        "comparisons per MAC": lambda _, t: f"{t.comparisons_per_mac:.3f}",
        "conversions per MAC": lambda _, t: f"{t.conversions_per_mac:.3f}",
        "fewer A/D operations than ISAAC": lambda _, t: f"{t.reduction:.2f}x",
    }
    figures = {
        "comparisons": "A/D operations",
        "adc_energy_pj": "ADC energy",
        "energy_pj": "energy",
    }
    for figure, words in figures.items():
        for than, text in _RIVALS.items():
            rows[f"less {words} than {text}"] = less(figure, than)
    rows |= {
        "table bytes, largest layer": lambda r, t: (
            f"{max(x.table_bytes for x in r.layers):,}" if t is r.total else "0"
        ),
        "words loaded per conversion": lambda _, t: f"{t.words_per_conversion:.3f}",
        "finest ADC, bits": lambda _, t: f"{t.resolution}",
        "longest search, comparisons": lambda _, t: f"{t.depth}",
        "latency, lock step": latency("worst_ns"),
        "latency, self-timed": latency("average_ns"),
        "ADC cycles, lock step": lambda _, t: f"{t.latency.worst_adc_cycles:,.0f}",
        "ADC cycles, self-timed": lambda _, t: f"{t.latency.average_adc_cycles:,.0f}",
        "arrays": lambda _, t: f"{t.arrays:,}",
        "area": lambda _, t: "-" if t.area_mm2 is None else quantity(t.area_mm2, "mm2"),
    }
    return rows


def assumption_lines(columns: Mapping[str, _Column], wide: int) -> list[str]:
    """The ADCs' energy under each assumption; a star where it ranks the designs otherwise."""
    first, _ = next(iter(columns.values()))
    if len(first.assumptions) < 2:
        return []
    found: list[np.ndarray] = []
    for k in range(len(first.assumptions)):
        energies = []
        for report, total in columns.values():
            each = report.assumptions[k]
            name = "adc_energy_pj"
            if total is report.plain_sar:
                name = "plain_sar"
            elif total is report.activity_sar:
                name = "activity_sar"
            energies.append(report.per_inference(getattr(each, name)))
        found.append(np.array(energies))
    label = max(_LABEL, *(len(each.name) + 3 for each in first.assumptions))
    lines = [f"{'ADC energy, by assumption':{label}}" + "".join(f"{n:>{wide}}" for n in columns)]
    order = np.argsort(found[0], kind="stable")
    changed = False
    for each, taken in zip(first.assumptions, found, strict=True):
        moved = bool((np.diff(taken[order]) < 0).any())
        changed |= moved
        star = " *" if moved else ""
        cells = "".join(f"{quantity(float(e), 'pJ'):>{wide}}" for e in taken)
        lines.append(f"{each.name + star:{label}}{cells}")
    if len(columns) > 1:
        lines.append(
            "* ranks these ADCs otherwise" if changed else "no assumption ranks these otherwise"
        )
    return lines


def unpriced_lines(report: PowerFigures) -> list[str]:
    """What happened and is not in the energy."""
    return [
        f"not in the energy: {report.per_inference(count):,.0f} {name.replace('_', ' ')}; no "
        f"component of {report.technology.name!r} is charged by {name}"
        for name, count in report.unpriced.items()
    ]


def in_float_line(report: PowerFigures) -> str:
    """What stays in float, the largest first, in a line."""
    layers = sorted(report.in_float.items(), key=lambda item: -item[1].weights)
    named = ", ".join(f"{name} ({layer.kind})" for name, layer in layers[:_IN_FLOAT])
    more = f" and {len(layers) - _IN_FLOAT} more" if len(layers) > _IN_FLOAT else ""
    return f"in float: {named}{more}"
