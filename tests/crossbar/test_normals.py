"""Random words by their place, and normal numbers from them."""

import statistics

import numpy as np
import pytest
import torch

from reram_torch.crossbar.draws import key_of, words
from reram_torch.crossbar.normals import UNIT, normal_table, normals


def test_quantiles_are_those_of_the_normal_law():
    table, law = normal_table(), statistics.NormalDist()
    for k in [*range(0, 65536, 997), 65535]:
        assert int(table[0, k]) == round(law.inv_cdf((k + 0.5) / 65536) * UNIT)
        tail = (65536 - k - 0.5) / 65536 / 65536
        assert int(table[1, k]) == round(-law.inv_cdf(tail) * UNIT)
    assert torch.equal(table[0], -table[0].flip(0))
    assert (table.int().diff() >= 0).all()
    assert 6.2 < int(table[1, -1]) / UNIT < 6.4
    assert int(table[1, 0]) >= int(table[0, -2])  # the tail begins where the body ends


def test_no_quantile_rounds_one_way_here_and_another_there():
    """Machines differ in the last bits of a double, not by 1e-9 of an entry."""
    middle = (torch.arange(65536, dtype=torch.float64) + 0.5) / 65536
    for rows in (middle, middle / 65536):
        entries = torch.special.ndtri(rows) * UNIT
        assert float((entries - entries.floor() - 0.5).abs().min()) > 1e-7


def test_normals_of_words():
    table = normal_table().numpy()
    chosen = np.array([0x80000000, 0xFFFF0007, 0x00000007, 0x00010000, 0xFFFEFFFF], dtype=np.uint32)
    wanted = [table[0, 0x8000], table[1, 7], -table[1, 7], table[0, 1], table[0, 65534]]
    assert normals(chosen).tolist() == wanted
    assert normals(chosen[:4].reshape(2, 2)).tolist() == [wanted[:2], wanted[2:4]]
    z = normals(words(key_of(0, "", "test"), 0, 1 << 20)) / UNIT
    for power, wanted in ((1, 0), (2, 1), (3, 0), (4, 3)):
        error = np.sqrt({1: 1, 2: 2, 3: 15, 4: 96}[power] / z.size)
        assert abs((z**power).mean() - wanted) < 4 * error


def test_a_word_is_found_by_its_place():
    key = key_of(3, "layer", "purpose")
    everything = words(key, 0, 1000)
    for first in (0, 1, 7, 8, 9, 333, 999):
        count = min(200, 1000 - first)
        assert (words(key, first, count) == everything[first : first + count]).all()
    assert words(key, 5, 0).size == 0
    far = words(key, 10**15, 20)
    assert (words(key, 10**15 + 13, 7) == far[13:]).all()


def test_words_are_the_same_on_every_machine():
    assert [f"{word:08x}" for word in words(key_of(0, "conv1", "pulse 0"), 3, 4)] == [
        "59cf8bf1", "c204a911", "3c340819", "199d8afe"
    ]  # fmt: skip


def test_streams_have_nothing_in_common():
    keys = {
        key_of(*given) for given in [(0, "a", "b"), (1, "a", "b"), (0, "ab", ""), (0, "", "ab")]
    }
    assert len(keys) == 4
    a, b = (words(key_of(0, layer, "x"), 0, 1 << 16).astype(float) for layer in "ab")
    assert abs(np.corrcoef(a, b)[0, 1]) < 4 / 256


@pytest.mark.parametrize("seed", [-1, 2**63, 0.5, True, None])
def test_a_seed_is_a_whole_number(seed):
    with pytest.raises(ValueError, match="seed must be a whole number from 0"):
        key_of(seed, "", "")
