"""`scripts/train_gpt.py`."""

import runpy
import sys
from pathlib import Path

import pytest

from reram_torch.data.overlaps import shared_lines
from reram_torch.models.pretrained import load_pretrained

pytest.importorskip("transformers")
ROOT = Path(__file__).parents[2]
SCRIPT, PACKAGE = ROOT / "scripts" / "train_gpt.py", ROOT / "reram_torch"


@pytest.mark.slow
def test_a_small_model_is_trained(tmp_path, monkeypatch):
    options = (
        "--out", tmp_path, "--source", PACKAGE, "--steps", 3, "--layers", 1, "--width", 16,
        "--context", 32, "--vocabulary", 300,
    )  # fmt: skip
    monkeypatch.setattr(sys, "argv", ["train_gpt", *map(str, options)])
    runpy.run_path(str(SCRIPT), run_name="__main__")
    made = load_pretrained(str(tmp_path), "perplexity")
    assert made.longest == 32
    test, other = ((tmp_path / f"{name}.txt").read_text() for name in ("test", "calibration"))
    assert len(made.encode([test])[0]) > 100
    assert shared_lines(test, other)[0] < 0.05
