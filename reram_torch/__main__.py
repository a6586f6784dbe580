"""`python -m reram_torch`: what is installed and what will run."""

from __future__ import annotations

import torch

import reram_torch
from reram_torch import native


def main() -> None:
    """Prints the version, the backend, the native library, CUDA, and torch's version."""
    library = native.library_path()
    lines = {
        "reram_torch": reram_torch.__version__,
        "backend": reram_torch.backend(),
        "library": library or "not built: everything runs through the reference",
        "CUDA": "no kernel yet: CUDA tensors run through the reference"
        if torch.cuda.is_available()
        else "no device",
        "torch": f"{torch.__version__} ({torch.get_num_threads()} threads)",
        "configs": ", ".join(reram_torch.config_names()),
    }
    for name, value in lines.items():
        print(f"{name + ':':13}{value}")


if __name__ == "__main__":
    main()
