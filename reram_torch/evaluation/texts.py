"""Tasks of language models of the Hugging Face kind; texts of a batch are of one length.

So nothing is padded: padded positions would drive word-lines and be converted.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterable
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import Dataset

from reram_torch._support.checks import check_choice
from reram_torch._support.modules import evaluating
from reram_torch.data.texts import EqualLengths
from reram_torch.design.measured import Metric
from reram_torch.evaluation.outcomes import Perplexity, Retrieval
from reram_torch.evaluation.tasks import Images, Part, Task, digests

POOLINGS = ("mean", "cls", "max")


class Classification(Images):
    """Texts and their labels: top-1. A batch is a pair of token ids and labels."""

    unit = "text"

    def batches(self, data: Dataset[Any], batch_size: int, workers: int) -> Iterable[Any]:
        """Pairs of ids and labels, of texts of one length each."""
        return ((b["ids"], b["label"]) for b in EqualLengths(data, batch_size))

    def scores(self, output: Any) -> torch.Tensor:
        """The class scores in a network's output."""
        scores: torch.Tensor = output.logits
        return scores


class LanguageModel(Task):
    """Windows of a text: the perplexity of the tokens that each scores.

    A batch is a dict of `ids` (B, L), `scored` (B,), how many of the last tokens count, and `place`
    (B,), the number of the window in the text.

    Args:
        context: tokens of a window.
        stride: tokens from one window to the next.
    """

    unit, measure, key = "window", "perplexity", "perplexity"

    def __init__(self, context: int, stride: int):
        self.context, self.stride = context, stride
        self.forward = self.likelihoods

    def batches(self, data: Dataset[Any], batch_size: int, workers: int) -> Iterable[Any]:
        """Windows of one length each."""
        return EqualLengths(data, batch_size)

    @staticmethod
    def _log_likelihoods(net: nn.Module, ids: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Logits (B, L, vocabulary), and those of each token but the first, (B, L - 1)."""
        logits = net(ids).logits.float()
        scores = logits[:, :-1].log_softmax(2)
        return logits, scores.gather(2, ids[:, 1:, None])[:, :, 0]

    def likelihoods(self, net: nn.Module, batch: dict[str, torch.Tensor]) -> dict[str, Any]:
        """Log-likelihoods of the tokens: all that is kept of a vocabulary's worth of logits."""
        return {"log_likelihoods": self._log_likelihoods(net, batch["ids"])[1]}

    def part(self, net: nn.Module, batch: Any, device: torch.device) -> tuple[Part, float]:
        """What each window loses."""
        start = time.perf_counter()
        logits, found = self._log_likelihoods(net, batch["ids"].to(device))
        logits, found = logits.cpu(), found.cpu().double()
        seconds = time.perf_counter() - start
        after = torch.arange(found.shape[1], 0, -1)  # tokens to the end of the window
        counts = after <= batch["scored"][:, None]
        return {
            "losses": -(found * counts).sum(1),
            "tokens": batch["scored"],
            "place": batch["place"],
            "digests": digests(logits),
        }, seconds

    def outcome(self, found: Part, seconds: float, unreadable: int) -> Perplexity:
        """The perplexity; windows that begin within one context's length are a block."""
        order = found["place"].argsort()
        blocks = found["place"][order] * self.stride // self.context
        losses, tokens = found["losses"][order], found["tokens"][order]
        return Perplexity(found["digests"][order], seconds, unreadable, losses, tokens, blocks)

    def tally(self, part: Part) -> tuple[float, float]:
        """Losses, and tokens."""
        return float(part["losses"].sum()), float(part["tokens"].sum())

    def running(self, mean: float) -> str:
        """The perplexity so far."""
        return f"perplexity {math.exp(mean):.2f}"

    def metric(self, net: nn.Module, calibration: list[Any]) -> Metric:
        """Mean log-likelihood of a token, nats, for each window."""

        def judge(outputs: list[Any], *_: Any) -> torch.Tensor:
            return torch.cat([y["log_likelihoods"].mean(1) for y in outputs])

        return judge

    def legend(self, row: dict[str, Any]) -> str:
        """How many tokens there were, and what errors are over."""
        return (
            f"{row['tokens']} tokens in {row['windows']} windows of up to {self.context}, "
            f"{self.stride} apart; lost: perplexity above that of float and of lossless crossbars; "
            f"standard errors over {row['blocks']} blocks of windows, of losses paired"
        )


class Embedding(Task):
    """Queries that are to find their documents, by the cosine of vectors of texts.

    A batch is a dict of `ids` (B, L) and `place` (B,), the number of the text: first all queries,
    then all documents. One that calibrates is a pair: a dict of `query` and `document`, ids (1, L),
    and `place` (1,), the number of the document.

    Args:
        own: the document of each query.
        pooling: of the vectors of tokens: their `mean`, that of the first (`cls`), or the `max`.
    """

    unit, measure, key = "text", "retrieval top-1", "top1"
    columns: ClassVar[dict[str, str]] = {"cosine to float": "cosine_to_float"}

    def __init__(self, own: list[int], pooling: str = "mean"):
        check_choice("pooling", pooling, POOLINGS)
        self.own, self.pooling = torch.tensor(own), pooling
        self.forward = self.embed_pair

    def batches(self, data: Dataset[Any], batch_size: int, workers: int) -> Iterable[Any]:
        """Texts of one length each."""
        return EqualLengths(data, batch_size)

    def _embed(self, net: nn.Module, ids: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Vectors of all tokens (B, L, width), and of texts, of length 1, (B, width)."""
        hidden: torch.Tensor = net(ids).last_hidden_state.float()
        pooled = {
            "mean": lambda: hidden.mean(1),
            "cls": lambda: hidden[:, 0],
            "max": lambda: hidden.amax(1),
        }[self.pooling]()
        return hidden, F.normalize(pooled, dim=1)

    def embed_pair(self, net: nn.Module, batch: dict[str, torch.Tensor]) -> dict[str, Any]:
        """Vectors of a query and of its document."""
        return {key: self._embed(net, batch[key])[1] for key in ("query", "document")}

    def part(self, net: nn.Module, batch: Any, device: torch.device) -> tuple[Part, float]:
        """Vectors of texts."""
        start = time.perf_counter()
        hidden, vectors = (found.cpu() for found in self._embed(net, batch["ids"].to(device)))
        seconds = time.perf_counter() - start
        return {"vectors": vectors, "place": batch["place"], "digests": digests(hidden)}, seconds

    def outcome(self, found: Part, seconds: float, unreadable: int) -> Retrieval:
        """Which documents were found."""
        order = found["place"].argsort()
        queries, documents = found["vectors"][order].tensor_split([len(self.own)])
        return Retrieval(found["digests"][order], seconds, unreadable, queries, documents, self.own)

    def metric(self, net: nn.Module, calibration: list[Any]) -> Metric:
        """1 for each query that finds its document among all that calibrate, 0 for the others.

        Documents that are not judged have the float network's vectors.
        """
        pool: dict[int, torch.Tensor] = {}
        with torch.no_grad(), evaluating(net):
            for batch in calibration:
                pool[int(batch["place"])] = self._embed(net, batch["document"])[1][0].cpu()
        others = torch.stack([pool[k] for k in range(len(pool))]).double()

        def judge(outputs: list[Any], inputs: list[Any], _: Any) -> torch.Tensor:
            places = torch.cat([x["place"] for x in inputs]).cpu()
            documents = others.clone()
            documents[places] = torch.cat([y["document"] for y in outputs]).double()
            queries = torch.cat([y["query"] for y in outputs]).double()
            return ((queries @ documents.T).argmax(1) == places).double()

        return judge

    def legend(self, row: dict[str, Any]) -> str:
        """How many queries and documents there were."""
        return (
            f"{row['queries']} queries among {row['documents']} documents; lost: top-1 against "
            "float and against lossless crossbars, paired standard errors over queries"
        )
