"""What the commands do about test images that are training or calibration images too."""

import json
import re
import shutil

import pytest
import torch
from images import image_folder
from programs import run_command

from reram_torch.cli import images
from reram_torch.cli.main import parser_of
from reram_torch.data import contents
from reram_torch.models import zoo

SMALL = ("--model", "resnet20", "--batch-size", 8, "--threads", 1)
SHARED = "1 of the 9 test images"


@pytest.fixture
def folders(tmp_path):
    """Twelve training images, and nine test images of which one is a training image."""
    pytest.importorskip("torchvision")
    train, test = image_folder(tmp_path / "train"), image_folder(tmp_path / "test", 4, seed=1)
    shutil.copy(train / "cat" / "2.png", test / "dog" / "other.png")
    return train, test


def options_of(command, *arguments):
    return parser_of([command]).parse_args([str(argument) for argument in arguments])


def data_of(folders):
    return ("--train-data", folders[0], "--data", folders[1])


def paths(data):
    return [contents.name_of(data, k) for k in range(len(data))]


@pytest.mark.parametrize("command", ["train", "finetune"])
def test_training_refuses_test_images(command, folders, tmp_path):
    more = ("--reduction", 3) if command == "finetune" else ()
    out = tmp_path / "out"
    found = run_command(command, *SMALL, *data_of(folders), *more, "--out", out)
    assert found.returncode == 1
    named = f"{folders[1]}/dog/other.png is {folders[0]}/cat/2.png"
    assert f"{SHARED} (--data {folders[1]}) are training images (--train-data" in found.stderr
    assert f"{named}: take them out of one of the two, or give --leaks drop" in found.stderr
    assert not out.exists()


@pytest.mark.parametrize(
    ("command", "more"),
    [("evaluate", ()), ("sweep", ("--configs", "twin_range", "--lossless"))],
)
def test_evaluation_refuses_test_images_that_calibrate(command, more, folders, tmp_path):
    options = (*SMALL, *data_of(folders), *more)
    if command == "sweep":
        options += ("--csv", tmp_path / "sweep.csv")
    found = run_command(command, *options, "--calibration-images", 12)
    assert found.returncode == 1
    assert SHARED in found.stderr
    assert "are calibration images" in found.stderr


def test_a_share_of_a_folder_calibrates_and_its_copies_are_refused(tmp_path):
    """Where one folder is split in two by number, copies within it lie on both sides."""
    pytest.importorskip("torchvision")
    folder = image_folder(tmp_path / "images", 6)
    options = options_of(
        "evaluate", *SMALL, "--data", folder, "--calibration-data", folder,
        "--calibration-images", 6,
    )  # fmt: skip
    test = images.load_test(options)
    assert sum(len(y) for _, y in images.load_calibration(options, test)) == 6
    for k in range(6):
        shutil.copy(folder / "cat" / f"{k}.png", folder / "dog" / f"copy{k}.png")
        shutil.copy(folder / "dog" / f"{k}.png", folder / "cat" / f"copy{k}.png")
    test = images.load_test(options)
    with pytest.raises(SystemExit, match="of the 18 test images .* are calibration images"):
        images.load_calibration(options, test)


def test_shared_images_are_dropped_from_training(folders, capsys):
    options = options_of("train", *SMALL, *data_of(folders), "--out", "x", "--leaks", "drop")
    found = images.load_training(options)
    assert len(found.test) == 9
    assert f"left out: {SHARED}" in capsys.readouterr().err
    used = paths(found.train) + paths(found.validation)
    everything = {str(path) for path in folders[0].rglob("*.png")}
    assert set(used) == everything - {str(folders[0] / "cat" / "2.png")}
    assert len(used) == 11
    options = options_of(
        "evaluate", *SMALL, *data_of(folders), "--calibration-images", 12, "--leaks", "drop"
    )
    batches = images.load_calibration(options, found.test)
    assert sum(len(y) for _, y in batches) == 11
    alike = (*SMALL, "--train-data", f"{folders[0]}/.", "--data", folders[0], "--leaks", "drop")
    with pytest.raises(SystemExit, match="all training images are test images too"):
        images.load_training(options_of("train", *alike, "--out", "x"))


def test_what_is_not_compared_is_said_in_results(folders, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(contents, "digest", lambda *_: pytest.fail("an image was read"))
    options = options_of("train", *SMALL, *data_of(folders), "--out", "x", "--leaks", "ignore")
    assert len(images.load_training(options).plain) == 11  # one validates
    note = "not compared: test images may be training or calibration images too (--leaks ignore)"
    assert note in capsys.readouterr().err
    out = tmp_path / "results.json"
    found = run_command(
        "evaluate", *SMALL, *data_of(folders), "--calibration-images", 8, "--config", "isaac",
        "--no-verify", "--leaks", "ignore", "--json", out,
    )  # fmt: skip
    assert found.returncode == 0, found.stderr
    assert re.search(rf"^9 images; lost: .*\n{re.escape(note)}\n", found.stdout, re.MULTILINE)
    read = json.loads(out.read_text())
    assert (read["note"], read["settings"]["leaks"]) == (note, "ignore")


def test_images_that_validate_neither_train_nor_calibrate(folders):
    (folders[1] / "dog" / "other.png").unlink()
    base = ("--size", 24, "--augment", "flip", "--reduction", 3, "--out", "x")
    found = {}
    for seed in (0, 1):
        more = ("--validation", 0.25, "--calibration-images", 9, "--seed", seed)
        options = options_of("finetune", *SMALL, *data_of(folders), *base, *more)
        made = found[seed] = images.load_training(options)
        assert paths(made.train) == paths(made.plain)
        assert len(made.train) == 9
        assert set(paths(made.train)).isdisjoint(paths(made.validation))
        held = [made.validation[k] for k in range(3)]
        assert all(torch.equal(x, made.validation[k][0]) for k, (x, _) in enumerate(held))
        calibration = torch.cat([x for x, _ in images.calibration_of(options, made, "cpu")])
        assert len(calibration) == 9
        own = [made.plain[k][0] for k in range(9)]
        assert all(any(torch.equal(x, y) for y in own) for x in calibration)
    assert paths(found[0].validation) != paths(found[1].validation)
    options = options_of("train", *SMALL, *data_of(folders), "--out", "x", "--validation", 0)
    made = images.load_training(options)
    assert made.validation is None
    assert len(made.train) == 12


def test_a_tuned_checkpoint_is_not_tested_on_what_it_trained_on(folders):
    test = images.load_test(options_of("evaluate", *SMALL, *data_of(folders)))
    options = options_of("evaluate", *SMALL, *data_of(folders))
    with pytest.raises(SystemExit, match=f"{SHARED} .* training images .*, or give --leaks ignore"):
        images.check_training(options, test)
    options.leaks = "ignore"
    images.check_training(options, test)
    (folders[1] / "dog" / "other.png").unlink()
    options.leaks = "refuse"
    images.check_training(options, images.load_test(options))


@pytest.mark.slow
def test_an_evaluation_of_a_tuned_checkpoint_compares(folders, tmp_path):
    test = folders[1]
    (test / "dog" / "other.png").rename(tmp_path / "other.png")
    torch.save(zoo.build_model("resnet20", 2).state_dict(), tmp_path / "net.pt")
    tuned = run_command(
        "finetune", *SMALL, *data_of(folders), "--weights", tmp_path / "net.pt", "--config",
        "twin_range", "--reduction", 2, "--epochs", 1, "--calibration-images", 8, "--out",
        tmp_path / "out", "--no-control", "--validation", 0,
    )  # fmt: skip
    assert tuned.returncode == 0, tuned.stderr
    assert not (tmp_path / "out" / "best.pt").exists()
    rows = json.loads((tmp_path / "out" / "results.json").read_text())["results"]
    assert [row["network"] for row in rows] == ["float", "before", "last"]
    options = ("evaluate", *SMALL, "--weights", tmp_path / "out" / "last.pt", "--no-verify")
    assert run_command(*options, *data_of(folders)).returncode == 0
    (tmp_path / "other.png").rename(test / "dog" / "other.png")
    assert SHARED in run_command(*options, *data_of(folders)).stderr
