"""Builds, checks and measures the CUDA backend in one call, on a machine with a GPU.

    python scripts/gpu.py --json runs/gpu.json
    python scripts/gpu.py --json runs/gpu.json --resume
    python scripts/gpu.py --json runs/gpu.json --stages networks layers

Needs a checkout, nvcc, a C++ compiler, CMake, torch and torchvision; nothing is installed or
fetched. Parity comes first: nothing is measured that is wrong. Each stage's results are in the JSON
file as soon as there are any, so that a later one may fail. It takes a few minutes.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))  # nothing is installed

import gpu_stages as stages  # noqa: E402
import torch  # noqa: E402

from reram_torch._support.files import write_atomically  # noqa: E402
from reram_torch._support.resuming import check_same_settings  # noqa: E402

BUILD = ROOT / "build" / "gpu"
LIBRARIES = {
    "RERAM_TORCH_LIBRARY": "libreram_crossbar.so",
    "RERAM_TORCH_CUDA_LIBRARY": "libreram_crossbar_cuda.so",
}
BUILDING = "build"


def build() -> float:
    """Builds both libraries; seconds."""
    start = time.perf_counter()
    jobs = str(os.cpu_count() or 1)
    for command in (
        ["cmake", "-S", ROOT / "csrc", "-B", BUILD, "-DCMAKE_BUILD_TYPE=Release"],
        ["cmake", "--build", BUILD, "--parallel", jobs],
    ):
        subprocess.run([str(part) for part in command], check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - start


def use_build() -> None:
    """Lets this process and those it starts load what was built, and nothing else."""
    for variable, name in LIBRARIES.items():
        if not (BUILD / name).is_file():
            sys.exit(f"{BUILD / name} was not built: is nvcc on the PATH?")
        os.environ[variable] = str(BUILD / name)
    os.environ["RERAM_TORCH_BACKEND"] = "native"


class Report:
    """The results of the stages, in a JSON file that is rewritten after each.

    Args:
        path: of the file.
        settings: what all results share, plain values.
        keep: keep what the file holds already; a ValueError if it was made with other settings.
    """

    def __init__(self, path: Path, settings: dict[str, Any], *, keep: bool):
        self.path, self.settings = path, settings
        self.results: dict[str, Any] = {}
        if keep and path.is_file():
            found = json.loads(path.read_text(encoding="utf-8"))
            check_same_settings(path, found["settings"], settings, "file")
            self.results = found["results"]

    def add(self, stage: str, result: object) -> None:
        """Adds the result of a stage and writes the file."""
        self.results[stage] = result
        text = json.dumps({"settings": self.settings, "results": self.results}, indent=1)
        write_atomically(self.path, text + "\n")


def parse(arguments: list[str] | None) -> argparse.Namespace:
    """Parses the command line."""
    parser = argparse.ArgumentParser(description="Builds, checks and measures the CUDA backend.")
    names = [BUILDING, *stages.STAGES]
    add = parser.add_argument
    add("--json", type=Path, default=ROOT / "build" / "gpu.json")
    add("--stages", nargs="+", choices=names, metavar="STAGE",
        help=f"of {', '.join(names)}; default: all; results of others stay")  # fmt: skip
    add("--resume", action="store_true", help="skip the stages that the file has results of")
    add("--batches", type=int, nargs="+", default=[32, 128])
    add("--parity-seconds", type=float, default=40)
    add("--model", default="resnet18", help="zoo or torchvision name, or module:function")
    add("--size", type=int, default=224, help="of the images")
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> None:
    """Runs the stages."""
    args = parse(arguments)
    if not torch.cuda.is_available():
        sys.exit(f"no CUDA device (torch {torch.__version__}): nothing to check or to measure")
    settings = {
        "device": torch.cuda.get_device_name(), "torch": torch.__version__, "model": args.model,
        "size": args.size, "batches": args.batches,
    }  # fmt: skip
    wanted = args.stages or [BUILDING, *stages.STAGES]
    try:
        report = Report(args.json, settings, keep=args.resume or args.stages is not None)
    except ValueError as error:
        sys.exit(str(error))
    todo = [name for name in wanted if not (args.resume and name in report.results)]
    print(f"{settings['device']}, torch {torch.__version__}; stages: {', '.join(todo) or 'none'}")
    if BUILDING in todo:
        report.add(BUILDING, {"seconds": build()})
        print(f"built in {report.results[BUILDING]['seconds']:.0f} s")
    use_build()
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    torch.backends.cudnn.benchmark = True
    work = stages.Work(args.model, args.size, args.batches, args.parity_seconds, ROOT)
    for name, stage in stages.STAGES.items():  # in this order, whatever was asked for
        if name in todo:
            with torch.no_grad():
                report.add(name, stage(work))
    print(f"wrote {args.json}")


if __name__ == "__main__":
    main()
