"""`design_adc`: one budget, shared out over the ADCs of all layers of a network."""

from __future__ import annotations

import dataclasses
import math
import warnings
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path

from torch import nn

from reram_torch._support import processes
from reram_torch._support.checks import check_int
from reram_torch._support.progress import progress
from reram_torch.adc.base import AdcDesign
from reram_torch.calibration.held import Batches, Calibration, collect
from reram_torch.config.devices import Devices, load_devices
from reram_torch.config.sections import AUTO, OBJECTIVES, SearchConfig
from reram_torch.conversion import states
from reram_torch.design.automatic import Choice, choose
from reram_torch.design.measured import Measured, Metric, Reference
from reram_torch.design.on_chips import ChipSample, seen_on_chips
from reram_torch.design.problem import Calibrated, what_was_calibrated
from reram_torch.nn.base import CrossbarLayer
from reram_torch.nn.networks import crossbar_layers, unchanged_on_error
from reram_torch.nn.watchers import Hiding, watching
from reram_torch.power.technology import Technology, load_technology

_SHORT = 0.97  # of a reduction: what is measured below it is warned of
_SEVERE_DROP, _SEVERE_ERROR = 0.05, 0.1  # of a reduction: what is warned of


@dataclass(frozen=True)
class AdcDesigns:
    """What `design_adc` found. Printed, it is a line.

    Attributes:
        design: the kind of ADC.
        granularity: what its tables depend on.
        reason: why these, where there was a choice.
        reduction: A/D operations saved over the ISAAC baseline, on the calibration histograms.
        measured_reduction: the same on held-back images, which the histograms are not of; NaN
            without images.
        error: squared change of the network's output against lossless crossbars, over its square,
            on the same images; NaN without images, or where the output is no tensor. Of a detector
            it is that of its head, before boxes are selected.
        drop: top-1 lost there against lossless crossbars; without targets, the share of
            predictions that changed; with a metric, by how much it fell; None where the output is
            no class scores and there is no metric.
        drop_error: its standard error; None of a metric that gives one number for all items.
        adc_energy_pj: of the ADCs there, for one inference, pJ.
        table_bytes: of the layer with the largest tables.
        held_back: whether the images were held back from calibration; else there were none to hold
            back, and calibration saw them.
        designs: the ADCs of each layer, by qualified name.
        judged_by: what `drop` is of: `top-1`, or `metric`.
        error_at: the module whose results `error` is of; empty: the network.
        chips: that it was designed for and measured on, in words; empty: what layers were on.
    """

    design: str
    granularity: str
    reason: str
    reduction: float
    measured_reduction: float
    error: float
    drop: float | None
    drop_error: float | None
    adc_energy_pj: float
    table_bytes: int
    held_back: bool
    designs: dict[str, tuple[AdcDesign, ...]]
    judged_by: str = "top-1"
    error_at: str = ""
    chips: str = ""

    @property
    def measured_on(self) -> str:
        """What the measures are of, in words."""
        images = "held-back images" if self.held_back else "the calibration images"
        return f"{images} on {self.chips}" if self.chips else images

    def __str__(self) -> str:
        head = f"{self.design} by {self.granularity}: {self.reduction:.2f}x fewer A/D operations"
        if math.isnan(self.measured_reduction):
            return f"{head} on the calibration histograms; not measured, without images"
        drop = "" if self.drop is None else f", {self.judged_by} lost {self.drop:.4f}"
        drop += "" if self.drop_error is None else f" +- {self.drop_error:.4f}"
        where = f"error of {self.error_at}" if self.error_at else "output error"
        return (
            f"{head}, {self.measured_reduction:.2f}x on {self.measured_on}{drop}, {where} "
            f"{self.error:.2e}, ADCs {self.adc_energy_pj:.4g} pJ an inference, tables up to "
            f"{self.table_bytes} B"
        )


def design_adc(
    net: nn.Module,
    design: str,
    *,
    reduction: float | None = None,
    max_drop: float | None = None,
    max_error: float | None = None,
    lossless: bool = False,
    granularity: str = AUTO,
    leaves: int | None = None,
    depth: int | None = None,
    grid: int = 1,
    aligned: bool = False,
    objective: str = OBJECTIVES[0],
    technology: str | Path | Technology = "isaac",
    table_bytes: int | None = None,
    batches: Batches | None = None,
    metric: Metric | None = None,
    devices: str | Path | Devices | None = None,
    chips: int = 4,
    time: float | str | None = None,
    chip_seed: int = 0,
    seed: int = 0,
    show_progress: bool = True,
) -> AdcDesigns:
    """Chooses the ADCs of every layer under one budget, and puts them in place.

    Each layer's error is that of its bit-line sums, weighed by their significance squared
    (`Geometry.significances`), measured against the mean square of the layer's results, and
    weighed by the effect on the network's output: at first that of noise (`layer_sensitivities`),
    then that of the ADCs' own errors (`adc_effects`). The ADCs minimise the errors of all layers
    plus a price for their energy: comparisons, conversions that start at all, clocks of the
    controller, words of the tables that are loaded and kept. The price is the one that meets the
    budget. Of the designs made on the way the one that changes the output least stays (for
    `max_drop` and `max_error`, the one of least energy). What is left of each channel's mean error
    is folded into the layer's bias (`CrossbarLayer.correction`), unless that makes held-back images
    worse. Whatever is chosen is measured on the images that `calibrate` held back. Deterministic,
    given the calibration data and `seed`.

    Args:
        net: a converted and calibrated network.
        design: `uniform`, `twin_range`, `intervals` (up to four), `segmented`, `search_tree`, or
            `auto`: the cheapest of them. Where crossbars speculate, searches may escape (but for
            `twin_range`, which is refused), and what recovers sums is designed with them.
        reduction: meet this reduction on the calibration histograms, with the least error.
        max_drop: the least energy that loses at most this much top-1 against lossless crossbars, on
            the images that `calibrate` held back, both as counted there and as expected on more
            images (`drop.expected_drop`, plus its standard error). Without targets, at most this
            share of predictions changes.
        max_error: the least energy with at most this `AdcDesigns.error`, on the same images.
        lossless: no error at all, and the least energy without one.
        granularity: what an ADC's tables depend on: `slice`, `cycle` and `activity` (the number of
            driven word-lines, in buckets; with none nothing is converted), joined by `+`, `layer`
            for one table in all, or `auto`: the cheapest of `slice`, `slice+activity` and
            `cycle+slice` that meets the budget.
        leaves: of a search tree at most.
        depth: comparisons of a conversion by a search tree at most.
        grid: thresholds of a search tree or of segments are multiples of this.
        aligned: segments begin at multiples of their widths, which takes a lighter controller.
        objective: `energy`, or `comparisons`, which are then all that counts.
        technology: whose prices: a name, the path of a TOML file, or a `Technology`.
        table_bytes: of a layer's tables at most.
        batches: what to measure budgets and the result on instead, as `calibrate` takes them.
        metric: judges the network for `max_drop` instead of top-1, in units of its own. Called with
            the outputs, the inputs and the targets of all batches (three lists; targets are None
            where there are none), it gives a number, or a tensor with one for each item, of which
            the mean counts and a standard error is known. Larger is better.
        devices: designs for chips of these, as `program` takes them, by the sums that calibration
            images make on all of them, and measures on all of them; layers are programmed as they
            were afterwards. None: for what layers are on.
        chips: how many.
        time: since their programming, as `program` takes it.
        chip_seed: of the first one: evaluate on others.
        seed: of the noise that measures the layers' effect.
        show_progress: draw a tqdm bar if tqdm is installed.

    Raises:
        ValueError: not exactly one of the budgets, or one out of reach; an unknown design; no
            crossbar layers; labels that are none of the network's classes; `max_drop` of a network
            that returns no class scores, without a metric; `max_error` of one that returns no
            numbers.
        RuntimeError: the network was not calibrated in this session, or its weights changed since.

    Warns:
        UserWarning: what was measured on held-back images falls short, or the layers' effects
            cannot be measured.
    """
    prices = load_technology(technology)
    search = SearchConfig(
        design, granularity, reduction, max_drop, lossless, leaves, depth, grid, aligned,
        objective, prices.name, table_bytes, max_error,
    )  # fmt: skip
    if max_drop is not None and max_drop > 1 and metric is None:
        raise ValueError(f"max_drop must be a number from 0 to 1, not {max_drop!r}")
    sample = _sample(devices, chips, time, chip_seed)
    layers = crossbar_layers(net)
    hidden = watching(dict.fromkeys(layers.values(), Hiding()))  # no pass is an inference
    with unchanged_on_error(layers.values()), hidden:
        net, seen = what_was_calibrated(net, layers)
        forward = None if seen is None else seen.calls[0].forward
        other = None if batches is None else collect(batches, net, forward)
        with _on_chips(net, layers, seen, sample, show_progress):
            reference = _reference(net, layers, seen, other, metric, sample, show_progress)
            _check_judged(reference, search)
            given = Calibrated.of(net, layers, seen, prices, seed, weigh=not lossless)
            choice = choose(given, search, reference, show=show_progress)
            measured = _measured(choice, reference, show_progress)
    unseen = other is not None or (seen is not None and seen.held_back is not None)
    on = "" if sample is None else str(sample)
    found = _result(choice, measured, held_back=unseen, metric=metric, chips=on)
    _warn(found, search)
    return found


def _sample(
    devices: str | Path | Devices | None, chips: int, time: float | str | None, seed: int
) -> ChipSample | None:
    """The chips that arguments name."""
    check_int("chips", chips, 1, 1 << 10)
    check_int("chip_seed", seed, 0, 1 << 62)
    if devices is None:
        if time is not None:
            raise ValueError(f"time must be None without devices, not {time!r}")
        return None
    chosen = load_devices(devices)
    return ChipSample(chosen, chips, chosen.at(time), seed)


def _on_chips(
    net: nn.Module,
    layers: dict[str, CrossbarLayer],
    seen: Calibration | None,
    sample: ChipSample | None,
    show: bool,
) -> AbstractContextManager[None]:
    """Inside the block histograms are those of all chips, if a design is for any."""
    if sample is None:
        return nullcontext()
    if seen is None:
        raise RuntimeError(
            "devices= needs the images of calibration: run reram_torch.calibrate in this session"
        )
    used = {name: layer for name, layer in layers.items() if layer.input_range is not None}
    total = len(seen) * sample.count
    bar = progress(description=f"{sample}", total=total, unit="img", show=show)
    return seen_on_chips(net, used, seen, sample, bar)


def _reference(
    net: nn.Module,
    layers: dict[str, CrossbarLayer],
    seen: Calibration | None,
    other: Calibration | None,
    metric: Metric | None,
    sample: ChipSample | None,
    show: bool,
) -> Reference | None:
    """What lossless crossbars make of the data that designs are measured on; None without any."""
    data = other or (seen and (seen.held_back or seen))
    if data is None:
        return None
    more = seen if seen is not None and data is seen.held_back else None
    total = (len(data) + len(more or ())) * (1 if sample is None else sample.count)
    with progress(description="lossless", total=total, unit="img", show=show) as bar:
        reference = Reference(net, layers, data, bar, metric, sample)
        if more is not None:
            reference.also(more, bar)
    return reference


def _check_judged(reference: Reference | None, search: SearchConfig) -> None:
    """Raises an error unless it can be told what `max_drop` or `max_error` limits."""
    if search.max_drop is None and search.max_error is None:
        return
    name = "max_error" if search.max_drop is None else "max_drop"
    if reference is None:
        raise RuntimeError(f"{name} needs data: run reram_torch.calibrate, or give batches=")
    if search.max_error is not None and not reference.has_error:
        raise ValueError(
            "max_error needs a network that returns numbers, not all zero: its outputs are "
            f"{reference.form}"
        )
    if search.max_drop is not None and reference.judged is None:
        raise ValueError(
            "max_drop needs a network that returns class scores (B, classes), or metric= to judge "
            f"its outputs, which are {reference.form}"
        )


def _measured(choice: Choice, reference: Reference | None, show: bool) -> Measured | None:
    """What is in place, on data."""
    if reference is None:
        return None
    total = reference.images
    with progress(description="measure", total=total, unit="img", show=show) as bar:
        return reference.measure(choice.problem.given.technology, bar)


def _result(
    choice: Choice, measured: Measured | None, *, held_back: bool, metric: Metric | None, chips: str
) -> AdcDesigns:
    problem, search = choice.problem, choice.search
    report = None if measured is None else measured.report
    return AdcDesigns(
        search.design,
        search.granularity,
        choice.reason,
        problem.reduction,
        math.nan if report is None else report.reduction,
        math.nan if measured is None else measured.error,
        None if measured is None else measured.drop,
        None if measured is None else measured.drop_error,
        math.nan if report is None else report.per_inference(report.adc_energy_pj),
        max(found.bytes for found in problem.found.values()),
        held_back,
        problem.designs(),
        "top-1" if metric is None else "metric",
        "" if measured is None else measured.error_at,
        chips,
    )


def _warn(found: AdcDesigns, search: SearchConfig) -> None:
    """Warns where what was measured is less than was asked for, and of what would mend it."""
    wanted, where = search.reduction, found.measured_on
    if wanted is not None and found.measured_reduction < _SHORT * wanted:
        parts = [p for p in found.granularity.split("+") if p != "cycle"]
        coarser = (
            f", or with granularity={'+'.join(parts)!r}" if "cycle" in found.granularity else ""
        )
        warnings.warn(
            f"on {where} the reduction is {found.measured_reduction:.2f}x, not "
            f"{wanted:.2f}x: calibrate on more images{coarser}",
            stacklevel=3,
        )
    drop, spread = found.drop, found.drop_error or 0.0
    most = _SEVERE_DROP if search.max_drop is None else search.max_drop
    if found.judged_by == "metric" and search.max_drop is None:
        drop = None  # in units that nobody knows here
    unbudgeted = search.max_drop is None and search.max_error is None
    severe = drop is None and unbudgeted and found.error > _SEVERE_ERROR
    if severe or (drop is not None and drop - spread > most):
        what = found.judged_by
        lost = f"an error of {found.error:.2g}" if drop is None else f"{drop:.4f} of {what}"
        finer = "cycle+slice+activity" if "activity" in found.granularity else "slice+activity"
        warnings.warn(
            f"on {where} these ADCs cost {lost} (standard error {spread:.4f}): ask for "
            f"less, or for granularity={finer!r}",
            stacklevel=3,
        )
    elif search.max_drop is not None and spread > search.max_drop:
        warnings.warn(
            f"{where} tell a drop of {found.judged_by} to within {spread:.4f} only, more than the "
            f"budget of {search.max_drop}: calibrate on more images to keep it on others",
            stacklevel=3,
        )


def design_together(
    net: nn.Module,
    search: SearchConfig,
    *,
    metric: Metric | None = None,
    sample: ChipSample | None = None,
    show_progress: bool = True,
) -> AdcDesigns:
    """`design_adc` as a configuration has it, by the first process of torch.distributed for all.

    Every process must call this, and gets the calibration and the ADCs of the first.
    """
    found = None
    if processes.rank() == 0:
        on = {} if sample is None else sample.arguments
        found = design_adc(
            net, **dataclasses.asdict(search), **on, metric=metric, show_progress=show_progress
        )
    states.same_adcs(net)
    together: AdcDesigns = processes.broadcast(found)
    return together
