"""Top-1 lost between two sets of class scores: as counted, and as a larger sample would show it."""

from __future__ import annotations

import math

import torch


def margins(scores: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """By how much the score of the label exceeds the best other: above 0 where top-1 is right.

    Args:
        scores: (B, classes), two classes at least.
        labels: (B,).
    """
    own = scores.gather(1, labels[:, None])
    others = scores.scatter(1, labels[:, None], -torch.inf)
    return (own[:, 0] - others.amax(1)).double()


def counted_drop(ideal: torch.Tensor, made: torch.Tensor) -> float:
    """Share of right answers lost, less those won.

    Args:
        ideal: (B,) margins of the network to compare with.
        made: (B,) margins of the same images on the network in question.
    """
    return float((ideal > 0).double().mean() - (made > 0).double().mean())


def paired_error(ideal: torch.Tensor, made: torch.Tensor, chips: int = 1) -> float:
    """The standard error of `counted_drop`: of the mean of what each image loses or wins.

    Args:
        ideal: as for `counted_drop`.
        made: likewise.
        chips: as for `mean_error`.
    """
    return mean_loss((ideal > 0).double(), (made > 0).double(), chips)[1]


def mean_loss(ideal: torch.Tensor, made: torch.Tensor, chips: int = 1) -> tuple[float, float]:
    """By how much the mean of some values falls, and the standard error of that, paired.

    Args:
        ideal: (B,) of the items on the network to compare with.
        made: (B,) of the same items on the network in question.
        chips: as for `mean_error`.
    """
    lost = ideal - made
    return float(lost.mean()), mean_error(lost, chips)


def mean_error(values: torch.Tensor, chips: int = 1) -> float:
    """The standard error of a mean over images and over chips, both drawn from many.

    An image is no more images for being on several chips, nor a chip more chips: what values of an
    image have in common counts once for each image, and what those of a chip have, beyond what
    images make of it, once for each chip (Cameron, Gelbach and Miller, 2011, with two clusters).

    Args:
        values: (B,), those of one chip after those of another.
        chips: that the same images were on.
    """
    by_chip = (values - values.mean()).reshape(chips, -1)
    images = by_chip.shape[1]
    variance = float(by_chip.mean(0).square().mean()) / max(images, 1)
    if chips > 1:
        of_chips = float(by_chip.mean(1).square().sum()) / (chips * (chips - 1))
        variance += max(of_chips - float(by_chip.square().mean()) / by_chip.numel(), 0.0)
    return math.sqrt(variance)


def expected_drop(
    ideal: torch.Tensor, made: torch.Tensor, more: torch.Tensor | None = None, chips: int = 1
) -> tuple[float, float]:
    """The drop to expect on many more images like these, and its standard error.

    A few dozen images hold hardly one whose answer is in the balance, so counting them says little.
    Here the margins change by a straight line (ADCs shrink and shift the scores) plus a disturbance
    that knows nothing of the image: every image's line is met with every image's disturbance. How
    many images are in the balance may be known better than from these: their lines count, too.

    Args:
        ideal: as for `counted_drop`.
        made: likewise.
        more: margins of further images, on the network to compare with.
        chips: as for `mean_error`.
    """
    if torch.equal(ideal, made):
        return 0.0, 0.0
    n, centred = len(made), ideal - ideal.mean()
    spread = centred.square().sum()
    slope = (centred * made).sum() / spread if spread > 0 else torch.ones_like(spread)
    disturbance = made - made.mean() - slope * centred
    every = ideal if more is None else torch.cat([ideal, more])
    line = made.mean() + slope * (every - ideal.mean())
    # Of each image over all disturbances, and of each disturbance over all images.
    wrong = torch.searchsorted(disturbance.sort().values, -line, right=True) / n
    spoilt = torch.searchsorted(line.sort().values, -disturbance, right=True) / len(every)
    drop = (every > 0).double() - (1 - wrong)
    own, others = drop[:n] * (n / len(every)) + spoilt, drop[n:] / len(every)
    errors = [mean_error(own, chips)]
    if len(others):
        errors.append(mean_error(others * len(others), chips))
    return float(drop.mean()), math.hypot(*errors)
