"""`reram-torch evaluate` and `sweep` on small data."""

import json
import re
from pathlib import Path

import pytest
import torch
from images import image_folder
from programs import run_command

import reram_torch as rt
from reram_torch.models import zoo

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
def test_an_evaluation(tmp_path):
    pytest.importorskip("torchvision")
    folder = image_folder(tmp_path / "images")
    torch.save(zoo.build_model("resnet20", 2).state_dict(), tmp_path / "net.pt")
    result = run_command(
        "evaluate",
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


@pytest.mark.slow
@pytest.mark.parametrize("model", ["bit_cycle", "sar"])
def test_the_power_of_two_designs_side_by_side(tmp_path, model):
    pytest.importorskip("sklearn")
    pytest.importorskip("matplotlib")
    folder, own = tmp_path / "power", tmp_path / "twin_2.4.toml"
    rt.load_config("twin_range").save(own)
    result = run_command(
        "evaluate",
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
    result = run_command("evaluate", "--model", "lenet5", "--data", "digits", "--config", *twice)
    assert "have the same name" in result.stderr
    result = run_command("evaluate", "--model", "lenet5", "--data", "digits", "--power", "isac")
    assert "no technology named 'isac'" in result.stderr


@pytest.mark.slow
def test_a_lossless_search_is_checked_image_by_image():
    pytest.importorskip("sklearn")
    result = run_command(
        "evaluate",
        "--model", "lenet5", "--data", "digits", "--limit", 40, "--calibration-images", 32,
        "--config", "search_tree", "--lossless",
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    assert "lossless search == lossless crossbar: every output" in result.stdout
    result = run_command(
        "evaluate",
        "--model", "lenet5", "--data", "digits", "--lossless", "--reduction", 2,
        "--config", "search_tree",
    )  # fmt: skip
    assert "one of --reduction, --max-drop, --max-error and --lossless" in result.stderr


@pytest.mark.slow
def test_a_budget_of_error_replaces_that_of_the_configuration(tmp_path):
    pytest.importorskip("sklearn")
    result = run_command(
        "evaluate", "--model", "lenet5", "--data", "digits", "--limit", 20, "--no-verify",
        "--calibration-images", 32, "--config", "uniform", "--max-error", 0.02,
        "--json", tmp_path / "r.json",
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    [error] = re.findall(r"output error (\S+),", result.stdout)
    assert 0.001 < float(error) <= 0.02


@pytest.mark.slow
def test_the_sweep_resumes(tmp_path):
    pytest.importorskip("matplotlib")
    pytest.importorskip("sklearn")
    table = tmp_path / "sweep.csv"
    options = (
        "--model", "lenet5", "--data", "digits", "--calibration-images", 8, "--limit", 8,
        "--configs", "twin_range", "--csv", table,
    )  # fmt: skip
    first = run_command("sweep", *options, "--reductions", 2.0)
    assert first.returncode == 0, first.stderr
    rows = table.read_text().splitlines()
    assert len(rows) == 3
    assert rows[2].startswith("twin_range,twin_range by slice,slice,offset,2.0,")
    table.write_text("\n".join([*rows, "twin_range,twin_ra"]))  # cut short by a kill
    again = run_command("sweep", *options, "--reductions", 2.0, 2.5)
    assert again.returncode == 0, again.stderr
    more = table.read_text().splitlines()
    assert more[:3] == rows
    assert len(more) == 4
    assert table.with_suffix(".png").read_bytes().startswith(b"\x89PNG")
    none = run_command("sweep", *options)
    assert "give --reductions" in none.stderr


def test_what_is_wrong_is_named(tmp_path):
    pytest.importorskip("sklearn")
    result = run_command("evaluate", "--model", "resnet20", "--data", tmp_path / "nowhere")
    assert result.returncode != 0
    assert "--calibration-data is needed" in result.stderr
    result = run_command(
        "evaluate", "--model", "resnet20", "--data", tmp_path / "nowhere", "--calibration-data",
        tmp_path,
    )  # fmt: skip
    assert "one folder of images for each class" in result.stderr
    result = run_command("evaluate", "--model", "lenet5", "--data", "digits", "--reduction", 2)
    assert "no [search] section" in result.stderr
    result = run_command(
        "evaluate", "--model", "lenet5", "--data", "digits", "--weights", tmp_path / "no.pt"
    )
    assert "no.pt" in result.stderr


@pytest.mark.slow
def test_an_evaluation_on_chips_that_resumes(tmp_path):
    pytest.importorskip("torchvision")
    pytest.importorskip("matplotlib")
    folder = image_folder(tmp_path / "images")
    torch.save(zoo.build_model("resnet20", 2).state_dict(), tmp_path / "net.pt")
    arguments = [
        "evaluate",
        "--model", "resnet20", "--weights", tmp_path / "net.pt", "--classes", 2,
        "--data", folder, "--calibration-data", folder, "--calibration-images", 6,
        "--config", "uniform", "--reduction", 2.0, "--json", tmp_path / "r.json", "--no-verify",
        "--devices", "wan2022", "--time", "1s", "1d", "--plot", tmp_path / "chips.png",
        "--design-for", "wan2022", "--design-chips", 2, "--design-time", "1d",
        "--re-estimate-bn",
    ]  # fmt: skip
    result = run_command(*arguments, "--chips", 2)
    assert result.returncode == 0, result.stderr
    assert "on 2 chips of wan2022" in result.stdout
    read = json.loads((tmp_path / "r.json").read_text())
    spreads = [row for row in read["chips"] if row["figure"] == "top1"]
    assert [(row["devices"], row["time"], row["chips"]) for row in spreads] == [
        ("wan2022", 1.0, 2), ("wan2022", 86400.0, 2),
    ]  # fmt: skip
    assert (tmp_path / "chips.png").stat().st_size > 5000
    rows = json.loads((tmp_path / "r.uniform.wan2022.json").read_text())["rows"]
    assert len(rows) == 4
    result = run_command(*arguments, "--chips", 3, "--resume")
    assert result.returncode == 0, result.stderr
    more = json.loads((tmp_path / "r.uniform.wan2022.json").read_text())["rows"]
    assert more[:4] == rows
    assert len(more) == 6
    result = run_command(*arguments, "--chips", 0)
    assert result.returncode == 2
    assert "--chips must be at least 1" in result.stderr
