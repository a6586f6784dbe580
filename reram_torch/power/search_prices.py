"""What a search costs by a technology: the prices that designs are chosen and reported by."""

from __future__ import annotations

from dataclasses import dataclass, field

from reram_torch.power.adc_technology import TableMemory, finer_pj
from reram_torch.power.controllers import PLAIN, Latches, Loading, Steering
from reram_torch.power.technology import Technology

PJ_PER_NW_NS = 1e-6


@dataclass(frozen=True)
class SearchPrices:
    """What searches with one kind of controller cost, pJ.

    Attributes:
        comparison: of a comparison, its clock of the controller included.
        start: of a conversion that starts: sampling, reset, and one clock more.
        word: of a word that is read from the tables' memory.
        leakage: of a byte of table memory in a ns.
        activity: of counting the driven word-lines of an array for a cycle.
        latched_bytes: a layer's tables of up to so many bytes are never loaded.
        steering: of the kind of controller, whose clock (with one word and codes of 8 bits) is
            part of the first two.
        plain: of a plain SAR, which is not programmed.
        stored: what loads tables of several words.
        direct: what loads those of one.
        activity_leakage: of what counts the driven word-lines of an array, nW.
        resolution: of what an ADC's b bits add to a conversion that starts, over 2^b.
        noise: the least of that, over 4^b.
    """

    comparison: float
    start: float = 0.0
    word: float = 0.0
    leakage: float = 0.0
    activity: float = 0.0
    latched_bytes: int = 0
    steering: Steering = field(default_factory=Steering)
    plain: Steering = field(default_factory=Steering)
    stored: Loading = field(default_factory=Loading)
    direct: Loading = field(default_factory=Loading)
    activity_leakage: float = 0.0
    resolution: float = 0.0
    noise: float = 0.0

    def loading(self, latches: Latches) -> Loading:
        """What loads tables as large as this."""
        return self.stored if latches.words > 1 else self.direct

    @property
    def resolves(self) -> bool:
        """Whether resolution has a price."""
        return bool(self.resolution or self.noise)

    def finer(self, bits: int) -> float:
        """What an ADC's resolution adds to a conversion that starts."""
        return finer_pj(bits, self.resolution, self.noise)


# What is minimised where comparisons alone are the objective.
COMPARISONS = SearchPrices(1.0)


def search_prices(technology: Technology, controller: str) -> SearchPrices:
    """The prices of a kind of controller by the energy model `bit_cycle`.

    Args:
        technology: whose prices.
        controller: as `AdcDesign.controller` names it.
    """
    adc = technology.adc
    logic, tables = adc.controllers, adc.tables
    own, plain, stored, direct = Steering(), Steering(), Loading(), Loading(reads=0)
    if logic is not None:
        own, plain = logic.steering(controller), logic.steering(PLAIN)
        stored, direct = (logic.loading(Latches(words)) for words in (2, 1))
    return SearchPrices(
        adc.bit_cycle.comparison_pj + own.clock,
        adc.bit_cycle.conversion_pj + own.clock,
        0.0 if tables is None else tables.word_pj,
        0.0 if tables is None else leakage_pj(tables, 1, 1),
        0.0 if logic is None else logic.activity_pj,
        0 if tables is None else tables.latched_bytes,
        own,
        plain,
        stored,
        direct,
        0.0 if logic is None else logic.activity_leakage_nw,
        adc.bit_cycle.resolution_pj,
        adc.bit_cycle.noise_pj,
    )


def leakage_pj(tables: TableMemory, kept: float, duration_ns: float) -> float:
    """What so many bytes of table memory leak in so long, pJ."""
    return kept * tables.leakage_nw_per_byte * duration_ns * PJ_PER_NW_NS
