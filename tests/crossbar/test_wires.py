"""Resistance of wires, against the nodal equations of whole arrays."""

import itertools
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from problems import examples, problems
from programmed import codes_of, geometry, lines_of, plain

pytest.importorskip("scipy")
from scipy.sparse import coo_matrix
from scipy.sparse.linalg import spsolve

from reram_torch.config.device_errors import WriteErrors
from reram_torch.config.devices import Cells, load_devices
from reram_torch.crossbar import wires
from reram_torch.crossbar.drawing import CellDrawer
from reram_torch.crossbar.wires import Wired, Wiring, cell_voltages

WAN, ISAAC = load_devices("wan2022"), load_devices("isaac")


def wired(devices, ohm=0.35):
    return replace(devices, cells=replace(devices.cells, wire_ohm=ohm))


def currents(conductances, ohm, drive):
    """What bit-lines carry into their ADCs: Kirchhoff's laws of every node, word-lines gated."""
    R, C = conductances.shape
    ends = {name: index for index, name in enumerate(itertools.product("wb", range(R), range(C)))}
    matrix, known = [], np.zeros(len(ends))

    def connect(a, b, g, volt=0.0):
        """A resistor between nodes, or from a node to a source."""
        matrix.append((ends[a], ends[a], g))
        if b is None:
            known[ends[a]] += g * volt
            return
        matrix.extend([(ends[b], ends[b], g), (ends[a], ends[b], -g), (ends[b], ends[a], -g)])

    for r, c in itertools.product(range(R), range(C)):
        connect(("w", r, c), ("w", r, c - 1) if c else None, 1 / ohm, drive[r])
        connect(("b", r, c), ("b", r - 1, c) if r else None, 1 / ohm)
        if drive[r]:
            connect(("w", r, c), ("b", r, c), conductances[r, c])
    rows, columns, values = zip(*matrix, strict=True)
    system = coo_matrix((values, (rows, columns)), shape=(len(ends),) * 2).tocsc()
    voltages = spsolve(system, known)
    return np.array([voltages[ends["b", 0, c]] / ohm for c in range(C)])


@pytest.mark.parametrize(("shape", "ohm"), [((1, 1), 50.0), ((9, 1), 9.0), ((1, 9), 9.0),
                                            ((24, 31), 0.35), ((40, 17), 20.0)])  # fmt: skip
def test_voltages_are_those_of_the_nodal_equations(shape, ohm):
    rng = np.random.default_rng(0)
    cells = rng.choice([5e-7, 1e-4, 5e-4], size=shape)
    drive = rng.choice([0.0, 1 / 3, 1.0], size=shape[0])
    drive[0] = 1.0
    driven = (drive > 0).astype(float)
    found = cell_voltages((cells * ohm)[None], driven[None], drive[None])[0]
    sums = (found * cells * driven[:, None]).sum(0)
    assert sums == pytest.approx(currents(cells, ohm, drive), rel=1e-9)


def test_mean_voltages_fulfil_the_equations_of_the_mean_load():
    rng = np.random.default_rng(0)
    loads, shares = rng.uniform(0, 0.02, (2, 12, 9)), rng.uniform(0, 1, (2, 12))
    over = cell_voltages(loads, shares, np.ones((2, 12)))  # w - b: of b a bit-line's own equations
    lines = (loads * shares[:, :, None] * over).transpose(0, 2, 1)
    ladder = 2 * np.eye(12) - np.eye(12, k=1) - np.eye(12, k=-1)
    ladder[-1, -1] = 1
    b = np.linalg.solve(ladder, lines[..., None])[..., 0].transpose(0, 2, 1)
    w = over + b
    before = np.concatenate([np.ones((2, 12, 1)), w[..., :-1]], 2)
    after = np.concatenate([w[..., 1:], w[..., -1:]], 2)
    assert 2 * w - before - after == pytest.approx(-loads * over, abs=1e-11)


def test_a_single_cell_divides_the_voltage():
    found = cell_voltages(np.full((1, 1, 1), 0.25), np.ones((1, 1)), np.ones((1, 1)))
    assert found.item() == pytest.approx(1 / 1.5)  # two wires and four times their resistance


def test_an_array_far_from_anything_built_is_solved_or_refused():
    loads, one = np.full((1, 16, 16), 0.5), np.ones((1, 16))
    found = cell_voltages(loads, one, one)
    sums = (found * loads)[0].sum(0)  # with wires of 1 Ohm
    assert sums == pytest.approx(currents(loads[0], 1.0, one[0]), abs=1e-8)
    with pytest.raises(ValueError, match=r"cells.wire_ohm must be less: after 5000 sweeps"):
        cell_voltages(loads * 1e4, one, one)


@examples(30)
@given(problems(most=40), st.sampled_from([(), (3,), (2, 1, 4)]), st.integers(1, 9))
def test_every_cell_has_its_place_on_an_array(p, copies, cols):
    g, (G, N, K) = replace(p.geometry, cols=cols), p.codes.shape
    present = list(range(0, g.slices, 2))
    devices = replace(WAN, cells=replace(WAN.cells, copies=copies))
    wiring = Wiring.of(CellDrawer(g, devices, G * N * K, present, 0, "", None), N, K)
    cells = torch.rand(g.bit_lines, g.slices, G, N, K)
    back = np.zeros(cells.shape)
    for tile in range(g.tiles(K)):
        arrays = wiring.arrays(cells, tile)
        assert arrays.shape[3] <= cols
        assert arrays.shape[2] <= g.rows
        wiring.put_back(arrays, back, tile)
    assert np.allclose(back[:, present], cells[:, present], rtol=1e-6)
    assert not back[:, 1::2].any()


def test_bit_lines_go_slice_by_slice_with_pairs_and_copies_side_by_side():
    g = replace(geometry((2, 2), encoding=1, rows=2), cols=5)
    wiring = Wiring(g, {0: 1, 1: 2}, 2, 3)
    cells = torch.arange(2 * 2 * 2).view(2, 2, 1, 2, 1).expand(2, 2, 1, 2, 3)  # 4 p + 2 j + n
    arrays = wiring.arrays(cells, 1)
    assert arrays.shape == (1, 3, 1, 5)
    assert arrays.ravel().tolist() == [0, 4, 1, 5, 2, 2, 6, 6, 3, 3, 7, 7, 0, 0, 0]


def test_what_wires_leave_of_a_chip():
    """Far cells lose most; wires of no length nothing; a chip holds what is left."""
    codes, g = codes_of(torch.ones(128, 128)), geometry()
    shares = torch.full((1, 128), 0.1, dtype=torch.double)
    left = Wired.of(codes, g, wired(ISAAC), shares).attenuation()[0, 0, 0]
    assert left[0, 0] > 0.98
    assert left[0].diff().max() < 0  # from the ADC on
    assert left[:, 0].diff().max() < 0  # and from the driver on
    assert 0.2 < float(left.min()) < 0.5
    thin = Wired.of(codes, g, wired(ISAAC, 1e-9), shares).attenuation()
    assert float(thin.min()) > 1 - 1e-6
    found = lines_of(codes, g, wired(plain()), attenuation=left[None, None, None])
    assert torch.allclose(found, (codes + 1) * left.double(), rtol=0, atol=0.51 / 256)


@pytest.mark.parametrize("encoding", [0, 1, 2])
@pytest.mark.parametrize("dummy", [False, True])
def test_errors_are_those_of_what_a_chip_stores(encoding, dummy):
    """Integer sums of the chip against Kirchhoff's laws of its arrays, leaks and copies and all."""
    torch.manual_seed(1)
    cells = replace(ISAAC.cells, g_off_us=20.0, dummy_column=dummy, copies=(2,), wire_ohm=2.0)
    devices, options = plain(cells=cells, programming=WriteErrors(polynomial=[5.0])), {"seed": 3}
    g = replace(geometry((1, 2), encoding=encoding, rows=16), cols=11)
    codes = torch.randint(-3, 4, (2, 5, 27), dtype=torch.int16)
    array = Wired.of(codes, g, devices, torch.rand(2, 27).double(), **options)
    left = array.attenuation()
    stored = lines_of(codes, g, devices, attenuation=left, **options)
    digits = torch.rand(3, 11).lt(0.5).double()  # of the second tile
    found = array.errors(1, 1, digits.numpy())
    chip = torch.einsum("mr,sjnr->mjns", digits, stored[:, :, 1, :, 16:]).flatten(1)
    arrays = array.wiring.arrays(array.cells, 1)[1] * 1e-6
    for row, error, sums in zip(digits.numpy(), found, chip, strict=True):
        real = np.concatenate([currents(a, 2.0, row) for a in arrays])[: array.wiring.lines]
        step = array.wiring.by_slice({j: array.drawer.law(j).step_us * 1e-6 for j in (0, 1)})
        wanted = array.wiring.conversions(real / step)
        if dummy and encoding != 1:  # whose cells are attenuated as they really are
            exact = np.stack(
                [cell_voltages((a * 2.0)[None], row[None], row[None])[0] for a in arrays]
            )
            lost = 20e-6 * (exact * row[None, :, None]).sum(1).ravel()[: array.wiring.lines]
            wanted = wanted - array.wiring.conversions(lost / step)
        assert sums.numpy() - wanted == pytest.approx(error, abs=0.5 * 11 / 256)


def test_a_map_at_the_very_pattern_is_exact():
    torch.manual_seed(0)
    codes, g = codes_of(torch.rand(40, 100) < 0.5), replace(geometry(), cols=32)
    pattern = torch.rand(1, 100).lt(0.3).double()
    array = Wired.of(codes, g, wired(ISAAC), pattern)
    assert np.abs(array.errors(0, 0, pattern.numpy())).max() < 1e-8
    other = torch.rand(1, 100).lt(0.3).double()
    assert np.abs(array.errors(0, 0, other.numpy())).max() > 0.01


def random_array(share, seed=0):
    """Columns of their own density on cells of 2 kOhm, at a share of driven word-lines."""
    torch.manual_seed(seed)
    weights = torch.rand(128, 128) < 0.2 + 0.6 * torch.rand(128, 1)
    shares = torch.full((1, 128), share).double()
    return Wired.of(codes_of(weights), geometry(), wired(ISAAC), shares), weights


def rms(errors):
    return float(np.sqrt((errors**2).mean()))


def left_by(array, digits, other):
    """The error in steps, had the chip this attenuation."""
    cells = array.cells[0, 0, 0].double().numpy() / 500
    own = array.attenuation()[0, 0, 0].numpy()
    return rms(array.errors(0, 0, digits) + digits @ ((other - own) * cells).T)


@pytest.mark.parametrize(
    ("share", "own", "others", "none"), [(0.15, 0.153, 0.255, 3.81), (1.0, 0.0, 3.35, 34.8)]
)
def test_a_map_of_other_weights_leaves_more_and_none_leaves_far_more(share, own, others, none):
    """rms steps left by the map of the array's own cells, of its weights shuffled, and by none."""
    array, weights = random_array(share)
    digits = torch.rand(20, 128).lt(share).double().numpy()
    shuffled = weights.flatten()[torch.randperm(128 * 128)].view(128, 128)
    other = Wired.of(codes_of(shuffled), geometry(), wired(ISAAC), array.shares)
    assert rms(array.errors(0, 0, digits)) == pytest.approx(own, rel=0.1, abs=1e-9)
    left = other.attenuation()[0, 0, 0].numpy()
    assert left_by(array, digits, left) == pytest.approx(others, rel=0.1)
    assert left_by(array, digits, np.ones((128, 128))) == pytest.approx(none, rel=0.1)


def test_which_load_leaves_least():
    """Where cycles differ: rms steps of three loads, and of wires that carry means only."""
    array, _ = random_array(0.2)
    cycle = torch.tensor([0.05, 0.35]).repeat(20)[:, None]  # two kinds of cycles
    digits = torch.rand(40, 128).lt(cycle).double()
    driven = digits.sum(1, keepdim=True)
    found = []
    for power in (0, 1, 2):
        shares = (driven**power * digits).sum(0) / (driven**power).sum()
        found.append(rms(replace(array, shares=shares[None]).errors(0, 0, digits.numpy())))
    assert found[2] < found[1] < found[0]
    loads = array.wiring.arrays(array.cells, 0)[0] * 0.35e-6
    means = cell_voltages(loads * 0.2, np.ones((1, 128)), np.ones((1, 128)))[0].T
    assert left_by(array, digits.numpy(), means) > 5 * found[2]


def test_when_relaxing_stops_changes_no_cell(monkeypatch):
    array, weights = random_array(0.2)
    stored = []
    for tolerance in (1e-12, 1e-8):
        monkeypatch.setattr(wires, "_TOLERANCE", tolerance)
        left = array.attenuation()
        stored.append(lines_of(codes_of(weights), geometry(), plain(), attenuation=left))
    assert torch.equal(*stored)


def test_cells_that_conduct_less_than_nothing_do_no_harm():
    codes, g = codes_of(torch.zeros(100, 100)), geometry()
    left = Wired.of(codes, g, wired(WAN), torch.ones(1, 100).double()).attenuation()
    assert float((left - 1).abs().max()) < 0.01


def test_no_cell_at_all():
    codes, g = torch.zeros(1, 3, 5, dtype=torch.int16), geometry((1, 1), encoding=1)
    assert Wired.of(codes, g, wired(WAN), torch.ones(1, 5).double()).attenuation().eq(1).all()
    assert Cells(on_off_ratio=2.0).wire_ohm == 0
