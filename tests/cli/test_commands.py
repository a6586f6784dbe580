"""The command line: commands, their options, experiments, and names that are misspelled."""

import json
import re
import subprocess
import sys

import pytest
from programs import ROOT, run_command, run_script

import reram_torch as rt
from reram_torch._support import version
from reram_torch.cli import options
from reram_torch.cli.main import COMMANDS, parser_of

SCRIPTS = ("evaluate", "sweep", "train", "finetune", "benchmark")
DIGITS = ("--model", "lenet5", "--data", "digits")
NEEDED = {
    "evaluate": (), "sweep": ("--configs", "twin_range", "--lossless"), "train": ("--out", "x"),
    "finetune": ("--out", "x", "--reduction", 2),
}  # fmt: skip


def test_the_help_lists_every_command():
    found = run_command("--help")
    assert found.returncode == 0
    for name, command in COMMANDS.items():
        assert re.search(rf"^  {name} +{re.escape(command.about)}$", found.stdout, re.M)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help(name):
    found = run_command(name, "--help")
    assert found.returncode == 0
    assert found.stdout.startswith(f"usage: reram-torch {name} ")
    assert found.stdout == parser_of([name]).format_help()


@pytest.mark.slow
@pytest.mark.parametrize("name", SCRIPTS)
def test_scripts_are_the_same_programs(name):
    found, command = run_script(name, "--help"), run_command(name, "--help")
    assert found.returncode == 0
    words = found.stdout.replace(f"usage: {name}.py", f"usage: reram-torch {name}").split()
    assert words == command.stdout.split()


def test_unknown_commands_and_options_end_with_2():
    for arguments, message in (
        (("evalute",), r"no command 'evalute'; known: \['evaluate', .*; did you mean 'evaluate'"),
        ((), r"a command is needed; known: \['evaluate'"),
        (("--verbose",), "unrecognized arguments: --verbose"),
        (("info", "more"), "unrecognized arguments: more"),
        (("train", *DIGITS, "--out", "x", "--rates", "1"), "unrecognized arguments: --rates 1"),
        (("train", *DIGITS), "the following arguments are required: --out"),
        (("evaluate", *DIGITS, "--resume"), "--resume needs the --json"),
        (("evaluate", *DIGITS, "--lossless", "--max-drop", 0.1), "give one of --reduction"),
        (("evaluate", "--model", "lenet5", "--data", "."), "--calibration-data is needed"),
        (("sweep", *DIGITS, "--configs", "twin_range"), "nothing to do: give --reductions"),
    ):
        found = run_command(*arguments)
        assert found.returncode == 2, arguments
        assert re.search(message, found.stderr), found.stderr
        assert found.stdout == ""


def test_info_and_version():
    found = run_command("info")
    assert re.search(rf"^reram_torch: +{re.escape(rt.__version__)}$", found.stdout, re.M)
    assert run_command("--version").stdout == f"{rt.__version__}\n"
    module = subprocess.run(
        [sys.executable, "-m", "reram_torch"], capture_output=True, text=True, check=False
    )
    threads = re.compile(r"\(\d+ threads\)")
    assert threads.sub("", module.stdout) == threads.sub("", found.stdout)


def test_the_version_needs_no_installation(monkeypatch, tmp_path):
    def missing(name):
        raise version.PackageNotFoundError(name)

    monkeypatch.setattr(version, "version", missing)
    stated = re.search(r'^version = "(.*)"$', (ROOT / "pyproject.toml").read_text(), re.M)[1]
    assert version.package_version() == stated
    (tmp_path / "pyproject.toml").write_text('[project]\nname = "other"\nversion = "7"\n')
    monkeypatch.setattr(version, "package_folders", lambda: [tmp_path / "reram_torch"])
    assert version.package_version() == "unknown"


@pytest.mark.parametrize("name", NEEDED)
def test_every_experiment_fits_its_command(name):
    """Each is of options of the commands; those of fine-tuning are that one's alone."""
    for experiment in options.experiment_names():
        arguments = ["--experiment", experiment, *map(str, NEEDED[name])]
        if name == "finetune":
            assert parser_of([name]).parse_args(arguments).model
    parsed = parser_of([name]).parse_args([*map(str, (*DIGITS, *NEEDED[name]))])
    assert parsed.model == "lenet5"


def test_names_and_keys_that_are_misspelled_are_refused_alike(tmp_path):
    plain = ("evaluate", *DIGITS, "--limit", 4)
    for arguments, kind, wrong, right in (
        ((*plain, "--config", "twin_rnge"), "configuration", "twin_rnge", "twin_range"),
        ((*plain, "--power", "isac"), "technology", "isac", "isaac"),
        (("train", "--experiment", "lenet_digits"), "experiment", "lenet_digits", "lenet5_digits"),
        (
            ("finetune", *DIGITS, "--out", tmp_path / "x", "--config", "newtn"),
            "configuration", "newtn", "newton",
        ),
        (
            ("sweep", *DIGITS, "--configs", "isac", "--lossless", "--csv", tmp_path / "x.csv"),
            "configuration", "isac", "isaac",
        ),
    ):  # fmt: skip
        found = run_command(*arguments)
        assert found.returncode in (1, 2)
        message = f"no {kind} named '{wrong}', nor a file of this path; known: ["
        assert message in found.stderr
        assert f"'{right}'" in found.stderr.partition("known: ")[2]
        assert found.stderr.endswith(f"did you mean '{right}'?\n")
    for arguments, kind in (
        ((*plain, "--config", "none.toml"), "configuration"),
        ((*plain, "--power", "none.toml"), "technology"),
        (("train", "--experiment", "none.toml"), "experiment"),
    ):
        assert f"no {kind} file 'none.toml'" in run_command(*arguments).stderr
    isaac = (ROOT / "configs" / "technology" / "isaac.toml").read_text()
    wrong = tmp_path / "wrong.toml"
    for text, arguments, message in (
        ("[crossbar]\nrow = 3\n", (*plain, "--config"), "crossbar: unknown key 'row'"),
        (f"name_ = 'x'\n{isaac}", (*plain, "--power"), "technology: unknown key 'name_'"),
        ("rates = 1\n", ("train", "--experiment"), "unknown key 'rates'"),
    ):
        wrong.write_text(text)
        error = run_command(*arguments, wrong).stderr
        assert f"{wrong}: {message}; known: [" in error
        assert "; did you mean '" in error
    assert not (tmp_path / "x").exists()


@pytest.mark.slow
def test_a_sweep_goes_on_with_the_same_settings_only(tmp_path):
    pytest.importorskip("sklearn")
    pytest.importorskip("matplotlib")
    path, mine = tmp_path / "sweep.csv", tmp_path / "mine.toml"
    sweep = ("sweep", *DIGITS, "--batch-size", 40, "--limit", 40, "--calibration-images", 64)
    sweep += ("--csv", path, "--configs")
    text = "[crossbar]\nrows = 64\n[search]\ndesign = 'twin_range'\ngranularity = 'slice'\n"
    text += "reduction = 2\n"
    mine.write_text(text)
    first = run_command(*sweep, mine, "--reductions", 2, "--bound")
    assert first.returncode == 0, first.stderr
    rows = path.read_text().splitlines()
    assert [row.split(",")[0] for row in rows[1:]] == ["float", "mine", "bound", "bound"]
    assert (tmp_path / "sweep.png").stat().st_size > 10_000
    # A row that a kill cut short is done again; the others are not. Budgets are free.
    path.write_text("\n".join([*rows[:-1], rows[-1][:20]]))
    mine.write_text(text.replace("= 2", "= 7"))
    again = run_command(*sweep, mine, "--reductions", 2, 3)
    assert again.returncode == 0, again.stderr
    found = path.read_text().splitlines()
    assert found[: len(rows) - 1] == rows[:-1]
    assert [row.split(",")[4] for row in found[len(rows) - 1 :]] == ["3.0"]
    # Other configurations add to it; other images, or another design of that name, do not.
    mine.rename(other := tmp_path / "other.toml")
    added = run_command(*sweep, other, "--reductions", 2)
    assert added.returncode == 0, added.stderr
    settings = json.loads((tmp_path / "sweep.csv.settings.json").read_text())
    assert {"config mine", "config other"} <= set(settings)
    refused = run_command(*sweep, other, "--reductions", 2, "--seed", 1)
    assert refused.returncode == 1
    assert f"{path} was made with seed='0', not '1': resume with the same" in refused.stderr
    mine.write_text(text.replace("64", "32"))
    refused = run_command(*sweep, mine, "--reductions", 2)
    assert "was made with config mine=" in refused.stderr
    twice = run_command(*sweep, "twin_range", "twin_range", "--reductions", 2)
    assert "have the same name: results would mix" in twice.stderr


@pytest.mark.slow
def test_benchmark_needs_neither_pictures_nor_torchvision(tmp_path):
    code = (
        "import sys\n"
        "sys.modules.update(dict.fromkeys(['torchvision', 'matplotlib', 'sklearn', 'tqdm']))\n"
        "from reram_torch.cli import benchmarking\n"
        "benchmarking.SETS['workloads'] = lambda: [next(benchmarking.workloads())]\n"
        f"benchmarking.main(['--repeats', '1', '--json', {str(tmp_path / 'b.json')!r}])\n"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr
    [row] = json.loads((tmp_path / "b.json").read_text())
    assert set(row["seconds"]) == {"float", "crossbar", "counted", "kernel", "histogram"}
    both = run_command("benchmark", "--compare", tmp_path / "b.json", tmp_path / "b.json")
    assert "+0.0%" in both.stdout


def test_benchmark_times_chips_beside_the_kernel(tmp_path):
    code = (
        "import torch\n"
        "from reram_torch.cli import benchmarking\n"
        "small = 'small', torch.nn.Linear(40, 9), torch.rand(12, 40)\n"
        "benchmarking.SETS['workloads'] = lambda: [small]\n"
        f"options = ['--repeats', '1', '--json', {str(tmp_path / 'b.json')!r}]\n"
        "benchmarking.main([*options, '--devices', 'wan2022', '--time', '1d'])\n"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr
    [row] = json.loads((tmp_path / "b.json").read_text())
    assert set(row["over_kernel"]) == {"chip", "odds"}
    for name, ratio in row["over_kernel"].items():
        assert ratio == row["seconds"][name] / row["seconds"]["kernel"] > 0
        assert f"{name} {ratio:.2f}x kernel" in result.stdout
    assert "--time is that of --devices" in run_command("benchmark", "--time", "1d").stderr


def test_scripts_are_thin():
    for name in SCRIPTS:
        code = (ROOT / "scripts" / f"{name}.py").read_text().rpartition('"""')[2]
        lines = [line for line in code.splitlines() if line]
        assert len(lines) == 3
        assert lines[0] == f"from {COMMANDS[name].main.__module__} import main"
