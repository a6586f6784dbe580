"""A layer's controllers put to every test: simulation, netlists, real streams, proofs."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from reram_torch.hardware.gates import netlist_of, synthesised
from reram_torch.hardware.loading import LayerWords
from reram_torch.hardware.proof import PROVED, REFUTED, prove
from reram_torch.hardware.simulation import simulate, simulate_chain
from reram_torch.hardware.switching import switching

_SWITCHED = 2000  # conversions that switching is counted on


@dataclass(frozen=True)
class Checked:
    """What tests of a layer's controllers found.

    Attributes:
        kind: of the controllers.
        tables: that the layer has.
        word_bits: of a word.
        words: of the largest table.
        gates: of the controller, in two-input NAND gates, without the latches of words.
        gates_with_words: likewise, with them.
        switched: input pins of cells that switch in a mean conversion of a part of the stream.
        clocks: of a mean conversion there.
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

    kind: str
    tables: int
    word_bits: int
    words: int
    gates: float
    gates_with_words: float
    switched: float
    clocks: float
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
    directory = np.array(words.directory)
    bucket = np.searchsorted(words.edges, stream[:, 0], "right") - 1
    of = directory[bucket, stream[:, 1], stream[:, 2]]
    pairs = np.stack([of, stream[:, 3]], 1)[of >= 0]
    found = simulate(made, words.tables, tables, pairs)
    netlist = simulate(made, words.tables, tables, verilog=netlist_of(made), netlist=True)
    chain = None if made.kind == "plain" else simulate_chain(words, stream, rows)
    switched = switching(made, words.tables, tables, pairs[:_SWITCHED])
    outcomes = prove(made, words.tables, tables, seconds=seconds).outcomes
    return Checked(
        kind=made.kind,
        tables=len(tables),
        word_bits=made.word_bits,
        words=max(map(len, words.tables)),
        gates=synthesised(made, bare=True).gates,
        gates_with_words=synthesised(made).gates,
        switched=switched.a_conversion,
        clocks=switched.clocks,
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
