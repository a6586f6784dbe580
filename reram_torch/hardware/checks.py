"""A layer's controllers put to every test: simulation, netlists, real streams, proofs."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from reram_torch.hardware.costs import ControllerCost, controller_cost
from reram_torch.hardware.gates import netlist_of
from reram_torch.hardware.loading import LayerWords
from reram_torch.hardware.proof import PROVED, REFUTED, prove
from reram_torch.hardware.simulation import simulate, simulate_chain
from reram_torch.hardware.streams import sampled

_MEASURED = 2000  # conversions that energy is counted on


@dataclass(frozen=True)
class Checked:
    """What tests of a layer's controllers found.

    Attributes:
        tables: that the layer has.
        cost: of its controller, on a part of the stream.
        conversions: simulated, every sum of every table and a stream of real ones.
        wrong: of these.
        netlist_conversions: of the controller after synthesis, every sum of every table.
        netlist_wrong: of these.
        chain_conversions: real ones through activity unit, directory and loader.
        chain_wrong: of these.
        proved: tables whose proof closed.
        refuted: tables that a controller was shown to miss.
        seconds_a_proof: that each was given at most; those of the others are open.
    """

    tables: int
    cost: ControllerCost
    conversions: int
    wrong: int
    netlist_conversions: int
    netlist_wrong: int
    chain_conversions: int
    chain_wrong: int
    proved: int
    refuted: int
    seconds_a_proof: int

    @property
    def passed(self) -> bool:
        """Whether nothing went wrong and every proof closed."""
        wrong = self.wrong + self.netlist_wrong + self.chain_wrong
        return not wrong and self.proved == self.tables


def check_words(words: LayerWords, stream: np.ndarray, rows: int, seconds: int) -> Checked:
    """Simulates and proves the controllers of a layer.

    Args:
        words: of the layer.
        stream: real conversions, as `real_conversions` gives them.
        rows: word-lines of an array.
        seconds: for the proof of a table.

    Raises:
        RuntimeError: Icarus Verilog or Yosys is missing.
    """
    made, tables = words.format, [words.decoded(k) for k in range(len(words.tables))]
    pairs = words.converted(stream)
    found = simulate(made, words.tables, tables, pairs)
    netlist = simulate(made, words.tables, tables, verilog=netlist_of(made), netlist=True)
    chain = None if made.kind == "plain" else simulate_chain(words, stream, rows)
    outcomes = prove(made, words.tables, tables, seconds=seconds).outcomes
    return Checked(
        tables=len(tables),
        cost=controller_cost(words, sampled(stream, _MEASURED)),
        conversions=found.conversions,
        wrong=found.wrong,
        netlist_conversions=netlist.conversions,
        netlist_wrong=netlist.wrong,
        chain_conversions=0 if chain is None else chain.conversions,
        chain_wrong=0 if chain is None else chain.wrong,
        proved=outcomes.count(PROVED),
        refuted=outcomes.count(REFUTED),
        seconds_a_proof=seconds,
    )
