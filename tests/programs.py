"""The programs: commands in this process, scripts in one of their own."""

import io
import signal
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import torch

from reram_torch.cli.main import main

ROOT = Path(__file__).parents[1]


def script_command(name, *arguments):
    """The command line of a script."""
    return [sys.executable, str(ROOT / "scripts" / f"{name}.py"), *map(str, arguments)]


def run_script(name, *arguments):
    """A script in a process of its own."""
    return subprocess.run(
        script_command(name, *arguments), capture_output=True, text=True, check=False
    )


def run_command(*arguments):
    """`reram-torch` in this process, which it leaves as it was; what `subprocess.run` gives."""
    out, err, code = io.StringIO(), io.StringIO(), 0
    threads, handler = torch.get_num_threads(), signal.getsignal(signal.SIGTERM)
    with redirect_stdout(out), redirect_stderr(err):
        try:
            main([str(argument) for argument in arguments])
        except SystemExit as end:
            code = end.code or 0
    torch.set_num_threads(threads)
    assert signal.getsignal(signal.SIGTERM) == handler
    if isinstance(code, str):  # what Python prints when nobody catches it
        err.write(f"{code}\n")
        code = 1
    return subprocess.CompletedProcess(arguments, code, out.getvalue(), err.getvalue())
