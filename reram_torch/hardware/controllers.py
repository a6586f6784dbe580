"""Controllers as Verilog: which modules a kind takes, and with what parameters."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np

from reram_torch._support.checks import check_choice, check_int
from reram_torch._support.files import write_atomically
from reram_torch._support.version import package_version
from reram_torch.hardware.formats import KINDS, Format
from reram_torch.hardware.loading import LayerWords

UNITS = ("activity_unit", "table_loader", "front_end")
# The module of a kind, what its search is without words in latches, and where both stand.
_MODULES = {
    "plain": ("sar_plain", "sar_plain", ("storage", "sequence", "plain")),
    "activity": ("sar_activity", "sar_activity", ("storage", "sequence", "activity")),
    "programmable": (
        "sar_programmable", "programmable_search", ("storage", "sequence", "programmable"),
    ),
    "twin_range": ("sar_twin_range", "twin_range_search", ("storage", "sequence", "twin_range")),
    "segmented": ("sar_words", "word_search", ("storage", "sequence", "words")),
    "search_tree": ("sar_words", "word_search", ("storage", "sequence", "words")),
}  # fmt: skip


def source(name: str) -> str:
    """The text of one of the package's Verilog files."""
    return resources.files(__package__).joinpath("verilog", f"{name}.v").read_text("utf-8")


def module_of(kind: str, *, bare: bool = False) -> str:
    """The name of a kind's module; `bare`: of its search, whose words come from outside."""
    whole, search, _ = _MODULES[kind]
    return search if bare else whole


def parameters_of(made: Format) -> dict[str, int]:
    """The parameters of a format's module."""
    found = {"BITS": made.bits}
    if not made.linked:
        found["SIGNED"] = int(made.signed)
    if made.kind in ("programmable", "twin_range") or made.linked:
        found["PLACE"] = made.place
    if made.linked:
        found |= {
            "PAYLOAD": made.payload, "ADDRESS": made.address, "WORDS": made.words,
            "RUNS": int(made.kind == "segmented"), "ALIGNED": int(made.aligned),
            "ESCAPES": int(made.escapes),
        }  # fmt: skip
    return found


def sources_of(kind: str) -> str:
    """The modules of a kind, in one text."""
    return "\n".join(source(name) for name in _MODULES[kind][2])


def controller(made: Format) -> str:
    """The Verilog of a format's controller: its module's parameters are the format's by default."""
    text = sources_of(made.kind)
    for module in {module_of(made.kind), module_of(made.kind, bare=True)}:
        text = _with_defaults(text, module, parameters_of(made))
    return text


def unit(name: str, parameters: Parameters) -> str:
    """The Verilog of one of `UNITS`."""
    storage = f"{source('storage')}\n" if name != "front_end" else ""
    return storage + _with_defaults(source(name), name, parameters)


Parameters = Mapping[str, int | str]  # a string: as Verilog has it


def unit_parameters(kind: str, words: LayerWords, rows: int) -> dict[str, int | str]:
    """What a layer's words make of the parameters of one of `UNITS`.

    Args:
        kind: one of them.
        words: of a layer.
        rows: word-lines of an array.
    """
    made, buckets = words.format, len(words.edges)
    if kind == "front_end":
        return {"BITS": made.bits, "SIGNED": int(made.signed)}
    if kind == "activity_unit":
        count = rows.bit_length()
        edges = sum(edge << k * count for k, edge in enumerate(words.edges))
        sizes = {"ROWS": rows, "COUNT": count, "BUCKETS": buckets, "BUCKET": key_bits(words)[0]}
        # With its size: without one tools may take 32 bits of it.
        return {**sizes, "EDGES": f"{buckets * count}'h{edges:x}"}
    total, most = (f(len(each) for each in words.tables) for f in (sum, max))
    return {
        "WORD": max(made.word_bits, 1), "STORE": max((total - 1).bit_length(), 1),
        "SLOT": made.address, "KEY": sum(key_bits(words)), "NUMBER": max(most.bit_length(), 1),
        "DIRECT": int(most <= 1),
    }  # fmt: skip


def entry_bits(loader: Parameters) -> int:
    """Bits of an entry of a `table_loader`'s directory."""
    fields = ("WORD",) if loader["DIRECT"] else ("NUMBER", "STORE")
    return sum(int(loader[name]) for name in fields) + int(loader["DIRECT"])


def key_bits(words: LayerWords) -> tuple[int, int, int]:
    """Bits of bucket, phase and slice in the directory's addresses."""
    buckets, phases, slices = np.array(words.directory).shape
    bucket, phase, at = (max((n - 1).bit_length(), 1) for n in (buckets, phases, slices))
    return bucket, phase, at


def write_verilog(
    kind: str,
    path: str | Path,
    *,
    words: LayerWords | None = None,
    rows: int = 128,
    **sizes: Any,
) -> Path:
    """Writes a controller as synthesisable Verilog (2005), with all modules that it takes.

    The file says what it is, by which version and with which settings it was made; equal settings
    give equal files. `front_end` is a comparator and DAC for simulation only.

    Args:
        kind: `plain`, `activity`, `programmable`, `twin_range`, `segmented` or `search_tree`; or
            `activity_unit`, `table_loader` or `front_end`.
        path: of the file.
        words: of a layer, which the module is to fit; its controller is of its own kind.
        rows: word-lines of an array, for the activity unit.
        **sizes: of a controller without `words`: `bits`, `signed`, and of `segmented` and
            `search_tree` `payload`, `words_of_table`, `aligned` and `escapes`.

    Returns:
        the path.

    Raises:
        ValueError: an unknown kind, one that is not that of the words, or sizes out of range.
        TypeError: sizes beside words, or unknown ones.
    """
    check_choice("kind", kind, (*KINDS, *UNITS))
    if words is not None and sizes:
        raise TypeError(f"write_verilog takes words or {sorted(sizes)}, not both")
    if kind in UNITS:
        if words is None:
            raise TypeError(f"words must be given: a {kind!r} fits those of a layer")
        check_int("rows", rows, max(1, *words.edges), 1 << 20)
        parameters = unit_parameters(kind, words, rows)
        text, settings = unit(kind, parameters), dict(parameters)
    else:
        made = _format_of(kind, sizes) if words is None else words.format
        if made.kind != kind:
            raise ValueError(f"kind must be that of the words, {made.kind!r}, not {kind!r}")
        text, settings = controller(made), dataclasses.asdict(made)
    module = kind if kind in UNITS else module_of(kind)
    path = Path(path)
    write_atomically(path, header(f"{module}: {kind}", settings) + "\n" + text)
    return path


def _format_of(kind: str, sizes: dict[str, Any]) -> Format:
    sizes = dict(sizes)
    if "words_of_table" in sizes:
        sizes["words"] = sizes.pop("words_of_table")
    linked = kind in ("segmented", "search_tree")
    known = ["bits", "signed", *(["payload", "words", "aligned", "escapes"] if linked else [])]
    unknown = sorted(set(sizes) - set(known))
    if unknown:
        raise TypeError(f"a {kind!r} controller has no {unknown[0]!r}")
    if linked:  # of 16 words, by default
        sizes = {"words": 16, "aligned": kind == "segmented", "payload": 4, **sizes}
    return Format(kind, **sizes)


def _with_defaults(text: str, module: str, parameters: Parameters) -> str:
    """A text one of whose modules has other defaults."""
    start = text.index(f"module {module} ")
    end = text.index("endmodule", start)
    head = text[start:end]
    for name, value in parameters.items():
        head = re.sub(rf"(parameter (?:\[[^]]*\] )?{name} = )\d+", rf"\g<1>{value}", head, count=1)
    return text[:start] + head + text[end:]


def header(title: str, settings: dict[str, Any]) -> str:
    """What a written file says of itself: no date, so that equal settings give equal files."""
    lines = [title, f"Written by reram_torch {package_version()}.", ""]
    lines += [f"{name} = {value}" for name, value in settings.items()]
    return "".join(f"// {line}".rstrip() + "\n" for line in lines)
