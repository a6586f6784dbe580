"""`auto`: the kind and the granularity that take least energy."""

import pytest
import torch
from torch import nn

import reram_torch as rt
from reram_torch.config.sections import AUTO, SearchConfig
from reram_torch.design.automatic import GRANULARITIES, KINDS, options
from reram_torch.design.problem import Calibrated, Problem

LOW = rt.Config(rt.CrossbarConfig(rows=32), rt.WeightConfig(bits=4), rt.InputConfig(bits=4))


@pytest.fixture
def net():
    """Trained a little, so that its answers are not all alike."""
    made = nn.Sequential(nn.Linear(60, 16), nn.ReLU(), nn.Linear(16, 4))
    x = torch.rand(256, 60) * (torch.rand(256, 60) < 0.4)
    labels = x.view(256, 4, 15).sum(-1).argmax(1)
    optimizer = torch.optim.Adam(made.parameters(), 0.01)
    for _ in range(60):
        loss = nn.functional.cross_entropy(made(x), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    net = rt.convert(made.eval(), LOW)
    return rt.calibrate(net, list(zip(x.split(64), labels.split(64), strict=True)),
                        show_progress=False)  # fmt: skip


def energy_of(net):
    """Of the ADCs in place on the calibration images, as a meter has it."""
    with torch.no_grad(), rt.PowerMeter(net) as meter:
        for x in net.calibration.inputs:
            net(x)
    return meter.report().adc_energy_pj


def test_what_is_left_open_is_tried():
    both = options(SearchConfig(AUTO, lossless=True))
    assert {o.design for o in both} == set(KINDS)
    assert {o.granularity for o in both} == set(GRANULARITIES)
    assert {o.design for o in both if o.aligned} == {"segmented"}
    assert both[0].granularity == "slice+activity"
    kinds = options(SearchConfig(AUTO, "slice", lossless=True))
    assert {o.granularity for o in kinds} == {"slice"}
    assert len(kinds) == len(KINDS) + 1  # aligned segments besides
    several = options(SearchConfig("twin_range", lossless=True))
    assert [o.granularity for o in several] == ["slice+activity", "slice", "cycle+slice"]
    assert options(SearchConfig("uniform", "layer", lossless=True)) == [
        SearchConfig("uniform", "layer", lossless=True)
    ]


@pytest.mark.slow
@pytest.mark.parametrize("budget", [{"max_drop": 0.05}, {"lossless": True}])
@pytest.mark.parametrize("design", [AUTO, "search_tree", "uniform"])
def test_no_alternative_takes_less(net, design, budget):
    """Beyond a few percent, each option called by its name: designs jump as prices go."""
    found = rt.design_adc(net, design, **budget, show_progress=False)
    own = energy_of(net)
    assert found.reason.startswith(f"{found.design} by {found.granularity} takes least energy; ")
    assert found.reason.endswith(" designed too")
    assert found.drop <= budget.get("max_drop", 0)
    assert {d.kind for designs in found.designs.values() for d in designs} <= {found.design}
    search = SearchConfig(design, **budget)
    for option in options(search):
        named = {"granularity": option.granularity, "aligned": option.aligned}
        other = rt.design_adc(net, option.design, **named, **budget, show_progress=False)
        assert own <= energy_of(net) * 1.05, (found.reason, option)
        aligned = "aligned " if option.aligned else ""
        assert other.reason == f"{aligned}{option.design} by {option.granularity}"


def test_a_reduction_is_met_with_the_least_error(net):
    found = rt.design_adc(net, "segmented", reduction=12.0, show_progress=False)
    assert found.reduction >= 12.0 * 0.999
    assert found.granularity in GRANULARITIES
    changes = {}
    given = Calibrated.of(
        net, rt.crossbar_layers(net), net.calibration, rt.load_technology("isaac"), 0, weigh=True
    )
    here = Problem(given, SearchConfig("segmented", "slice", lossless=True)).change()
    for granularity in GRANULARITIES:
        rt.design_adc(
            net, "segmented", reduction=12.0, granularity=granularity, show_progress=False
        )  # fmt: skip
        problem = Problem(given, SearchConfig("segmented", granularity, reduction=12.0))
        changes[granularity] = problem.change()
    assert here <= 1.3 * min(changes.values())


def test_options_out_of_reach_do_not_count(net):
    found = rt.design_adc(net, "auto", lossless=True, table_bytes=1, show_progress=False)
    assert found.table_bytes <= 1
    assert found.design == "uniform"
    with pytest.raises(ValueError, match="table_bytes=1 is out of reach of search_tree"):
        rt.design_adc(net, "search_tree", lossless=True, table_bytes=1, show_progress=False)
