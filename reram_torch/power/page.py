"""A power report as one self-contained HTML page (needs the extra `plot`)."""

from __future__ import annotations

import json
from html import escape

from reram_torch.plots.searches import draw_search
from reram_torch.power.figures import PowerFigures
from reram_torch.power.pictures import draw_layers, draw_share, most_expensive, svg
from reram_torch.power.records import LayerReport, quantity
from reram_torch.power.tables import unpriced_lines

_SEARCHES = 6  # pictures of searches at most
_MODELS = {
    "bit_cycle": "so much energy for each comparison and for each conversion that starts, and what "
    "controllers, tables and counters take besides",
    "sar": "comparator and logic for each comparison, and the charge that the capacitors take "
    "along the path of each search, and what controllers, tables and counters take besides",
    "resolution": "an ADC of so many bits that always finishes, from a survey of published ADCs",
}
_STYLE = """
:root { color-scheme: light; }
body { font: 15px/1.5 system-ui, sans-serif; color: #222; background: #fff; margin: 2rem auto;
       max-width: 80rem; padding: 0 1.5rem; }
h1 { font-size: 1.5rem; margin-bottom: 0.2rem; } h2 { font-size: 1.15rem; margin-top: 2.2rem; }
.facts { display: flex; flex-wrap: wrap; gap: 0.8rem; margin: 1.2rem 0; padding: 0; }
.facts div { border: 1px solid #ddd; border-radius: 6px; padding: 0.5rem 0.9rem; }
.facts b { display: block; font-size: 1.25rem; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: 0.82rem; }
th, td { padding: 0.25rem 0.5rem; text-align: right; border-bottom: 1px solid #eee;
         white-space: nowrap; }
th { border-bottom: 1px solid #999; } tr.total td { font-weight: 600; border-top: 1px solid #999; }
th:first-child, td:first-child, .text { text-align: left; }
td.text { white-space: normal; min-width: 16rem; }
.pictures { display: flex; flex-wrap: wrap; gap: 1rem; align-items: flex-start; }
.pictures svg { max-width: 100%; height: auto; }
pre { background: #f6f6f6; padding: 0.8rem; overflow-x: auto; font-size: 0.82rem; }
"""


def _table(head: list[str], rows: list[list[str]], *, total: bool = False, text: int = -1) -> str:
    def cells(row: list[str], tag: str) -> str:
        return "".join(
            f"<{tag}{' class=text' if k == text else ''}>{escape(v)}</{tag}>"
            for k, v in enumerate(row)
        )

    lines = [f"<tr>{cells(head, 'th')}</tr>"]
    for k, row in enumerate(rows):
        last = total and k == len(rows) - 1
        lines.append(f"<tr{' class=total' if last else ''}>{cells(row, 'td')}</tr>")
    return f"<div class=scroll><table>{''.join(lines)}</table></div>"


def _facts(report: PowerFigures) -> str:
    total, plain = report.total, report.plain_sar
    largest = max(layer.table_bytes for layer in report.layers)
    facts = {
        "fewer A/D operations than ISAAC (128 rows, 8 a sum)": f"{report.reduction:.2f}x",
        "fewer than a plain SAR ADC on these arrays": _less(report, "comparisons", "plain_sar"),
        "fewer than an activity SAR ADC": _less(report, "comparisons", "activity_sar"),
        "less ADC energy than a plain SAR ADC": _energy_less(report, "plain_sar"),
        "less ADC energy than an activity SAR ADC": _energy_less(report, "activity_sar"),
        "A/D operations per bit-line sum": f"{report.comparisons_per_conversion:.3f}",
        "A/D operations per multiply-accumulate": f"{report.comparisons_per_mac:.3f} "
        f"({report.conversions_per_mac:.3f} conversions)",
        "less energy in all than a plain SAR ADC": f"{report.energy_reduction:.2f}x",
        "energy per inference": quantity(report.per_inference(total.energy_pj), "pJ"),
        "of it in the ADCs": f"{total.adc_share:.1%} (plain SAR {plain.adc_share:.1%})",
        "tables of the largest layer; words loaded a conversion": f"{largest:,} B; "
        f"{total.words_per_conversion:.2f}",
        "latency, self-timed (lock step)": f"{quantity(total.latency.average_ns, 'ns')} "
        f"({quantity(total.latency.worst_ns, 'ns')})",
        "inferences a second, layers as a pipeline": f"{report.throughput():,.0f}",
        "arrays": f"{total.arrays:,} ({total.utilisation:.0%} of the cells in use)",
    }
    if report.in_float:
        facts["of the multiply-accumulates on crossbars"] = report.mac_share()
    if total.area_mm2 is not None:
        facts["area"] = quantity(total.area_mm2, "mm2")
    boxes = (f"<div><b>{escape(v)}</b>{escape(k)}</div>" for k, v in facts.items())
    return f"<div class=facts>{''.join(boxes)}</div>"


def _less(report: PowerFigures, figure: str, than: str) -> str:
    return f"{report.total.times_less(figure, than):.2f}x"


def _energy_less(report: PowerFigures, than: str) -> str:
    least, most = report.range_of(than)
    return f"{_less(report, 'adc_energy_pj', than)} ({least:.2f} to {most:.2f})"


def _assumptions(report: PowerFigures) -> str:
    """The ADCs' energy with each price at its low and high value."""
    rows = [
        [each.name, *(quantity(report.per_inference(pj), "pJ") for pj in
                      (each.plain_sar, each.activity_sar, each.adc_energy_pj)),
         f"{each.times_less('plain_sar'):.2f}x", f"{each.times_less('activity_sar'):.2f}x"]
        for each in report.assumptions
    ]  # fmt: skip
    head = ["assumption", "plain SAR", "activity SAR", "this design", "less than plain",
            "less than activity"]  # fmt: skip
    return _table(head, rows)


def _adc_parts(report: PowerFigures) -> str:
    """What the ADCs' energy is spent on."""
    rivals = (report.plain_sar, report.activity_sar, report.total)
    rows = [
        [name.replace("_", " "),
         *(quantity(report.per_inference(r.adc_parts_pj.get(name, 0.0)), "pJ") for r in rivals)]
        for name in report.total.adc_parts_pj
    ]  # fmt: skip
    rows.append(["ADCs", *(quantity(report.per_inference(r.adc_energy_pj), "pJ") for r in rivals)])
    return _table(["spent on", "plain SAR", "activity SAR", "this design"], rows, total=True)


def _components(report: PowerFigures) -> str:
    technology, total, plain = report.technology, report.total, report.plain_sar
    by_name = {c.name: c for c in technology.components}
    rows = []
    for name, energy in total.component_pj.items():
        part = by_name.get(name)
        model = getattr(technology.adc, report.adc_model)
        rows.append([
            name.replace("_", " "),
            "comparisons" if part is None else part.event.replace("_", " "),
            f"{total.events['comparisons' if part is None else part.event]:,}",
            f"model {report.adc_model}" if part is None
            else f"{quantity(technology.event_pj(part), 'pJ')}",
            quantity(report.per_inference(plain.component_pj[name]), "pJ"),
            quantity(report.per_inference(energy), "pJ"),
            f"{energy / total.energy_pj:.1%}" if total.energy_pj else "-",
            (model if part is None else part).source,
        ])  # fmt: skip
    rows.append([
        "total", "", "", "", quantity(report.per_inference(plain.energy_pj), "pJ"),
        quantity(report.per_inference(total.energy_pj), "pJ"), "100%", "",
    ])  # fmt: skip
    head = ["component", "event", "events", "energy of one", "plain SAR", "this design", "share",
            "source"]  # fmt: skip
    return _table(head, rows, total=True, text=7)


def _layers(report: PowerFigures) -> str:
    def row(r: LayerReport) -> list[str]:
        return [
            r.name, r.adc, f"{r.conversions:,}", f"{r.skipped:,}", f"{r.comparisons:,}",
            f"{r.comparisons_per_conversion:.3f}", f"{r.comparisons_per_mac:.3f}",
            f"{r.reduction:.2f}x", f"{r.times_less('comparisons', 'plain_sar'):.2f}x",
            f"{r.times_less('comparisons', 'activity_sar'):.2f}x",
            f"{r.times_less('adc_energy_pj', 'plain_sar'):.2f}x",
            f"{r.times_less('adc_energy_pj', 'activity_sar'):.2f}x", f"{r.resolution}",
            f"{r.table_bytes:,}",
            quantity(report.per_inference(r.energy_pj), "pJ"), f"{r.adc_share:.0%}",
            f"{r.arrays:,}", f"{r.utilisation:.0%}", quantity(r.latency.average_ns, "ns"),
            quantity(r.latency.worst_ns, "ns"),
        ]  # fmt: skip

    head = ["layer", "ADCs", "conversions", "skipped", "comparisons", "per sum", "per MAC",
            "/ISAAC", "/plain", "/activity", "ADC energy /plain", "/activity", "bits",
            "table bytes", "energy", "ADC share", "arrays", "in use", "self-timed",
            "lock step"]  # fmt: skip
    return _table(head, [row(r) for r in (*report.layers, report.total)], total=True)


def _in_float(report: PowerFigures) -> str:
    """What stays in float, with its part of weights and multiply-accumulates."""
    if not report.in_float:
        return ""
    rows = [
        [name, layer.kind, f"{layer.weights:,}",
         "not counted" if layer.macs is None else f"{report.per_inference(layer.macs):,.0f}"]
        for name, layer in report.in_float.items()
    ]  # fmt: skip
    rows.append([
        "on crossbars", "", f"{report.weights:,} ({report.weight_share_on_crossbars:.1%})",
        f"{report.per_inference(report.macs):,.0f} ({report.mac_share()})",
    ])  # fmt: skip
    head = ["in float", "kind", "weights", "multiply-accumulates"]
    return f"""<h2>Not on crossbars</h2>{_table(head, rows, total=True)}
<p>Of one inference. Products of two activations are not counted, nor is what a module multiplies
with parameters of its own.</p>"""


def _configurations(report: PowerFigures) -> str:
    """Each distinct configuration once, with the layers that it is of."""
    distinct: dict[str, list[str]] = {}
    for name, config in report.configs.items():
        distinct.setdefault(json.dumps(config, indent=2), []).append(name)
    if len(distinct) == 1:
        return f"<pre>{escape(next(iter(distinct)))}</pre>"
    return "".join(
        f"<p>{escape(', '.join(names))}</p><pre>{escape(text)}</pre>"
        for text, names in distinct.items()
    )


def page(report: PowerFigures) -> str:
    """The report as one HTML document, pictures inside."""
    height = max(3.2, 0.26 * len(report.layers) + 1.3)
    pictures = svg(draw_layers, report, 6.2, height) + svg(draw_share, report, 4.6, height)
    searches = "".join(
        svg(draw_search, part, 4.1, 3.2) for part in most_expensive(report, _SEARCHES)
    )
    note = "" if searches else "<p>No histograms: calibrate in this process, or count them.</p>"
    t = report.technology
    return f"""<!doctype html>
<html lang="en"><meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Power on crossbars: {report.reduction:.2f}x fewer A/D operations</title>
<style>{_STYLE}</style>
<h1>Power on crossbars</h1>
<p>{report.inferences:,} inferences counted; technology {escape(t.name)}, {t.process_nm} nm; ADC
energy model <b>{report.adc_model}</b>: {_MODELS[report.adc_model]}.</p>
{_facts(report)}
<div class=pictures>{pictures}</div>
<h2>Searches</h2>
<p>Of the layers whose ADCs take most energy: the sums that its busiest ADC converted, the
thresholds between its levels, and the comparisons that each sum takes.</p>
<div class=pictures>{searches}</div>{note}
<h2>ADCs</h2>{_adc_parts(report)}
<p>Of one inference. The rivals convert on the same arrays: a plain SAR ADC every sum with full
resolution; an activity SAR, which needs no calibration, as many bits as the driven word-lines can
ask for.</p>
{_assumptions(report)}
<p>Energy of the ADCs, each price at a low or a high value that the literature allows.</p>
<h2>Components</h2>{_components(report)}
<p>Energies of one inference, events of all. A plain SAR ADC converts every sum on the same arrays
with full resolution.{"".join(f" <b>{escape(line)}.</b>" for line in unpriced_lines(report))}</p>
<h2>Layers</h2>{_layers(report)}
<p>Counts of all inferences, energy and latency of one.</p>
{_in_float(report)}
<h2>Configuration</h2>{_configurations(report)}
<h2>Technology</h2><pre>{escape(json.dumps(t.to_dict(), indent=2))}</pre>
</html>
"""
