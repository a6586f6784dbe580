"""Layers and networks to program, their bit-line sums, and how well samples fit a law."""

import math

import torch
from torch import nn

import reram_torch as rt
from reram_torch.config.devices import Cells, Devices
from reram_torch.crossbar.chips import unpacked
from reram_torch.crossbar.geometry import Geometry
from reram_torch.crossbar.programming import program_chip


def geometry(widths=(1,), encoding=0, rows=128, weight_bits=None, pulses=(1,)):
    """Of cells of these widths; a weight of one bit is -1 or 0, which a cell holds as 0 or 1."""
    bits = sum(widths) + (encoding > 0) if weight_bits is None else weight_bits
    return Geometry(rows, 128, widths, pulses, bits, sum(pulses), encoding)


def codes_of(values):
    """Codes of 1-bit weights in offset cells from what the cells are to hold."""
    return torch.as_tensor(values, dtype=torch.int16).view(1, *torch.as_tensor(values).shape) - 1


def lines_of(codes, g, devices, **options):
    """Conductances of a chip in steps, float64 (S, J, G, N, K)."""
    _, N, K = codes.shape
    return unpacked(program_chip(codes, g, devices, **options).conductances, g, N, K).double() / 256


def plain(**parts):
    """Devices of 100 uS whose cells can be off altogether, but for these parts."""
    return Devices(**{"cells": Cells(on_off_ratio=math.inf), **parts})


def kolmogorov_smirnov(samples, law):
    """The largest distance of samples from a distribution function, over its standard error.

    Above 1.95 in one of a thousand cases.
    """
    x = samples.flatten().double().sort().values
    expected, n = law(x), x.numel()
    above = torch.arange(1, n + 1) / n
    distance = torch.maximum((above - expected).abs(), (above - 1 / n - expected).abs()).max()
    return float(distance) * math.sqrt(n)


def normal_law(mean, sigma):
    """The distribution function of the normal law."""
    return lambda x: torch.special.ndtr((x - mean) / sigma)


def agrees(samples, mean, variance, errors=4.0):
    """Whether samples have a mean and a variance, within so many standard errors."""
    x, n = samples.flatten().double(), samples.numel()
    of_mean = float(x.mean() - mean) / math.sqrt(variance / n)
    of_variance = float(x.var() - variance) / (variance * math.sqrt(2 / n))
    return abs(of_mean) < errors and abs(of_variance) < errors


def network(config=None):
    torch.manual_seed(0)
    net = nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 6, 3, groups=2), nn.ReLU(),
        nn.Flatten(), nn.Linear(6 * 16, 5),
    )  # fmt: skip
    net = rt.convert(net, config or rt.Config(weights=rt.WeightConfig(encoding="differential")))
    rt.calibrate(net, [images()], show_progress=False)
    return net


def images(count=3):
    return torch.rand(count, 3, 6, 6, generator=torch.Generator().manual_seed(1))


def conductances(net):
    layers = rt.crossbar_layers(net).values()
    return [layer.chip(layer.encoded()).conductances for layer in layers]
