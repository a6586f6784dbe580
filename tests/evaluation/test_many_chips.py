"""Networks on many chips: figures, files, resuming, processes."""

import csv
import json
import statistics

import pytest
import torch
from torch import nn

import reram_torch as rt
from reram_torch.evaluation.chances import t_quantile
from reram_torch.evaluation.chip_pictures import plot_reductions

X = torch.rand(8, 12, generator=torch.Generator().manual_seed(0))


def network():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(12, 16), nn.ReLU(), nn.Linear(16, 4))
    net = rt.convert(net, rt.Config(weights=rt.WeightConfig(encoding="differential")))
    return rt.calibrate(net, [X], show_progress=False)


def mean_output(net):
    return float(net(X).detach().mean())


def run(net, evaluate=mean_output, **options):
    options = {"chips": 4, "show_progress": False, **options}
    return rt.monte_carlo(net, "wan2022", evaluate, **options)


def test_figures_are_those_of_each_chip_and_the_network_is_left_as_it_was():
    net = network()
    rt.program(net, "wan2022", seed=99, show_progress=False)
    before = net(X)
    found = run(net, time=["1s", "1d"], seed=5)
    assert torch.equal(net(X), before)
    assert [(row["seed"], row["time"]) for row in found.rows] == [
        (seed, time) for seed in (5, 6, 7, 8) for time in (1.0, 86400.0)
    ]
    scores = []
    for seed in (5, 6, 7, 8):
        rt.program(net, "wan2022", seed=seed, time="1d", show_progress=False)
        with rt.PowerMeter(net) as meter:
            scores.append(mean_output(net))
        row = next(r for r in found.rows if (r["seed"], r["time"]) == (seed, 86400.0))
        assert row["score"] == scores[-1]
        assert row["comparisons_per_mac"] == meter.report().comparisons_per_mac
        assert row["adc_energy_pj"] == pytest.approx(meter.report().adc_energy_pj / 8)
    spread = found.spread(time=86400.0)
    assert spread.mean == pytest.approx(statistics.fmean(scores))
    assert spread.deviation == pytest.approx(statistics.stdev(scores))
    assert spread.high - spread.mean == pytest.approx(3.182 * spread.deviation / 2)
    assert (spread.lowest, spread.highest) == (min(scores), max(scores))
    assert "wan2022, 4 chips from seed 5" in str(found)


def test_results_are_written_chip_by_chip_and_a_run_resumes(tmp_path):
    net, path, calls = network(), tmp_path / "chips.json", []

    def stops(net):
        calls.append(mean_output(net))
        if len(calls) == 3:
            assert len(json.loads(path.read_text())["rows"]) == 2
            raise KeyboardInterrupt
        return calls[-1]

    with pytest.raises(KeyboardInterrupt):
        run(net, stops, path=path)
    whole = run(network(), path=tmp_path / "whole.json")
    assert run(net, stops, path=path, resume=True).rows == whole.rows
    assert len(calls) == 5  # two chips, the one that was lost, and two more
    more = run(net, stops, path=path, resume=True, chips=5)
    assert more.rows[:4] == whole.rows
    assert len(calls) == 6
    assert json.loads(path.read_text())["rows"] == more.rows
    fewer = run(net, stops, path=path, resume=True, chips=2)  # nothing is lost by asking for less
    assert fewer.rows == more.rows
    assert fewer.settings["chips"] == 5
    assert json.loads(path.read_text())["rows"] == more.rows
    with pytest.raises(ValueError, match="resume with the same settings"):
        run(net, path=path, resume=True, seed=1)
    net[0].set_adc([rt.UniformSAR(bits=3, step=4)])
    with pytest.raises(ValueError, match="network="):
        run(net, path=path, resume=True)
    with pytest.raises(ValueError, match="needs the path"):
        run(net, resume=True)


def test_results_as_files_and_pictures(tmp_path):
    found = run(network(), lambda net: {"top1": mean_output(net), "loss": 2.0}, time=[1, "2 d"])
    found.to_csv(tmp_path / "chips.csv")
    with (tmp_path / "chips.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [float(row["top1"]) for row in rows] == [row["top1"] for row in found.rows]
    found.to_json(tmp_path / "chips.json")
    read = json.loads((tmp_path / "chips.json").read_text())
    assert read["settings"]["devices"] == rt.load_devices("wan2022").to_dict()
    assert read["settings"]["seed"] == 0
    pytest.importorskip("matplotlib")
    found.plot(tmp_path / "chips.png", "top1")
    curves = {"wan2022": [(r, [0.8 + r / 100, 0.81 + r / 100]) for r in (3.0, 2.0)]}
    plot_reductions(curves, tmp_path / "lines.png", level=0.9)
    assert all((tmp_path / name).stat().st_size > 5000 for name in ("chips.png", "lines.png"))


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"chips": 0}, "chips must be a whole number from 1"),
        ({"time": "1 week"}, "1 week"),
        ({"evaluate": lambda _: "good"}, "evaluate must give a number"),
    ],
)
def test_what_cannot_be_is_refused(options, said):
    net = network()
    with pytest.raises(ValueError, match=said):
        run(net, **options)
    assert net[0].site.programming is None


def test_one_chip_has_no_spread_and_t_joins_its_expansion():
    spread = rt.Spread.of([0.5])
    assert spread.mean == 0.5
    assert spread.deviation != spread.deviation
    assert t_quantile(30) == pytest.approx(2.042)
    assert t_quantile(31) == pytest.approx(2.0395, abs=5e-4)
    assert t_quantile(1000) == pytest.approx(1.9623, abs=1e-4)


def test_batch_norms_are_estimated_on_each_chip_and_put_back():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(12, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Linear(16, 4)).eval()
    net(X)
    net = rt.convert(net, rt.Config(weights=rt.WeightConfig(encoding="differential")))
    rt.calibrate(net, [X], held_back=0, show_progress=False)
    before = {name: value.clone() for name, value in net[1].named_buffers()}
    seen = []

    def means(net):
        seen.append((net[1].running_mean.clone(), net[0](X).detach().mean(0)))
        return 1.0

    run(net, means, batch_norms=True, chips=2, time="2d")
    for running, mean in seen:
        assert torch.allclose(running, mean, atol=1e-5)
    assert not torch.equal(seen[0][0], seen[1][0])
    assert all(torch.equal(value, before[name]) for name, value in net[1].named_buffers())
    assert not net.training
    with pytest.raises(ValueError, match="of which this network has none"):
        run(network(), batch_norms=True)
