"""The pages: their code runs, their commands parse, their links lead somewhere, they build."""

import re
import runpy
import shlex
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch
from torch import nn

import reram_torch as rt
from reram_torch.cli.main import COMMANDS, parser_of

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = sorted([ROOT / "README.md", ROOT / "CONTRIBUTING.md", *DOCS.glob("*.md")])
RUN = [
    "README.md", "docs/guide.md", "docs/adc.md", "docs/power.md", "docs/energy.md",
    "docs/training.md", "docs/chips.md", "docs/hardware.md",
]  # fmt: skip

FENCE = re.compile(r"^(`{3,}|~{3,})")
NOT_RUN = re.compile(r"<!-- not run: .+ -->")


def blocks(page, language):
    """(line number, code) of the fenced blocks of a language that are to run."""
    lines, found, k = page.read_text(encoding="utf-8").splitlines(), [], 0
    while k < len(lines):
        fence = FENCE.match(lines[k])
        if not fence:
            k += 1
            continue
        end = next(n for n in range(k + 1, len(lines)) if lines[n].strip() == fence.group())
        skipped = k > 0 and NOT_RUN.fullmatch(lines[k - 1])
        if lines[k][len(fence.group()) :].strip() == language and not skipped:
            found.append((k + 1, "\n".join(lines[k + 1 : end])))
        k = end + 1
    return found


def prose(page):
    """A page without its code blocks and code spans."""
    text = re.sub(r"^(`{3,}).*?^\1$", "", page.read_text(encoding="utf-8"), flags=re.M | re.S)
    return re.sub(r"`[^`\n]*`", "", text)


def commands(page):
    """The command lines of a page's console blocks, as lists of words; variables are put in."""
    found, variables = [], {}
    for _, text in blocks(page, "console"):
        for line in re.sub(r"\\\n\s*", " ", text).splitlines():
            if not line.startswith("$ "):
                continue
            line = line[2:]
            if match := re.fullmatch(r'(\w+)="(.*)"', line):
                variables[match.group(1)] = match.group(2)
                continue
            for name, value in variables.items():
                line = line.replace(f"${name}", value)
            found.append(shlex.split(line, comments=True))
    return found


def readme_names():
    """What README presupposes: a trained `model`, calibration `batches`, and inputs `x`."""
    model = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 36, 3))
    x = torch.rand(16, 1, 8, 8)
    with torch.no_grad():
        y = model(x).argmax(1)
    return {"model": model, "batches": [(x[k::4], y[k::4]) for k in range(4)], "x": x}


@pytest.mark.slow
@pytest.mark.parametrize("name", RUN)
@pytest.mark.filterwarnings("default")  # of what the pages use, not of the pages
def test_the_code_of_a_page_runs(name, tmp_path, monkeypatch, capsys):
    if name != "docs/training.md" and find_spec("matplotlib") is None:
        pytest.skip("matplotlib, of the extra 'plot', is not installed")
    page = ROOT / name
    names = {"__name__": "page", **(readme_names() if name == "README.md" else {})}
    monkeypatch.chdir(tmp_path)
    found = blocks(page, "python")
    assert found
    for line, code in found:  # errors then name the page and its line
        exec(compile("\n" * line + code, str(page), "exec"), names)
    capsys.readouterr()


def command_of(words):
    """The subcommand and the options of a line, or None if it is of another program."""
    if words[0] == "torchrun":
        words = words[next(k for k, word in enumerate(words) if word.endswith(".py")) :]
    elif words[0] == "python":
        words = words[1:]
    if words[0] == "reram-torch":
        return words[1], words[2:]
    if re.fullmatch(r"scripts/\w+\.py", words[0]):
        return Path(words[0]).stem, words[1:]
    return None


def test_command_lines_are_found():
    benchmark = ["reram-torch", "benchmark", "--threads", "1", "--isa", "avx512", "avx2"]
    assert [*benchmark, "--repeats", "7"] in commands(DOCS / "cli.md")
    assert command_of(shlex.split("torchrun --nproc_per_node 8 scripts/evaluate.py --limit 3")) == (
        "evaluate", ["--limit", "3"],
    )  # fmt: skip
    assert command_of(["make", "demo"]) is None


@pytest.mark.parametrize(
    "words", [w for page in PAGES for w in commands(page) if command_of(w)], ids=" ".join
)
def test_commands_parse(words):
    command, arguments = command_of(words)
    if command in COMMANDS:
        parser = parser_of([command])
    else:  # a script with options of its own
        parser = runpy.run_path(str(ROOT / "scripts" / f"{command}.py"))["parser"]()
    parser.parse_args(arguments)


def test_every_public_name_is_documented():
    text = (DOCS / "api.md").read_text(encoding="utf-8")
    listed = re.findall(r"^\.\. auto\w+:: (\w+)$", text, re.M)
    assert sorted(listed) == sorted(rt.__all__)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)\s]+)\)", prose(page)):
        if re.match(r"https?:", target):
            continue
        path, _, anchor = target.partition("#")
        there = (page.parent / path).resolve() if path else page
        assert there.is_relative_to(ROOT), target
        assert there.exists(), target
        if anchor:
            assert anchor in anchors(there), target


def anchors(page):
    """The anchors of a page's headings, as GitHub and myst make them, and its explicit ones."""
    text = page.read_text(encoding="utf-8")
    heads = [re.sub(r"[^\w\- ]", "", h.lower()) for h in re.findall(r"^#+ (.+)$", text, re.M)]
    own = re.findall(r"^\((.+)\)=$", text, re.M)
    return {h.strip().replace(" ", "-") for h in heads} | set(own)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_pages_are_short(page):
    lines = page.read_text(encoding="utf-8").splitlines()
    assert len(lines) <= (150 if page.name == "README.md" else 400)


@pytest.mark.slow
def test_the_pages_build(tmp_path):
    missing = [name for name in ("sphinx", "myst_parser", "furo") if find_spec(name) is None]
    if missing:
        pytest.skip(f"{missing}, of the extra 'docs', are not installed")
    command = [sys.executable, "-m", "sphinx", "-W", "-q", "-b", "html", DOCS, tmp_path / "html"]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    assert (tmp_path / "html" / "definition.html").is_file()
    shutil.rmtree(tmp_path / "html")
