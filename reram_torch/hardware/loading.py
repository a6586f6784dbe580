"""The words of a layer's ADCs: its tables, what says which converts, and the order of loading."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from reram_torch.adc import AdcDesign, UniformSAR
from reram_torch.adc.storage import used_designs
from reram_torch.adc.trees import Tables
from reram_torch.hardware.formats import Format
from reram_torch.hardware.words import format_of, tables_of, words_of
from reram_torch.nn.base import CrossbarLayer

_MAGIC = b"reram_torch words 1\n"
_LENGTH = 4  # bytes of the length of what describes the words


class Load(NamedTuple):
    """What is loaded before the columns that share an ADC are converted.

    Attributes:
        phase: the input cycle, or after all cycles the recovered bit.
        slice: of the weights.
        tables: by activity bucket, which table; -1: nothing is converted.
    """

    phase: int
    slice: int
    tables: tuple[int, ...]


@dataclass(frozen=True)
class LayerWords:
    """What the controllers of a layer's ADCs load.

    Attributes:
        format: of the words.
        lowest: the smallest bit-line sum.
        highest: the largest.
        tables: words of each table, those of equal designs once. A plain SAR's has none, an
            activity SAR's is the number of comparisons, which the activity unit keeps.
        edges: fewest driven word-lines of each activity bucket, rising from 0.
        directory: which table converts, by activity bucket, phase (the cycles, and then the
            recovered bits) and slice; -1: nothing is converted.
    """

    format: Format
    lowest: int
    highest: int
    tables: tuple[tuple[int, ...], ...]
    edges: tuple[int, ...]
    directory: tuple[tuple[tuple[int, ...], ...], ...]

    @property
    def firsts(self) -> tuple[int, ...]:
        """Where each table begins when all lie one after the other."""
        sizes = [len(words) for words in self.tables]
        return tuple(sum(sizes[:k]) for k in range(len(sizes)))

    @property
    def order(self) -> tuple[Load, ...]:
        """The order of loading: phase by phase, and in each slice by slice.

        Before the columns of a slice are converted in a phase, the table of the activity bucket is
        loaded; once for all of them, and not at all if it is there from the last time.
        """
        buckets = np.array(self.directory)
        return tuple(
            Load(phase, at, tuple(buckets[:, phase, at].tolist()))
            for phase in range(buckets.shape[1])
            for at in range(buckets.shape[2])
        )

    def decoded(self, table: int) -> Tables:
        """The levels and comparisons that the words of a table give."""
        return tables_of(self.tables[table], self.format, self.lowest, self.highest)

    def converting(self, stream: np.ndarray) -> np.ndarray:
        """Which table converts each conversion of a stream, int (n,); -1: nothing does.

        Args:
            stream: int (n, 4): driven word-lines, phase, slice and sum.
        """
        bucket = np.searchsorted(self.edges, stream[:, 0], "right") - 1
        found: np.ndarray = np.array(self.directory)[bucket, stream[:, 1], stream[:, 2]]
        return found

    def converted(self, stream: np.ndarray) -> np.ndarray:
        """Which table converts which sum, int (m, 2); sums that nothing converts are left out.

        Args:
            stream: as for `converting`.
        """
        of = self.converting(stream)
        found: np.ndarray = np.stack([of, stream[:, 3]], 1)[of >= 0]
        return found

    def to_bytes(self) -> bytes:
        """Everything as bytes: a line, the length of what describes the words (JSON), that, words.

        Words follow each other bit by bit, the most significant bits first.
        """
        described = {
            "format": dataclasses.asdict(self.format),
            "lowest": self.lowest, "highest": self.highest,
            "sizes": [len(words) for words in self.tables],
            "edges": self.edges, "directory": self.directory,
        }  # fmt: skip
        text = json.dumps(described, sort_keys=True, separators=(",", ":")).encode()
        bits, packed, count = self.format.word_bits, 0, 0
        for word in self._words():
            packed, count = packed << bits | word, count + 1
        size = -(-count * bits // 8)
        packed <<= 8 * size - count * bits
        return _MAGIC + len(text).to_bytes(_LENGTH, "big") + text + packed.to_bytes(size, "big")

    @classmethod
    def from_bytes(cls, data: bytes) -> LayerWords:
        """The inverse of `to_bytes`.

        Raises:
            ValueError: these are no words, or not all of them.
        """
        if not data.startswith(_MAGIC):
            raise ValueError("data must be what LayerWords.to_bytes gave: it begins otherwise")
        start = len(_MAGIC) + _LENGTH
        end = start + int.from_bytes(data[len(_MAGIC) : start], "big")
        try:
            found = json.loads(data[start:end])
            made = Format(**found["format"])
            sizes, bits = found["sizes"], made.word_bits
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(f"data describes no words: {error}") from error
        size = -(-sum(sizes) * bits // 8)
        if len(data) != end + size:
            raise ValueError(f"data must have {end + size} bytes, not {len(data)}")
        packed = int.from_bytes(data[end:], "big") >> 8 * size - sum(sizes) * bits
        words = []
        for _ in range(sum(sizes)):
            words.append(packed & ((1 << bits) - 1))
            packed >>= bits
        rest = iter(reversed(words))
        tables = tuple(tuple(next(rest) for _ in range(n)) for n in sizes)
        directory = tuple(tuple(tuple(row) for row in rows) for rows in found["directory"])
        edges = tuple(found["edges"])
        return cls(made, found["lowest"], found["highest"], tables, edges, directory)

    def _words(self) -> Iterator[int]:
        for words in self.tables:
            yield from words


def program_words(layer: CrossbarLayer) -> LayerWords:
    """The words of all tables of a layer, as `reram_torch.write_verilog` makes controllers for.

    A single plain SAR of step 1 gives a `plain` format, which has no words.

    Args:
        layer: of a converted network, with its ADCs in place.

    Raises:
        TypeError: not a layer on crossbars.
        ValueError: its ADCs have controllers of several kinds, or designs that have no words, or
            nothing is converted.
    """
    if not isinstance(layer, CrossbarLayer):
        raise TypeError(
            f"layer must be one of crossbar_layers(net).values(), not a {type(layer).__name__}"
        )
    tables, g = layer.tables(), layer.geometry
    index = tables.index.cpu().numpy()
    designs = used_designs(layer.adc, index)
    if not designs:
        raise ValueError("the layer converts nothing: there are no words")
    made = _format(designs, g.lowest, g.highest)
    place = {design: k for k, design in enumerate(designs)}
    renamed = np.array([*(place.get(design, -1) for design in layer.adc), -1])[index]
    return LayerWords(
        made,
        g.lowest,
        g.highest,
        tuple(words_of(design, made, g.lowest, g.highest) for design in designs),
        tuple(tables.edges.tolist()),
        tuple(tuple(tuple(row) for row in rows) for rows in renamed.tolist()),
    )


def _format(designs: list[AdcDesign], lowest: int, highest: int) -> Format:
    first = designs[0]
    if len(designs) == 1 and isinstance(first, UniformSAR) and first.step == 1 and first.bits > 1:
        return Format("plain", first.bits, lowest < 0)
    return format_of(designs, lowest, highest)
