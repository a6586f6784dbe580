"""Numbers of an earlier version, on data that lies beside the repository where it is developed."""

import hashlib
import json
from pathlib import Path

import pytest
import torch
from torch import nn

import reram_torch as rt

GOLDEN = Path(__file__).parents[3] / "shared" / "data" / "golden.json"
MADE = {
    "linear": (lambda: nn.Linear(150, 24), (32, 150)),
    "conv": (lambda: nn.Conv2d(20, 16, 3, 2, 1), (6, 20, 11, 9)),
    "depthwise": (lambda: nn.Conv2d(12, 24, 3, 1, 1, groups=12), (4, 12, 8, 8)),
}


def layer_and_data(kind, rows, cell, dac, signed):
    """All are multiples of 1/64, so that no float rounding of a machine enters."""
    generator = torch.Generator().manual_seed(len(kind) * 1000 + rows + cell * 7 + dac * 3 + signed)
    make, shape = MADE[kind]
    made = make()
    with torch.no_grad():
        weight = torch.randint(-96, 97, made.weight.shape, generator=generator) / 256
        made.weight.copy_(weight)
        made.bias.copy_(torch.randint(-64, 65, made.bias.shape, generator=generator) / 64)
    x = torch.randint(-96, 129, shape, generator=generator).clamp(min=0) / 64
    negative_too = torch.randint(-90, 129, shape, generator=generator) / 64
    return made, negative_too if signed else x


def measured(net, x):
    with torch.no_grad(), rt.PowerMeter(net) as meter:
        y = net(x)
    exact = (y.double() * 4096).round().long().numpy().tobytes()
    return hashlib.sha256(exact).hexdigest()[:16], meter.report()


@pytest.mark.data
@pytest.mark.slow
@pytest.mark.skipif(not GOLDEN.is_file(), reason="../shared is not there")
@pytest.mark.parametrize("encoding", ["offset", "differential", "dual"])
@pytest.mark.parametrize("kind", MADE)
def test_layers_give_the_numbers_of_an_earlier_version(kind, encoding):
    """Outputs and counts; not the energies, and not the outputs of ADCs with a step of 4.

    The eighth slice of a pair in 1-bit cells is no longer counted: it does not exist.

    Energies changed with their prices: conversions, controllers and tables cost something now.
    Levels of an even step lie half a unit nearer to zero than they did, in the middle of their
    sums. Conversions are those that start; then they were those where a word-line was driven,
    whatever the table.
    """
    golden, seen = json.loads(GOLDEN.read_text()), set()
    for rows, cell, dac in ((128, 1, 1), (64, 2, 1), (100, 1, 2), (512, 1, 1)):
        for sign in ("unsigned", "signed"):
            made, x = layer_and_data(kind, rows, cell, dac, sign == "signed")
            large = rows * (2**cell - 1) * (2**dac - 1) > 255
            config = rt.Config(
                rt.CrossbarConfig(rows=rows, cell_bits=cell, dac_bits=dac),
                rt.WeightConfig(encoding=encoding),
                adc=rt.UniformSAR(8, 4 if large else 1),
            )
            net = rt.convert(nn.Sequential(made), config).eval()
            rt.calibrate(net, x.split(len(x) // 2), held_back=0, show_progress=False)
            name = f"{kind} {encoding} {rows} {cell} {dac} {sign}"
            seen.add(f"{name} uniform")
            was, (output, report) = golden[f"{name} uniform"], measured(net, x)
            present = net[0].encoded().present
            share = int(present.sum()) / len(present)
            assert share == (7 / 8 if cell == 1 and encoding != "offset" else 1)
            assert (report.conversions, report.comparisons) == (
                share * was["conversions"], share * was["comparisons"],
            ), name  # fmt: skip
            assert large or output == was["output"], name
            if large:
                continue
            rt.design_adc(
                net, "search_tree", lossless=True, granularity="slice+activity",
                objective="comparisons", show_progress=False,
            )  # fmt: skip
            seen.add(f"{name} lossless tree")
            was, (output, report) = golden[f"{name} lossless tree"], measured(net, x)
            assert output == was["output"], name
            assert share < 1 or report.comparisons == was["comparisons"], name
            # An ADC that is told of driven word-lines starts where any is driven.
            driven = share * was["conversions"]
            assert report.conversions <= report.activity_sar.conversions == driven, name
    assert seen == {name for name in golden if name.startswith(f"{kind} {encoding} ")}
