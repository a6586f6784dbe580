"""ADCs of crossbars that speculate: what is predicted is counted, lossless ones lose nothing."""

import math

import numpy as np
import pytest
import torch
from torch import nn

import reram_torch as rt
from reram_torch.config.sections import SearchConfig
from reram_torch.design.problem import Calibrated, Problem
from reram_torch.design.recoveries import Recoveries
from reram_torch.evaluation.integers import plain_integer

KINDS = ("uniform", "segmented", "search_tree")
SLICINGS = {"offset": (4, 4), "differential": (3, 4), "dual": (4, 3)}


def config(encoding="differential", dac=(4, 4), rows=16):
    bar = rt.CrossbarConfig(
        rows=rows, slicing=SLICINGS[encoding], dac_bits=dac, speculation=True
    )  # fmt: skip
    return rt.Config(bar, rt.WeightConfig(encoding=encoding))


def images(number=12, seed=0):
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(number, 6, 7, 7, generator=generator).relu()
    return x * x.square().mean(1, keepdim=True)  # sparse, with a few that are large


def layer_of(own, held_back=0.0):
    """A convolution alone: what comes before it does not change with its ADCs."""
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(6, 10, 3, padding=1)).eval()
    return rt.calibrate(rt.convert(net, own), images(), held_back=held_back, show_progress=False)


def problem_of(net, technology="isaac", **search):
    prices = rt.load_technology(technology)
    given = Calibrated.of(net, rt.crossbar_layers(net), net.calibration, prices, 0, weigh=False)
    return Problem(given, SearchConfig(**search))


def report_of(net):
    with torch.no_grad(), rt.PowerMeter(net) as meter:
        for x in net.calibration.inputs:
            net(x)
    return meter.report()


def is_exact(net, x):
    with torch.no_grad():
        made = net(x)
        with plain_integer(net):
            return torch.equal(made, net(x))


@pytest.mark.parametrize(
    ("design", "granularity"),
    [
        ("uniform", "slice+activity"), ("uniform", "layer"), ("segmented", "cycle+slice"),
        ("search_tree", "slice+activity"), ("search_tree", "slice"),
    ],
)  # fmt: skip
def test_what_is_predicted_is_counted(design, granularity):
    """At prices from lossless to coarse; comparisons, starts and energy, with recoveries."""
    net = layer_of(config())
    problem = problem_of(net, design=design, granularity=granularity, max_error=1.0)
    recovered = 0
    for price in (-math.inf, -12.0, -7.0):
        problem.apply(price)
        [found], row = problem.found.values(), report_of(net).layers[0]
        assert found.comparisons == pytest.approx(row.comparisons, rel=0.01)
        assert found.energy == pytest.approx(row.adc_energy_pj, rel=0.03)
        assert found.bytes == row.table_bytes
        assert (found.error == 0) == (price == -math.inf)
        recovered += sum(map(sum, row.conversions_by[net[0].geometry.cycles :]))
    assert recovered


@pytest.mark.parametrize("price", [-12.0, -8.0])
@pytest.mark.parametrize("design", KINDS)
def test_an_error_is_as_large_as_predicted(design, price):
    net = layer_of(config())
    problem = problem_of(net, design=design, granularity="slice", max_error=1.0)
    problem.apply(price)
    [x], layer = net.calibration.inputs, net[0]
    with torch.no_grad():
        exact = layer.simulate(x, layer.lossless_tables(), corrected=False)[0]
        made = layer.simulate(x, layer.tables(), corrected=False)[0]
        signal = (exact - layer.bias[:, None, None]).square().mean()
        error = (made - exact).square().mean() / signal
    [found] = problem.found.values()
    assert found.error / 4 < error < found.error * 1.5  # what may come counts, too


@pytest.mark.parametrize(
    ("design", "encoding", "dac"),
    [
        ("uniform", "differential", (4, 4)), ("uniform", "offset", (4, 3, 1)),
        ("segmented", "dual", (4, 4)), ("segmented", "differential", (2, 2, 2, 2)),
        ("search_tree", "offset", (2, 2, 2, 2)), ("search_tree", "differential", (4, 3, 1)),
        ("intervals", "differential", (4, 2, 2)),
    ],
)  # fmt: skip
def test_lossless_designs_are_exact_for_every_input(design, encoding, dac):
    """Also where sums are larger than any that calibration saw, or an ADC's 16 bits."""
    net = layer_of(config(encoding, dac))
    rt.design_adc(
        net, design, lossless=True, granularity="slice+activity", objective="comparisons",
        show_progress=False,
    )  # fmt: skip
    x = images(2, seed=1)
    largest = torch.full_like(x, float(images().max()))
    assert is_exact(net, x)
    assert is_exact(net, largest)
    assert is_exact(net, largest * (torch.rand(x.shape) < 0.5))


@pytest.mark.parametrize("design", KINDS)
def test_tries_take_fewer_comparisons_than_single_bits(design):
    """By the same kind of search on the same cells."""
    made = {}
    for name, own in {
        "tried": config(),
        "bits": rt.Config(rt.CrossbarConfig(rows=16, slicing=(3, 4)), config().weights),
    }.items():
        net = layer_of(own)
        rt.design_adc(
            net, design, lossless=True, granularity="slice", objective="comparisons",
            show_progress=False,
        )  # fmt: skip
        made[name] = report_of(net).total.comparisons
    assert made["tried"] < 0.8 * made["bits"]


@pytest.mark.parametrize(
    ("design", "budget"),
    [
        ("auto", {"max_error": 0.01}),
        ("uniform", {"reduction": 9.0}),
    ],
)
def test_budgets_are_kept(design, budget):
    torch.manual_seed(0)
    net = nn.Sequential(
        nn.Conv2d(6, 8, 3), nn.ReLU(), nn.Flatten(), nn.Linear(200, 4)
    ).eval()  # fmt: skip
    tall = rt.Config(rt.CrossbarConfig(rows=16, slicing=(3, 4)), config().weights)
    net = rt.convert(net, config(), layers={"3": tall})  # one layer of two speculates
    rt.calibrate(net, images(16), show_progress=False)
    found = rt.design_adc(
        net, design, granularity="slice", objective="comparisons", show_progress=False, **budget
    )
    assert found.error <= budget.get("max_error", math.inf)
    assert found.reduction >= 0.999 * budget.get("reduction", 0.0)
    assert report_of(net).reduction == pytest.approx(found.measured_reduction, rel=0.1)


def test_tables_take_no_more_bytes_than_they_may():
    net = layer_of(config(dac=(2, 2, 2, 2)))
    options = {"design": "search_tree", "granularity": "slice", "max_error": 1.0}
    used = []
    for most in (None, 150):
        problem = problem_of(net, **options, table_bytes=most)
        problem.apply(-8.0)
        [found], row = problem.found.values(), report_of(net).layers[0]
        assert found.bytes == row.table_bytes
        assert found.comparisons == pytest.approx(row.comparisons, rel=0.01)
        used.append(found.bytes)
    assert used[0] > 150 >= used[1] > 0


def test_pictures_show_where_sums_escape(tmp_path, recwarn):
    """Between sums that both escape there is no threshold."""
    pytest.importorskip("matplotlib")
    net = layer_of(config())
    rt.design_adc(net, "uniform", reduction=12.0, granularity="slice", show_progress=False)
    recwarn.clear()
    report_of(net).plot(tmp_path / "searches.png")
    assert not [w for w in recwarn if issubclass(w.category, RuntimeWarning)]
    assert (tmp_path / "searches.png").stat().st_size > 0


def test_what_cannot_be_is_refused():
    net = layer_of(config())
    for design, why in (
        ("twin_range", "'twin_range' .* no search of this kind ends at 'too large'"),
        ("activity_sar", "'activity_sar', which offers no candidates"),
    ):
        with pytest.raises(ValueError, match=why):
            rt.design_adc(net, design, lossless=True, show_progress=False)
    with pytest.raises(ValueError, match=r"adc_bound knows no bound .* of \['0'\]"):
        rt.adc_bound(net)


def test_an_activity_sar_tells_all_sums_apart_without_recoveries():
    net = layer_of(config())
    net[0].set_adc([rt.ActivitySAR()])
    assert is_exact(net, images(2, seed=1))
    row = report_of(net).layers[0]
    assert not any(map(sum, row.conversions_by[net[0].geometry.cycles :]))


def test_a_sample_of_everything_tells_recoveries_exactly():
    """Shares, tile-cycles and costs against the sums themselves: here all positions are drawn."""
    torch.manual_seed(0)
    own = config(dac=(4, 3, 1), rows=16)
    net = rt.convert(nn.Sequential(nn.Linear(40, 5)), own)
    x = torch.rand(60, 40)
    rt.calibrate(net, x, held_back=0.0, show_progress=False)
    layer, g = net[0], net[0].geometry
    recoveries = Recoveries(layer)
    window = np.abs(recoveries.values) > 20
    table = np.zeros((len(recoveries.edges), g.phases, len(recoveries.present)), int)
    escaped = recoveries.escaped(window[None], table)
    tree = rt.SearchTree((-21, -20, 21), (math.inf, 0, math.inf), (2, 2, 1))
    plain = rt.UniformSAR(8)
    index = np.ones((1, g.phases, g.slices), dtype=int)
    index[:, recoveries.tries] = 0
    layer.set_adc([tree, plain], index=index)
    row = report_of(net).layers[0]
    started = np.array(row.conversions_by)[g.cycles :]
    counted = recoveries.by_size * escaped.share
    assert counted.sum((0, 3))[g.cycles :] == pytest.approx(started, rel=1e-6)
    assert escaped.number.sum() > 100
    drives = np.array(row.word_line_drives_by)[g.cycles :]
    again = escaped.again[:, g.cycles :].sum(0)
    assert ((drives > 0) == (again > 0)).all()
