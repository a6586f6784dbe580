"""Training on chips: another one every so many steps, the same for whoever resumes."""

import pytest
import torch
from torch import nn
from torch.utils.data import TensorDataset

import reram_torch as rt
from reram_torch.training.fit import Fit
from reram_torch.training.fresh_chips import FreshChips
from reram_torch.training.recipe import Recipe

DEVICES = rt.load_devices("wan2022")


def network():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(12, 16), nn.ReLU(), nn.Linear(16, 3))
    net = rt.convert(net, rt.Config(weights=rt.WeightConfig(encoding="differential")))
    return rt.calibrate(net, [data().tensors[0]], show_progress=False)


def data(count=40):
    generator = torch.Generator().manual_seed(1)
    x = torch.rand(count, 12, generator=generator)
    return TensorDataset(x, (x[:, :3]).argmax(1))


class Watched(FreshChips):
    """Keeps the seeds of the chips."""

    def __init__(self, net, **options):
        super().__init__(net, DEVICES, time=1.0, **options)
        self.seeds = []

    def before_step(self, number):
        super().before_step(number)
        self.seeds.append(self.net[0].site.programming.seed)

    def before_validation(self):
        super().before_validation()
        self.seeds.append(("validation", self.net[0].site.programming.seed))


def fit(folder, net, chips, **options):
    recipe = Recipe(epochs=2, batch_size=10, rate=1e-2, seed=3)
    return Fit(net, data(), data(8), recipe, folder, chips=chips, **options)


def test_chips_change_with_the_steps_and_validation_has_its_own(tmp_path):
    net = network()
    chips = Watched(net, every=2, seed=3)
    before = net[0].weight.detach().clone()
    fit(tmp_path, net, chips).run()
    steps = [seed for seed in chips.seeds if not isinstance(seed, tuple)]
    assert len(steps) == 8
    assert steps[0::2] == steps[1::2]
    assert len(set(steps)) == 4
    validated = {seed for seed in chips.seeds if isinstance(seed, tuple)}
    assert len(validated) == 1
    assert min(steps) > 2**40  # none that people evaluate on
    assert not torch.equal(net[0].weight, before)
    chips.off()
    assert net[0].site.programming is None


def test_a_resumed_run_ends_as_one_that_was_not_stopped(tmp_path):
    whole = network()
    fit(tmp_path / "whole", whole, FreshChips(whole, DEVICES, seed=3)).run()

    def stops(line):
        raise KeyboardInterrupt

    net = network()
    first = fit(tmp_path / "parts", net, FreshChips(net, DEVICES, seed=3), report=stops)
    with pytest.raises(KeyboardInterrupt):
        first.run()
    net = network()
    second = fit(tmp_path / "parts", net, FreshChips(net, DEVICES, seed=3))
    assert second.resume()
    second.run()
    for a, b in zip(net.parameters(), whole.parameters(), strict=True):
        assert torch.equal(a, b)


def test_bad_numbers_are_refused():
    with pytest.raises(ValueError, match="every must be a whole number from 1"):
        FreshChips(network(), DEVICES, every=0)
