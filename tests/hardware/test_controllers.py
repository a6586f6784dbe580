"""Controllers as files of Verilog."""

import shutil
import subprocess

import pytest
from searched_words import put, trained

import reram_torch as rt
from reram_torch.hardware.controllers import UNITS
from reram_torch.hardware.formats import KINDS


def compiles(path, *more):
    """Whether a file stands by itself, as plain Verilog-2005."""
    if shutil.which("iverilog") is None:
        return True
    command = ["iverilog", "-g2005", "-Wall", "-t", "null", *more, str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return True


@pytest.mark.parametrize("kind", KINDS)
def test_a_controller_says_what_it_is_and_is_equal_for_equal_settings(kind, tmp_path):
    made = rt.write_verilog(kind, tmp_path / "a.v", bits=9, signed=True)
    again = rt.write_verilog(kind, str(tmp_path / "b.v"), bits=9, signed=True)
    text = made.read_text()
    assert text == again.read_text()
    assert text != rt.write_verilog(kind, tmp_path / "c.v", bits=10, signed=True).read_text()
    head = text.split("\n\n")[0]
    assert f": {kind}" in head
    assert rt.__version__ in head
    assert "// bits = 9" in head
    assert "parameter BITS = 9" in text
    assert compiles(made)


@pytest.mark.filterwarnings("ignore")
def test_files_of_a_layers_words(tmp_path):
    pytest.importorskip("sklearn")
    net, _ = trained("offset")
    layer = put(net, "aligned")[0]
    words = rt.program_words(layer)
    made = rt.write_verilog("segmented", tmp_path / "made.v", words=words)
    assert f"parameter WORDS = {words.format.words}" in made.read_text()
    assert compiles(made)
    for unit in UNITS:
        path = rt.write_verilog(unit, tmp_path / f"{unit}.v", words=words, rows=layer.geometry.rows)
        assert compiles(path)
    counter = (tmp_path / "activity_unit.v").read_text()
    assert f"parameter ROWS = {layer.geometry.rows}" in counter
    packed = sum(edge << 6 * k for k, edge in enumerate(words.edges))
    assert f"EDGES = {6 * len(words.edges)}'h{packed:x}" in counter


@pytest.mark.parametrize(
    ("make", "error", "match"),
    [
        (lambda p: rt.write_verilog("flash", p), ValueError, "kind must be one of"),
        (lambda p: rt.write_verilog("plain", p, bits=1), ValueError, "Format.bits"),
        (lambda p: rt.write_verilog("plain", p, payload=4), TypeError, "has no 'payload'"),
        (lambda p: rt.write_verilog("table_loader", p), TypeError, "words must be given"),
    ],
)
def test_what_cannot_be_written_is_refused(make, error, match, tmp_path):
    with pytest.raises(error, match=match):
        make(tmp_path / "x.v")
    assert not list(tmp_path.iterdir())
