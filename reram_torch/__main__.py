"""`python -m reram_torch`: what is installed and what will run."""

from __future__ import annotations

import torch

import reram_torch
from reram_torch.native import cpu, cuda
from reram_torch.ops.backends import backend


def _cuda() -> str:
    library = cuda.library_path() or "library not built"
    if not torch.cuda.is_available():
        return f"{library}; no device"
    return f"{library}; {torch.cuda.get_device_name()}: {backend('cuda')}"


def main() -> None:
    """Prints the version, the backend, the native library, CUDA, and torch's version."""
    library = cpu.library_path()
    lines = {
        "reram_torch": reram_torch.__version__,
        "backend": reram_torch.backend(),
        "library": library or "not built: everything runs through the reference",
        "CUDA": _cuda(),
        "torch": f"{torch.__version__} ({torch.get_num_threads()} threads)",
        "configs": ", ".join(reram_torch.config_names()),
    }
    for name, value in lines.items():
        print(f"{name + ':':13}{value}")


if __name__ == "__main__":
    main()
