"""How the words of a search lie in bits: what a controller of a kind is made for."""

from __future__ import annotations

from dataclasses import dataclass

from reram_torch._support.checks import check_choice, check_int

KINDS = ("plain", "activity", "programmable", "twin_range", "segmented", "search_tree")
_MOST_BITS = 40  # of a DAC: two searches of 16 bits, one over the other's step, have fewer


@dataclass(frozen=True)
class Format:
    """A controller's kind and sizes, from which the fields of its words follow.

    Args:
        kind: `plain`, `activity`, `programmable`, `twin_range`, `segmented` or `search_tree`.
        bits: of the DAC's code and of a level, 2 or more.
        signed: codes and levels are two's complement.
        payload: of a `segmented` or `search_tree` link, the bits behind its first.
        words: of a table, at most.
        aligned: runs of a `segmented` search begin at multiples of their widths.
        escapes: levels may mean that the sum is recovered.

    Raises:
        ValueError: an unknown kind, or a size out of range.
    """

    kind: str
    bits: int = 8
    signed: bool = False
    payload: int = 0
    words: int = 1
    aligned: bool = False
    escapes: bool = False

    def __post_init__(self) -> None:
        check_choice("Format.kind", self.kind, KINDS)
        check_int("Format.bits", self.bits, 2, _MOST_BITS)
        least = self.least_payload if self.linked else 0
        check_int("Format.payload", self.payload, least, _MOST_BITS if self.linked else 0)
        check_int("Format.words", self.words, 1, 1 << self.payload if self.linked else 1)
        if self.aligned and self.kind != "segmented":
            raise ValueError(f"Format.aligned is of segmented searches, not of {self.kind!r}")
        if self.escapes and not self.linked:
            raise ValueError(f"Format.escapes: a {self.kind!r} controller cannot tell escapes")

    @property
    def linked(self) -> bool:
        """Whether words are nodes that name each other."""
        return self.kind in ("segmented", "search_tree")

    @property
    def place(self) -> int:
        """Bits that name a place of the code, or in twin range and activity one more."""
        places = self.bits + (self.kind in ("twin_range", "activity"))
        return (places - 1).bit_length()

    @property
    def address(self) -> int:
        """Bits of a word's address."""
        return max((self.words - 1).bit_length(), 1)

    @property
    def least_payload(self) -> int:
        """What a link's payload needs for addresses, and for what describes a run."""
        fields = 2 + self.place * (2 if self.kind == "segmented" and not self.aligned else 1)
        return max(self.address, -(-fields // 2) - 1, 2)

    @property
    def fields(self) -> dict[str, int]:
        """Names and bits of a word's fields, from the most significant one on."""
        p, linked = self.place, {
            "other": 1, "code": self.bits,
            "below_ends": 1, "below": self.payload, "above_ends": 1, "above": self.payload,
        }  # fmt: skip
        return {
            "plain": {},
            "activity": {"comparisons": p},
            "programmable": {"none": 1, "top": p, "step": p},
            "twin_range": {
                "start": self.bits, "below": 1, "above": 1,
                "top1": p, "step1": p, "top2": p, "step2": p,
            },
            "segmented": linked,
            "search_tree": linked,
        }[self.kind]  # fmt: skip

    @property
    def other_fields(self) -> dict[str, int]:
        """Of a word that is no node, what the bits of both links hold instead."""
        runs = self.kind == "segmented"
        named = {"place": self.place * (runs and not self.aligned), "single": 1, "half": 1}
        named["step"] = self.place  # of a level alone it is not looked at, but has its bits
        spare = 2 * (1 + self.payload) - sum(named.values())
        return {"spare": spare, **named}

    @property
    def word_bits(self) -> int:
        """Bits of a word."""
        return sum(self.fields.values())

    def packed(self, values: dict[str, int], fields: dict[str, int] | None = None) -> int:
        """The word of fields' values; those that are not named are 0.

        Raises:
            ValueError: a value does not fit its field.
        """
        word = 0
        for name, bits in (self.fields if fields is None else fields).items():
            value = values.get(name, 0)
            if not 0 <= value < 1 << bits:
                raise ValueError(f"{self.kind}: {name} takes {bits} bits, which {value} exceeds")
            word = word << bits | value
        return word

    def unpacked(self, word: int, fields: dict[str, int] | None = None) -> dict[str, int]:
        """The inverse of `packed`."""
        found = {}
        for name, bits in reversed((self.fields if fields is None else fields).items()):
            found[name] = word & ((1 << bits) - 1)
            word >>= bits
        return found

    def code(self, value: int) -> int:
        """A number as the DAC's code has it.

        Raises:
            ValueError: it has too many bits.
        """
        low = -(1 << self.bits - 1) if self.signed else 0
        if not low <= value < low + (1 << self.bits):
            raise ValueError(f"{value} does not fit a code of {self.bits} bits from {low} on")
        return value & ((1 << self.bits) - 1)

    def value(self, code: int) -> int:
        """The inverse of `code`."""
        return code - (1 << self.bits) * (self.signed and code >> (self.bits - 1))
