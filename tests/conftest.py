import os

import emulation
import pytest
import torch
from hypothesis import HealthCheck, settings
from torch import nn

import reram_torch as rt
from reram_torch.models.zoo import LeNet5

FEWER = int(os.environ.get("RERAM_TORCH_FEWER", "1"))
settings.register_profile(
    "project",
    max_examples=max(10, 100 // FEWER),
    deadline=None,  # these machines are noisy
    print_blob=True,  # to run a failing example again: cases differ from run to run
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
settings.load_profile("project")

if "PYTEST_XDIST_WORKER" in os.environ:  # a core for each worker
    torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


@pytest.fixture(scope="session")
def emulated(tmp_path_factory):
    """The CUDA kernels on the CPU."""
    return emulation.build(tmp_path_factory.mktemp("emulation"))


@pytest.fixture
def batches():
    """Two batches of images with labels, as a DataLoader gives them."""
    return [(torch.rand(6, 1, 32, 32), torch.randint(10, (6,))) for _ in range(2)]


@pytest.fixture
def lenet():
    return LeNet5().eval()


@pytest.fixture
def calibrated(lenet, batches):
    """LeNet-5 on the ISAAC baseline, calibrated."""
    return rt.calibrate(rt.convert(lenet), batches, show_progress=False)


@pytest.fixture
def small_net():
    """A convolution, its batch norm, and a classifier."""
    return nn.Sequential(
        nn.Conv2d(3, 5, 3), nn.BatchNorm2d(5), nn.ReLU(), nn.Flatten(), nn.Linear(5 * 36, 4)
    ).eval()
