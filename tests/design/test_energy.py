"""Designs by energy: what a search reckons is what a meter reports; tables that are shared."""

import dataclasses
import math
import re

import numpy as np
import pytest
import torch
from torch import nn

import reram_torch as rt
from reram_torch.adc.storage import table_bytes
from reram_torch.config.sections import ENCODINGS, SearchConfig
from reram_torch.design.problem import Calibrated, Problem
from reram_torch.design.sharing import Sharing

LOW = {"inputs": rt.InputConfig(bits=4)}
KINDS = ("uniform", "twin_range", "intervals", "segmented", "search_tree")


def small(encoding="offset", held_back=0.0):
    config = rt.Config(rt.CrossbarConfig(rows=32), rt.WeightConfig(4, encoding), **LOW)
    float_net = nn.Sequential(
        nn.Conv2d(3, 5, 3), nn.ReLU(), nn.Flatten(), nn.Linear(5 * 36, 4)
    ).eval()  # fmt: skip
    x = torch.rand(6, 3, 8, 8) * (torch.rand(6, 3, 8, 8) < 0.4)
    return rt.calibrate(rt.convert(float_net, config), x, held_back=held_back, show_progress=False)


def problem_of(net, technology="isaac", **search):
    prices = rt.load_technology(technology)
    given = Calibrated.of(net, rt.crossbar_layers(net), net.calibration, prices, 0, weigh=False)
    return Problem(given, SearchConfig(**search))


def report_of(net, technology="isaac"):
    with torch.no_grad(), rt.PowerMeter(net) as meter:
        for x in net.calibration.inputs:
            net(x)
    return meter.report(technology)


@pytest.mark.parametrize("technology", ["isaac", "neurosim"])
@pytest.mark.parametrize("granularity", ["layer", "slice", "slice+activity"])
@pytest.mark.parametrize("design", KINDS)
def test_a_lossless_design_takes_what_it_was_chosen_for(design, granularity, technology):
    net = small()
    problem = problem_of(
        net, technology, design=design, granularity=granularity, lossless=True
    )  # fmt: skip
    problem.apply(-math.inf)
    report = report_of(net, technology)
    assert problem.reduction == pytest.approx(report.reduction)
    for found, row in zip(problem.found.values(), report.layers, strict=True):
        assert found.error == 0
        assert found.comparisons == row.comparisons
        assert found.bytes == row.table_bytes
        assert found.energy == pytest.approx(row.adc_energy_pj)
    assert problem.energy == pytest.approx(report.adc_energy_pj)


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("design", KINDS)
def test_comparisons_alone_reach_as_few(design, encoding):
    net = small(encoding)
    options = {"design": design, "granularity": "slice+activity", "lossless": True}
    found = {}
    for objective in ("energy", "comparisons"):
        problem = problem_of(net, objective=objective, **options)
        problem.apply(-math.inf)
        found[objective] = problem.reduction, report_of(net).adc_energy_pj
    assert found["comparisons"][0] >= found["energy"][0] * (1 - 1e-9)
    assert found["energy"][1] <= found["comparisons"][1] * 1.02


# --- sharing ---


def cost_of(problem, layer, designs, price):
    """Error + price * energy of a layer's tables, by their own report."""
    own = problem.searches[layer]
    found = own._found_of(designs)
    return (math.inf if not price and found.error else found.error) + (price or 1.0) * found.energy


@pytest.mark.parametrize("design", ["uniform", "segmented", "search_tree"])
@pytest.mark.parametrize("price", [0.0, 1e-9, 1e-7, 1e-5])
def test_sharing_costs_less_than_keeping_does(design, price):
    """Never more than tables of their own; and at a price without keeping, no table changes."""
    net = small()
    for name in rt.crossbar_layers(net):
        problem = problem_of(net, design=design, granularity="cycle+slice", lossless=True)
        own = problem.searches[name].designer
        designs = own.at(price)
        sharing = Sharing(designs, own.loads, own.prices, price)
        rows = np.arange(len(designs))
        before = sharing.cost[rows, sharing.picked].sum()
        kept = sharing._keeping[np.unique(sharing.picked)].sum()
        sharing.merge(None)
        after = sharing.cost[rows, sharing.picked].sum()
        assert after + sharing._keeping[np.unique(sharing.picked)].sum() <= before + kept + 1e-12
        assert set(sharing.assigned()) <= set(designs)
        assert len(set(sharing.assigned())) <= len(set(designs))
        shared = cost_of(problem, name, sharing.assigned(), price)
        assert shared <= cost_of(problem, name, designs, price) * 1.01


@pytest.mark.parametrize(
    ("design", "budget"),
    [(kind, {"lossless": True}) for kind in KINDS]
    + [(kind, {"reduction": 6.0}) for kind in ("twin_range", "segmented", "search_tree")],
)
def test_tables_take_no_more_bytes_than_they_may(design, budget):
    """Or it is said how many they take at least: only where no error may give some up."""
    net, found, refused = small(), None, ""
    options = {"granularity": "slice", "show_progress": False, **budget}
    free = rt.design_adc(net, design, **options)
    most = max(2 * free.table_bytes // 3, 1)
    try:
        found = rt.design_adc(net, design, table_bytes=most, **options)
    except ValueError as error:
        refused = str(error)
    if found is None:
        assert "lossless" in budget
        said = re.fullmatch(
            rf"table_bytes={most} is out of reach of {design} by slice: a layer's tables take "
            r"(\d+) bytes at least",
            refused,
        )
        assert said is not None
        assert int(said[1]) > most
        again = rt.design_adc(net, design, table_bytes=free.table_bytes, **options)
        assert again.table_bytes <= free.table_bytes
        return
    assert found.table_bytes <= most
    for layer in rt.crossbar_layers(net).values():
        g, index = layer.geometry, layer.tables().index.numpy()
        assert table_bytes(layer.adc, index, g.lowest, g.highest) <= most
    if "reduction" in budget:
        assert found.reduction >= 6.0 * 0.999


def test_bytes_out_of_reach_are_named():
    net = small()
    with pytest.raises(ValueError, match=r"table_bytes=1 is out of reach of .* bytes at least"):
        rt.design_adc(
            net, "search_tree", granularity="slice", lossless=True, table_bytes=1,
            show_progress=False,
        )  # fmt: skip
    with pytest.raises(ValueError, match="table_bytes must be a whole number from 1"):
        rt.design_adc(net, "search_tree", lossless=True, table_bytes=0)


def test_prices_of_tables_make_them_fewer():
    net, isaac = small(), rt.load_technology("isaac")
    made = {}
    for leakage in (0.0, 1e9):
        tables = dataclasses.replace(isaac.adc.tables, leakage_nw_per_byte=leakage, word_pj=0.0)
        technology = dataclasses.replace(isaac, adc=dataclasses.replace(isaac.adc, tables=tables))
        found = rt.design_adc(
            net, "search_tree", granularity="slice", reduction=5.0, technology=technology,
            show_progress=False,
        )  # fmt: skip
        made[leakage] = found.table_bytes
    assert made[1e9] < made[0.0]
