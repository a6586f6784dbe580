"""Controllers in simulation, against the tables of their designs: needs Icarus Verilog."""

from __future__ import annotations

import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from reram_torch.adc.trees import ESCAPE, Tables
from reram_torch.hardware.controllers import (
    Parameters,
    controller,
    entry_bits,
    key_bits,
    module_of,
    parameters_of,
    source,
    unit_parameters,
)
from reram_torch.hardware.formats import Format
from reram_torch.hardware.loading import LayerWords

_DUMP = "`define SAR_DUMP\n"


@dataclass(frozen=True)
class Simulated:
    """What a simulation found.

    Attributes:
        conversions: that were made.
        wrong: of these, with another level or another number of clocks than the tables say.
        messages: of the first wrong ones.
    """

    conversions: int
    wrong: int
    messages: tuple[str, ...]


def has_simulator() -> bool:
    """Whether Icarus Verilog is there: `iverilog` and `vvp`."""
    return shutil.which("iverilog") is not None and shutil.which("vvp") is not None


def simulate(
    made: Format,
    words: Sequence[tuple[int, ...]],
    tables: Sequence[Tables],
    stream: np.ndarray | None = None,
    *,
    verilog: str | None = None,
    netlist: bool = False,
) -> Simulated:
    """Runs every sum of every table through a controller.

    Args:
        made: the format of the words.
        words: of each table.
        tables: what they have to give, all of the same sums.
        stream: what is converted after that, int (n, 2): a table, and a sum.
        verilog: the controller, if it is not the package's.
        netlist: it has no parameters.

    Raises:
        RuntimeError: there is no Icarus Verilog, or the controller does not compile.
    """
    text = controller(made) if verilog is None else verilog
    with _bench(made, words, tables, stream, text, netlist=netlist) as (found, _):
        return found


@contextmanager
def _bench(
    made: Format,
    words: Sequence[tuple[int, ...]],
    tables: Sequence[Tables],
    stream: np.ndarray | None,
    text: str,
    *,
    netlist: bool,
) -> Iterator[tuple[Simulated, Path]]:
    """What the bench found, and the folder where it ran."""
    if not has_simulator():
        raise RuntimeError("no simulator: install Icarus Verilog (iverilog and vvp)")
    lowest, values = tables[0].lowest, len(tables[0].level)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        parts = [_defines(made, netlist=netlist), text, source("front_end"), source("bench")]
        _text(folder / "bench.v", parts)
        rows = [[*each, *[None] * (made.words - len(each))] for each in words]
        _hex(folder / "words.hex", [word for row in rows for word in row] or [0])
        _hex(folder / "expected.hex", [x for each in tables for x in expected(each, made)])
        count = 0 if stream is None else len(stream)
        if stream is not None:
            _hex(folder / "sums.hex", [(int(t) << 32) + int(v) - lowest for t, v in stream])
        options = {"TABLES": len(tables), "VALUES": values, "LOWEST": lowest, "STREAM": count}
        yield _ran(folder, options), folder


def chain_of(made: Format) -> str:
    """The Verilog of a controller with activity unit and loader."""
    return "\n".join([controller(made), source("activity_unit"), source("table_loader")])


def simulate_chain(
    words: LayerWords,
    stream: np.ndarray,
    rows: int,
    *,
    lines: np.ndarray | None = None,
    verilog: str | None = None,
) -> Simulated:
    """Runs conversions through activity unit, directory, loader and controller, one after another.

    Args:
        words: of a layer, that are not `plain`.
        stream: int (n, 4): driven word-lines, phase, slice and sum.
        rows: word-lines of an array.
        lines: which of them are driven, bool (n, rows); some, if it is not given.
        verilog: the modules, if they are not the package's.

    Raises:
        RuntimeError: there is no Icarus Verilog.
        ValueError: a plain SAR has neither directory nor words.
    """
    text = chain_of(words.format) if verilog is None else verilog
    with _chain(words, stream, rows, lines, text) as (found, _):
        return found


@contextmanager
def _chain(
    words: LayerWords, stream: np.ndarray, rows: int, lines: np.ndarray | None, text: str
) -> Iterator[tuple[Simulated, Path]]:
    """What the bench of the chain found, and the folder where it ran."""
    if not has_simulator():
        raise RuntimeError("no simulator: install Icarus Verilog (iverilog and vvp)")
    if words.format.kind == "plain":
        raise ValueError("a plain SAR has neither directory nor words to load")
    tables = [words.decoded(k) for k in range(len(words.tables))]
    loader = unit_parameters("table_loader", words, rows)
    counter = unit_parameters("activity_unit", words, rows)
    sizes = {
        **{name: loader[name] for name in ("STORE", "SLOT", "NUMBER", "DIRECT")}, **counter,
        "ENTRY": entry_bits(loader),
        "PHASE": key_bits(words)[1], "SLICE": key_bits(words)[2],
    }  # fmt: skip
    entries = _entries(words, loader)
    if lines is None:  # as many word-lines, from anywhere on
        at = (np.arange(rows) - np.arange(len(stream))[:, None]) % rows
        lines = at < stream[:, :1]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        more = [f"`define {key} {value}" for key, value in sizes.items()]
        parts = [*more, _defines(words.format), text, source("front_end"), source("chain")]
        _text(folder / "bench.v", parts)
        _hex(folder / "store.hex", [word for each in words.tables for word in each])
        _hex(folder / "directory.hex", entries)
        _hex(folder / "expected.hex", [x for each in tables for x in expected(each, words.format)])
        _hex(folder / "sums.hex", _chained(words, stream, lines))
        options = {
            "WORDS": sum(map(len, words.tables)), "ENTRIES": len(entries), "TABLES": len(tables),
            "VALUES": len(tables[0].level), "LOWEST": words.lowest, "STREAM": len(stream),
        }  # fmt: skip
        yield _ran(folder, options), folder


def _chained(words: LayerWords, stream: np.ndarray, lines: np.ndarray) -> list[int]:
    """The conversions of the chain's bench, a number each."""
    driven, phase, at, sums = stream.T
    of = words.converting(stream)
    rows = zip(driven, phase, at, of, sums - words.lowest, strict=True)
    found = []
    for row, line in zip(rows, lines, strict=True):
        which = int.from_bytes(np.packbits(line, bitorder="little").tobytes(), "little")
        found.append(_joined([int(x) for x in row]) << len(line) | which)
    return found


def _entries(words: LayerWords, loader: Parameters) -> list[int]:
    """The directory as its memory holds it."""
    bucket, phase, at = key_bits(words)
    entries = [0] * (1 << bucket + phase + at)
    for (b, i, j), table in np.ndenumerate(np.array(words.directory)):
        if table < 0:
            continue
        if loader["DIRECT"]:
            entry = 1 << int(loader["WORD"]) | words.tables[table][0]
        else:
            entry = len(words.tables[table]) << int(loader["STORE"]) | words.firsts[table]
        entries[(b << phase | i) << at | j] = entry
    return entries


def _joined(numbers: Sequence[int]) -> int:
    """Numbers of 32 bits each as one."""
    found = 0
    for number in numbers:
        found = found << 32 | number & 0xFFFFFFFF
    return found


def _ran(folder: Path, options: dict[str, int]) -> Simulated:
    given = [f"-Pbench.{key}={value}" for key, value in options.items()]
    _run(["iverilog", "-g2005", "-o", "bench", *given, "bench.v"], folder)
    return _read(_run(["vvp", "-n", "bench"], folder))


def _text(path: Path, parts: Sequence[str]) -> None:
    path.write_text("\n".join(parts), encoding="utf-8")


def nets_of(
    made: Format,
    words: Sequence[tuple[int, ...]],
    tables: Sequence[Tables],
    stream: np.ndarray,
    netlist: str,
) -> str:
    """What the nets of a netlist do on a stream, as `simulate` takes it: a value change dump.

    Raises:
        RuntimeError: there is no Icarus Verilog, or the netlist converts something wrong.
    """
    with _bench(made, words, tables, stream, _DUMP + netlist, netlist=True) as ran:
        return _dumped(*ran)


def nets_of_units(
    words: LayerWords, stream: np.ndarray, rows: int, lines: np.ndarray, netlists: str
) -> str:
    """The same of activity unit and loader, as `simulate_chain` takes it.

    Raises:
        RuntimeError: there is no Icarus Verilog, or something is converted wrong.
    """
    with _chain(words, stream, rows, lines, _DUMP + netlists) as ran:
        return _dumped(*ran)


def _dumped(found: Simulated, folder: Path) -> str:
    if found.wrong:
        raise RuntimeError(f"the netlist is wrong: {found.messages or found.wrong}")
    return (folder / "nets.vcd").read_text(encoding="ascii")


def expected(tables: Tables, made: Format) -> list[int]:
    """For each sum what a controller's ports have to show in the end, as one number."""
    found = []
    for level, comparisons in zip(tables.level.tolist(), tables.comparisons.tolist(), strict=True):
        out = level == ESCAPE
        whole = 0 if out else int(np.ceil(level))
        half = 0 if out else int(whole != level)
        ports = int(out) << made.bits | (0 if out else made.code(whole))
        found.append((comparisons << made.bits + 1 | ports) << 1 | half)
    return found


def _defines(made: Format, *, netlist: bool = False) -> str:
    """What the bench asks for: sizes, and the controller with its ports."""
    ports = [".clk(clk)", ".start(start)", ".cmp(cmp)", ".dac(dac)", ".done(done)"]
    ports += [".level(level)", ".half(half)"]
    more, word = "", max(made.word_bits, 1)
    if made.kind in ("programmable", "twin_range") or made.linked:
        ports += [".write(write)", ".word(word)"]
    if made.linked:
        ports += [f".write_address(write_address[{made.address - 1}:0])", ".escape(escape)"]
    else:
        more += "assign escape = 1'b0; "
    if made.kind == "activity":
        more += "wire [`BITS-1:0] needed; activity_needs #(.BITS(`BITS), .WORD(`WORD)) needs "
        more += "(.write(write), .word(word), .needed(needed)); "
        ports += [".needed(needed)"]
    settings = ", ".join(f".{name}({value})" for name, value in parameters_of(made).items())
    settings = "" if netlist else f"#({settings}) "
    module = f"{module_of(made.kind)} {settings}controller ({', '.join(ports)});"
    sizes = {"BITS": made.bits, "WORD": word, "WORDS": made.words, "SIGNED": int(made.signed)}
    lines = [f"`define {name} {value}" for name, value in sizes.items()]
    return "\n".join([*lines, f"`define CONTROLLER {more}{module}", ""])


def _hex(path: Path, values: Sequence[int | None]) -> None:
    lines = ("x" if value is None else f"{value:x}" for value in values)
    path.write_text("\n".join(lines) + "\n", encoding="ascii")


def _run(command: list[str], folder: Path) -> str:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{command[0]} failed: {(done.stderr or done.stdout).strip()[-2000:]}")
    return done.stdout


def _read(text: str) -> Simulated:
    found = re.search(r"^CONVERSIONS (\d+) WRONG (\d+)$", text, re.M)
    if found is None:
        raise RuntimeError(f"the simulation ended early: {text.strip()[-2000:]}")
    messages = tuple(line for line in text.splitlines() if line.startswith("WRONG"))
    return Simulated(int(found[1]), int(found[2]), messages)
