"""What a technology says of the logic that steers searches."""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field

from reram_torch.power.sections import check_number, check_numbers, check_variants

PLAIN = "plain"  # the controller of a single plain SAR, which nothing programs
CODE_BITS = 8  # of the codes that prices are given for
_Values = Mapping[str, float]
_BY_KIND = ("clock_pj", "leakage_nw", "area_um2")
_FREE = (
    "included_pj", "activity_pj", "scale", "bit_share", "doubling_pj", "write_bit_pj", "write_pj",
    "lookup_pj", "load_pj", "direct_pj", "bit_leakage_nw", "bit_area_um2", "activity_leakage_nw",
    "activity_area_um2", "loader_leakage_nw", "loader_area_um2", "direct_leakage_nw",
    "direct_area_um2",
)  # fmt: skip


@dataclass(frozen=True)
class Latches:
    """The words of a controller's largest table, which its latches hold.

    Attributes:
        words: how many.
        bits: of each.
    """

    words: int = 0
    bits: int = 0


@dataclass(frozen=True)
class Steering:
    """What a kind of controller takes beyond a plain SAR's, as far as other prices hold that.

    Attributes:
        clock: pJ, with one word and codes of `CODE_BITS`.
        doubling: pJ a clock for each doubling of the words.
        bit_share: what each bit of a code more adds to a clock, relative.
        write_bit: of a bit of a word that is written, pJ.
        write: of a word that is written, for each word that the latches hold, pJ.
        leakage: nW, beyond a plain SAR's, without latches.
        bit_leakage: of a bit of a word in latches, nW.
        area: um2, likewise.
        bit_area: um2, likewise.
    """

    clock: float = 0.0
    doubling: float = 0.0
    bit_share: float = 0.0
    write_bit: float = 0.0
    write: float = 0.0
    leakage: float = 0.0
    bit_leakage: float = 0.0
    area: float = 0.0
    bit_area: float = 0.0

    def clock_pj(self, latches: Latches, code_bits: int) -> float:
        """Of a clock, pJ."""
        more = self.doubling * math.log2(max(latches.words, 1))
        return (self.clock + more) * (1 + self.bit_share * (code_bits - CODE_BITS))

    def write_pj(self, latches: Latches) -> float:
        """Of a word that is written into the latches of a controller, pJ."""
        return self.write_bit * latches.bits + self.write * latches.words

    def leakage_nw(self, latches: Latches) -> float:
        """Of a controller, nW."""
        return self.leakage + self.bit_leakage * latches.words * latches.bits

    def area_um2(self, latches: Latches) -> float:
        """Of a controller, um2."""
        return self.area + self.bit_area * latches.words * latches.bits


@dataclass(frozen=True)
class Loading:
    """What finds tables and fetches their words, once for the controllers of an array.

    Attributes:
        lookup: of a look-up, pJ, which reads a word of the directory.
        load: of a word that is loaded, pJ.
        reads: how many words of the store that takes: none where the directory holds it.
        leakage: nW.
        area: um2.
    """

    lookup: float = 0.0
    load: float = 0.0
    reads: int = 1
    leakage: float = 0.0
    area: float = 0.0

    def lookup_pj(self, word_pj: float) -> float:
        """Of a look-up, at the memory's price of a word, pJ."""
        return self.lookup + word_pj

    def load_pj(self, word_pj: float) -> float:
        """Of a word that is loaded, pJ."""
        return self.load + self.reads * word_pj


@dataclass(frozen=True)
class Controllers:
    """The logic that steers a search, and the units beside an array that serve its controllers.

    A controller runs a clock for each comparison and one more for each conversion that starts. An
    ADC that serves several designs has the controller of the dearest. What is left out costs
    nothing.

    Args:
        included_pj: a plain SAR's logic, as far as the price of a comparison holds it, pJ a clock.
        activity_pj: counting the driven word-lines of an array for a cycle, pJ; of an array with
            as many word-lines as those of the technology, and else in proportion.
        clock_pj: of each kind of controller with one word and codes of 8 bits, pJ a clock.
        source: where the numbers come from.
        scale: of what a clock exceeds `included_pj` by.
        bit_share: what each bit of a controller's codes beyond 8 adds to its clock, relative.
        doubling_pj: what each doubling of the words in a controller's latches adds to its clock.
        write_bit_pj: writing a bit of a word into the latches of a controller, pJ.
        write_pj: and for each word that these latches hold, pJ a word that is written.
        lookup_pj: finding the table of a slice in a cycle of an array, pJ, its memory left out.
        load_pj: what fetches a word for the controllers of an array, pJ, its memory left out.
        direct_pj: in place of these two, for each look-up, where every table is one word, which
            the directory holds.
        leakage_nw, area_um2: of each kind without latches, nW and um2; a plain SAR's is part of
            the ADC's and is taken off.
        bit_leakage_nw, bit_area_um2: of a bit of a word in latches.
        activity_leakage_nw, activity_area_um2: of what counts an array's driven word-lines; as
            `activity_pj` of an array of the technology's.
        loader_leakage_nw, loader_area_um2: of what loads an array's words.
        direct_leakage_nw, direct_area_um2: in their place, where every table is one word.
        low, high: other values of these numbers that the literature allows.
    """

    included_pj: float
    activity_pj: float
    clock_pj: _Values
    source: str
    scale: float = 1.0
    bit_share: float = 0.0
    doubling_pj: float = 0.0
    write_bit_pj: float = 0.0
    write_pj: float = 0.0
    lookup_pj: float = 0.0
    load_pj: float = 0.0
    direct_pj: float = 0.0
    leakage_nw: _Values = field(default_factory=dict)
    area_um2: _Values = field(default_factory=dict)
    bit_leakage_nw: float = 0.0
    bit_area_um2: float = 0.0
    activity_leakage_nw: float = 0.0
    activity_area_um2: float = 0.0
    loader_leakage_nw: float = 0.0
    loader_area_um2: float = 0.0
    direct_leakage_nw: float = 0.0
    direct_area_um2: float = 0.0
    low: _Values = field(default_factory=dict)
    high: _Values = field(default_factory=dict)

    def __post_init__(self) -> None:
        check_numbers("adc.controllers", self, zero=_FREE)
        for name in _BY_KIND:
            values, where = getattr(self, name), f"adc.controllers.{name}"
            if not isinstance(values, Mapping) or (name == "clock_pj" and not values):
                raise ValueError(f"{where} must be a table, not {values!r}")
            for kind, value in values.items():
                check_number(f"{where}.{kind}", value, zero=True)
        check_variants("adc.controllers", self)

    def steering(self, kind: str) -> Steering:
        """What a kind of controller takes beyond what the ADC's other prices hold already.

        Warns:
            UserWarning: there is no price for this kind; the dearest is taken.
        """
        if kind not in self.clock_pj:
            warnings.warn(
                f"the technology has no adc.controllers.clock_pj.{kind}: the dearest of its "
                "controllers is charged",
                stacklevel=2,
            )
        clock = self.clock_pj.get(kind, max(self.clock_pj.values()))
        return Steering(
            self.scale * (clock - self.included_pj),
            self.scale * self.doubling_pj,
            self.bit_share,
            self.write_bit_pj,
            self.write_pj,
            self._beyond(self.leakage_nw, kind),
            self.bit_leakage_nw,
            self._beyond(self.area_um2, kind),
            self.bit_area_um2,
        )

    def loading(self, latches: Latches) -> Loading:
        """What loads tables as large as this."""
        if latches.words > 1:
            return Loading(
                self.lookup_pj, self.load_pj, 1, self.loader_leakage_nw, self.loader_area_um2
            )
        return Loading(self.direct_pj, 0.0, 0, self.direct_leakage_nw, self.direct_area_um2)

    @staticmethod
    def _beyond(values: _Values, kind: str) -> float:
        """A kind's value, or that of the dearest, less a plain SAR's."""
        dearest = max(values.values(), default=0.0)
        return max(values.get(kind, dearest) - values.get(PLAIN, 0.0), 0.0)
