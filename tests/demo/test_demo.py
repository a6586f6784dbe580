"""The demo, shortened: its table, its report, its picture."""

import json

import pytest

from reram_torch.demo import digits


@pytest.mark.slow
def test_the_demo_tells_its_story(tmp_path, capsys):
    for extra in ("sklearn", "matplotlib", "tqdm"):
        pytest.importorskip(extra)

    rows = digits.run(tmp_path / "demo", epochs=6, fine_epochs=1)
    report = json.loads((tmp_path / "demo" / "report.json").read_text())
    assert report["results"] == rows
    assert (tmp_path / "demo" / "report.png").stat().st_size > 20_000
    by_name = {row["network"]: row for row in rows}
    baseline = by_name["8-bit baseline (ISAAC)"]
    assert baseline["comparisons_per_conversion"] == 8.0
    assert baseline["top1"] == pytest.approx(report["float_top1"], abs=0.01)
    assert by_name["twin range at 2.5x"]["top1"] > baseline["top1"] - 0.02
    assert by_name["twin range at 2.5x"]["reduction"] > 2.3
    out = capsys.readouterr().out
    assert all(row["network"] in out for row in rows)
