"""Controllers as netlists of a small generic cell library, and how many gates they are."""

from __future__ import annotations

import re
import tempfile
from dataclasses import dataclass
from functools import lru_cache
from importlib import resources
from pathlib import Path

from reram_torch.hardware.controllers import controller, module_of
from reram_torch.hardware.formats import Format
from reram_torch.hardware.proof import run_yosys

_MAP = "strash;dc2;dch,-f;amap,-m"  # for area
_STORES = {"DFF": "flip_flops", "LATCH": "latches", "LATCHN": "latches"}


@dataclass(frozen=True)
class Netlist:
    """A module after synthesis.

    Attributes:
        gates: its area in two-input NAND gates.
        flip_flops: how many it has.
        latches: likewise, those that gate clocks included.
        cells: all of its cells.
        verilog: the netlist, of cells of the library.
    """

    gates: float
    flip_flops: int
    latches: int
    cells: int
    verilog: str


def cell_models() -> str:
    """What the library's cells do, as Verilog for simulation."""
    return _cells("generic.v")


@lru_cache(maxsize=64)
def synthesised(made: Format, *, bare: bool = False) -> Netlist:
    """A controller as cells of the project's library, whose areas count two-input NAND gates.

    Args:
        made: of a controller.
        bare: without the latches of its words.

    Raises:
        RuntimeError: there is no Yosys.
    """
    top = module_of(made.kind, bare=bare)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "in.v").write_text(controller(made), encoding="utf-8")
        for file in ("generic.lib", "latches.v"):
            (folder / file).write_text(_cells(file), encoding="utf-8")
        script = f"""read_verilog in.v
synth -noabc -flatten -top {top}
dfflibmap -liberty generic.lib
techmap -map latches.v
abc -liberty generic.lib -script +{_MAP}
opt_clean -purge
stat -liberty generic.lib
write_verilog -noattr -noexpr out.v
"""
        log = run_yosys(script, folder)
        return _read(log, (folder / "out.v").read_text(encoding="utf-8"))


def netlist_of(made: Format) -> str:
    """A controller's modules, its own one as a netlist, with the cells: for simulation."""
    module, text = module_of(made.kind), controller(made)
    start = text.index(f"module {module} ")
    end = text.index("endmodule", start) + len("endmodule")
    netlist = synthesised(made).verilog
    return "\n".join([text[:start] + text[end:], netlist, cell_models()])


def _read(log: str, verilog: str) -> Netlist:
    area = re.findall(r"Chip area for module .*: ([\d.]+)", log)
    counts = {cell: len(re.findall(rf"^  {cell} ", verilog, re.M)) for cell in _STORES}
    cells = len(re.findall(r"^  [A-Z]+\d* \S+ \($", verilog, re.M))
    latches = counts["LATCH"] + counts["LATCHN"]
    return Netlist(float(area[-1]), counts["DFF"], latches, cells, verilog)


def _cells(name: str) -> str:
    return resources.files(__package__).joinpath("cells", name).read_text("utf-8")
