"""Speculation: sums that an ADC finds too large are recovered from those of their bits."""

from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from problems import Kernels, assert_same, examples, isas, problems, uniform
from torch import nn

import reram_torch as rt
from reram_torch.crossbar.cells import program
from reram_torch.crossbar.tables import ESCAPE, AdcTables, check_tables, lossless_tables
from reram_torch.evaluation.integers import plain_integer
from reram_torch.native import cpu, cuda
from reram_torch.ops import reference

# As RAELLA's: an ADC of 7 bits, tries of 4, 2 and 2 bits, recoveries of one.
RAELLA = rt.Config(
    rt.CrossbarConfig(rows=512, slicing=(4, 2, 2), dac_bits=(4, 2, 2), speculation=True),
    rt.WeightConfig(encoding="differential", center="balanced"),
    adc=rt.SpeculativeSAR(7),
)


@st.composite
def speculations(draw, **options):
    """A problem whose cycles can be recovered, with tables that escape."""
    return draw(problems(one_bit=False, **options).filter(lambda p: p.geometry.speculation))


def check_kernels(kernels, p):
    try:
        expected = reference.crossbar(p.u, p.codes, p.tables, p.geometry)
    except ValueError:
        return
    cells = program(p.codes, p.geometry)
    arguments = p.u, cells, p.tables, p.outputs, p.geometry
    assert_same(kernels.crossbar(*arguments, True), expected)
    uncounted, *none = kernels.crossbar(*arguments, False)
    assert torch.equal(uncounted, expected[0])
    assert not any(x.any() for x in none)
    bins = reference.histogram(p.u, p.codes, p.tables.edges, p.geometry)
    assert torch.equal(kernels.histogram(p.u, cells, p.tables.edges, p.outputs, p.geometry), bins)


@pytest.mark.skipif(not cpu.available(), reason="the native library is not built")
@pytest.mark.parametrize("isa", isas())
def test_native_equals_reference(isa, monkeypatch):
    monkeypatch.setenv("RERAM_TORCH_ISA", isa)

    @examples(60)
    @given(speculations(most=80, outputs=None))
    def check(p):
        check_kernels(Kernels(cpu), p)

    check()


def test_the_emulated_device_equals_the_reference(emulated, monkeypatch):
    monkeypatch.setattr(cuda, "library", lambda: emulated.library)

    @examples(40)
    @given(speculations(most=40))
    def check(p):
        check_kernels(Kernels(cuda), p)

    check()


@pytest.mark.skipif(not cpu.available(), reason="the native library is not built")
@pytest.mark.parametrize("isa", isas())
def test_sums_beyond_the_tables_are_recovered(isa, monkeypatch):
    """Of 4-bit cells and DACs on 512 rows, which take up to 115,200."""
    monkeypatch.setenv("RERAM_TORCH_ISA", isa)
    g = replace(uniform(512, 4, 4, encoding=1), speculation=True)
    assert (g.lowest, g.highest) == (-(2**15) + 1, 2**15 - 1)
    generator = torch.Generator().manual_seed(0)
    u = torch.randint(0, 256, (9, 1, 700), dtype=torch.uint8, generator=generator)
    u[4:] = 255
    codes = torch.randint(-127, 128, (1, 70, 700), dtype=torch.int8, generator=generator)
    codes[:, :9] = 127
    tables = lossless_tables(g)
    acc, made, driven = Kernels(cpu).crossbar(u, program(codes, g), tables, 70, g, True)
    product = torch.einsum("mgk,gnk->mgn", u.long(), codes.long())
    assert torch.equal(acc.long(), product)
    assert_same((acc, made, driven), reference.crossbar(u, codes, tables, g))
    assert driven[g.cycles :].any()


@pytest.mark.parametrize("backend", ["native", "reference"])
def test_a_recovered_network_is_exact_where_recoveries_are(backend, monkeypatch):
    """With an ADC whose recoveries lose nothing, the plain integers; with 7 bits, nearly."""
    if backend == "native" and not cpu.available():
        pytest.skip("the native library is not built")
    monkeypatch.setenv("RERAM_TORCH_BACKEND", backend)
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(8, 12, 3, padding=1), nn.ReLU(), nn.Flatten(), nn.LazyLinear(5))
    x = torch.randn(4, 8, 6, 6).relu()
    net(x)
    for bits, close in ((7, 0.2), (11, 0.0)):
        made = rt.convert(net, replace(RAELLA, adc=rt.SpeculativeSAR(bits)))
        rt.calibrate(made, [x], show_progress=False)
        with torch.no_grad(), rt.PowerMeter(made) as meter:
            y = made(x)
        with torch.no_grad(), plain_integer(made):
            expected = made(x)
        assert (y - expected).norm() <= close * expected.norm()
        assert bits == 7 or torch.equal(y, expected)
        report = meter.report()
        assert report.total.comparisons == bits * report.conversions
        conv = report.layers[0]
        g = made[0].geometry
        recovered = sum(map(sum, conv.conversions_by[g.cycles :]))
        assert (recovered > 0) == (bits == 7)
        assert sum(conv.word_line_drives_by[g.cycles :]) > 0 or bits == 11
        sums = 4 * 36 * 12 * g.slices * g.cycles
        tried = sum(map(sum, conv.conversions_by[: g.cycles]))
        assert tried + conv.skipped == sums


def test_what_recovers_nothing_may_not_escape():
    g = uniform(8, 1, 2)
    tables = lossless_tables(g)
    levels = tables.levels.clone()
    levels[0, 5] = ESCAPE
    escaping = tables._replace(levels=levels)
    with pytest.raises(ValueError, match="a table escapes whose sums nothing recovers"):
        check_tables(g, escaping)
    g = replace(g, speculation=True)
    with pytest.raises(ValueError, match="nothing recovers"):
        check_tables(
            g,
            AdcTables(
                levels, *escaping.tensors[1:3], escaping.index[:, :1].expand(1, g.phases, -1)
            ),
        )
    layer = rt.ReRAMLinear(9, 3, config=rt.Config(rt.CrossbarConfig(dac_bits=2)))
    with pytest.raises(ValueError, match="crossbar.speculation is false"):
        layer.set_adc([rt.SpeculativeSAR(4)])


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: rt.CrossbarConfig(speculation=True), "for cycles of several bits"),
        (lambda: rt.CrossbarConfig(speculation=1, dac_bits=2), "true or false, not 1"),
        (lambda: rt.SpeculativeSAR(1), "from 2 to 16"),
        (lambda: rt.SpeculativeSAR(4, 3), "power of two"),
        (lambda: rt.Intervals((0, 8), (1, 1), (3, 1), (1, 1), (0, float("inf"))), "must be 0"),
    ],
)
def test_bad_settings_are_refused(make, words):
    with pytest.raises(ValueError, match=words):
        make()


def test_settings_survive_a_file_and_a_checkpoint(tmp_path):
    RAELLA.save(tmp_path / "own.toml")
    assert rt.load_config(tmp_path / "own.toml") == RAELLA
    net = rt.convert(nn.Sequential(nn.Linear(40, 6)), RAELLA)
    x = torch.rand(30, 40)
    rt.calibrate(net, [x], show_progress=False)
    tree = rt.SearchTree((-300, -20, 0, 21), (float("inf"), -10, 10, float("inf")), (2, 2, 2, 2))
    plain = rt.UniformSAR(9)
    g = net[0].geometry
    index = torch.ones(1, g.phases, g.slices, dtype=torch.int32)
    index[:, : g.cycles] = 0
    net[0].set_adc([tree, plain], index=index)
    again = rt.convert(nn.Sequential(nn.Linear(40, 6)), RAELLA)
    again.load_state_dict(net.state_dict())
    with torch.no_grad():
        assert torch.equal(again(x), net(x))
    assert again[0].adc == (tree, plain)
