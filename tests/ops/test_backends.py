"""Which backend serves a device: demanded, fallen back from once, or refused."""

import warnings

import pytest
import torch

import reram_torch as rt
from reram_torch.native import cpu, cuda
from reram_torch.ops import backends

WORDS = "the CUDA device has compute capability 7.5, below 8.0"


@pytest.fixture
def unfit(monkeypatch):
    """The CUDA library is there and the device cannot run it."""
    monkeypatch.setattr(cuda, "available", lambda: True)
    monkeypatch.setattr(cuda, "unfitness", lambda: WORDS)
    backends._warn_of.cache_clear()
    yield
    backends._warn_of.cache_clear()


def test_auto_falls_back_once_with_a_warning(unfit, monkeypatch):
    monkeypatch.delenv("RERAM_TORCH_BACKEND", raising=False)
    with pytest.warns(RuntimeWarning, match="go through the reference.*capability 7.5"):
        assert not backends.use_native("cuda")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert not backends.use_native("cuda")
        assert rt.backend("cuda") == "reference"


def test_what_cannot_run_is_refused_where_it_is_demanded(unfit, monkeypatch):
    monkeypatch.setenv("RERAM_TORCH_BACKEND", "native")
    with pytest.raises(rt.NativeError, match="cannot run: .*capability 7.5"):
        backends.use_native("cuda")
    monkeypatch.setenv("RERAM_TORCH_BACKEND", "reference")
    assert not backends.use_native("cuda")


@pytest.mark.skipif(not cuda.available(), reason="the CUDA library was not built")
@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_a_missing_driver_is_told():
    assert "driver" in (cuda.unfitness() or "") or "device" in (cuda.unfitness() or "")


def test_fitness_is_what_the_library_says(emulated, monkeypatch):
    monkeypatch.setattr(cuda, "library", lambda: emulated.library)
    cuda.unfitness.cache_clear()
    try:
        emulated.pretend(capability=75)
        assert "below 8.0" in cuda.unfitness()
        cuda.unfitness.cache_clear()
        emulated.pretend()
        assert cuda.unfitness() is None
    finally:
        emulated.pretend()
        cuda.unfitness.cache_clear()


def test_tensors_of_two_devices_are_refused(calibrated):
    """A layer's weights on one device, its input on another; and within the native calls."""
    with pytest.raises(ValueError, match="input is on meta, but the weights are on cpu"):
        calibrated(torch.rand(1, 1, 32, 32, device="meta"))
    if not cpu.available():
        pytest.skip("the native library is not built")
    layer = calibrated.fc3
    u = torch.zeros(1, 1, layer.depth, dtype=torch.uint8)
    acc = torch.zeros(1, 1, 10, dtype=torch.int32)
    cells = layer.encoded().cells
    with pytest.raises(ValueError, match="a tensor on meta among tensors on cpu"):
        cpu.crossbar(layer.geometry, u, cells.to("meta"), layer.tables(), acc, None)
    with pytest.raises(ValueError, match="a tensor on meta among tensors on cpu"):
        cpu.program(layer.geometry, torch.zeros(1, 3, 4, dtype=torch.int8), cells.to("meta"))
