"""Designs to make words of: strategies of hypothesis, and a small trained network's."""

import functools

import hypothesis.strategies as st
import torch
from torch import nn

import reram_torch as rt
from reram_torch.adc.trees import ESCAPE


@st.composite
def depths(draw, leaves):
    """Depths of the leaves of any binary tree."""
    if leaves == 1:
        return (0,)
    left = draw(st.integers(1, leaves - 1))
    return tuple(d + 1 for d in draw(depths(left)) + draw(depths(leaves - left)))


@st.composite
def cuts(draw, lowest, highest, most=12):
    """Starts of parts of the sums, and where each ends."""
    inner = draw(st.sets(st.integers(lowest + 1, highest), max_size=most - 1))
    starts = (lowest, *sorted(inner))
    return starts, (*starts[1:], highest + 1)


@st.composite
def trees(draw, lowest, highest, escapes=False):
    starts, ends = draw(cuts(lowest, highest))
    levels = [draw(st.integers(2 * a, 2 * b - 2)) / 2 for a, b in zip(starts, ends, strict=True)]
    if escapes and len(levels) > 1:
        levels[draw(st.sampled_from([0, -1]))] = ESCAPE
    return rt.SearchTree(starts, tuple(levels), draw(depths(len(starts))))


@st.composite
def segments(draw, lowest, highest, aligned):
    """Ranges as `design_adc` makes them: levels are the middles of steps from the start on."""
    starts, ends = draw(cuts(lowest, highest))
    steps, bits, offsets = [], [], []
    for first, end in zip(starts, ends, strict=True):
        shift, more = draw(st.integers(0, 4)), draw(st.integers(0, 4))
        while aligned and more and first % (1 << shift + more):
            more -= 1
        steps.append(1 << shift)
        bits.append(more)
        level = draw(st.integers(0, 2 * (end - first - 1))) / 2
        offsets.append(((1 << shift) - 1) / 2 if more else level)
    found = draw(depths(len(starts)))
    return rt.Segmented(starts, tuple(steps), tuple(bits), found, tuple(offsets), aligned)


@st.composite
def twins(draw, lowest, highest):
    bias = draw(st.integers(lowest, highest))
    n1, n2, m = (draw(st.integers(*span)) for span in ((0, 6), (1, 8), (0, 4)))
    return rt.TwinRange(bias, n1, n2, 1 << draw(st.integers(0, 5)), m)


def designs(kind, lowest, highest):
    """Designs of a kind of controller, for sums of a range."""
    return {
        "activity": st.builds(rt.ActivitySAR, st.integers(0, highest)),
        "programmable": st.builds(
            lambda bits, shift: rt.UniformSAR(bits, 1 << shift), *[st.integers(0, 9)] * 2
        ),
        "twin_range": twins(lowest, highest),
        "aligned": segments(lowest, highest, True),
        "anywhere": segments(lowest, highest, False),
        "search_tree": trees(lowest, highest),
        "escaping": trees(lowest, highest, escapes=True),
    }[kind]  # fmt: skip


KINDS = (
    "activity", "programmable", "twin_range", "aligned", "anywhere", "search_tree", "escaping",
)  # fmt: skip
SPANS = [(0, 24), (-20, 20), (-16, 15)]


@functools.cache
def trained(encoding):
    """A small network that tells digits apart, on crossbars, calibrated; and test images."""
    digits = __import__("sklearn.datasets", fromlist=["load_digits"]).load_digits()
    x = torch.tensor(digits.images / 16, dtype=torch.float32)[:, None]
    y = torch.tensor(digits.target)
    torch.manual_seed(0)
    net = nn.Sequential(
        nn.Conv2d(1, 6, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(54, 10)
    )
    optimizer = torch.optim.Adam(net.parameters(), 1e-2)
    for step in range(60):
        part = slice(step % 12 * 100, step % 12 * 100 + 100)
        loss = nn.functional.cross_entropy(net(x[part]), y[part])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    config = rt.Config(
        rt.CrossbarConfig(rows=32), weights=rt.WeightConfig(encoding=encoding),
        inputs=rt.InputConfig(bits=4),
    )  # fmt: skip
    net = rt.convert(net.eval(), config)
    rt.calibrate(net, [x[1200:1400], x[1400:1600]], show_progress=False)
    return net, x[1600:]


def put(net, kind):
    """Designs a network's ADCs for a controller, or puts them in place."""
    layers = rt.crossbar_layers(net).values()
    if kind in ("plain", "activity"):
        for layer in layers:
            layer.set_adc([rt.UniformSAR(8) if kind == "plain" else rt.ActivitySAR()])
        return list(layers)
    design = {"programmable": "uniform", "aligned": "segmented"}.get(kind, kind)
    granularity = "slice" if kind == "twin_range" else "slice+activity"
    rt.design_adc(
        net, design, reduction=2, granularity=granularity, aligned=kind == "aligned",
        show_progress=False,
    )  # fmt: skip
    return list(layers)
