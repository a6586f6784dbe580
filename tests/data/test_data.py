"""Data sets in their own formats, models by name, and evaluation."""

from pathlib import Path

import pytest
import torch
from torch.utils.data import DataLoader, TensorDataset

import reram_torch as rt
from reram_torch.data import sets
from reram_torch.evaluation.scoring import evaluate
from reram_torch.models import zoo

ROOT = Path(__file__).parents[2]
SHARED = ROOT.parent / "shared" / "data"


def test_digits():
    pytest.importorskip("sklearn")
    train, test = sets.digits(True), sets.digits(False)
    assert (len(train), len(test)) == (1437, 360)
    image, label = test[0]
    assert image.shape == (1, 32, 32)
    assert 0 <= image.min() <= image.max() <= 1
    assert label == 0


def test_subsets_are_reproducible():
    whole = TensorDataset(torch.arange(50))
    first = [int(x) for (x,) in sets.subset(whole, 7, seed=3)]
    assert first == [int(x) for (x,) in sets.subset(whole, 7, seed=3)]
    assert len(set(first)) == 7
    assert sets.subset(whole, None) is whole
    with pytest.raises(ValueError, match="cannot take 51 of 50"):
        sets.subset(whole, 51)


def test_models_by_name():
    assert zoo.build_model("lenet5", 7)(torch.rand(2, 1, 32, 32)).shape == (2, 7)
    assert zoo.build_model("resnet20", 10)(torch.rand(2, 3, 32, 32)).shape == (2, 10)
    assert sum(p.numel() for p in zoo.build_model("resnet20", 10).parameters()) == 269_722
    assert isinstance(zoo.build_model("reram_torch.models:LeNet5", 10), zoo.LeNet5)
    pytest.importorskip("torchvision")
    assert zoo.build_model("resnet18", 5).fc.out_features == 5
    for name in ("resnet21", "no.such:thing", "reram_torch.models:Nothing"):
        with pytest.raises(ValueError, match=name):
            zoo.build_model(name, 10)


def test_weights_of_another_network_are_named(lenet, tmp_path):
    torch.save({f"module.{k}": v for k, v in lenet.state_dict().items()}, tmp_path / "a.pt")
    loaded = zoo.load_weights(zoo.LeNet5(), str(tmp_path / "a.pt"))
    assert torch.equal(loaded.fc3.weight, lenet.fc3.weight)
    with pytest.raises(ValueError, match="another network"):
        zoo.load_weights(zoo.build_model("resnet20", 10), str(tmp_path / "a.pt"))
    torch.save([1, 2], tmp_path / "b.pt")
    with pytest.raises(ValueError, match="no state_dict"):
        zoo.load_weights(lenet, str(tmp_path / "b.pt"))


def test_evaluate(lenet, batches):
    lenet.train().conv1.eval()
    result = evaluate(lenet, batches, show_progress=False)
    assert lenet.training
    assert not lenet.conv1.training
    assert result.items == 12
    x, y = (torch.cat(part) for part in zip(*batches, strict=True))
    assert result.top1 == float((lenet.eval()(x).argmax(1) == y).double().mean())
    assert result.seconds_per_100 == pytest.approx(result.seconds / 0.12)
    with pytest.raises(ValueError, match="no batches"):
        evaluate(lenet, [])


def test_a_split_shares_nothing():
    few, rest = sets.split(range(20), 6, seed=1)
    assert len(few) == 6
    assert sorted([*few, *rest]) == list(range(20))
    with pytest.raises(ValueError, match="cannot split 20 from 20"):
        sets.split(range(20), 20)


@pytest.mark.parametrize("key", ["state_dict", "model_state_dict", "model"])
def test_weights_inside_a_checkpoint_of_a_training_script_load(lenet, tmp_path, key):
    state = {f"module.{k}": v for k, v in lenet.state_dict().items()}
    torch.save({"epoch": 3, "optimizer": {"lr": 0.1}, key: state}, tmp_path / "a.pt")
    other = zoo.load_weights(zoo.LeNet5(), tmp_path / "a.pt")
    assert all(
        torch.equal(a, b) for a, b in zip(other.parameters(), lenet.parameters(), strict=True)
    )


@pytest.mark.slow
@pytest.mark.data
@pytest.mark.skipif(not SHARED.is_dir(), reason="the shared data are not there")
def test_resnet20_on_real_images():
    """200 test images: float, lossless crossbar, twin range."""
    pytest.importorskip("torchvision")
    test = sets.load_dataset(str(SHARED / "cifar10-subset" / "test"))
    train = sets.load_dataset(str(SHARED / "cifar10-subset" / "train"))
    batches = DataLoader(sets.subset(test, 200, 1), 50)
    net = zoo.build_model("resnet20", 10).eval()
    zoo.load_weights(net, str(SHARED / "resnet20-cifar10.pt"))
    ideal = evaluate(net, batches, show_progress=False).top1
    assert ideal > 0.87
    net = rt.convert(net)
    rt.calibrate(net, DataLoader(sets.subset(train, 64), 32), show_progress=False)
    assert abs(evaluate(net, batches, show_progress=False).top1 - ideal) <= 0.01
    rt.design_adc(net, "twin_range", granularity="slice", reduction=2.3)
    with rt.PowerMeter(net) as meter:
        top1 = evaluate(net, batches, show_progress=False).top1
    assert meter.report().reduction > 2.25
    assert top1 > ideal - 0.03
