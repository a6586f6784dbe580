"""Top-1 lost: counted, and as expected on more images."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from reram_torch.design.drop import counted_drop, expected_drop, margins, mean_error


def test_margins_are_above_zero_where_the_answer_is_right():
    scores = torch.randn(50, 7)
    labels = torch.randint(7, (50,))
    found = margins(scores, labels)
    assert torch.equal(found > 0, scores.argmax(1) == labels)
    k = int(labels[0])
    others = torch.cat([scores[0, :k], scores[0, k + 1 :]])
    assert float(found[0]) == pytest.approx(float(scores[0, k] - others.max()))


@given(st.integers(1, 40), st.integers(0, 2**32 - 1))
def test_expected_is_every_line_met_with_every_disturbance(n, seed):
    generator = torch.Generator().manual_seed(seed)
    ideal = torch.randn(n, generator=generator, dtype=torch.float64)
    made = 0.8 * ideal + 0.3 * torch.randn(n, generator=generator, dtype=torch.float64) - 0.1
    slope = 1.0
    if n > 1:
        both = torch.cov(torch.stack([ideal, made]))
        slope = both[0, 1] / both[0, 0]
    line = made.mean() + slope * (ideal - ideal.mean())
    right = (line[:, None] + (made - line)[None] > 1e-12).double()
    drop, error = expected_drop(ideal, made)
    assert drop == pytest.approx(float((ideal > 0).double().mean() - right.mean()), abs=1.5 / n**2)
    assert 0 <= error <= 1 / n**0.5
    assert expected_drop(ideal, ideal.clone()) == (0.0, 0.0)


@given(st.integers(2, 20), st.integers(0, 20), st.integers(0, 2**32 - 1))
def test_further_images_count_by_their_margins(n, further, seed):
    generator = torch.Generator().manual_seed(seed)
    ideal, more = (torch.randn(k, generator=generator, dtype=torch.float64) for k in (n, further))
    made = 0.8 * ideal + 0.3 * torch.randn(n, generator=generator, dtype=torch.float64) - 0.1
    both = torch.cov(torch.stack([ideal, made]))
    slope = both[0, 1] / both[0, 0]
    every = torch.cat([ideal, more])
    line = made.mean() + slope * (every - ideal.mean())
    right = (line[:, None] + (made - line[:n])[None] > 1e-12).double()
    drop, error = expected_drop(ideal, made, more)
    wanted = float((every > 0).double().mean() - right.mean())
    assert drop == pytest.approx(wanted, abs=1.5 / n / len(every))
    assert 0 <= error <= 2 / n**0.5
    if not further:
        assert (drop, error) == expected_drop(ideal, made)


def test_a_few_images_tell_more_than_their_count():
    """Of 64 images the expected drop is far nearer to the truth than the counted one."""
    counted, expected, errors = [], [], []
    for _ in range(200):
        ideal = 3 + 2 * torch.randn(64, dtype=torch.float64)
        made = 0.9 * ideal + 0.5 * torch.randn(64, dtype=torch.float64)
        counted.append(counted_drop(ideal, made))
        drop, error = expected_drop(ideal, made)
        expected.append(drop)
        errors.append(error)
    ideal = 3 + 2 * torch.randn(1_000_000, dtype=torch.float64)
    truth = counted_drop(ideal, 0.9 * ideal + 0.5 * torch.randn_like(ideal))

    def spread(drops):
        return (torch.tensor(drops) - truth).square().mean().sqrt()

    assert spread(expected) < 0.7 * spread(counted)
    assert sum(errors) / len(errors) == pytest.approx(float(spread(expected)), rel=0.35)


@pytest.mark.parametrize("shares", [(1.0, 0.0, 0.0), (0.0, 0.0, 1.0), (0.3, 0.3, 1.0)])
def test_the_error_of_a_mean_over_images_and_chips(shares):
    """Of values that images, chips, and both have their part in: what means over others show."""
    images, chips, tries = 40, 8, 400
    generator = torch.Generator().manual_seed(1)

    def normal(*shape):
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    of_image, of_chip, of_both = shares
    values = of_image * normal(tries, 1, images) + of_chip * normal(tries, chips, 1)
    values = (values + of_both * normal(tries, chips, images)).flatten(1)
    found = torch.tensor([mean_error(each, chips) for each in values])
    ratio = float(found.square().mean().sqrt() / values.mean(1).std())
    assert 0.9 < ratio < 1.2  # cautious where chips have nothing of their own


def test_of_expected_drops_over_chips_the_errors_are_those_of_other_images_and_chips():
    generator = torch.Generator().manual_seed(2)

    def normal(*shape):
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    found, errors = [], []
    for _ in range(200):
        ideal = 1.5 + normal(64) + 0.5 * normal(4, 64)
        made = 0.9 * ideal + 0.1 * normal(4, 1) + 0.5 * normal(4, 64)
        drop, error = expected_drop(ideal.flatten(), made.flatten(), chips=4)
        found.append(drop)
        errors.append(error)
    drops, spread = torch.tensor(found), torch.tensor(errors)
    assert float(spread.square().mean().sqrt()) == pytest.approx(float(drops.std()), rel=0.35)
