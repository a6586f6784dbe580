"""Controllers in simulation: levels and clocks are the tables'; sabotaged ones are found out."""

import numpy as np
import pytest
from searched_words import put, trained

import reram_torch as rt
from reram_torch.hardware.controllers import controller
from reram_torch.hardware.simulation import chain_of, has_simulator, simulate, simulate_chain
from reram_torch.hardware.words import format_of, words_of

pytestmark = pytest.mark.skipif(not has_simulator(), reason="no Icarus Verilog (iverilog, vvp)")

KINDS = [
    "plain", "activity", "programmable", "twin_range", "intervals", "aligned", "search_tree",
]  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("encoding", ["offset", "differential"])
@pytest.mark.filterwarnings("ignore")
def test_every_sum_of_every_table_of_a_network(encoding, kind):
    pytest.importorskip("sklearn")
    net, _ = trained(encoding)
    for layer in put(net, kind):
        words, tables = rt.program_words(layer), layer.tables()
        found = [words.decoded(k) for k in range(len(words.tables))]
        rng = np.random.default_rng(0)
        g = layer.geometry
        stream = np.stack(
            [rng.integers(0, len(found), 200), rng.integers(g.lowest, g.highest + 1, 200)], 1
        )
        result = simulate(words.format, words.tables, found, stream)
        assert result.conversions == len(found) * g.values + 200
        assert result.wrong == 0, result.messages
        assert len(tables.levels) >= len(found)


@pytest.mark.parametrize("kind", ["activity", "programmable", "aligned"])
@pytest.mark.filterwarnings("ignore")
def test_conversions_through_activity_unit_directory_and_loader(kind):
    pytest.importorskip("sklearn")
    net, _ = trained("differential")
    layer = put(net, kind)[0]
    words, g, rng = rt.program_words(layer), layer.geometry, np.random.default_rng(1)
    ends = (g.rows + 1, g.phases, g.slices)
    stream = np.stack([*(rng.integers(0, n, 1500) for n in ends)], 1)
    sums = rng.integers(g.lowest, g.highest + 1, 1500)
    stream = np.concatenate([stream, sums[:, None]], 1)
    found = simulate_chain(words, stream, g.rows)
    assert (found.conversions, found.wrong) == (1500, 0)
    text = chain_of(words.format)
    of_words = (
        ("ends = left == 1", "ends = left <= 2"), ("& (loaded == first)", ""),
        (".d(first), .q(loaded)", ".d(0), .q(loaded)"),
    )  # fmt: skip
    of_one = ("{some, word} = entry", "{word, some} = entry"), ("load ? begins", "load ? 0")
    more = of_words if words.format.words > 1 else of_one
    for before, after in (("count >= EDGES", "count > EDGES"), *more):
        assert before in text
        spoilt = simulate_chain(words, stream, g.rows, verilog=text.replace(before, after))
        assert spoilt.wrong


def sabotaged(kind):
    """Designs of a kind, and what spoils its controller: (before, after) in its Verilog."""
    tree = rt.SearchTree((0, 3, 9, 14), (1, 4.5, 10, 15), (2, 2, 2, 2))
    ranges = rt.Segmented((0, 4, 16), (1, 2, 4), (2, 2, 2), (1, 2, 2), None, False)
    return {
        "programmable": (rt.UniformSAR(4, 2), "assign here = ones[i]", "assign here = ~ones[i]"),
        "twin_range": (rt.TwinRange(8, 2, 3, 2, 1), "at_end ? ~cmp", "at_end ? cmp"),
        "search_tree": (tree, "cmp ? link_above : link_below", "cmp ? link_below : link_above"),
        "segmented": (ranges, "| last & (coarse | cmp)", "| last & (coarse | ~cmp)"),
    }[kind]  # fmt: skip


def flipped(made):
    """Bits of the first word that matter, by field."""
    if made.linked:
        return [{"code": 1}, {"code": 4}, {"below": 1}, {"above": 1}, {"below_ends": 1}]
    if made.kind == "programmable":
        return [{"top": 1}, {"step": 1}, {"none": 1}]
    return [{"start": 1}, {"start": 4}, {"below": 1}, {"top1": 1}, {"step1": 1}, {"step2": 1}]


@pytest.mark.parametrize("kind", ["programmable", "twin_range", "search_tree", "segmented"])
def test_sabotaged_words_and_controllers_are_found_out(kind):
    design, before, after = sabotaged(kind)
    made = format_of([design], 0, 40)
    words = words_of(design, made, 0, 40)
    table = design.tables(0, 40)
    assert simulate(made, [words], [table]).wrong == 0
    for flips in flipped(made):  # an off-by-one threshold, a flipped link, a shifted step
        spoilt = (words[0] ^ made.packed(flips), *words[1:])
        assert simulate(made, [spoilt], [table]).wrong, flips
    text = controller(made)
    assert before in text
    assert simulate(made, [words], [table], verilog=text.replace(before, after)).wrong
