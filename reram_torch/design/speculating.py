"""The best ADCs of a layer that speculates: searches that may escape, and those of single bits.

What an escape costs depends on the tables of single bits, and what these convert depends on what
escapes. They are found in turn: tables of single bits for all sums, tries that may be recovered by
them, tables of single bits for what those let escape, and tries again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from reram_torch.adc import AdcDesign, SpeculativeSAR, UniformSAR
from reram_torch.adc.base import DESIGNS, compile_tables
from reram_torch.adc.trees import ESCAPE
from reram_torch.config.sections import SearchConfig
from reram_torch.design.candidates import Choices, choose, window_at
from reram_torch.design.designers import LEAST, Designer, OptimalDesigner, designer_of
from reram_torch.design.layer_prices import LayerPrices
from reram_torch.design.loads import Escapes, LayerLoads, compiled, distances
from reram_torch.design.reaches import Reach
from reram_torch.design.recoveries import Escaped, Singles
from reram_torch.design.speculated import SpeculatedLoads
from reram_torch.nn.base import CrossbarLayer
from reram_torch.power.controllers import Latches

_ROUNDS = 2


class Speculator(Designer):
    """Finds searches for tries and for single bits in turn.

    Args:
        layer: calibrated; its crossbars speculate.
        search: the kind of ADC and its limits.
        prices: of the layer's searches.

    Raises:
        ValueError: searches of this kind cannot escape.
    """

    def __init__(self, layer: CrossbarLayer, search: SearchConfig, prices: LayerPrices):
        self.speculated = SpeculatedLoads(layer, search.granularity)
        every = self.speculated.escaped(None)
        loads = self.speculated.loads(every, None)
        super().__init__(loads, search, prices)
        self._last: np.ndarray | None = None
        tries = slice(self.speculated.tries)
        kind = designer_of(search.design)
        self._solver: _Optimal | _Chosen
        if issubclass(kind, OptimalDesigner):
            self._solver = _Optimal(kind, search, prices, loads.of(tries))
        else:
            self._solver = _Chosen(search.design, prices, loads, loads.of(tries))

    @property
    def shares(self) -> bool:
        """See `Designer`."""
        return isinstance(self._solver, _Optimal)

    def at(self, price: float, byte: float = 0.0, reach: Reach | None = None) -> list[AdcDesign]:
        """See `Designer`; what escaped at the last price is where the next one begins."""
        spec, cut, p = self.speculated, self.speculated.tries, self.prices.prices
        finer = p.finer(reach.bits) if reach else 0.0
        out = self._last if price else None
        for _ in range(_ROUNDS if out is None else 1):
            escaped = spec.escaped(out)
            loads = spec.loads(escaped, None).of(slice(cut, None))
            singles = self._solver.singles(loads, price, byte, reach)
            escapes = self._costs(singles, escaped, finer).of(slice(cut))
            tries = self._solver.tries(escapes, price, byte, reach)
            out = self._out(tries)
        self._last = out if price else self._last
        return tries + singles

    def loads_with(self, designs: Sequence[AdcDesign], *, priced: bool) -> LayerLoads:
        """See `Designer`: what single bits convert depends on what escapes."""
        cut = self.speculated.tries
        escaped = self.speculated.escaped(self._out(designs[:cut]))
        if not priced:
            return self.speculated.loads(escaped, None)
        finer = self.prices.finer(designs) if self.prices.prices.resolves else 0.0
        return self.speculated.loads(escaped, self._costs(designs[cut:], escaped, finer))

    def _out(self, designs: Sequence[AdcDesign]) -> np.ndarray:
        """Which sums designs of tries let escape, bool (T, V)."""
        level, _ = compiled(designs, self.loads)
        found: np.ndarray = level == ESCAPE
        return found

    def _costs(self, designs: Sequence[AdcDesign], escaped: Escaped, finer: float) -> Escapes:
        """What escapes cost as these designs convert single bits.

        Args:
            designs: of single bits.
            escaped: what they convert now.
            finer: what the ADC's resolution adds to a conversion that starts.
        """
        spec, prices, loads = self.speculated, self.prices, self.loads
        g, p = self.geometry, prices.prices
        level, made = compiled(designs, loads)
        starts = made.max(1, keepdims=True) > 0
        words = [d.words(g.lowest, g.highest) for d in designs]
        latched = prices.are_latched(loads, designs[0])
        loaded = [0.0 if latched else prices.loaded(Latches(*w)) * w.number for w in words]
        table = spec.table - spec.tries
        singles = Singles(
            p.comparison * made + (p.start + finer) * starts,
            distances(level, loads.loads[0].values),
            spec.recoveries.conversions * np.array(loaded) * starts[:, 0],
            np.where(table < 0, -1, table),
        )
        return spec.costs(singles, escaped)


class _Optimal:
    """Optimal searches, by the designer of their kind."""

    def __init__(
        self,
        kind: type[OptimalDesigner],
        search: SearchConfig,
        prices: LayerPrices,
        tries: LayerLoads,
    ):
        self._kind, self._search, self._prices = kind, search, prices
        self._tries = kind(tries, search, prices)

    def singles(
        self, loads: LayerLoads, price: float, byte: float, reach: Reach | None
    ) -> list[AdcDesign]:
        """Those of single bits, which convert these loads."""
        return self._kind(loads, self._search, self._prices).at(price, byte, reach)

    def tries(
        self, escapes: Escapes, price: float, byte: float, reach: Reach | None
    ) -> list[AdcDesign]:
        """Those of tries."""
        if not price:
            escapes = _forced(escapes, self._tries.loads)
        self._tries.escapes = escapes
        return self._tries.at(price, byte, reach)


def _forced(escapes: Escapes, loads: LayerLoads) -> Escapes:
    """Costs so low at the largest sums of some tables that no search does without an escape there.

    That is where sums lie which no array here has a place for.
    """
    energy = escapes.energy.copy()
    worth = 32.0 * (loads.likely.sum(1) + escapes.energy.sum(1)) * escapes.beyond
    energy[:, -1] -= worth
    if loads.lowest < 0:
        energy[:, 0] -= worth
    return Escapes(energy, escapes.error, escapes.allowed, escapes.beyond)


class _Candidates(NamedTuple):
    """Designs to choose from, D of them.

    Attributes:
        designs: the designs.
        made: comparisons by sum, float64 (D, V).
        away: distance to the level, likewise.
        out: whether a sum escapes, likewise.
        windows: as `Choices` has them.
    """

    designs: tuple[AdcDesign, ...]
    made: np.ndarray
    away: np.ndarray
    out: np.ndarray
    windows: np.ndarray


class _Chosen:
    """Searches chosen from the candidates of a kind."""

    def __init__(self, kind: str, prices: LayerPrices, loads: LayerLoads, tries: LayerLoads):
        self._prices, self._tries = prices, tries
        low, high = loads.lowest, loads.highest
        self._of_tries = _candidates(kind, low, high, escaping=True)
        self._of_singles = _candidates(kind, low, high, escaping=False)
        self._latched = prices.are_latched(loads, self._of_singles.designs[0])
        self._plain = self._measured(tries, self._of_tries)

    def singles(
        self, loads: LayerLoads, price: float, byte: float, reach: Reach | None
    ) -> list[AdcDesign]:
        """Those of single bits, which convert these loads."""
        del byte  # a table is one word whatever its design
        return self._best(self._measured(loads, self._of_singles), price, reach)

    def tries(
        self, escapes: Escapes, price: float, byte: float, reach: Reach | None
    ) -> list[AdcDesign]:
        """Those of tries."""
        del byte
        out = self._of_tries.out
        energy, error = escapes.energy @ out.T, escapes.error @ out.T
        error += escapes.forbidden(out, exact=not price)
        choices = [
            replace(c, square=c.square + wrong, energy=c.energy + spent)
            for c, wrong, spent in zip(self._plain, error, energy, strict=True)
        ]
        return self._best(choices, price, reach)

    def _best(self, choices: list[Choices], price: float, reach: Reach | None) -> list[AdcDesign]:
        if reach is not None:
            lowest, start = self._prices.geometry.lowest, self._prices.prices.finer(reach.bits)
            choices = [each.within(reach, lowest, start) for each in choices]
        return choose(choices, max(price, LEAST))

    def _measured(self, loads: LayerLoads, c: _Candidates) -> list[Choices]:
        """What candidates do on loads, but for escapes."""
        g, prices = self._prices.geometry, self._prices.prices
        words = [d.words(g.lowest, g.highest) for d in c.designs]
        number = np.array([w.number for w in words])
        each = self._prices.word(loads, Latches(1, words[0].bits), latched=self._latched)
        likely, starts = loads.likely, c.made.any(1)
        square = loads.square @ (c.away**2).T
        mean = np.stack([load.mean for load in loads.loads]) @ c.away.T
        energy = prices.comparison * (likely @ c.made.T)
        started = starts * likely.sum(1)[:, None]
        energy += prices.start * started + starts * each[:, None] * number
        rows = zip(square, mean, energy, started, strict=True)
        return [Choices(c.designs, *row, c.windows) for row in rows]


@lru_cache(maxsize=8)
def _candidates(kind: str, lowest: int, highest: int, *, escaping: bool) -> _Candidates:
    """The candidates of a kind on these sums.

    Raises:
        ValueError: none of them escapes.
    """
    every = list(DESIGNS[kind].candidates(lowest, highest))
    if kind == UniformSAR.kind:
        plain = [d for d in every if isinstance(d, UniformSAR)]
        every += [SpeculativeSAR(d.bits, d.step) for d in plain if d.bits > 1]
    if not any(design.escapes for design in every):
        raise ValueError(
            f"design_adc cannot design ADCs of kind {kind!r} for crossbars that speculate: no "
            "search of this kind ends at 'too large', so that nothing would ever be recovered. "
            "Take 'uniform', 'intervals', 'segmented' or 'search_tree', or crossbars without "
            "crossbar.speculation"
        )
    designs = [design for design in every if escaping or not design.escapes]
    tables = [compile_tables(design, lowest, highest) for design in designs]
    level = np.stack([t.level for t in tables])
    made = np.stack([t.comparisons for t in tables]).astype(float)
    values = np.arange(lowest, highest + 1)
    out = (level == ESCAPE).astype(float)
    windows = np.array([window_at(design, lowest, highest) for design in designs])
    return _Candidates(tuple(designs), made, distances(level, values), out, windows)
