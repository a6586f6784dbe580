"""How long the ADCs take: in lock step, and as each conversion ends."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from reram_torch.crossbar.geometry import ceil_div
from reram_torch.power.conversions import LayerConversions
from reram_torch.power.technology import Technology


@dataclass(frozen=True)
class Latency:
    """Times of a layer or of a network, for one inference.

    In lock step every conversion waits for the longest that the tables of its cycle allow.
    Self-timed, an ADC goes on as soon as a search ends; the mean over all arrays is given, as if
    none waited for another. Either way a cycle takes at least as long as the arrays need.

    Attributes:
        worst_adc_cycles: comparison periods of an ADC, in lock step.
        average_adc_cycles: likewise, self-timed.
        worst_ns: time in lock step, ns.
        average_ns: time self-timed, ns.
    """

    worst_adc_cycles: float
    average_adc_cycles: float
    worst_ns: float
    average_ns: float

    def __add__(self, other: Latency) -> Latency:
        return Latency(
            self.worst_adc_cycles + other.worst_adc_cycles,
            self.average_adc_cycles + other.average_adc_cycles,
            self.worst_ns + other.worst_ns,
            self.average_ns + other.average_ns,
        )


def layer_latency(technology: Technology, layer: LayerConversions, inferences: int) -> Latency:
    """Latency of a layer, whose positions follow one another and whose arrays work side by side.

    Args:
        technology: says how many bit-lines share an ADC, and the times of a comparison and of an
            array's cycle.
        layer: what was converted.
        inferences: that the counts stand for.
    """
    passes = layer.counts.passes
    worst, average = _adc_cycles(technology, layer)
    numbers = (
        passes * float(worst.sum()), passes * float(average.sum()),
        passes * _time_ns(technology, layer, worst, worst=True),
        passes * _time_ns(technology, layer, average, worst=False),
    )  # fmt: skip
    return Latency(*(x / inferences if inferences else float("nan") for x in numbers))


def busy_ns(technology: Technology, layer: LayerConversions) -> float:
    """How long a layer's arrays and self-timed ADCs worked for all that was counted, ns."""
    average = _adc_cycles(technology, layer)[1]
    return layer.counts.passes * _time_ns(technology, layer, average, worst=False)


def _adc_cycles(technology: Technology, layer: LayerConversions) -> tuple[np.ndarray, np.ndarray]:
    """Comparison periods of an ADC in each cycle of a pass: in lock step, and self-timed.

    In lock step every cycle is followed by all of its recoveries; self-timed, recoveries take what
    they take on average.
    """
    counts, g = layer.counts, layer.counts.geometry
    sums = (counts.conversions + counts.skipped).sum(1)  # (I + R,)
    if not sums[: g.cycles].all():
        return np.zeros(g.phases), np.zeros(g.phases)
    sums = np.append(sums[: g.cycles], np.full(g.recoveries, sums[0]))  # a cycle's each
    # A difference of two bit-lines is one conversion.
    fullest = min(g.cols, counts.bit_lines) // (2 if g.signed else 1)
    each = ceil_div(fullest * technology.array.columns_per_adc, g.cols)
    return each * layer.longest().astype(float), each * counts.comparisons.sum(1) / sums


def _time_ns(
    technology: Technology, layer: LayerConversions, adc_cycles: np.ndarray, *, worst: bool
) -> float:
    """Of a pass, ns: a phase takes as long as an array's cycle at least, as often as it is."""
    counts, g = layer.counts, layer.counts.geometry
    often = np.ones(g.phases)
    often[g.cycles :] = [_recovers(layer, bit) for bit in range(g.recoveries)]
    if not worst:
        tiles = max(counts.passes * counts.groups * counts.tiles, 1)
        often[g.cycles :] = counts.driven[g.cycles :].sum(1) / tiles
    adc_ns = adc_cycles * technology.adc.comparison_ns
    return float(np.maximum(adc_ns, technology.array.cycle_ns * often).sum())


def _recovers(layer: LayerConversions, bit: int) -> bool:
    """Whether a cycle that a bit belongs to can be recovered."""
    g = layer.counts.geometry
    return any(bit in g.recovered_bits(i) for i in range(g.cycles))
