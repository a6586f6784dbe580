"""An ADC design from outside the package: one class, and everything works with it."""

import dataclasses
from dataclasses import dataclass

import pytest
import torch

import reram_torch as rt


@rt.register_adc
@dataclass(frozen=True)
class ZeroFirst(rt.AdcDesign):
    """One comparison tells sums of zero and below; a plain SAR resolves the others."""

    bits: int = 8

    kind = "zero_first"
    controller = "twin_range"  # whose price it takes

    def tree(self, lowest, highest):
        plain = rt.UniformSAR(self.bits).tree(lowest, highest)
        return rt.Node(1, rt.Leaf(0), plain) if lowest >= 0 else plain

    @classmethod
    def candidates(cls, lowest, highest):
        return [cls(bits) for bits in range(1, int(highest).bit_length() + 2)]


def test_it_simulates_counts_and_reports(calibrated, batches, tmp_path):
    x = batches[0][0]
    y = calibrated(x)
    for layer in rt.crossbar_layers(calibrated).values():
        layer.set_adc([ZeroFirst(8)])
    with rt.PowerMeter(calibrated) as meter:
        assert torch.equal(calibrated(x), y)  # lossless, as the plain SAR
    report = meter.report()
    assert 1 < report.comparisons_per_conversion < 9
    assert "1 x zero_first" in {row.adc for row in report.layers}
    pytest.importorskip("matplotlib")
    report.to_html(tmp_path / "page.html")
    assert "zero first" in (tmp_path / "page.html").read_text()


def test_design_adc_chooses_among_its_candidates(calibrated):
    found = rt.design_adc(calibrated, "zero_first", reduction=2.0, show_progress=False)
    assert found.reduction >= 2.0
    assert all(type(d) is ZeroFirst for designs in found.designs.values() for d in designs)
    found = rt.design_adc(
        calibrated, "zero_first", lossless=True, granularity="slice+activity", show_progress=False
    )
    assert found.reduction > 1


def test_it_is_saved_loaded_and_configured(lenet, calibrated, batches, tmp_path):
    x = batches[0][0]
    rt.design_adc(calibrated, "zero_first", reduction=2.0, show_progress=False)
    torch.save(calibrated.state_dict(), tmp_path / "net.pt")
    again = rt.convert(lenet)
    again.load_state_dict(torch.load(tmp_path / "net.pt", weights_only=True))
    assert torch.equal(again(x), calibrated(x))
    config = rt.Config(adc=ZeroFirst(7), search=rt.SearchConfig("zero_first", reduction=2.0))
    config.save(tmp_path / "mine.toml")
    assert rt.load_config(tmp_path / "mine.toml") == config
    assert dataclasses.replace(config, adc=ZeroFirst(6)).adc.bits == 6
    with pytest.raises(ValueError, match="leaves is a limit of .*search_tree.*not of 'zero_first'"):
        rt.SearchConfig("zero_first", reduction=2.0, leaves=4)


def test_it_is_described():
    described = rt.describe_adc(ZeroFirst(3), 0, 8)
    assert described.worst_case == 4
    assert described.codes[0].level == 0


def test_what_cannot_be_registered():
    with pytest.raises(TypeError, match="frozen dataclass derived from AdcDesign"):
        rt.register_adc(int)

    @dataclass
    class Loose(rt.AdcDesign):
        kind = "loose"

        def tree(self, lowest, highest):
            return rt.Leaf(0)

    with pytest.raises(TypeError, match="frozen"):
        rt.register_adc(Loose)

    @dataclass(frozen=True)
    class Twin(rt.AdcDesign):
        kind = "twin_range"

        def tree(self, lowest, highest):
            return rt.Leaf(0)

    with pytest.raises(ValueError, match="'twin_range' is that of TwinRange already"):
        rt.register_adc(Twin)

    @dataclass(frozen=True)
    class Nameless(rt.AdcDesign):
        def tree(self, lowest, highest):
            return rt.Leaf(0)

    with pytest.raises(TypeError, match="kind must be a word"):
        rt.register_adc(Nameless)


def test_kinds_without_candidates_are_set_by_hand(calibrated):
    @rt.register_adc
    @dataclass(frozen=True)
    class Flat(rt.AdcDesign):
        kind = "flat"
        controller = "uniform"

        def tree(self, lowest, highest):
            return rt.Leaf(0)

    with pytest.raises(ValueError, match="'flat', which offers no candidates"):
        rt.design_adc(calibrated, "flat", reduction=2.0, show_progress=False)
    calibrated.fc3.set_adc([Flat()])


@rt.register_adc
@dataclass(frozen=True)
class Priceless(rt.AdcDesign):
    """Of a kind that no technology knows."""

    kind = "priceless"

    def tree(self, lowest, highest):
        return rt.UniformSAR(8).tree(lowest, highest)


def test_a_controller_without_a_price_is_charged_as_the_dearest(calibrated):
    layer = calibrated.fc3
    layer.set_adc([Priceless()])
    with rt.PowerMeter(calibrated) as meter:
        calibrated(torch.rand(1, 1, 32, 32))
    with pytest.warns(UserWarning, match=r"no adc.controllers.clock_pj.priceless: the dearest"):
        row = meter.report().layers[-1]
    logic = rt.load_technology("isaac").adc.controllers
    clocks = row.comparisons + row.conversions
    dearest = max(logic.clock_pj.values()) - logic.included_pj
    leaks = 1e-6 * 100 * layer.geometry.cycles  # of a nW: one array, one position
    leaks *= max(logic.leakage_nw.values()) - logic.leakage_nw["plain"] + logic.bit_leakage_nw
    assert row.adc_parts_pj["controllers"] == pytest.approx(clocks * dearest + leaks)
