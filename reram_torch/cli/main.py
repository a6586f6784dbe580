"""`reram-torch`: the commands, by name."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass

import reram_torch
from reram_torch._support.names import known_names
from reram_torch.cli import (
    benchmarking,
    evaluating,
    finetuning,
    information,
    sweeping,
    training_runs,
    verifying,
)

PROGRAM = "reram-torch"


@dataclass(frozen=True)
class Command:
    """A command.

    Attributes:
        about: what it does, in a few words.
        parser: of its options; takes the name of the program.
        main: runs it; takes its arguments and the name of the program.
    """

    about: str
    parser: Callable[[str | None], argparse.ArgumentParser]
    main: Callable[[list[str] | None, str | None], None]


COMMANDS = {
    "evaluate": Command(
        "a checkpoint on crossbars: top-1, A/D operations, energy, latency, time",
        evaluating.parser,
        evaluating.main,
    ),
    "sweep": Command(
        "designs by encodings by budgets: a CSV file and a picture",
        sweeping.parser,
        sweeping.main,
    ),
    "train": Command("trains a float network; resumes", training_runs.parser, training_runs.main),
    "finetune": Command(
        "trains through the crossbars; resumes", finetuning.parser, finetuning.main
    ),
    "benchmark": Command(
        "times converted layers against torch's float ones",
        benchmarking.parser,
        benchmarking.main,
    ),
    "hardware": Command(
        "simulates and proves SAR controllers against three networks' tables",
        verifying.parser,
        verifying.main,
    ),
    "info": Command("what is installed and what runs", information.parser, information.main),
}


def parser_of(command: list[str]) -> argparse.ArgumentParser:
    """The parser of a command, given by its words, such as `["evaluate"]`; of none, the top's.

    Raises:
        SystemExit: with 2: there is no such command.
    """
    top = _top_parser()
    if not command:
        return top
    name = command[0]
    if name not in COMMANDS:
        top.error(f"no command {name!r}; {known_names(name, COMMANDS)}")
    return COMMANDS[name].parser(f"{PROGRAM} {name}")


def main(arguments: list[str] | None = None) -> None:
    """Runs the command that the first argument names."""
    arguments = sys.argv[1:] if arguments is None else arguments
    if not arguments or arguments[0].startswith("-"):
        top = _top_parser()
        top.parse_args(arguments)
        top.error(f"a command is needed; known: {list(COMMANDS)}")
    name = arguments[0]
    program = parser_of([name]).prog
    try:
        COMMANDS[name].main(arguments[1:], program)
        sys.stdout.flush()
    except BrokenPipeError:  # a reader such as `head` has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _top_parser() -> argparse.ArgumentParser:
    lines = [f"  {name:10} {command.about}" for name, command in COMMANDS.items()]
    top = argparse.ArgumentParser(
        prog=PROGRAM,
        usage=f"{PROGRAM} [--help] [--version] COMMAND ...",
        description=reram_torch.__doc__,
        epilog="\n".join(["commands:", *lines, "", f"{PROGRAM} COMMAND --help lists its options."]),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    top.add_argument("--version", action="version", version=reram_torch.__version__)
    return top
