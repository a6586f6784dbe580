"""What an ADC design is, the designs there are, and the tables that they compile to.

A comparator-based ADC finds a level by comparisons: an inner node of its tree is one comparison of
the bit-line sum with a threshold, a leaf is the level it decodes to. `compile_tables` turns a
design into the two tables that every backend works with. A design is a frozen dataclass that names
its hardware parameters; the tree follows from them.
"""

from __future__ import annotations

import dataclasses
import itertools
from abc import ABC, abstractmethod
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, ClassVar, NamedTuple, TypeVar

import numpy as np

from reram_torch._support.checks import check_choice, check_int
from reram_torch._support.names import check_keys
from reram_torch.adc.trees import ESCAPE, Tables, Tree, compiled, visited

MAX_BITS = 16


class Storage(NamedTuple):
    """What an ADC has to store.

    Attributes:
        thresholds: thresholds that no binary-weighted DAC makes by itself, bit by bit.
        table_bits: bits of the search.
        decoder_bits: bits that turn a code into a level.
    """

    thresholds: int
    table_bits: int
    decoder_bits: int


class Words(NamedTuple):
    """What a programmable ADC of a kind loads before it searches by a design.

    Attributes:
        number: of words.
        bits: of each.
    """

    number: int
    bits: int


class Shown(NamedTuple):
    """What a picture of a design points out: a name for the sums from `first` up to `end`."""

    name: str
    first: int
    end: int
    text: str


class ByActivity(NamedTuple):
    """Designs by driven word-lines.

    Attributes:
        edges: the fewest of each bucket, from 0 and 1 on.
        designs: one or more.
        index: which of them converts, by bucket, cycle and slice, (B, I, J); -1 in the first
            bucket, in which nothing is converted.
    """

    edges: tuple[int, ...]
    designs: tuple[AdcDesign, ...]
    index: np.ndarray  # type: ignore[assignment]  # hides tuple.index


class AdcDesign(ABC):
    """A kind of ADC: a frozen dataclass of its parameters, registered by `register_adc`.

    `tree` is all that simulation, power and reports need. `design_adc` can choose among the designs
    that `candidates` offers.

    Attributes:
        kind: the name in configurations and saved states.
        limits: those of `leaves`, `depth` and `grid` that `design_adc` may give this kind.
    """

    kind: ClassVar[str]
    limits: ClassVar[tuple[str, ...]] = ()
    __dataclass_fields__: ClassVar[dict[str, dataclasses.Field[Any]]]  # of each kind

    @abstractmethod
    def tree(self, lowest: int, highest: int) -> Tree:
        """The search tree for bit-line sums from `lowest` to `highest`."""

    def tables(self, lowest: int, highest: int) -> Tables:
        """What it makes of each sum: what its tree does, told faster where a kind can."""
        return compiled(self.tree(lowest, highest), lowest, highest)

    def thresholds(self, lowest: int, highest: int) -> Sequence[int] | np.ndarray:
        """The thresholds that some sum from `lowest` to `highest` is compared with, in any order.

        Those of its tree, told faster where a kind can.
        """
        return visited(self.tree(lowest, highest), lowest, highest)

    @classmethod
    def candidates(cls, lowest: int, highest: int) -> Sequence[AdcDesign]:
        """Designs worth trying on sums from `lowest` to `highest`; none by default."""
        del lowest, highest
        return ()

    @property
    def escapes(self) -> bool:
        """Whether it leaves sums to be recovered, bit by bit (`crossbar.speculation`)."""
        return False

    def final(self) -> AdcDesign:
        """What converts the sums of a recovery, which nothing recovers: itself, unless it says."""
        return self

    def by_activity(self, rows: int, each: np.ndarray) -> ByActivity | None:
        """The designs that it stands for where it is told how many word-lines are driven, if any.

        Args:
            rows: word-lines of an array.
            each: what a driven word-line adds to a sum at most, by cycle and slice, (I, J).

        Returns:
            None for a design that is not told.
        """
        del rows, each
        return None

    def payload(self, value: int, comparisons: int) -> int:
        """Of the comparisons of a sum's search, those that come after an interval is found."""
        del value
        return comparisons

    def storage(self, lowest: int, highest: int, codes: int) -> Storage:
        """What the hardware stores for sums from `lowest` to `highest`; a plain SAR ADC, nothing.

        Args:
            lowest: the smallest sum.
            highest: the largest.
            codes: words of the ADC's code.
        """
        del lowest, highest, codes
        return Storage(0, 0, 0)

    def words(self, lowest: int, highest: int) -> Words:
        """What is loaded to search sums from `lowest` to `highest`: by default what is stored.

        One word holds all parameters, unless a design says otherwise.
        """
        codes = len(np.unique(compile_tables(self, lowest, highest).level))
        stored = self.storage(lowest, highest, codes)
        return Words(1, max(stored.table_bits + stored.decoder_bits, 1))

    @property
    def controller(self) -> str:
        """The kind of controller that a technology prices."""
        return self.kind

    @property
    def shown(self) -> Shown | None:
        """What a picture points out, if anything."""
        return None


DESIGNS: dict[str, type[AdcDesign]] = {}
_Design = TypeVar("_Design", bound=type[AdcDesign])


def register_adc(design: _Design) -> _Design:
    """Makes a kind of ADC known to configurations, saved states and `design_adc`; a decorator.

    Raises:
        TypeError: not a frozen dataclass derived from `AdcDesign` with a `kind`.
        ValueError: another class has this `kind`.
    """
    fits = isinstance(design, type) and issubclass(design, AdcDesign)
    parameters = getattr(design, "__dataclass_params__", None)
    if not fits or parameters is None or not parameters.frozen:
        raise TypeError(f"{design!r} must be a frozen dataclass derived from AdcDesign")
    kind = getattr(design, "kind", None)
    if not isinstance(kind, str) or not kind.isidentifier():
        raise TypeError(f"{design.__name__}.kind must be a word, not {kind!r}")
    known = DESIGNS.setdefault(kind, design)
    if (known.__module__, known.__qualname__) != (design.__module__, design.__qualname__):
        raise ValueError(f"kind {kind!r} is that of {known.__qualname__} already")
    DESIGNS[kind] = design
    return design


def design_from_dict(values: dict[str, Any], where: str = "adc") -> AdcDesign:
    """An ADC design from its `kind` and parameters, as in a TOML table.

    Raises:
        ValueError: an unknown kind or key, or a parameter out of range.
    """
    values = dict(values)
    kind = values.pop("kind", None)
    check_choice(f"{where}.kind", kind, tuple(sorted(DESIGNS)))
    known = [field.name for field in dataclasses.fields(DESIGNS[kind])]
    check_keys(f"{where} of kind {kind!r}", values, known)
    return DESIGNS[kind](**values)


def design_to_dict(design: AdcDesign) -> dict[str, Any]:
    """The inverse of `design_from_dict`."""
    return {"kind": design.kind, **dataclasses.asdict(design)}


@lru_cache(maxsize=4096)
def compile_tables(design: AdcDesign, lowest: int, highest: int) -> Tables:
    """The tables of a design over the sums `lowest` to `highest`, both included.

    Raises:
        ValueError: a level of its tree is no multiple of 1/2, nor `ESCAPE`.
    """
    tables = design.tables(lowest, highest)
    level = tables.level
    if not ((2 * level == np.rint(2 * level)) | (level == ESCAPE)).all():
        raise ValueError(f"the levels of {design} must be multiples of 1/2")
    return tables


# --- checks and sizes that designs share ---


def check_step(name: str, value: int) -> None:
    """Raises ValueError unless a step is a power of two within range."""
    check_int(name, value, 1, 1 << MAX_BITS)
    if value & (value - 1):
        raise ValueError(f"{name} must be a power of two (decoding is a shift), not {value!r}")


def check_starts(where: str, starts: tuple[int, ...], count: int) -> None:
    """Raises ValueError unless starts rise and there are so many."""
    if not starts or len(starts) != count:
        raise ValueError(f"{where}: starts, levels or bits, and depths must be equally many")
    if any(a >= b for a, b in itertools.pairwise(starts)):
        raise ValueError(f"{where}.starts must rise, not {list(starts)}")


def check_integers(where: str, **values: Any) -> tuple[tuple[int, ...], ...]:
    """The values as tuples of whole numbers.

    Raises:
        TypeError: one of them is no list.
        ValueError: an element is no whole number within range.
    """
    most = 1 << MAX_BITS  # trees may have thousands of them: what is all right is told at once
    for name, numbers in values.items():
        if not isinstance(numbers, tuple | list):
            raise TypeError(f"{where}.{name} must be a list of whole numbers, not {numbers!r}")
        if not all(type(n) is int and -most <= n <= most for n in numbers):
            for number in numbers:
                check_int(f"{where}.{name}", number, -most, most)
    return tuple(tuple(map(int, numbers)) for numbers in values.values())


def node_bits(lowest: int, highest: int) -> int:
    """Bits of a word of a detection node: a threshold, and two links of six bits."""
    return sum_bits(lowest, highest) + 12


def check_halves(
    where: str, *, escapes: bool = False, **values: Any
) -> tuple[tuple[float, ...], ...]:
    """The values as tuples of multiples of 1/2, whole ones as whole numbers; `ESCAPE` if it may be.

    Raises:
        TypeError: one of them is no list.
        ValueError: an element is no multiple of 1/2 within range.
    """
    most = 1 << MAX_BITS
    for name, numbers in values.items():
        if not isinstance(numbers, tuple | list):
            raise TypeError(f"{where}.{name} must be a list of multiples of 1/2, not {numbers!r}")
        for number in numbers:
            known = isinstance(number, int | float) and not isinstance(number, bool)
            if escapes and known and number == ESCAPE:
                continue
            if not (known and -most <= number <= most and 2 * number == int(2 * number)):
                raise ValueError(
                    f"{where}.{name} must be multiples of 1/2 from {-most} to {most}, "
                    f"not {number!r}"
                )
    return tuple(
        tuple(int(n) if n != ESCAPE and n == int(n) else float(n) for n in numbers)
        for numbers in values.values()
    )


def sum_bits(lowest: int, highest: int) -> int:
    """Bits that tell all sums apart."""
    return max(int(highest - lowest).bit_length(), 1)


def full_bits(lowest: int, highest: int, step: int = 1) -> int:
    """Bits of the smallest plain ADC of this step that has the nearest level of every sum."""
    code = (int(highest) + step // 2) // step
    return code.bit_length() + 1 if lowest < 0 else max(code.bit_length(), 1)
