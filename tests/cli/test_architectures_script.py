"""`scripts/architectures.py` from end to end, on small networks."""

import json
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

ROOT = Path(__file__).parents[2]


class Attending(nn.Module):
    """A layer that is called, one whose weight is read past it, and two products of activations."""

    def __init__(self):
        super().__init__()
        self.first, self.read = nn.Conv2d(3, 8, 4, 4), nn.Linear(8, 8, bias=False)
        self.positions = nn.Parameter(torch.zeros(4, 8))

    def forward(self, x):
        x = self.first(x).flatten(2).mT + self.positions
        q = nn.functional.linear(x, self.read.weight)
        return nn.functional.scaled_dot_product_attention(q[:, None], x[:, None], x[:, None])


@pytest.fixture
def script(monkeypatch):
    for name in ("torchvision", "timm", "sklearn"):
        pytest.importorskip(name)
    monkeypatch.syspath_prepend(ROOT / "scripts")
    import architectures

    nets = {
        "torchvision:plain": lambda: nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten()),
        "timm:attending": Attending,
        "timm:broken": lambda: nn.Linear(5, 2),
    }
    built = []

    def build(name):
        built.append(name)
        return nets[name]().eval().requires_grad_(False), 8

    monkeypatch.setattr(architectures, "build", build)
    monkeypatch.setattr(architectures, "built", built, raising=False)
    monkeypatch.setattr(architectures, "NAMES", tuple(nets))
    yield architectures
    sys.modules.pop("architectures")


def test_a_study_says_what_became_of_each_network(script, tmp_path, capsys):
    files = ["--json", str(tmp_path / "all.json"), "--markdown", str(tmp_path / "all.md")]
    threads = torch.get_num_threads()
    with pytest.raises(SystemExit, match="1"):  # one is broken
        script.main([*files, "--only", *script.NAMES])
    results = json.loads((tmp_path / "all.json").read_text())["results"]
    plain, attending, broken = (results[name] for name in script.NAMES)
    assert (plain["weights_on_crossbars"], plain["macs_on_crossbars"]) == (1.0, 1.0)
    assert plain["differences"] == attending["differences"] == []
    assert attending["never_called"] == {"read": 64}
    on_crossbars = 3 * 16 * 8
    assert attending["weights"] == on_crossbars + 64 + 32
    assert attending["weights_on_crossbars"] == pytest.approx(on_crossbars / (on_crossbars + 96))
    products = 4 * 64 + 2 * 4 * 4 * 8  # the layer that was passed; scores, and values by them
    assert attending["macs"] == 4 * on_crossbars + products
    assert "ValueError: input must have shape" in broken["error"]
    table = (tmp_path / "all.md").read_text()
    assert table in capsys.readouterr().out
    [row] = [line for line in table.splitlines() if "`attending`" in line]
    assert "`positions` (6.7%), `read`, never called (13.3%)" in row
    script.built.clear()
    with pytest.raises(SystemExit, match="1"):
        script.main([*files, "--resume", "--only", *script.NAMES])
    assert script.built == ["timm:broken"]  # failures are tried again
    torch.set_num_threads(threads)


def test_a_difference_is_found(script, monkeypatch):
    """An ADC that is not lossless is not the plain integer network."""
    import reram_torch as rt

    net = rt.convert(nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten()))
    x = script.image(8)
    rt.calibrate(net, [x], held_back=0, show_progress=False)
    with torch.no_grad():
        assert script.differences(net, x) == []
        net[0].set_adc([rt.UniformSAR(3, 4)])
        assert script.differences(net, x) == ["output", "1 calls of layers"]
