"""torch's own checks of the operators, and compilation."""

import pytest
import torch

import reram_torch as rt
from reram_torch.crossbar.geometry import Geometry
from reram_torch.evaluation.integers import plain_integer
from reram_torch.native import cpu

OPS = torch.ops.reram_torch


@pytest.fixture(params=["native", "reference"])
def backend(request, monkeypatch):
    if request.param == "native" and not cpu.available():
        pytest.skip("the native library is not built")
    monkeypatch.setenv("RERAM_TORCH_BACKEND", request.param)
    return request.param


def sample(encoding=0):
    """Arguments of every operator: one set feeds all checks."""
    g = Geometry(32, 128, 1, 1, 8, 8, encoding).as_list()
    x, weight, bias = torch.rand(5, 40), torch.randn(3, 40), torch.randn(3)
    values = 65 if encoding == 1 else 33
    levels = torch.arange(values, dtype=torch.int32).unsqueeze(0) - (32 if encoding == 1 else 0)
    index = torch.zeros(2, 8, 8, dtype=torch.int32)
    index[0] = -1
    made = torch.full((1, values), 8, dtype=torch.uint8)
    tables = levels, made, torch.tensor([0, 1], dtype=torch.int32), index
    encoded = OPS.encode_weight(weight, 1, g)
    u = torch.randint(0, 256, (5, 1, 40), dtype=torch.uint8)
    image, kernel = torch.rand(2, 4, 6, 7), torch.randn(6, 2, 3, 3)
    x.requires_grad_()
    weight.requires_grad_()
    image.requires_grad_()
    kernel.requires_grad_()
    conv = OPS.encode_weight(kernel.detach(), 2, g)
    return {
        "encode_weight": (weight.detach(), 1, g),
        "crossbar": (u, encoded[0], *tables, 3, g, True),
        "histogram": (u, encoded[0], tables[2], 3, g),
        "linear": (x, weight, bias, *encoded, *tables, 1 / 255, 3, g, True),
        "conv2d": (
            image, kernel, None, *conv, *tables, 1 / 255, 0, g, False, [2, 1], [1, 0], [1, 2], 2,
        ),
    }  # fmt: skip


@pytest.mark.filterwarnings("ignore")  # of torch's own checks
@pytest.mark.parametrize("name", ["encode_weight", "crossbar", "histogram", "linear", "conv2d"])
@pytest.mark.parametrize("encoding", [0, 1, 2])
def test_opcheck(name, encoding, backend):
    torch.library.opcheck(getattr(OPS, name).default, sample(encoding)[name])


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


@pytest.mark.filterwarnings("ignore")
def test_inductor_gives_the_same(calibrated, batches, tmp_path, monkeypatch):
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path))  # it outlives changes of an op
    x = batches[0][0]
    with torch.no_grad():
        compiled = torch.compile(calibrated, fullgraph=True)
        torch.testing.assert_close(compiled(x), calibrated(x), rtol=1e-5, atol=1e-5)


def test_integer_operators_check_what_they_are_given(backend):
    good = dict(
        zip(
            ("u", "cells", "levels", "comparisons", "edges", "index", "outputs", "g", "count"),
            sample()["crossbar"],
            strict=True,
        )
    )
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
        with pytest.raises(error, match=match):
            OPS.crossbar(*{**good, **change}.values())


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
    monkeypatch.setattr(native, "library_path", lambda: None)
    monkeypatch.setenv("RERAM_TORCH_BACKEND", "native")
    with pytest.raises(rt.NativeError, match="not built"):
        rt.backend()


def test_network_is_the_plain_integer_network_on_both_backends(calibrated, batches, backend):
    x = batches[0][0]
    y = calibrated(x)
    with plain_integer(calibrated):
        assert torch.equal(calibrated(x), y)
