"""Puts architectures of torchvision and timm on crossbars, one by one, and says what came of it.

    python scripts/architectures.py --json runs/architectures.json --markdown runs/table.md
    python scripts/architectures.py --json runs/architectures.json --resume
    python scripts/architectures.py --only torchvision:resnet18 timm:levit_128s

Weights are random, the only image is one that scikit-learn ships; nothing is fetched. Of each
network: the share of weights and of multiply-accumulates on crossbars; whether lossless ADCs give
what the plain integer network gives, bit for bit, in every layer and in the output; how long a
forward pass takes on one thread, and how many times torch's float one; and what stays in float. An
architecture that fails is in the table with its error, and the exit status is 1. Each result is in
the JSON file as soon as it is there. Needs torchvision, timm, scikit-learn and Pillow.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import logging
import statistics
import sys
import time
import traceback
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))  # a checkout

import torch  # noqa: E402
import torch.nn.functional as F  # noqa: E402
from torch import nn  # noqa: E402
from torch.nn.attention import SDPBackend, sdpa_kernel  # noqa: E402
from torch.utils.flop_counter import FlopCounterMode  # noqa: E402

import reram_torch as rt  # noqa: E402
from reram_torch._support.files import write_atomically  # noqa: E402
from reram_torch._support.progress import progress  # noqa: E402
from reram_torch._support.resuming import check_same_settings  # noqa: E402
from reram_torch.evaluation.integers import plain_integer  # noqa: E402
from reram_torch.native.cpu import isa  # noqa: E402

TORCHVISION = (
    "alexnet", "vgg11_bn", "resnet18", "resnet50", "resnext50_32x4d", "wide_resnet50_2",
    "densenet121", "googlenet", "inception_v3", "squeezenet1_1", "mobilenet_v2",
    "mobilenet_v3_small", "mobilenet_v3_large", "shufflenet_v2_x1_0", "mnasnet1_0",
    "efficientnet_b0", "efficientnet_v2_s", "regnet_x_400mf", "regnet_y_400mf", "convnext_tiny",
    "vit_b_16", "swin_t", "swin_v2_t", "maxvit_t",
)  # fmt: skip
TIMM = (
    "vit_tiny_patch16_224", "deit_tiny_patch16_224", "beit_base_patch16_224",
    "eva02_tiny_patch14_224", "swin_tiny_patch4_window7_224", "swinv2_tiny_window8_256",
    "cait_xxs24_224", "xcit_nano_12_p16_224", "coat_tiny", "pvt_v2_b0", "davit_tiny", "levit_128s",
    "efficientformer_l1", "efficientformerv2_s0", "mobilevit_s", "edgenext_small", "fastvit_t8",
    "mixer_s32_224", "gmlp_s16_224", "resmlp_12_224", "poolformer_s12", "convmixer_768_32",
    "mobilenetv4_conv_small", "tf_efficientnet_lite0", "ghostnet_100", "repvgg_a0", "dla34",
    "hrnet_w18_small", "res2net50_26w_4s", "resnetv2_50x1_bit", "nfnet_f0",
)  # fmt: skip
NAMES = (*(f"torchvision:{n}" for n in TORCHVISION), *(f"timm:{n}" for n in TIMM))
SIZES = {"torchvision:inception_v3": 299}  # others take 224, or what timm says they were made for
ROUNDS = 3  # of which a time is the median, after one that warms up


def build(name: str) -> tuple[nn.Module, int]:
    """A network with random weights, and the size of the images it is made for."""
    library, _, model = name.partition(":")
    torch.manual_seed(0)
    if library == "timm":
        import timm

        net = timm.create_model(model)
        return net.eval().requires_grad_(False), net.pretrained_cfg["input_size"][-1]
    from torchvision import models

    unasked = {"init_weights": True} if model in ("googlenet", "inception_v3") else {}
    net = models.get_model(model, weights=None, **unasked)
    return net.eval().requires_grad_(False), SIZES.get(name, 224)


def image(size: int) -> torch.Tensor:
    """The middle of a photograph, (1, 3, size, size), about normal."""
    from sklearn.datasets import load_sample_image

    pixels = torch.tensor(load_sample_image("china.jpg")).permute(2, 0, 1)[None] / 255
    side = min(pixels.shape[2:])
    left = (pixels.shape[3] - side) // 2
    square = pixels[..., left : left + side]
    return (F.interpolate(square, (size, size), mode="area") - 0.45) / 0.225


@contextmanager
def hashes(net: nn.Module) -> Iterator[list[str]]:
    """Of what each crossbar layer gives inside the block, in order."""
    found: list[str] = []

    def hook(_: nn.Module, __: Any, y: torch.Tensor) -> None:
        found.append(hashlib.blake2b((y + 0.0).contiguous().numpy(), digest_size=8).hexdigest())

    handles = [m.register_forward_hook(hook) for m in rt.crossbar_layers(net).values()]
    try:
        yield found
    finally:
        for handle in handles:
            handle.remove()


def differences(net: nn.Module, x: torch.Tensor) -> list[str]:
    """What lossless ADCs and the plain integer network give differently; they should not."""
    with hashes(net) as lossless:
        y = net(x)
    with hashes(net) as plain, plain_integer(net):
        expected = net(x)
    found = [] if torch.equal(y, expected) else ["output"]
    if not y.isfinite().all():
        found.append("output not finite")
    calls = len(lossless), len(plain)
    wrong = sum(a != b for a, b in zip(lossless, plain, strict=False))
    return [*found, f"{wrong} calls of layers"] if wrong or calls[0] != calls[1] else found


def seconds(nets: dict[str, nn.Module], x: torch.Tensor) -> dict[str, float]:
    """The median time of a forward pass of each network, in turn."""
    times: dict[str, list[float]] = {name: [] for name in nets}
    for round_ in range(ROUNDS + 1):
        for name, net in nets.items():
            start = time.process_time()  # one thread: what it would take alone
            net(x)
            if round_:
                times[name].append(time.process_time() - start)
    return {name: statistics.median(values) for name, values in times.items()}


def float_macs(net: nn.Module, x: torch.Tensor) -> int:
    """What a converted network multiplies in float, by matrices and convolutions.

    A report names the products of attention that it cannot count, and calls its share an upper
    bound; torch counts them where no fused kernel hides them.
    """
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        net(x)
    return counter.get_total_flops() // 2


def never_called(net: nn.Module) -> dict[str, int]:
    """Weights of the crossbar layers that no input reached, which `calibrate` warns of.

    They serve training alone, or the network reads their weights past them, and computes in float.
    """
    layers = rt.crossbar_layers(net).items()
    return {name: m.weight.numel() for name, m in layers if m.input_range is None}


def study(name: str) -> dict[str, Any]:
    """What becomes of an architecture."""
    model, size = build(name)
    x = image(size)
    net = rt.convert(model, rt.load_config("isaac"))
    rt.calibrate(net, [x], held_back=0, show_progress=False)
    with rt.PowerMeter(net) as meter:
        net(x)
    report, multiplied = meter.report("isaac"), float_macs(net, x)
    idle = never_called(net)
    weights = net.mapping_report.crossbar_weights + net.mapping_report.float_weights
    return {
        "size": size,
        "layers": len(rt.crossbar_layers(net)),
        "weights": weights,
        "weights_on_crossbars": report.weight_share_on_crossbars - sum(idle.values()) / weights,
        "never_called": idle,
        "macs": report.macs + multiplied,
        "macs_on_crossbars": report.macs / (report.macs + multiplied),
        "uncounted": list(report.uncounted),  # by a report, whose share is then an upper bound
        "differences": differences(net, x),
        "seconds": seconds({"float": model, "converted": net}, x),
        "in_float": {
            layer: {**vars(found), "reason": net.mapping_report.in_float[layer].reason}
            for layer, found in report.in_float.items()
        },
    }


def in_float(result: dict[str, Any]) -> str:
    """What stays in float, in the words of a table: kinds of layers and how many of each."""
    kinds: dict[str, list[str]] = {}
    weights: dict[str, int] = {}
    for name, layer in result["in_float"].items():
        products = "products of" in layer["reason"]
        named = layer["kind"] == "parameter"
        kind = "products of attention" if products else name.rpartition(".")[2] if named else ""
        kind = kind or layer["kind"]
        kinds.setdefault(kind, []).append(name)
        weights[kind] = weights.get(kind, 0) + layer["weights"]
    parts = []
    for name, count in result["never_called"].items():
        kind = f"{name.rpartition('.')[2]}, never called"
        kinds.setdefault(kind, []).append(name)
        weights[kind] = weights.get(kind, 0) + count
    for kind, names in kinds.items():
        many = f"{len(names)} x " if len(names) > 1 else ""
        share = weights[kind] / result["weights"]
        shown = f" ({share:.1%})" if share >= 0.0005 else ""
        word, comma, more = kind.partition(",")
        code = kind if "of attention" in kind else f"`{word}`{comma}{more}"
        parts.append(f"{many}{code}{shown}")
    return ", ".join(parts) or "nothing"


def row(name: str, result: dict[str, Any]) -> str:
    """A line of the table."""
    library, _, model = name.partition(":")
    if "error" in result:
        return f"| {library} | `{model}` | | | | | | | {result['error']} |"
    spent = result["seconds"]
    equal = "yes" if not result["differences"] else f"no: {', '.join(result['differences'])}"
    return (
        f"| {library} | `{model}` | {result['weights'] / 1e6:.1f} M "
        f"| {result['weights_on_crossbars']:.1%} | {result['macs_on_crossbars']:.1%} "
        f"| {equal} | {1e3 * spent['converted']:.0f} ms "
        f"| {spent['converted'] / spent['float']:.1f} | {in_float(result)} |"
    )


def table(results: dict[str, dict[str, Any]]) -> str:
    """All results as a table in Markdown."""
    head = (
        "from", "network", "weights", "on crossbars", "MACs on crossbars", "lossless = integers",
        "forward", "times float", "in float (share of the weights)",
    )  # fmt: skip
    rows = [row(name, result) for name, result in results.items()]
    return "\n".join([f"| {' | '.join(head)} |", f"|{'---|' * len(head)}", *rows]) + "\n"


def parse(arguments: list[str] | None) -> argparse.Namespace:
    """Parses the command line."""
    parser = argparse.ArgumentParser(
        description="Puts architectures of torchvision and timm on crossbars, one by one."
    )
    add = parser.add_argument
    add("--json", type=Path, default=ROOT / "build" / "architectures.json")
    add("--markdown", type=Path, help="also write the table here")
    add("--resume", action="store_true", help="keep what the file holds, but for failures")
    add("--only", nargs="+", default=NAMES, metavar="LIBRARY:NAME",
        help=f"these architectures; default: {len(NAMES)} of torchvision and timm")  # fmt: skip
    args = parser.parse_args(arguments)
    for name in args.only:
        if name.partition(":")[0] not in ("torchvision", "timm"):
            parser.error(f"--only: {name!r} must begin with 'torchvision:' or 'timm:'")
    return args


def versions() -> dict[str, Any]:
    """What results depend on."""
    import timm
    import torchvision

    return {
        "isa": isa(), "threads": 1, "torch": torch.__version__,
        "torchvision": torchvision.__version__, "timm": timm.__version__,
    }  # fmt: skip


def main(arguments: list[str] | None = None) -> None:
    """Goes through the architectures."""
    args = parse(arguments)
    torch.set_num_threads(1)
    logging.getLogger("reram_torch").setLevel(logging.ERROR)  # the table says it
    settings, results = versions(), {}
    if args.resume and args.json.is_file():
        found = json.loads(args.json.read_text(encoding="utf-8"))
        try:
            check_same_settings(args.json, found["settings"], settings, "file")
        except ValueError as error:
            sys.exit(str(error))
        results = {n: r for n, r in found["results"].items() if "error" not in r}
    todo = [name for name in args.only if name not in results]
    done = len(args.only) - len(todo)
    with progress(
        todo, description="architectures", total=len(args.only), unit="net", done=done
    ) as bar:
        for name in bar:
            bar.set_postfix_str(name)
            try:
                with torch.no_grad(), warnings.catch_warnings():
                    warnings.simplefilter("ignore")  # of the libraries
                    results[name] = study(name)
            except Exception as error:  # it is a result
                where = "".join(traceback.format_exception(error))
                results[name] = {"error": f"{type(error).__name__}: {error}", "traceback": where}
            ordered = {n: results[n] for n in (*NAMES, *results) if n in results}
            text = json.dumps({"settings": settings, "results": ordered}, indent=1)
            write_atomically(args.json, text + "\n")
    shown = {name: results[name] for name in args.only}
    if args.markdown:
        write_atomically(args.markdown, table(shown))
    print(table(shown), end="")
    if any("error" in r or r["differences"] for r in shown.values()):
        sys.exit(1)


if __name__ == "__main__":
    main()
