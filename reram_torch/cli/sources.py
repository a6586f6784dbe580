"""Where the networks and the data of an evaluation come from, whatever its task."""

from __future__ import annotations

import argparse
from typing import Any, Protocol

import torch
from torch import nn
from torch.utils.data import Dataset

from reram_torch.cli import experiments, images, texts
from reram_torch.cli.experiments import note_of
from reram_torch.evaluation.tasks import IMAGES, Task


class Source(Protocol):
    """A network, the data that test it, and those that calibrate it.

    Attributes:
        task: what the network is to do.
        test: data to test on.
        note: what results must say of them; nothing if all is well.
    """

    task: Task
    test: Dataset[Any]
    note: str

    def network(self) -> nn.Module:
        """The float network, in eval mode."""

    def calibration(self, device: torch.device) -> list[Any]:
        """Batches that calibrate, on a device."""


class ImageSource:
    """Images, and a network that classifies them, as the options name them."""

    task: Task = IMAGES

    def __init__(self, args: argparse.Namespace):
        self._args = args
        self.test, self.note = images.load_test(args), note_of(args)

    def network(self) -> nn.Module:
        """The network that the options name."""
        return experiments.load_network(self._args, self.test)

    def calibration(self, device: torch.device) -> list[Any]:
        """Pairs of images and labels."""
        return images.load_calibration(self._args, self.test, device)


def source_of(args: argparse.Namespace) -> Source:
    """What the options name."""
    return ImageSource(args) if args.task == "images" else texts.TextSource(args)
