"""The arithmetic: the reference against plain integers, the kernels against the reference."""

import numpy as np
import pytest
import torch
from hypothesis import given
from problems import (
    Kernels,
    Problem,
    assert_same,
    examples,
    isas,
    lossless_tables,
    operator_crossbar,
    problems,
    uniform,
)

from reram_torch.crossbar.cells import program
from reram_torch.crossbar.counting import conversions_of
from reram_torch.crossbar.tables import ESCAPE, AdcTables, check_accumulator
from reram_torch.native import cpu
from reram_torch.ops import backends, reference

KERNELS = Kernels(cpu)
needs_native = pytest.mark.skipif(not cpu.available(), reason="the native library is not built")


class BruteForce:
    """The definition, one Python integer at a time."""

    def __init__(self, p: Problem):
        self.p, self.g = p, p.geometry
        g, (M, G, K) = self.g, p.u.shape
        self.acc = torch.zeros(M, G, p.outputs, dtype=torch.int64)
        self.made = [[0] * g.slices for _ in range(g.phases + g.recoveries)]
        self.started, self.idle = ([[0] * g.slices for _ in range(g.cycles)] for _ in range(2))
        self.driven = [[0] * (g.rows + 1) for _ in range(g.phases)]
        for m in range(M):
            for group in range(G):
                for first in range(0, K, g.rows):
                    rows = range(first, min(first + g.rows, K))
                    u = [int(p.u[m, group, k]) & 2**g.input_bits - 1 for k in rows]
                    for i in range(g.cycles):
                        self.cycle(m, group, rows, u, i)

    def cycle(self, m, group, rows, u, i):
        g, p = self.g, self.p
        pulses = [(a >> sum(g.dac_widths[:i])) % 2 ** g.dac_widths[i] for a in u]
        bits = {b: [a >> b & 1 for a in u] for b in g.recovered_bits(i)}
        self.driven[i][sum(pulse > 0 for pulse in pulses)] += 1
        again = False
        for n in range(p.outputs):
            q = [int(p.codes[group, n, k]) for k in rows]
            if g.encoding == 0:
                stored = [[v + 2 ** (g.weight_bits - 1) for v in q]]
                if i == 0:
                    offset = p.tables.unit * 2 ** (g.weight_bits - 1) * sum(u)
                    self.acc[m, group, n] -= offset
            else:
                stored = [[max(v, 0) for v in q], [max(-v, 0) for v in q]]
            for j in range(g.slices):
                below = sum(g.cell_widths[:j])
                cells = [[(c >> below) % 2 ** g.cell_widths[j] for c in part] for part in stored]
                if g.encoding == 1:
                    cells = [[a - b for a, b in zip(*cells, strict=True)]]
                for sign, part in zip((1, -1), cells, strict=False):
                    level, made, table = self.convert(i, j, pulses, part)
                    self.made[i][j] += made
                    started = table >= 0 and bool(p.tables.comparisons[table].any())
                    (self.started if started else self.idle)[i][j] += 1
                    if level == ESCAPE:
                        again = True
                        self.acc[m, group, n] += sign * self.recover(bits, j, part) * 2**below
                    else:
                        shift = below + sum(g.dac_widths[:i])
                        self.acc[m, group, n] += sign * level * 2**shift
        for b, own in bits.items():
            self.driven[g.cycles + b][sum(own)] += again

    def recover(self, bits, j, part):
        total = 0
        for b, own in bits.items():
            level, made, table = self.convert(self.g.cycles + b, j, own, part)
            self.made[self.g.cycles + b][j] += made
            started = table >= 0 and bool(self.p.tables.comparisons[table].any())
            self.made[self.g.phases + b][j] += started
            total += level * 2**b
        return total

    def convert(self, phase, j, pulses, cells):
        tables = self.p.tables
        active = sum(pulse > 0 for pulse in pulses)
        bucket = sum(active >= edge for edge in tables.edges.tolist()) - 1
        table = int(tables.index[bucket, phase, j])
        if table < 0:
            return 0, 0, table
        at = sum(a * c for a, c in zip(pulses, cells, strict=True)) - self.g.lowest
        return int(tables.levels[table, at]), int(tables.comparisons[table, at]), table


@examples(60)
@given(problems(most=6, tables=("lossless", "coarse", "even")))
def test_reference_follows_the_contract(p):
    told = BruteForce(p)
    found, *counts = reference.crossbar(p.u, p.codes, p.tables, p.geometry)
    assert torch.equal(found.long(), told.acc)
    assert counts[0].tolist() == told.made
    assert counts[1].tolist() == told.driven
    every = np.ones(p.geometry.slices, dtype=bool)
    conversions, skipped = conversions_of(p.geometry, p.tables, p.outputs, counts[1].numpy(), every)
    assert conversions.tolist() == told.started
    assert skipped.tolist() == told.idle


@examples(60)
@given(problems(most=80, tables=("lossless",)))
def test_reference_is_lossless(p):
    acc, _, driven = reference.crossbar(p.u, p.codes, p.tables, p.geometry)
    assert torch.equal(acc.long(), p.product())
    M, G, K = p.u.shape
    expected = p.geometry.conversions_per_cycle(K, M, G * p.outputs)
    every = np.ones(p.geometry.slices, dtype=bool)
    made, skipped = conversions_of(p.geometry, p.tables, p.outputs, driven.numpy(), every)
    assert (made + skipped == expected).all()


def check_native(p: Problem, monkeypatch, isa: str):
    monkeypatch.setenv("RERAM_TORCH_ISA", isa)
    try:
        expected = reference.crossbar(p.u, p.codes, p.tables, p.geometry)
    except ValueError:
        expected = None
    cells = program(p.codes, p.geometry)
    assert torch.equal(KERNELS.program(p.codes, p.geometry), cells)
    arguments = p.u, cells, p.tables, p.outputs, p.geometry
    if expected is None:  # both refuse what could overflow
        with pytest.raises(ValueError, match="overflow"):
            KERNELS.crossbar(*arguments, True)
        return
    assert_same(KERNELS.crossbar(*arguments, True), expected)
    uncounted, *none = KERNELS.crossbar(*arguments, False)
    assert torch.equal(uncounted, expected[0])
    assert not any(x.any() for x in none)
    edges = p.tables.edges
    bins = reference.histogram(p.u, p.codes, edges, p.geometry)
    assert torch.equal(KERNELS.histogram(p.u, cells, edges, p.outputs, p.geometry), bins)


@needs_native
@pytest.mark.parametrize("isa", isas())
def test_native_equals_reference(isa, monkeypatch):
    @examples(120)
    @given(problems(most=70))
    def check(p):
        check_native(p, monkeypatch, isa)

    check()


@needs_native
@pytest.mark.parametrize("isa", isas())
@pytest.mark.parametrize(
    ("count", "kind"),
    [
        (25, {}),
        (8, {"one_bit": False, "outputs": 80}),
        # Few bit-lines: positions and bit-lines exchange their roles.
        (25, {"outputs": 9, "buckets": False, "encodings": (0, 2)}),
        (25, {"outputs": 9, "buckets": False, "encodings": (1,)}),
        (25, {"outputs": 9, "tables": ("lossless", "coarse", "even")}),
        (25, {"outputs": 9, "tables": ("lossless", "coarse", "even"), "buckets": "many"}),
    ],
    ids=[
        "wide",
        "cells and DACs of several bits",
        "narrow, one bucket and histogram",
        "narrow, differential and histogram",
        "narrow, few buckets and histogram",
        "narrow, many buckets and histogram",
    ],
)
def test_native_equals_reference_at_size(isa, count, kind, monkeypatch):
    @examples(count // 3 if isa == "portable" else count)  # it takes ten times as long
    @given(problems(**{"most": 300, "one_bit": True, **kind}))
    def check(p):
        check_native(p, monkeypatch, isa)

    check()


@needs_native
@pytest.mark.parametrize("isa", isas())
@pytest.mark.parametrize("encoding", [0, 1, 2])
@pytest.mark.parametrize(
    ("rows", "cell_bits", "dac_bits"), [(1024, 1, 1), (300, 2, 1), (4096, 4, 4)]
)
def test_sums_above_255(rows, cell_bits, dac_bits, encoding, isa, monkeypatch):
    """Sparse positions that fit a byte beside dense ones that take up to 20 bits."""
    g = uniform(rows, cell_bits, dac_bits, encoding=encoding)
    generator = torch.Generator().manual_seed(0)
    u = torch.randint(0, 256, (6, 1, rows + 70), dtype=torch.uint8, generator=generator)
    u[:3] *= torch.rand(u[:3].shape, generator=generator) < 0.05
    u[5] = 255
    codes = torch.randint(-128, 128, (1, 67, rows + 70), dtype=torch.int8, generator=generator)
    codes[:, :2] = torch.tensor([-128, 127], dtype=torch.int8).view(1, 2, 1)
    check_native(Problem(g, u, codes, lossless_tables(g)), monkeypatch, isa)


@needs_native
@pytest.mark.parametrize("edges", [(0,), (0, 1, 9, 30)])
def test_strips_of_positions_of_a_narrow_layer(edges):
    """More positions than one task takes, on one thread and on two; whole strips and a rest."""
    g = uniform(128, 1, 1)
    u = torch.randint(0, 256, (1337, 2, 150), dtype=torch.uint8)
    codes = torch.randint(-128, 128, (2, 3, 150), dtype=torch.int8)
    u *= torch.rand(u.shape) < 0.3
    levels = lossless_tables(g).levels
    index = torch.zeros(len(edges), 8, 8, dtype=torch.int32)
    if len(edges) > 1:
        index[0] = -1
    made = torch.randint(0, 12, levels.shape, dtype=torch.uint8)
    tables = AdcTables(levels, made, torch.tensor(edges, dtype=torch.int32), index)
    expected = reference.crossbar(u, codes, tables, g)
    cells = program(codes, g)
    before = torch.get_num_threads()
    try:
        for threads in (1, 2):
            torch.set_num_threads(threads)
            assert_same(KERNELS.crossbar(u, cells, tables, 3, g, True), expected)
    finally:
        torch.set_num_threads(before)


@needs_native
@examples(25)
@given(problems(most=300, tables=("lossless",), one_bit=True))
def test_native_is_lossless(p):
    cells = KERNELS.program(p.codes, p.geometry)
    acc, *_ = KERNELS.crossbar(p.u, cells, p.tables, p.outputs, p.geometry, False)
    assert torch.equal(acc.long(), p.product())


@examples(40)
@given(problems(most=40))
def test_the_operator_is_one_of_the_two(p):
    """What torch dispatches to, native where it is built, is the reference to the last integer."""
    cells = program(p.codes, p.geometry)
    arguments = p.u, cells, p.tables, p.outputs, p.geometry
    try:
        expected = reference.crossbar(p.u, p.codes, p.tables, p.geometry)
    except ValueError:
        with pytest.raises(ValueError, match="overflow"):
            operator_crossbar(*arguments, True)
        return
    assert_same(operator_crossbar(*arguments, True), expected)


@pytest.mark.parametrize("encoding", [0, 1, 2])
def test_the_largest_sums_that_fit(encoding):
    """Every input and every weight at its extreme, just below the bound of the accumulator."""
    g = uniform(128, 1, 1, encoding=encoding)
    tables = lossless_tables(g)
    low, high = 1, 100_000
    while high - low > 1:  # the deepest reduction that is not refused
        K = (low + high) // 2
        try:
            check_accumulator(g, K, tables)
            low = K
        except ValueError:
            high = K
    for code in (-128, 127):
        codes = torch.full((1, 2, low), code, dtype=torch.int8)
        u = torch.full((1, 1, low), 255, dtype=torch.uint8)
        cells = program(codes, g)
        acc, *_ = operator_crossbar(u, cells, tables, 2, g, False)
        assert acc.flatten().tolist() == [255 * code * low] * 2
    assert low > 32_000


def test_nothing_to_do():
    g = uniform(128, 1, 1)
    codes = torch.ones(1, 3, 10, dtype=torch.int8)
    tables = lossless_tables(g)
    u = torch.zeros(0, 1, 10, dtype=torch.uint8)
    cells = program(codes, g)
    acc, *counts = operator_crossbar(u, cells, tables, 3, g, True)
    assert acc.shape == (0, 1, 3)
    assert not any(x.any() for x in counts)
    assert not torch.ops.reram_torch.histogram(u, cells, tables.edges, [], [3, *g.as_list()]).any()


@needs_native
def test_fingerprint_tells_content():
    x = torch.randn(1000)
    print_of = backends.fingerprint(x)
    assert print_of == backends.fingerprint(x.clone())
    for change in (lambda t: t.neg_(), lambda t: t[0].add_(1e-6), lambda t: t[[0, 1]].neg_()):
        y = x.clone()
        change(y)
        if not torch.equal(x, y):
            assert backends.fingerprint(y) != print_of
    assert backends.fingerprint(x.flip(0)) != print_of
    assert backends.fingerprint(x[:-1]) != print_of
    pairs = x.clone()
    pairs[[1, 17, 33]] *= -1  # top bits of words in one lane of the hash
    assert backends.fingerprint(pairs) != print_of
