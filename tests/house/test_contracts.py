"""The house: contracts hold, and would not hold for what breaks them; sizes; names."""

import ast
import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import reram_torch as rt

pytest.importorskip("importlinter")
from contracts import definitions, dotted, is_private, names_used

ROOT = Path(__file__).parents[2]
SOURCES = sorted((ROOT / "reram_torch").rglob("*.py"))


def lint(folder):
    """Runs import-linter on a copy; -S, since an editable install would lead it to the original."""
    code = "from importlinter.cli import lint_imports_command as run; run(['--no-cache'])"
    path = [str(folder), str(ROOT / "tests" / "house"), *filter(None, sys.path)]
    return subprocess.run(
        [sys.executable, "-S", "-c", code],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(path)},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture
def house(tmp_path):
    """A copy of the package's sources and contracts that may be spoilt."""
    shutil.copytree(ROOT / "reram_torch", tmp_path / "reram_torch")
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    return tmp_path


@pytest.mark.slow
@pytest.mark.parametrize(
    ("module", "line", "contract"),
    [
        ("crossbar/geometry.py", "from reram_torch.nn.base import CrossbarLayer", "Floors import"),
        ("adc/trees.py", "from reram_torch.data import sets", "Floors import"),
        ("native/library.py", "from reram_torch.native import cpu", "No package has a cycle"),
        ("nn/bank.py", "torch.library.define('x::y', '() -> ()')", "Only ops registers"),
        ("nn/bank.py", "import ctypes", "Only native knows"),
        ("training/recipe.py", "print('done')", "Nothing below the command line"),
        ("power/meter.py", "PowerMeter._kept", "Private names stay"),
        ("power/meter.py", "from reram_torch.nn.state import _SECTIONS", "Private names stay"),
    ],
)
def test_what_breaks_a_contract_is_found(house, module, line, contract):
    path = house / "reram_torch" / module
    path.write_text(path.read_text() + f"\n\n{line}\n")
    result = lint(house)
    assert result.returncode == 1
    broken = [text for text in result.stdout.splitlines() if "BROKEN" in text]
    assert any(text.startswith(contract) for text in broken), result.stdout


@pytest.mark.slow
def test_contracts_hold(house):
    result = lint(house)
    assert result.returncode == 0, result.stdout


def test_uses_and_definitions_are_read():
    tree = ast.parse("import torch.library\nfrom a import _b\nself._c = d._e.f\ndef _g(): print()")
    used = {name for name, _ in names_used(tree)}
    assert {"torch.library", "a._b", "self._c", "d._e.f", "print"} <= used
    assert {"_c", "_g"} <= set(filter(is_private, definitions(tree)))
    assert "_e" not in set(definitions(tree))
    assert dotted(ast.parse("f().x").body[0].value) == ""


def test_no_module_has_the_name_of_a_public_function():
    functions = {name for name in rt.__all__ if callable(getattr(rt, name))}
    modules = {path.stem for path in SOURCES} | {path.parent.name for path in SOURCES}
    assert not functions & modules
    for name in rt.__all__:  # not even after every module has been imported
        assert importlib.util.find_spec(f"reram_torch.{name}") is None


def sizes(tree):
    """Of classes, and of functions without their docstrings, whose length is the interface's."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef):
            yield "class", node.name, node.end_lineno - node.lineno + 1
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            told = node.body[0] if ast.get_docstring(node) else None
            words = told.end_lineno - told.lineno + 1 if told else 0
            yield "function", node.name, node.end_lineno - node.lineno + 1 - words


def test_files_classes_and_functions_are_short():
    most = {"class": 200, "function": 60}
    long = []
    everything = [*SOURCES, *(ROOT / "scripts").glob("*.py"), *(ROOT / "tests").rglob("*.py")]
    for path in everything:
        text = path.read_text(encoding="utf-8")
        if len(text.splitlines()) > 400:
            long.append((str(path), len(text.splitlines())))
        long += [(str(path), n, s) for kind, n, s in sizes(ast.parse(text)) if s > most[kind]]
    for path in (ROOT / "csrc").rglob("*.*"):
        if len(path.read_text(encoding="utf-8").splitlines()) > 400:
            long.append((str(path),))
    assert not long


def test_functions_below_the_operators_take_few_parameters():
    """Arguments of operators travel as dataclasses; nothing takes more than eight."""
    wide = []
    for folder in ("ops", "native", "crossbar"):
        for path in (ROOT / "reram_torch" / folder).glob("*.py"):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.FunctionDef):
                    given = node.args
                    count = len(given.posonlyargs + given.args + given.kwonlyargs)
                    if count > 8:
                        wide.append((path.name, node.name, count))
    assert not wide
