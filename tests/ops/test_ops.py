"""torch's own checks of the operators, and compilation."""

import pytest
import torch
from problems import uniform

import reram_torch as rt
from reram_torch.crossbar.cells import CrossbarWeights
from reram_torch.crossbar.quantization import InputScale
from reram_torch.crossbar.tables import AdcTables
from reram_torch.crossbar.windows import Window
from reram_torch.evaluation.integers import plain_integer
from reram_torch.native import cpu
from reram_torch.ops.arguments import ArrayArguments, LayerArguments

OPS = torch.ops.reram_torch


@pytest.fixture(params=["native", "reference"])
def backend(request, monkeypatch):
    if request.param == "native" and not cpu.available():
        pytest.skip("the native library is not built")
    monkeypatch.setenv("RERAM_TORCH_BACKEND", request.param)
    return request.param


def sample(encoding=0):
    """Arguments of every operator: one set feeds all checks."""
    g = uniform(32, 1, 1, encoding=encoding)
    x, weight, bias = torch.rand(5, 40), torch.randn(3, 40), torch.randn(3)
    values = 65 if encoding == 1 else 33
    levels = torch.arange(values, dtype=torch.int32).unsqueeze(0) - (32 if encoding == 1 else 0)
    index = torch.zeros(2, 8, 8, dtype=torch.int32)
    index[0] = -1
    made = torch.full((1, values), 8, dtype=torch.uint8)
    tables = AdcTables(levels, made, torch.tensor([0, 1], dtype=torch.int32), index, 2)
    encoded = CrossbarWeights(*OPS.encode_weight(weight, 1, g.as_list()))
    u = torch.randint(0, 256, (5, 1, 40), dtype=torch.uint8)
    image, kernel = torch.rand(2, 4, 6, 7), torch.randn(6, 2, 3, 3)
    x.requires_grad_()
    weight.requires_grad_()
    image.requires_grad_()
    kernel.requires_grad_()
    conv = CrossbarWeights(*OPS.encode_weight(kernel.detach(), 2, g.as_list()))
    scale = 1 / 255
    arrays = ArrayArguments(encoded.cells, tables, g, 3)
    linear = LayerArguments(encoded, tables, InputScale(scale, 3), g)
    window = Window((3, 3), (2, 1), (1, 0), (1, 2), 2)
    layer = LayerArguments(conv, tables, InputScale(scale, 0), g, window)
    return {
        "encode_weight": (weight.detach(), 1, g.as_list()),
        "crossbar": (u, *arrays.flatten(), True),
        "histogram": (u, encoded.cells, tables.edges, [], [3, *g.as_list()]),
        "linear layer": (x, weight, bias, *linear.flatten(), True),
        "convolution layer": (image, kernel, None, *layer.flatten(), False),
    }


@pytest.mark.filterwarnings("ignore")  # of torch's own checks
@pytest.mark.parametrize(
    "name", ["encode_weight", "crossbar", "histogram", "linear layer", "convolution layer"]
)
@pytest.mark.parametrize("encoding", [0, 1, 2])
def test_opcheck(name, encoding, backend):
    torch.library.opcheck(getattr(OPS, name.split()[-1]).default, sample(encoding)[name])


@pytest.mark.filterwarnings("ignore")  # of torch's own compiler
@pytest.mark.parametrize("training", [False, True])
def test_compiled_network_gives_the_same(calibrated, batches, training):
    net = calibrated.train(training)
    x = batches[0][0]
    compiled = torch.compile(net, fullgraph=True, backend="aot_eager")
    torch.testing.assert_close(compiled(x), net(x), rtol=0, atol=0)
    if training:
        compiled(x).sum().backward()
        grads = [p.grad.clone() for p in net.parameters()]
        net.zero_grad()
        net(x).sum().backward()
        for a, p in zip(grads, net.parameters(), strict=True):
            torch.testing.assert_close(a, p.grad)
    with torch.no_grad():
        net.conv1.weight.mul_(-1)
        net.fc3.weight.data.mul_(0.5)
    torch.testing.assert_close(compiled(x), net(x), rtol=0, atol=0)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_inductor_gives_the_same(calibrated, batches, tmp_path, monkeypatch):
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path))  # it outlives changes of an op
    x = batches[0][0]
    with torch.no_grad():
        compiled = torch.compile(calibrated, fullgraph=True)
        torch.testing.assert_close(compiled(x), calibrated(x), rtol=1e-5, atol=1e-5)


def test_integer_operators_check_what_they_are_given(backend):
    u, tensors, integers, count = sample()["crossbar"]
    names = "cells", "levels", "comparisons", "edges", "index"
    good = {"u": u, **dict(zip(names, tensors, strict=True)), "outputs": integers[0]}
    cases = [
        ({"u": good["u"].float()}, TypeError, "u must be uint8"),
        ({"u": good["u"][0]}, TypeError, "shape"),
        ({"cells": good["cells"][:, :1]}, ValueError, "cells"),
        ({"outputs": 300}, ValueError, "cells"),
        ({"levels": good["levels"][:, 1:]}, ValueError, "levels"),
        ({"comparisons": good["comparisons"].int()}, ValueError, "comparisons"),
        ({"comparisons": good["comparisons"].repeat(8, 1)}, ValueError, "comparisons"),
        ({"index": good["index"][:1]}, ValueError, "index"),
        ({"edges": good["edges"].long()}, ValueError, "edges"),
        ({"edges": good["edges"] + 1}, (ValueError, rt.NativeError), "edges|out of range"),
        ({"index": good["index"] + 2}, (ValueError, rt.NativeError), "index|out of range"),
        ({"index": good["index"] - 1}, (ValueError, rt.NativeError), "index|out of range"),
    ]
    for change, error, match in cases:
        given = {**good, **change}
        numbers = [given["outputs"], *integers[1:]]
        with pytest.raises(error, match=match):
            OPS.crossbar(given["u"], [given[name] for name in names], numbers, count)


def test_backend_can_be_seen_and_demanded(monkeypatch):
    monkeypatch.setenv("RERAM_TORCH_BACKEND", "reference")
    assert rt.backend() == "reference"
    monkeypatch.setenv("RERAM_TORCH_BACKEND", "nonsense")
    with pytest.raises(ValueError, match="RERAM_TORCH_BACKEND"):
        rt.backend()
    monkeypatch.delenv("RERAM_TORCH_BACKEND")
    if cpu.available():
        assert rt.backend().startswith("native")
        monkeypatch.setenv("RERAM_TORCH_ISA", "sse9")
        with pytest.raises(rt.NativeError, match="sse9"):
            rt.backend()
    monkeypatch.setattr(cpu, "library_path", lambda: None)
    monkeypatch.setenv("RERAM_TORCH_BACKEND", "native")
    with pytest.raises(rt.NativeError, match="not built"):
        rt.backend()


def test_network_is_the_plain_integer_network_on_both_backends(calibrated, batches, backend):
    x = batches[0][0]
    y = calibrated(x)
    with plain_integer(calibrated):
        assert torch.equal(calibrated(x), y)
