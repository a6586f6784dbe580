"""Controllers as netlists of a small generic cell library, and how many gates they are."""

from __future__ import annotations

import tempfile
from functools import lru_cache
from pathlib import Path

from reram_torch.hardware.controllers import Parameters, controller, module_of, unit
from reram_torch.hardware.formats import Format
from reram_torch.hardware.library import library_text
from reram_torch.hardware.netlists import Netlist
from reram_torch.hardware.proof import run_yosys

_MAP = "strash;dc2;dch,-f;amap,-m"  # for area


def cell_models() -> str:
    """What the library's cells do, as Verilog for simulation."""
    return library_text("generic.v")


@lru_cache(maxsize=64)
def synthesised(made: Format, *, bare: bool = False) -> Netlist:
    """A controller as cells of the project's library, whose areas count two-input NAND gates.

    Args:
        made: of a controller.
        bare: without the latches of its words.

    Raises:
        RuntimeError: there is no Yosys.
    """
    return _mapped(controller(made), module_of(made.kind, bare=bare))


def synthesised_unit(name: str, parameters: Parameters) -> Netlist:
    """An `activity_unit` or a `table_loader`, whose memories are left out.

    Args:
        name: of the unit.
        parameters: of its module.

    Raises:
        RuntimeError: there is no Yosys.
    """
    return _mapped(unit(name, parameters), name)


def _mapped(verilog: str, top: str) -> Netlist:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "in.v").write_text(verilog, encoding="utf-8")
        for file in ("generic.lib", "latches.v"):
            (folder / file).write_text(library_text(file), encoding="utf-8")
        script = f"""read_verilog in.v
blackbox table_memory
synth -noabc -flatten -top {top}
dfflibmap -liberty generic.lib
techmap -map latches.v
abc -liberty generic.lib -script +{_MAP}
opt_clean -purge
write_verilog -noattr -noexpr out.v
"""
        run_yosys(script, folder)
        return Netlist((folder / "out.v").read_text(encoding="utf-8"))


def netlist_of(made: Format) -> str:
    """A controller's modules, its own one as a netlist, with the cells: for simulation."""
    module, text = module_of(made.kind), controller(made)
    start = text.index(f"module {module} ")
    end = text.index("endmodule", start) + len("endmodule")
    netlist = synthesised(made).verilog
    return "\n".join([text[:start] + text[end:], netlist, cell_models()])
