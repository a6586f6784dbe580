"""Configurations: frozen dataclasses, validated when made, read from and written to TOML."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from reram_torch._support.checks import check_choice, check_int
from reram_torch._support.names import check_keys
from reram_torch.adc import AdcDesign
from reram_torch.adc.base import DESIGNS, MAX_BITS, design_from_dict, design_to_dict

ENCODINGS = ("offset", "differential", "dual")
INPUT_ENCODINGS = ("affine", "sign_magnitude")
INPUT_SCALES = ("tensor", "token")
CENTERS = ("zero", "balanced")
BALANCED = CENTERS[1]

# What tables can depend on, joined by "+"; `layer`: on none of it.
GRANULARITIES = ("cycle", "slice", "activity")
OBJECTIVES = ("energy", "comparisons")
AUTO = "auto"


def granularity_parts(granularity: str) -> frozenset[str]:
    """What tables of a granularity depend on: any of `GRANULARITIES`.

    Raises:
        ValueError: an unknown word.
    """
    parts = granularity.split("+") if isinstance(granularity, str) else [None]
    if parts == ["layer"]:
        return frozenset()
    if not set(parts) <= set(GRANULARITIES) or len(set(parts)) != len(parts):
        raise ValueError(
            "granularity must be 'auto', 'layer', or some of "
            f"{list(GRANULARITIES)} joined by '+', not {granularity!r}"
        )
    return frozenset(parts)


def largest_sum(driven: int, cell_bits: int, dac_bits: int) -> int:
    """The largest bit-line sum of so many driven word-lines."""
    found: int = driven * (2**cell_bits - 1) * (2**dac_bits - 1)
    return found


@dataclass(frozen=True)
class CrossbarConfig:
    """The array and what drives it.

    Args:
        rows: word-lines of an array, 1 to 4096.
        cols: bit-lines of an array, 1 to 4096.
        cell_bits: bits stored in a cell, 1 to 4: the width of all slices where `slicing` does not
            say otherwise.
        dac_bits: input bits applied in a cycle, 1 to 4; or, as in (4, 2, 2), those of each cycle,
            from the most significant down, of all bits of an input code.
        slicing: bits of each cell of a weight, 1 to 4, from the most significant down, as in
            (3, 4); None: `cell_bits` for all.
        speculation: cycles of several bits may be tried: a conversion whose search ends at "too
            large" is recovered by its bits one by one. Sums that are too large for the range of
            an ADC of 16 bits escape in any case.
    """

    rows: int = 128
    cols: int = 128
    cell_bits: int = 1
    dac_bits: int | tuple[int, ...] = 1
    slicing: tuple[int, ...] | None = None
    speculation: bool = False

    @property
    def largest_sum(self) -> int:
        """The largest bit-line sum that fits the array."""
        cells, pulses = self.slicing or (self.cell_bits,), self.dac_bits
        widest = pulses if isinstance(pulses, int) else max(pulses)
        return largest_sum(self.rows, max(cells), widest)

    def cell_widths(self, bits: int) -> tuple[int, ...]:
        """Bits of the cells of so many bits of a weight, the least significant first."""
        if self.slicing is not None:
            return self.slicing[::-1]
        return (self.cell_bits,) * -(-bits // self.cell_bits)

    def dac_widths(self, bits: int) -> tuple[int, ...]:
        """Bits of the cycles of so many bits of an input, the least significant first.

        Where widths are given for a bit more, a sign, the most significant one goes without it.
        """
        if isinstance(self.dac_bits, int):
            return (self.dac_bits,) * -(-bits // self.dac_bits)
        *lower, top = self.dac_bits[::-1]
        top -= sum(self.dac_bits) - bits
        return (*lower, top) if top else tuple(lower)

    def __post_init__(self) -> None:
        check_int("crossbar.rows", self.rows, 1, 4096)
        check_int("crossbar.cols", self.cols, 1, 4096)
        check_int("crossbar.cell_bits", self.cell_bits, 1, 4)
        if not isinstance(self.dac_bits, list | tuple):
            check_int("crossbar.dac_bits", self.dac_bits, 1, 4, "or a list of the cycles' widths")
        else:
            object.__setattr__(self, "dac_bits", _widths("crossbar.dac_bits", self.dac_bits))
        if not isinstance(self.speculation, bool):
            raise ValueError(
                f"crossbar.speculation must be true or false, not {self.speculation!r}"
            )
        if self.speculation and self.dac_bits in (1, (1,) * 8):
            raise ValueError(
                "crossbar.speculation is for cycles of several bits, but dac_bits is 1"
            )
        if self.slicing is not None:
            object.__setattr__(self, "slicing", _widths("crossbar.slicing", self.slicing))
            if self.cell_bits != 1:
                raise ValueError(
                    f"crossbar.cell_bits is the width of all slices: not {self.cell_bits} beside "
                    f"slicing={list(self.slicing)}"
                )


def _widths(name: str, value: Any) -> tuple[int, ...]:
    """Widths of groups of bits.

    Raises:
        ValueError: not a list of whole numbers from 1 to 4.
    """
    if not isinstance(value, list | tuple) or not 1 <= len(value) <= 8:
        raise ValueError(f"{name} must be a list of 1 to 8 widths, not {value!r}")
    for width in value:
        check_int(name, width, 1, 4, "a width of a list")
    return tuple(value)


@dataclass(frozen=True)
class WeightConfig:
    """How weights become cells.

    Args:
        bits: of the signed code, 2 to 8. The symmetric range [-(2^(b-1)-1), 2^(b-1)-1] of one bit
            would hold nothing but zero.
        encoding: `offset` (2^(b-1) added, unsigned cells), `differential` (a pair of bit-lines
            subtracted before one conversion) or `dual` (the pair converted separately).
        center: of the codes of an output in a tile: `zero`, or, for `differential` cells only,
            `balanced`: an integer that makes the tile's sums small is subtracted from the codes,
            and its product with the sum of the inputs added digitally (RAELLA's).
    """

    bits: int = 8
    encoding: str = "offset"
    center: str = CENTERS[0]

    def __post_init__(self) -> None:
        check_int("weights.bits", self.bits, 2, 8, "one bit holds only the code 0")
        check_choice("weights.encoding", self.encoding, ENCODINGS)
        check_choice("weights.center", self.center, CENTERS)
        if self.center == BALANCED and self.encoding != "differential":
            raise ValueError(
                f"weights.center={BALANCED!r} is for differential cells: codes less a center have "
                f"either sign, which encoding={self.encoding!r} does not subtract"
            )


@dataclass(frozen=True)
class InputConfig:
    """How activations become word-line pulses.

    Args:
        bits: of a code, its sign included, 1 to 8.
        encoding: of inputs that can be negative: `affine` (unsigned codes from a zero point on, in
            one pass), `sign_magnitude` (2 bits at least: positive codes in one pass, negative ones
            in another, subtracted), or `auto`: for each layer what `calibrate` finds the cheaper.
            Inputs that are never negative take one pass of unsigned codes from zero on.
        scale: of codes: one for the `tensor`, from calibration, or for linear layers one for each
            `token`, that is for each position, by its largest input: digital logic finds it,
            divides inputs by it before the DACs, and multiplies results. The windows of a
            convolution overlap: it keeps one.
    """

    bits: int = 8
    encoding: str = INPUT_ENCODINGS[0]
    scale: str = INPUT_SCALES[0]

    def __post_init__(self) -> None:
        check_choice("inputs.encoding", self.encoding, (*INPUT_ENCODINGS, AUTO))
        check_choice("inputs.scale", self.scale, INPUT_SCALES)
        signed = self.encoding != INPUT_ENCODINGS[0]
        why = "a sign and no magnitude is no code" if signed else ""
        check_int("inputs.bits", self.bits, 1 + signed, 8, why)


@dataclass(frozen=True)
class SearchConfig:
    """What `design_adc` is to look for; the scripts pass it on.

    Args:
        design: a design kind: `uniform`, `twin_range`, `intervals`, `segmented`, `search_tree`, or
            `auto` for the cheapest of them.
        granularity: what tables depend on: `slice`, `cycle` and `activity`, joined by `+`,
            `layer` for one table in all, or `auto` for the cheapest that meets the budget.
        reduction: A/D operations to save, over the ISAAC baseline.
        max_drop: top-1 that may be lost on data that the search did not see, 0 to 1; of another
            metric, in its units.
        lossless: no error at all, at the least cost.
        leaves: of a search tree at most.
        depth: comparisons of a conversion by a search tree at most.
        grid: thresholds of a search tree, or of segments, are multiples of this.
        aligned: segments begin at multiples of their widths.
        objective: what is minimised: `energy` of the ADCs, or `comparisons`.
        technology: whose prices: a name or the path of a TOML file.
        table_bytes: of a layer's tables at most.
        max_error: squared change of the output that may be, over its square, on data that the
            search did not see. Exactly one of `reduction`, `max_drop`, `max_error` and `lossless`
            is given.
    """

    design: str
    granularity: str = AUTO
    reduction: float | None = None
    max_drop: float | None = None
    lossless: bool = False
    leaves: int | None = None
    depth: int | None = None
    grid: int = 1
    aligned: bool = False
    objective: str = OBJECTIVES[0]
    technology: str = "isaac"
    table_bytes: int | None = None
    max_error: float | None = None

    def __post_init__(self) -> None:
        most = {"leaves": 1 << MAX_BITS, "depth": 255, "grid": 1 << MAX_BITS}
        for name, limit in (most | {"table_bytes": 1 << 30}).items():
            value = getattr(self, name)
            if value is not None:
                check_int(f"search.{name}", value, 1, limit)
        check_choice("design", self.design, (AUTO, *sorted(DESIGNS)))
        check_choice("objective", self.objective, OBJECTIVES)
        limits = () if self.design == AUTO else DESIGNS[self.design].limits
        for name in (*most, "aligned"):
            if getattr(self, name) != getattr(type(self), name) and name not in limits:
                fit = sorted(kind for kind, made in DESIGNS.items() if name in made.limits)
                raise ValueError(f"{name} is a limit of {fit}, not of {self.design!r}")
        if self.granularity != AUTO:
            granularity_parts(self.granularity)
        for name in ("lossless", "aligned"):
            if not isinstance(getattr(self, name), bool):
                raise ValueError(f"{name} must be true or false, not {getattr(self, name)!r}")
        if not isinstance(self.technology, str):
            raise ValueError(f"technology must be a name or a path, not {self.technology!r}")
        budgets = self.reduction, self.max_drop, self.max_error
        if sum(budget is not None for budget in budgets) + self.lossless != 1:
            raise ValueError(
                "give exactly one of reduction=, max_drop=, max_error= and lossless=True, not "
                f"reduction={self.reduction!r}, max_drop={self.max_drop!r}, "
                f"max_error={self.max_error!r}, lossless={self.lossless!r}"
            )
        spans: tuple[tuple[str, Callable[[float], bool], str], ...] = (
            ("reduction", lambda v: 0 < v < float("inf"), "a finite number above 0"),
            ("max_drop", lambda v: 0 <= v < float("inf"), "a finite number of at least 0"),
            ("max_error", lambda v: 0 <= v < float("inf"), "a finite number of at least 0"),
        )
        for name, valid, wanted in spans:
            value = getattr(self, name)
            number = isinstance(value, int | float) and not isinstance(value, bool)
            if value is not None and not (number and valid(value)):
                raise ValueError(f"{name} must be {wanted}, not {value!r}")


@dataclass(frozen=True)
class Config:
    """How a network lies on crossbars, and its ADCs.

    `Config()` is the ISAAC baseline with 1-bit cells.

    Args:
        crossbar: the arrays.
        weights: bits and encoding of the weights.
        inputs: bits of the activations.
        adc: the ADC of every layer until `design_adc` chooses others; None, a plain SAR that
            converts every sum: of 8 bits, as ISAAC's, or of as many as the arrays need.
        search: what the scripts let `design_adc` look for, if anything.
    """

    crossbar: CrossbarConfig = field(default_factory=CrossbarConfig)
    weights: WeightConfig = field(default_factory=WeightConfig)
    inputs: InputConfig = field(default_factory=InputConfig)
    adc: AdcDesign | None = None
    search: SearchConfig | None = None

    def __post_init__(self) -> None:
        for name, kind in _SECTIONS.items():
            value = getattr(self, name)
            if not isinstance(value, kind) and not (name == "search" and value is None):
                raise TypeError(f"config.{name} must be a {kind.__name__}, not {value!r}")
        if self.search is not None and (self.search.max_drop or 0) > 1:  # it is of top-1
            raise ValueError(f"max_drop must be a number from 0 to 1, not {self.search.max_drop!r}")
        if self.adc is not None and not isinstance(self.adc, AdcDesign):
            raise TypeError(f"config.adc must be an ADC design or None, not {self.adc!r}")
        self._check_widths()
        bar, signed = self.crossbar, self.weights.encoding == "differential"
        largest = bar.largest_sum
        if bar.speculation:  # larger ones are recovered, bit by bit
            largest = largest_sum(bar.rows, max(bar.slicing or (bar.cell_bits,)), 1)
        if largest >= 2 ** (MAX_BITS - signed):
            raise ValueError(
                f"bit-line sums of up to {largest} ({bar.rows} rows, "
                f"{bar.slicing or bar.cell_bits}-bit cells, {bar.dac_bits}-bit DACs) need an ADC "
                f"of more than {MAX_BITS} bits"
            )

    def _check_widths(self) -> None:
        """Refuses widths that leave bits of a code out, or have a cell or a cycle too many."""
        bar, weights = self.crossbar, self.weights
        magnitude = weights.bits - (weights.encoding != "offset" and weights.center != BALANCED)
        for name, widths, bits, what in (
            ("slicing", bar.slicing, magnitude, f"a weight stored by {weights.encoding!r}"),
            ("dac_bits", bar.dac_bits, self.inputs.bits, "an input code"),
        ):
            if widths is None or isinstance(widths, int):
                continue
            total = sum(widths)
            exact = name == "dac_bits"
            if total < bits or total - widths[0] >= bits or (exact and total != bits):
                raise ValueError(
                    f"crossbar.{name} must share out the {bits} bits of {what}, "
                    f"not {total} ({list(widths)})"
                )

    def to_dict(self) -> dict[str, Any]:
        """Nested plain values, in the order and with the names of the TOML form."""
        always = [name for name in _SECTIONS if name != "search"]
        values = {name: dataclasses.asdict(getattr(self, name)) for name in always}
        absent = {"slicing": None, "speculation": False}  # as files had it that know neither
        values["crossbar"] = {
            k: list(v) if isinstance(v, tuple) else v
            for k, v in values["crossbar"].items()
            if k not in absent or v != absent[k]
        }
        if self.adc is not None:
            values["adc"] = design_to_dict(self.adc)
        if self.search is not None:
            search = dataclasses.asdict(self.search)
            default = {f.name: f.default for f in dataclasses.fields(self.search)}
            values["search"] = {k: v for k, v in search.items() if v != default[k]}
        return values

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Config:
        """The inverse of `to_dict`; what is absent takes its default.

        Raises:
            ValueError: an unknown section or key, or a value out of range.
        """
        known = [*_SECTIONS, "adc"]
        check_keys("", values, known, "section")
        parts: dict[str, Any] = {}
        for name, table in values.items():
            if not isinstance(table, dict):
                raise ValueError(f"{name} must be a table, not {table!r}")
            if name == "adc":
                parts[name] = design_from_dict(table)
                continue
            keys = [f.name for f in dataclasses.fields(_SECTIONS[name])]
            check_keys(name, table, keys)
            if name == "search" and "design" not in table:
                raise ValueError("search: the key 'design' is missing")
            parts[name] = _SECTIONS[name](**table)
        return cls(**parts)

    def to_toml(self) -> str:
        """The configuration as a TOML document."""
        lines = []
        for name, table in self.to_dict().items():
            lines += [f"[{name}]", *(f"{k} = {json.dumps(v)}" for k, v in table.items()), ""]
        return "\n".join(lines)

    def save(self, path: str | Path) -> None:
        """Writes the configuration to a TOML file."""
        Path(path).write_text(self.to_toml(), encoding="utf-8")


_SECTIONS: dict[str, type] = {
    "crossbar": CrossbarConfig,
    "weights": WeightConfig,
    "inputs": InputConfig,
    "search": SearchConfig,
}
