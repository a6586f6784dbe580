"""Numbers of earlier versions, on data that lies beside the repository where it is developed."""

import subprocess
import sys
from pathlib import Path

import pytest

SHARED = Path(__file__).parents[3] / "shared"


@pytest.mark.data
@pytest.mark.slow
@pytest.mark.skipif(not (SHARED / "golden.py").is_file(), reason="../shared is not there")
def test_layers_give_the_numbers_of_earlier_versions():
    result = subprocess.run(
        [sys.executable, SHARED / "golden.py"], capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stdout + result.stderr
    assert "108 of 108" in result.stdout
