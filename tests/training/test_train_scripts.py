"""The training scripts: killed, resumed, fine-tuning, and what they refuse."""

import json
import signal
import subprocess
import time

import pytest
import torch
from images import image_folder
from programs import ROOT, run_command, script_command
from torch.utils.data import Subset

from reram_torch.cli import options
from reram_torch.data import sets, splits
from reram_torch.models import zoo
from reram_torch.training.fit import Fit, Seeded
from reram_torch.training.losses import distillation_loss
from reram_torch.training.recipe import Recipe

TRAIN = ("train", "--model", "lenet5", "--data", "digits", "--batch-size", 256, "--threads", 1)


def scores(folder):
    lines = (folder / "log.jsonl").read_text().splitlines()
    return [(r["epoch"], r["loss"], r["validation_top1"]) for r in map(json.loads, lines)]


def rows_of(folder):
    """The rows of a run's results by name, without timings."""
    rows = json.loads((folder / "results.json").read_text())["results"]
    return {row["network"]: {k: v for k, v in row.items() if "seconds" not in k} for row in rows}


@pytest.mark.slow
def test_a_killed_run_resumes_to_the_same_result(tmp_path):
    pytest.importorskip("sklearn")
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    result = run_command(*TRAIN, "--epochs", 4, "--out", whole)
    assert result.returncode == 0, result.stderr
    log, _, table = result.stdout.partition("network ")
    assert log == (whole / "log.jsonl").read_text()
    assert [line.split()[0] for line in table.splitlines()[1:]] == ["last", "best", "360"]
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
    assert rows_of(parts) == rows_of(whole)
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
        "--limit", 120, "--no-control",
    )  # fmt: skip
    result = run_command(*command_line)
    assert result.returncode == 0, result.stderr
    lines = [json.loads(x) for x in (tmp_path / "fine" / "log.jsonl").read_text().splitlines()]
    assert lines[0]["designed_reduction"] == pytest.approx(2, rel=0.05)
    assert lines[1]["designed_reduction"] == pytest.approx(3, rel=0.05)
    read = json.loads((tmp_path / "fine" / "results.json").read_text())["results"]
    names = ["float", "before", "last", "best"]
    assert [row["network"] for row in read] == names
    assert not (tmp_path / "fine" / "control").exists()
    assert read[1]["reduction"] == pytest.approx(3, rel=0.1)
    # A resumed run keeps what was measured before.
    again = run_command(*command_line, "--resume")
    assert again.returncode == 0, again.stderr
    kept = json.loads((tmp_path / "fine" / "results.json").read_text())["results"]
    assert [row["network"] for row in kept] == names
    assert kept[:2] == read[:2]
    # The checkpoint brings its scales and its ADCs to an evaluation.
    more = ("--model", "lenet5", "--data", "digits", "--weights", tmp_path / "fine" / "last.pt")
    more += ("--limit", 120)
    out = tmp_path / "evaluated.json"
    result = run_command("evaluate", *more, "--json", out)
    assert result.returncode == 0, result.stderr
    assert "every output of every image is equal" in result.stdout
    found = json.loads(out.read_text())["results"][-1]
    for key in ("top1", "reduction"):
        assert found[key] == read[2][key]
    result = run_command("evaluate", *more, "--config", "central")
    assert "another configuration: weights.encoding was 'offset' there" in result.stderr
    result = run_command("evaluate", *more, "--config", "twin_range", "--reduction", 2)
    assert "brings its own ADCs" in result.stderr


TUNE = (
    "finetune", "--model", "lenet5", "--data", "digits", "--config", "twin_range", "--reduction", 3,
    "--epochs", 2, "--design-epochs", 1, "--calibration-images", 64, "--limit", 60, "--threads", 1,
    "--batch-size", 256, "--rate", 1e-3, "--smoothing", 0.1, "--distill", 0.5,
)  # fmt: skip


@pytest.fixture(scope="module")
def controlled(tmp_path_factory):
    """A fine-tuning run with its control, and the options that started it."""
    pytest.importorskip("sklearn")
    folder = tmp_path_factory.mktemp("controlled")
    torch.manual_seed(1)
    torch.save(zoo.LeNet5().state_dict(), folder / "net.pt")
    options = (*TUNE, "--weights", folder / "net.pt")
    result = run_command(*options, "--out", folder / "whole")
    assert result.returncode == 0, result.stderr
    return folder, options, result.stdout


@pytest.mark.slow
def test_a_control_is_trained_beside(controlled):
    """It is the float network trained on as by hand: same images, order, loss, epochs, rates."""
    folder, _, text = controlled
    rows = rows_of(folder / "whole")
    assert list(rows) == ["float", "before", "last", "best", "control last", "control best"]
    assert text.count('{"run": "control", "epoch": ') == 2
    for name in rows:
        assert f"\n{name} " in text  # a line of the table each
        assert ("reduction" in rows[name]) == (name in ("before", "last", "best"))
    whole = sets.digits(train=True)
    train, held = (Subset(whole, part) for part in splits.set_aside(whole, 0.1))
    net, teacher = (zoo.load_weights(zoo.LeNet5(), folder / "net.pt") for _ in range(2))
    recipe = Recipe(epochs=2, batch_size=256, rate=1e-3, smoothing=0.1)
    loss = distillation_loss(teacher, 0.5, 4.0, 0.1)
    lines = Fit(net, train, held, recipe, folder / "by hand", loss=loss).run()
    state = torch.load(folder / "whole" / "control" / "last.pt", weights_only=True)["state_dict"]
    assert all(torch.equal(value, state[key]) for key, value in net.state_dict().items())
    assert scores(folder / "whole" / "control") == [
        (x["epoch"], x["loss"], x["validation_top1"]) for x in lines
    ]


@pytest.mark.slow
@pytest.mark.parametrize("of_control", [False, True])
def test_a_stopped_run_and_control_resume_to_the_same_rows(controlled, monkeypatch, of_control):
    folder, options, _ = controlled
    parts = folder / f"parts {of_control}"
    ended, close = [], Fit._close_epoch

    def stopping(self, begun):
        close(self, begun)
        ended.append(self.folder.name)
        if len(ended) == (3 if of_control else 1):
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Fit, "_close_epoch", stopping)
        assert run_command(*options, "--out", parts).returncode == 130
    assert (parts / "control" / "last.pt").is_file() == of_control
    if of_control:
        (parts / "last.pt").rename(parts / "kept.pt")
        assert "control holds a run: --resume it" in run_command(*options, "--out", parts).stderr
        (parts / "kept.pt").rename(parts / "last.pt")
    again = run_command(*options, "--out", parts, "--resume")
    assert again.returncode == 0, again.stderr
    assert rows_of(parts) == rows_of(folder / "whole")


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
    folder, test = image_folder(tmp_path / "a", 2, "abc"), image_folder(tmp_path / "b", 2, "abc", 1)
    base = ("train", "--model", "resnet20", "--data", test, "--out", tmp_path / "out")
    assert "data is needed" in run_command(*base).stderr
    assert "would be trained on and tested on" in run_command(*base, "--train-data", test).stderr
    result = run_command(*base, "--train-data", f"{test}/.")  # another path, the same images
    assert "6 of the 6 test images" in result.stderr
    result = run_command(*base, "--train-data", folder, "--classes", 2)
    assert (
        "the data have 3 classes, but the network gives an image outputs of shape (2,)"
        in result.stderr
    )
    result = run_command(*base, "--train-data", folder, "--validation", 1)
    assert "cannot set aside 6 of 6 images" in result.stderr
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
