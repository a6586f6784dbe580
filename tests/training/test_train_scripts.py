"""The training scripts: killed, resumed, fine-tuning, and what they refuse."""

import json
import signal
import subprocess
import time

import pytest
import torch
from programs import ROOT, run_command, script_command

from reram_torch.cli import options
from reram_torch.data import sets
from reram_torch.models import zoo
from reram_torch.training.fit import Fit, Seeded
from reram_torch.training.recipe import Recipe

TRAIN = ("train", "--model", "lenet5", "--data", "digits", "--batch-size", 256, "--threads", 1)


def scores(folder):
    lines = (folder / "log.jsonl").read_text().splitlines()
    return [(r["epoch"], r["loss"], r["top1"]) for r in map(json.loads, lines)]


@pytest.mark.slow
def test_a_killed_run_resumes_to_the_same_result(tmp_path):
    pytest.importorskip("sklearn")
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    result = run_command(*TRAIN, "--epochs", 4, "--out", whole)
    assert result.returncode == 0, result.stderr
    assert result.stdout == (whole / "log.jsonl").read_text()
    process = subprocess.Popen(
        script_command(*TRAIN, "--epochs", 4, "--out", parts), stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )  # fmt: skip
    while not (parts / "log.jsonl").is_file() and process.poll() is None:
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    again = run_command(*TRAIN, "--epochs", 4, "--out", parts)
    assert "holds a run: --resume it" in again.stderr
    again = run_command(*TRAIN, "--epochs", 4, "--out", parts, "--resume")
    assert again.returncode == 0, again.stderr
    assert scores(parts) == scores(whole)
    a, b = (torch.load(f / "last.pt", weights_only=True)["state_dict"] for f in (whole, parts))
    assert all(torch.equal(a[k], b[k]) for k in a)


@pytest.mark.slow
def test_fine_tuning_through_crossbars(tmp_path):
    pytest.importorskip("sklearn")
    net = zoo.LeNet5()
    fit = Fit(net, sets.digits(train=True), sets.digits(train=False),
              Recipe(epochs=3, batch_size=64, rate=2e-3), tmp_path / "float")  # fmt: skip
    fit.run()
    command_line = (
        "finetune", "--model", "lenet5", "--weights", tmp_path / "float" / "last.pt", "--data",
        "digits", "--config", "twin_range", "--reduction", 3, "--start", 2, "--epochs", 2,
        "--calibration-images", 64, "--learn-scales", "--penalty", 0.1, "--out", tmp_path / "fine",
        "--limit", 120,
    )  # fmt: skip
    result = run_command(*command_line)
    assert result.returncode == 0, result.stderr
    lines = [json.loads(x) for x in (tmp_path / "fine" / "log.jsonl").read_text().splitlines()]
    assert lines[0]["designed_reduction"] == pytest.approx(2, rel=0.05)
    assert lines[1]["designed_reduction"] == pytest.approx(3, rel=0.05)
    read = json.loads((tmp_path / "fine" / "results.json").read_text())["results"]
    assert [row["network"] for row in read] == ["before", "after"]
    assert read[0]["reduction"] == pytest.approx(3, rel=0.1)
    # A resumed run keeps what was measured before.
    again = run_command(*command_line, "--resume")
    assert again.returncode == 0, again.stderr
    assert json.loads((tmp_path / "fine" / "results.json").read_text())["results"][0] == read[0]
    # The checkpoint brings its scales and its ADCs to an evaluation.
    more = ("--model", "lenet5", "--data", "digits", "--weights", tmp_path / "fine" / "last.pt")
    more += ("--limit", 120)
    out = tmp_path / "evaluated.json"
    result = run_command("evaluate", *more, "--json", out)
    assert result.returncode == 0, result.stderr
    assert "every output of every image is equal" in result.stdout
    found = json.loads(out.read_text())["results"][-1]
    for key in ("top1", "reduction"):
        assert found[key] == read[1][key]
    result = run_command("evaluate", *more, "--config", "central")
    assert "another configuration: weights.encoding was 'offset' there" in result.stderr
    result = run_command("evaluate", *more, "--config", "twin_range", "--reduction", 2)
    assert "brings its own ADCs" in result.stderr


def test_experiments_are_options(tmp_path):
    def parse(text, *arguments):
        (tmp_path / "e.toml").write_text(text)
        parser = options.training_parser("", epochs=5, rate=1.0)
        return parser.parse_args(
            ["--experiment", str(tmp_path / "e.toml"), "--out", "x", *arguments]
        )

    text = 'model = "resnet20"\ndata = "cifar10"\nmean = [0.1, 0.2, 0.3]\nbf16 = true\nrate = 0.1\n'
    args = parse(text, "--rate", "0.2")
    assert (args.model, args.mean, args.bf16, args.epochs) == ("resnet20", [0.1, 0.2, 0.3], True, 5)
    assert args.rate == 0.2  # the command line has the last word
    with pytest.raises(SystemExit):
        parse(text + "rates = 1")
    with pytest.raises(SystemExit):
        parse(text + "epochs = 'many'")
    assert options.experiment_names() == sorted(
        p.stem for p in (ROOT / "configs" / "experiments").glob("*.toml")
    )
    for name in options.experiment_names():  # each is of options that there are
        parser = options.training_parser("", epochs=1, rate=1.0)
        options.add_finetuning_arguments(parser)
        assert parser.parse_args(["--experiment", name, "--out", "x"]).model


def test_wrong_data_are_refused_before_work(tmp_path):
    pytest.importorskip("torchvision")
    folder = tmp_path / "images"
    for name in "abc":
        (folder / name).mkdir(parents=True)
        from PIL import Image

        Image.new("RGB", (8, 8)).save(folder / name / "0.png")
    base = ("train", "--model", "resnet20", "--data", folder, "--out", tmp_path / "out")
    assert "data is needed" in run_command(*base).stderr
    assert "would be trained on and tested on" in run_command(*base, "--train-data", folder).stderr
    result = run_command(*base, "--train-data", str(folder) + "/.", "--classes", 2)
    assert (
        "the data have 3 classes, but the network gives an image outputs of shape (2,)"
        in result.stderr
    )
    assert not (tmp_path / "out").exists()


def test_augmentation_moves_images(tmp_path):
    pytest.importorskip("torchvision")
    from PIL import Image

    (tmp_path / "a").mkdir()
    Image.effect_noise((32, 32), 90).convert("RGB").save(tmp_path / "a" / "0.png")
    plain = sets.load_dataset(str(tmp_path), size=32)[0][0]
    for augment in ("shift", "flip", "resized"):
        found = Seeded(sets.load_dataset(str(tmp_path), size=32, augment=augment), 0)
        assert found[0][0].shape == plain.shape
        views = []
        for epoch in range(6):
            found.epoch = epoch
            views.append(found[0][0])
        assert any(not torch.equal(v, plain) for v in views)
    with pytest.raises(ValueError, match="needs a size"):
        sets.load_dataset(str(tmp_path), augment="flip")
    with pytest.raises(ValueError, match="augment must be one of"):
        sets.load_dataset(str(tmp_path), size=32, augment="mirror")
