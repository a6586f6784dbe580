"""The demo, shortened: its table, its report, its picture."""

import json

import pytest

from reram_torch.demo import digits


@pytest.mark.slow
def test_the_demo_tells_its_story(tmp_path, capsys):
    for extra in ("sklearn", "matplotlib", "tqdm"):
        pytest.importorskip(extra)

    with pytest.warns(UserWarning, match="held-back images") as caught:
        rows = digits.run(tmp_path / "demo", epochs=6, fine_epochs=1)
    # The harsh budgets are meant to be too much for twin range without fine-tuning.
    assert any("these ADCs cost" in str(each.message) for each in caught)
    report = json.loads((tmp_path / "demo" / "report.json").read_text())
    assert report["results"] == rows
    assert (tmp_path / "demo" / "report.png").stat().st_size > 20_000
    by_name = {row["network"]: row for row in rows}
    plain, activity = by_name["plain SAR, 8 bit (ISAAC)"], by_name["activity SAR"]
    assert (plain["reduction"], plain["adc_energy_over_plain_sar"]) == (1.0, 1.0)
    assert plain["top1"] == activity["top1"] == pytest.approx(report["float_top1"], abs=0.01)
    assert activity["reduction"] > 2
    assert activity["reduction_over_activity_sar"] == 1.0
    assert by_name["twin range at 3.0x"]["top1"] > plain["top1"] - 0.02
    assert by_name["twin range at 3.0x"]["reduction"] > 2.8
    harsh, tuned = (by_name[f"twin range at 5.0x{more}"] for more in ("", ", fine-tuned"))
    assert tuned["top1"] >= harsh["top1"]
    [auto] = [row for name, row in by_name.items() if name.startswith("auto, max_drop=0.005: ")]
    [twin] = [row for name, row in by_name.items() if name.startswith("twin range, max_drop")]
    for row in (auto, twin):
        assert row["lost_to_float"] <= 0.005 + 2 * row["lost_to_float_error"]
    assert auto["adc_energy_nj_per_image"] <= min(
        twin["adc_energy_nj_per_image"], activity["adc_energy_nj_per_image"]
    )
    out = capsys.readouterr().out
    assert all(row["network"] in out for row in rows)
