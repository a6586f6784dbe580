"""Data sets in their own formats, models by name, evaluation, and the scripts."""

import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader, TensorDataset

import reram_torch as rt
from reram_torch.data import sets
from reram_torch.evaluation.scoring import evaluate
from reram_torch.models import zoo

ROOT = Path(__file__).parents[2]
SHARED = ROOT.parent / "shared" / "data"


def image_folder(root, count=6, classes=("cat", "dog")):
    from PIL import Image

    random = np.random.default_rng(0)
    for label in classes:
        (root / label).mkdir(parents=True)
        for k in range(count):
            pixels = random.integers(0, 256, (32, 32, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(root / label / f"{k}.png")
    return root


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
    assert result.images == 12
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


def run_script(*arguments, script="evaluate.py"):
    command = [sys.executable, str(ROOT / "scripts" / script), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)


def test_the_evaluation_script(tmp_path):
    pytest.importorskip("torchvision")
    folder = image_folder(tmp_path / "images")
    torch.save(zoo.build_model("resnet20", 2).state_dict(), tmp_path / "net.pt")
    result = run_script(
        "--model", "resnet20", "--weights", tmp_path / "net.pt", "--classes", 2,
        "--data", folder, "--calibration-data", folder, "--calibration-images", 6,
        "--config", "twin_range",
        "--reduction", 2.0, "--json", tmp_path / "out" / "r.json", "--fold-bn", "--layers",
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    assert "every output of every image is equal" in result.stdout
    read = json.loads((tmp_path / "out" / "r.json").read_text())
    names = [row["network"] for row in read["results"]]
    assert names == ["float", "lossless crossbar", "plain integer", "twin_range"]
    assert read["results"][1]["top1"] == read["results"][2]["top1"]
    assert read["results"][3]["reduction"] > 1.9
    assert len(read["results"][3]["report"]["layers"]) == 20
    assert read["results"][3]["images"] == 6  # the others calibrated


@pytest.mark.parametrize("model", ["bit_cycle", "sar"])
def test_the_power_of_two_designs_side_by_side(tmp_path, model):
    pytest.importorskip("sklearn")
    pytest.importorskip("matplotlib")
    folder, own = tmp_path / "power", tmp_path / "twin_2.4.toml"
    rt.load_config("twin_range").save(own)
    result = run_script(
        "--model", "lenet5", "--data", "digits", "--limit", 20, "--calibration-images", 32,
        "--config", "isaac", own, "--no-verify", "--power", "isaac", "--report", folder,
        "--adc-model", model,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    assert re.search(r"^of one inference +isaac +twin_2.4$", result.stdout, re.MULTILINE)
    assert re.search(r"^share of the ADCs( +[0-9.]+%){2}$", result.stdout, re.MULTILINE)
    ends = ("csv", "html", "json", "png")
    assert sorted(p.name for p in folder.iterdir()) == [
        f"{name}.{end}" for name in ("isaac", "twin_2.4") for end in ends
    ]
    read = json.loads((folder / "twin_2.4.json").read_text())
    assert read["adc_model"] == model
    assert read["inferences"] == 20
    twice = ["isaac", ROOT / "configs" / "isaac.toml"]
    result = run_script("--model", "lenet5", "--data", "digits", "--config", *twice)
    assert "have the same name" in result.stderr
    result = run_script("--model", "lenet5", "--data", "digits", "--power", "isac")
    assert "no technology named 'isac'" in result.stderr


def test_a_lossless_search_is_checked_image_by_image():
    pytest.importorskip("sklearn")
    result = run_script(
        "--model", "lenet5", "--data", "digits", "--limit", 40, "--calibration-images", 32,
        "--config", "search_tree", "--lossless",
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    assert "lossless search == lossless crossbar: every output" in result.stdout
    result = run_script(
        "--model", "lenet5", "--data", "digits", "--lossless", "--reduction", 2,
        "--config", "search_tree",
    )  # fmt: skip
    assert "one of --reduction, --max-drop and --lossless" in result.stderr


def test_the_sweep_resumes(tmp_path):
    pytest.importorskip("matplotlib")
    folder = image_folder(tmp_path / "images")
    table = tmp_path / "sweep.csv"
    options = (
        "--model", "resnet20", "--classes", 2, "--data", folder, "--calibration-data", folder,
        "--calibration-images", 4, "--limit", 4, "--configs", "twin_range", "--csv", table,
    )  # fmt: skip
    first = run_script(*options, "--reductions", 2.0, script="sweep.py")
    assert first.returncode == 0, first.stderr
    rows = table.read_text().splitlines()
    assert len(rows) == 3
    assert rows[2].startswith("twin_range,twin_range,slice,offset,2.0,")
    table.write_text("\n".join([*rows, "twin_range,twin_ra"]))  # cut short by a kill
    again = run_script(*options, "--reductions", 2.0, 2.5, script="sweep.py")
    assert again.returncode == 0, again.stderr
    more = table.read_text().splitlines()
    assert more[:3] == rows
    assert len(more) == 4
    assert table.with_suffix(".png").read_bytes().startswith(b"\x89PNG")
    none = run_script(*options, script="sweep.py")
    assert "give --reductions" in none.stderr


def test_the_script_names_what_is_wrong(tmp_path):
    pytest.importorskip("sklearn")
    result = run_script("--model", "resnet20", "--data", tmp_path / "nowhere")
    assert result.returncode != 0
    assert "--calibration-data is needed" in result.stderr
    result = run_script(
        "--model", "resnet20", "--data", tmp_path / "nowhere", "--calibration-data", tmp_path
    )
    assert "one folder of images for each class" in result.stderr
    result = run_script("--model", "lenet5", "--data", "digits", "--reduction", 2)
    assert "no [search] section" in result.stderr
    result = run_script("--model", "lenet5", "--data", "digits", "--weights", tmp_path / "no.pt")
    assert "no.pt" in result.stderr


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
    rt.design_adc(net, "twin_range", reduction=2.3)
    with rt.PowerMeter(net) as meter:
        top1 = evaluate(net, batches, show_progress=False).top1
    assert meter.report().reduction > 2.25
    assert top1 > ideal - 0.03
