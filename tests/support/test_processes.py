"""Several processes, as torchrun starts them, find what one does."""

import json
import os
import subprocess
import sys

import pytest
import torch
from programs import run_command, script_command

import reram_torch as rt
from reram_torch._support import processes
from reram_torch.models.zoo import LeNet5

pytestmark = pytest.mark.skipif(
    not torch.distributed.is_available(), reason="torch without distributed"
)


def run(command, *arguments, processes=1):
    """A command in this process, or in several as torchrun starts them."""
    if processes == 1:
        result = run_command(command, *arguments)
    else:
        start = ["-m", "torch.distributed.run", "--standalone", f"--nproc_per_node={processes}"]
        result = subprocess.run(
            [sys.executable, *start, *script_command(command, *arguments)[1:]],
            capture_output=True, text=True, check=False, env={**os.environ, "OMP_NUM_THREADS": "1"},
        )  # fmt: skip
    assert result.returncode == 0, result.stderr
    return result.stdout


@pytest.fixture
def trees(tmp_path):
    """Trees with few thresholds, which are found in a moment."""
    search = rt.SearchConfig("search_tree", "slice", reduction=3.0, grid=16)
    rt.Config(search=search).save(tmp_path / "trees.toml")
    return tmp_path / "trees.toml"


def log_of(folder):
    return [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]


DIGITS = ("--model", "lenet5", "--data", "digits", "--threads", 1)


@pytest.mark.slow
def test_training_tests_every_image_once(tmp_path):
    """Whether or not the number of images is even: of 143 that validate and 359 that test."""
    pytest.importorskip("sklearn")
    more = ("--batch-size", 256, "--epochs", 1, "--rate", 0, "--limit", 359)
    more += ("--validation", 0.0995)
    run("train", *DIGITS, *more, "--out", tmp_path / "one")
    run("train", *DIGITS, *more, "--out", tmp_path / "two", processes=2)
    (one,), (two,) = log_of(tmp_path / "one"), log_of(tmp_path / "two")
    assert one["validation_top1"] == two["validation_top1"]
    assert two["loss"] == pytest.approx(one["loss"], rel=1e-3)  # images may be seen twice
    first, second = (
        json.loads((tmp_path / n / "results.json").read_text()) for n in ("one", "two")
    )
    assert first["settings"]["validation"] == 0.0995
    for a, b in zip(first["results"], second["results"], strict=True):
        assert (a["network"], a["top1"], a["images"]) == (b["network"], b["top1"], 359)


@pytest.mark.slow
def test_an_evaluation_finds_the_same_accuracy_and_counts(tmp_path, trees):
    """Ranges, histograms, ADCs, answers, and the counts and histograms of a meter."""
    pytest.importorskip("sklearn")
    options = (
        "evaluate", *DIGITS, "--limit", 101, "--calibration-images", 80, "--batch-size", 16,
        "--ranges", "percentile", "--config", "twin_range", trees, "--reduction", 3,
        "--adc-model", "sar", "--power", "isaac",
    )  # fmt: skip
    run(*options, "--json", tmp_path / "one.json")
    text = run(*options, "--json", tmp_path / "two.json", processes=2)
    assert text.count("twin_range: twin_range by slice: ") == 1  # one process speaks
    assert "2 processes of 1 threads" in text
    one, two = (json.loads((tmp_path / f"{n}.json").read_text())["results"] for n in ("one", "two"))
    assert [row["network"] for row in one] == [row["network"] for row in two]
    for a, b in zip(one, two, strict=True):
        untimed = ({k: v for k, v in row.items() if "seconds" not in k} for row in (a, b))
        assert next(untimed) == next(untimed)
    assert one[-1]["images"] == 101


@pytest.mark.slow
def test_chips_are_shared_out(tmp_path):
    """Rows of chips are the same, whichever process has a chip, and no part of a file is left."""
    pytest.importorskip("sklearn")
    options = (
        "evaluate", *DIGITS, "--limit", 40, "--calibration-images", 40, "--config", "isaac",
        "--no-verify", "--devices", "wan2022", "--time", "1d", "--chips", 3,
    )  # fmt: skip
    found = []
    for processes_ in (1, 2):
        folder = tmp_path / str(processes_)
        folder.mkdir()
        run(*options, "--json", folder / "r.json", processes=processes_)
        assert sorted(path.name for path in folder.iterdir()) == [
            "r.isaac.wan2022.json", "r.json",
        ]  # fmt: skip
        found.append(json.loads((folder / "r.isaac.wan2022.json").read_text())["rows"])
    assert [row["seed"] for row in found[1]] == [0, 1, 2]
    assert found[0] == found[1]


@pytest.mark.slow
def test_fine_tuning_in_two_processes(tmp_path, trees):
    """ADCs, scales and the penalty's slopes are those of the first process in both."""
    pytest.importorskip("sklearn")
    more = (
        "--config", trees, "--reduction", 3, "--epochs", 1, "--calibration-images", 64,
        "--learn-scales", "--penalty", 0.1, "--rate", 0,
    )  # fmt: skip
    run("finetune", *DIGITS, *more, "--out", tmp_path / "one")
    run("finetune", *DIGITS, *more, "--out", tmp_path / "two", processes=2)
    one, two = (
        json.loads((tmp_path / n / "results.json").read_text())["results"] for n in ("one", "two")
    )
    for a, b in zip(one, two, strict=True):  # nothing was learned at a rate of 0
        assert a["top1"] == b["top1"]
        assert a.get("report", {}).get("total") == b.get("report", {}).get("total")
    assert [row["network"] for row in one if "report" in row] == ["before", "last", "best"]


def test_one_process_alone_shares_nothing():
    assert (processes.rank(), processes.world()) == (0, 1)
    values = torch.arange(3.0)
    assert processes.add_up(values) is values
    assert processes.highest(values) is values
    assert processes.gather("a") == ["a"]
    assert processes.broadcast("a") == "a"
    assert processes.share(range(3)) == range(3)
    with pytest.raises(ValueError, match="device must be one of"):
        processes.choose_device("gpu")


def test_a_meter_adds_what_another_counted(calibrated, batches):
    (x, _), (y, _) = batches
    with rt.PowerMeter(calibrated, histograms=True) as whole:
        calibrated(x)
        calibrated(y)
    parts = []
    for part in (x, y):
        with rt.PowerMeter(calibrated, histograms=True) as meter:
            calibrated(part)
        parts.append(meter.state_dict())
    added = rt.PowerMeter(calibrated, histograms=True)
    for state in parts:
        added.load_state_dict(state)
    one, other = (m.report("isaac", adc_model="sar").to_dict() for m in (whole, added))
    assert one == other
    calibrated.conv2.set_adc([rt.UniformSAR(6, 2)])
    with pytest.raises(RuntimeError, match="counts of other ADCs than those of layer 'conv2'"):
        added.load_state_dict(parts[0])
    with rt.PowerMeter(calibrated) as bare:
        calibrated(x)
    with pytest.raises(RuntimeError, match="'conv1' without histograms"):
        rt.PowerMeter(calibrated, histograms=True).load_state_dict(bare.state_dict())
    with pytest.raises(RuntimeError, match="counts of .*'conv1'.*, which this network has not"):
        rt.PowerMeter(rt.convert(LeNet5().fc3)).load_state_dict(parts[0])
