"""`reram-torch finetune` on chips: another one every step, others at the end."""

import json

import pytest
import torch
from programs import run_command

from reram_torch.models import zoo


@pytest.mark.slow
def test_a_run_on_chips_that_resumes(tmp_path):
    pytest.importorskip("sklearn")
    torch.manual_seed(1)
    torch.save(zoo.LeNet5().state_dict(), tmp_path / "net.pt")
    command = (
        "finetune", "--model", "lenet5", "--weights", tmp_path / "net.pt", "--data", "digits",
        "--config", "uniform", "--reduction", 2, "--epochs", 1, "--calibration-images", 64,
        "--limit", 60, "--threads", 1, "--batch-size", 256, "--no-control", "--validation", 0,
        "--devices", "wan2022", "--time", "1d", "--chips", 2, "--chip-steps", 2,
        "--design-for", "wan2022", "--design-time", "1d", "--design-chips", 2,
        "--out", tmp_path / "out",
    )  # fmt: skip
    result = run_command(*command)
    assert result.returncode == 0, result.stderr
    found = json.loads((tmp_path / "out" / "results.json").read_text())
    assert [row["network"] for row in found["results"]] == ["float", "before", "last"]
    on_chips = [row for row in found["chips"] if row["figure"] == "top1"]
    assert [(row["network"], row["time"]) for row in on_chips] == [
        ("before", 86400.0), ("last", 86400.0),
    ]  # fmt: skip
    # Rows of ideal devices are of ideal devices, not of the chip of the last step.
    last = found["results"][2]["report"]["configs"].values()
    assert not any("chips" in config for config in last)
    kept = torch.load(tmp_path / "out" / "last.pt", weights_only=True)
    assert "state_dict" in kept
    again = run_command(*command, "--resume")
    assert again.returncode == 0, again.stderr
    resumed = json.loads((tmp_path / "out" / "results.json").read_text())
    assert resumed["chips"] == found["chips"]
