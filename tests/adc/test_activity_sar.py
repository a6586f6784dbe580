"""The SAR ADC that is told how many word-lines are driven: lossless, and counted by hand."""

import math

import pytest
import torch

import reram_torch as rt
from reram_torch.config.sections import ENCODINGS


def by_hand(layer, x):
    """Comparisons of every conversion, one tile, cycle and position at a time."""
    g, u = layer.geometry, layer.codes(x)[:, 0].long()  # (M, K)
    total, slices = 0, int(layer.encoded().present.sum())
    for first in range(0, u.shape[1], g.rows):
        tile = u[:, first : first + g.rows]
        for i in range(g.cycles):
            driven = ((tile >> i * g.dac_bits) % 2**g.dac_bits > 0).sum(1)
            for n in driven.tolist():
                bits = math.ceil(math.log2(n * g.largest_sum(1) + 1)) + (g.signed and n > 0)
                total += bits * layer.outputs * slices * len(g.signs)
    return total


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize(("cell_bits", "dac_bits"), [(1, 1), (2, 1), (1, 2), (3, 2), (4, 4)])
@pytest.mark.parametrize("rows", [5, 128])
def test_it_is_lossless_and_makes_what_it_says(encoding, cell_bits, dac_bits, rows):
    bar = rt.CrossbarConfig(rows=rows, cell_bits=cell_bits, dac_bits=dac_bits)
    config = rt.Config(bar, rt.WeightConfig(encoding=encoding), adc=rt.ActivitySAR())
    layer = rt.ReRAMLinear(150, 3, config=config)
    x = torch.rand(6, 150) * (
        torch.rand(6, 150) < torch.tensor([0, 0.01, 0.1, 0.3, 0.7, 1])[:, None]
    )
    layer.set_input_range(0.0, 1.0)
    with rt.PowerMeter(layer) as meter:
        y = layer(x)
    report = meter.report()
    assert report.comparisons == by_hand(layer, x)
    assert report.total.skipped > 0
    layer.set_adc([rt.lossless_adc(layer.geometry)])
    assert torch.equal(layer(x), y)


def test_128_rows_of_one_bit():
    layer = rt.ReRAMLinear(128, 2, config=rt.load_config("activity_sar"))
    assert layer.tables().edges.tolist() == [0, 1, 2, 4, 8, 16, 32, 64, 128]
    assert [d.largest for d in layer.adc] == [1, 3, 7, 15, 31, 63, 127, 128]
    assert {d.kind for d in layer.adc} == {"activity_sar"}


def test_it_is_saved_and_loaded(lenet, batches):
    config = rt.load_config("activity_sar")
    net = rt.calibrate(rt.convert(lenet, config), batches, show_progress=False)
    x = batches[0][0]
    with rt.PowerMeter(net) as meter:
        y = net(x)
    again = rt.convert(lenet, config)
    again.load_state_dict(net.state_dict())
    with rt.PowerMeter(again) as other:
        assert torch.equal(again(x), y)
    assert other.report().total == meter.report().total
    assert "8 x activity_sar" in {row.adc for row in meter.report().layers}
    assert meter.report().comparisons < 0.9 * 8 * meter.report().conversions


def test_it_is_not_told_where_tables_are_by_hand():
    layer = rt.ReRAMLinear(128, 2)
    layer.set_adc([rt.ActivitySAR()] * 8)
    assert layer.tables().edges.tolist() == [0]
    with pytest.raises(ValueError, match="ActivitySAR.largest must be a whole number"):
        rt.ActivitySAR(-1)
