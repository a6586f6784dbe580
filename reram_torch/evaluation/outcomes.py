"""What a network did on data: its score, the score's standard error, what it lost to another."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any

import torch


@dataclass(frozen=True)
class Outcome(ABC):
    """What a network did on the items of a task.

    Attributes:
        digests: a hash of each item's outputs, (items,): equal where all outputs are.
        seconds: spent in the network.
        unreadable: items that could not be read, and do not count.
    """

    digests: torch.Tensor
    seconds: float
    unreadable: int

    @property
    def items(self) -> int:
        """How many items the network was given."""
        return len(self.digests)

    @property
    def seconds_per_100(self) -> float:
        """Seconds for 100 items."""
        return 100 * self.seconds / self.items

    @property
    @abstractmethod
    def score(self) -> float:
        """How good the network is, in the task's own measure."""

    @property
    @abstractmethod
    def score_error(self) -> float:
        """Its standard error; NaN where it cannot be told."""

    @abstractmethod
    def lost_against(self, other: Any) -> tuple[float, float]:
        """By how much it is worse than another outcome on the same items, and the paired error."""

    @abstractmethod
    def figures(self) -> dict[str, Any]:
        """What a row of results says of it, as plain values."""

    def compared(self, other: Any, name: str) -> dict[str, Any]:
        """What a row says of it beside another network's, which goes by a name."""
        lost, error = self.lost_against(other)
        return {f"lost_to_{name}": lost, f"lost_to_{name}_error": error}

    def changed(self, other: Any) -> int | None:
        """How many answers differ from another network's; None of a task without answers."""
        return None


@dataclass(frozen=True)
class TopOne(Outcome):
    """Right answers count: what classification and retrieval share."""

    @property
    @abstractmethod
    def answers(self) -> torch.Tensor:
        """The answer to each question, (questions,)."""

    @property
    @abstractmethod
    def wanted(self) -> torch.Tensor:
        """The right answers, (questions,)."""

    @property
    def right(self) -> torch.Tensor:
        """Which answers are, (questions,)."""
        return self.answers == self.wanted

    @property
    def top1(self) -> float:
        """Share of right answers."""
        return float(self.right.double().mean())

    @property
    def top1_error(self) -> float:
        """Standard error of `top1`, over questions."""
        return _mean(self.right)[1]

    score, score_error = top1, top1_error

    def lost_against(self, other: TopOne) -> tuple[float, float]:
        """Top-1 lost against another network on the same items, and its standard error.

        Paired: that of the mean of what each question loses or wins, which is far less than that
        of two independent samples.

        Raises:
            ValueError: the items differ.
        """
        if not torch.equal(self.wanted, other.wanted):
            raise ValueError("networks compare on the same images only, or on the same texts")
        return _mean(other.right.int() - self.right.int())

    def changed(self, other: TopOne) -> int:
        """How many answers differ from another network's."""
        return int((self.answers != other.answers).sum())


def _mean(values: torch.Tensor) -> tuple[float, float]:
    """The mean of whole numbers and its standard error, to the last bit whatever their order."""
    n, total, squares = len(values), int(values.sum()), int(values.int().square().sum())
    return total / n, math.sqrt(n * squares - total**2) / n / math.sqrt(n)


@dataclass(frozen=True)
class Evaluation(TopOne):
    """What a network did on images, or on texts, that have labels.

    Attributes:
        labels: of the items, (items,).
        ranked: classes with the highest scores, best first, (items, 5 or fewer).
        unit: what items are called in rows.
    """

    labels: torch.Tensor
    ranked: torch.Tensor
    unit: str = "image"

    @property
    def answers(self) -> torch.Tensor:
        """The class with the highest score of each item."""
        return self.ranked[:, 0]

    @property
    def wanted(self) -> torch.Tensor:
        """The labels."""
        return self.labels

    @property
    def top5(self) -> float:
        """Share of items whose label has one of the five highest scores."""
        return float((self.ranked == self.labels[:, None]).any(1).double().mean())

    def figures(self) -> dict[str, Any]:
        """Top-1 with its standard error, top-5, and how many items there were."""
        return {
            "top1": self.top1,
            "top1_error": self.top1_error,
            "top5": self.top5,
            f"{self.unit}s": self.items,
        }


@dataclass(frozen=True)
class Retrieval(TopOne):
    """What a network did on queries and documents, as vectors of length 1.

    Attributes:
        queries: (queries, width).
        documents: (documents, width).
        own: the document that each query is to find, (queries,).
    """

    queries: torch.Tensor
    documents: torch.Tensor
    own: torch.Tensor

    @property
    def answers(self) -> torch.Tensor:
        """The most similar document of each query."""
        return (self.queries @ self.documents.T).argmax(1)

    @property
    def wanted(self) -> torch.Tensor:
        """The document of each query."""
        return self.own

    def figures(self) -> dict[str, Any]:
        """Top-1 of the retrieval with its standard error, over queries."""
        return {
            "top1": self.top1,
            "top1_error": self.top1_error,
            "texts": self.items,
            "queries": len(self.queries),
            "documents": len(self.documents),
        }

    def compared(self, other: Retrieval, name: str) -> dict[str, Any]:
        """Top-1 lost, and the mean cosine to the other network's vectors of the same texts."""
        pairs = (self.queries, other.queries), (self.documents, other.documents)
        cosines = torch.cat([(a.double() * b.double()).sum(1) for a, b in pairs])
        return super().compared(other, name) | {f"cosine_to_{name}": float(cosines.mean())}


@dataclass(frozen=True)
class Perplexity(Outcome):
    """What a language model did on the windows of a text.

    Attributes:
        losses: negative log-likelihood of the tokens that each window scores, nats, float64.
        tokens: how many tokens each scores.
        blocks: windows of equal number are taken together for errors: their tokens correlate.
    """

    losses: torch.Tensor
    tokens: torch.Tensor
    blocks: torch.Tensor

    @property
    def loss(self) -> float:
        """Mean negative log-likelihood of a token, nats."""
        return float(self.losses.sum() / self.tokens.sum())

    @property
    def score(self) -> float:
        """The perplexity: the exponential of `loss`."""
        return math.exp(self.loss)

    @property
    def score_error(self) -> float:
        """Its standard error, over blocks of windows."""
        return self._error_of(self._influences())

    def _influences(self) -> torch.Tensor:
        """By how much each window moves the perplexity, to first order."""
        away = self.losses - self.loss * self.tokens
        return self.score * away / self.tokens.sum()

    def _error_of(self, influences: torch.Tensor) -> float:
        """The standard error of a figure, from how much each window moves it."""
        places = torch.unique(self.blocks, return_inverse=True)[1]
        count = int(places.max()) + 1
        if count < 2:
            return math.nan
        sums = torch.zeros(count, dtype=torch.float64).index_add_(0, places, influences)
        return math.sqrt(float(sums.square().sum()) * count / (count - 1))

    def lost_against(self, other: Perplexity) -> tuple[float, float]:
        """The rise of the perplexity over another network's, and its standard error.

        Paired: over blocks, that of what each adds to the difference.

        Raises:
            ValueError: the windows differ.
        """
        same = torch.equal(self.tokens, other.tokens) and torch.equal(self.blocks, other.blocks)
        if not same:
            raise ValueError("networks compare on the same windows only")
        difference = self._influences() - other._influences()
        return self.score - other.score, self._error_of(difference)

    def figures(self) -> dict[str, Any]:
        """The perplexity with its standard error, and what it is over."""
        return {
            "perplexity": self.score,
            "perplexity_error": self.score_error,
            "nats_per_token": self.loss,
            "windows": self.items,
            "tokens": int(self.tokens.sum()),
            "blocks": len(set(self.blocks.tolist())),
        }
