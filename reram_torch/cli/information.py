"""Prints what is installed and what will run."""

from __future__ import annotations

import argparse

import torch

import reram_torch as rt
from reram_torch.native import cpu, cuda

ABOUT = "Prints what is installed and what will run."


def parser(program: str | None = None) -> argparse.ArgumentParser:
    """No options but `--help`."""
    return argparse.ArgumentParser(prog=program, description=ABOUT)


def main(arguments: list[str] | None = None, program: str | None = None) -> None:
    """Prints the version, the backend, the native library, CUDA, and torch's version."""
    parser(program).parse_args(arguments)
    library = cpu.library_path()
    lines = {
        "reram_torch": rt.__version__,
        "backend": rt.backend(),
        "library": library or "not built: everything runs through the reference",
        "CUDA": _cuda(),
        "torch": f"{torch.__version__} ({torch.get_num_threads()} threads)",
        "configs": ", ".join(rt.config_names()),
    }
    for name, value in lines.items():
        print(f"{name + ':':13}{value}")


def _cuda() -> str:
    library = cuda.library_path() or "library not built"
    if not torch.cuda.is_available():
        return f"{library}; no device"
    return f"{library}; {torch.cuda.get_device_name()}: {rt.backend('cuda')}"
