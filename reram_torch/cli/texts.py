"""Language models and the texts that test and calibrate them, as the options name them."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import Any

import torch
from torch import nn
from torch.utils.data import Dataset

from reram_torch._support import processes
from reram_torch._support.trees import map_tensors
from reram_torch.cli.experiments import plainly
from reram_torch.data import overlaps, sets, texts
from reram_torch.data.texts import Items, Record
from reram_torch.evaluation.tasks import Task
from reram_torch.evaluation.texts import Classification, Embedding, LanguageModel
from reram_torch.models.pretrained import PREFIX, Pretrained, load_pretrained

TASKS = "perplexity", "embedding", "classification"
_BATCH = {"perplexity": 8}  # of windows: their logits are a vocabulary wide
_CALIBRATION = 256
_KEYS = {"embedding": ("query", "document"), "classification": ("text", "label")}
_OF_IMAGES = ("class_list", "classes", "size", "resize", "mean", "std", "download", "fold_bn")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of language models."""
    add = parser.add_argument
    add("--task", choices=("images", *TASKS), default="images", help="of a model "
        f"{PREFIX}<folder or hub name>: perplexity of a text (--data: {texts.WIKITEXT}, or a text "
        "file), embedding (--data: lines of query and document, TSV or JSON lines), classification "
        "(--data: lines of text and label, CSV, TSV or JSON lines); default: images")  # fmt: skip
    add("--context", type=int, help="tokens of a window, or of a text at most; default: as many as "
        "the model takes")  # fmt: skip
    add("--stride", type=int, help="tokens from one window to the next; default: half of --context")


def check_arguments(parser: argparse.ArgumentParser, args: argparse.Namespace) -> None:
    """Ends the program where options contradict the task; sets what depends on it."""
    text = args.task != "images"
    if text != args.model.startswith(PREFIX):
        parser.error(
            f"--model {args.model} with --task {args.task}: models {PREFIX}<folder or hub name> "
            f"and the tasks {', '.join(TASKS)} belong together"
        )
    if not text and (args.context is not None or args.stride is not None):
        parser.error(f"--context and --stride are of the tasks {', '.join(TASKS)}")
    if text:
        _check(parser, args)
    if args.batch_size is None:
        args.batch_size = _BATCH.get(args.task, 64)
    if args.calibration_images is None and not text:
        args.calibration_images = _CALIBRATION


def _check(parser: argparse.ArgumentParser, args: argparse.Namespace) -> None:
    for name in _OF_IMAGES:
        if getattr(args, name) not in (None, False):
            parser.error(f"--{name.replace('_', '-')} is of images, not of --task {args.task}")
    if args.weights is not None:
        parser.error(f"--weights with {args.model}: such a folder has its own")
    if args.stride is not None and args.task != "perplexity":
        parser.error("--stride is of the task perplexity")
    named = args.task == "perplexity" and args.data == texts.WIKITEXT
    if args.calibration_data is None and not named:
        parser.error("--calibration-data is needed: test text must not calibrate the network")
    if args.calibration_data == args.data and not named:
        parser.error(f"--calibration-data is --data: {args.data} would test and calibrate")


def _say(text: str) -> None:
    """Says something on the error stream, once for all processes."""
    if processes.rank() == 0:
        print(text, file=sys.stderr, flush=True)


class TextSource:
    """A language model, and texts.

    Args:
        args: the options.

    Raises:
        SystemExit: something that they name is not there or does not fit.
    """

    @plainly
    def __init__(self, args: argparse.Namespace):
        self._args = args
        self._model = load_pretrained(args.model.removeprefix(PREFIX), args.task)
        self._context = _context(args, self._model)
        notes = []
        if args.leaks == "ignore":
            notes.append("not compared: test text may be calibration text too (--leaks ignore)")
        self.task: Task
        self.test: Dataset[Any]
        if args.task == "perplexity":
            self._text = texts.read_text(args.data, train=False)
            self.task, self.test = self._windows()
        else:
            found = texts.read_records(args.data, _KEYS[args.task])
            self._records = _drawn(found, args.limit, args.seed)
            self.task, self.test, cut = self._of_records()
            if cut:
                notes.append(f"{cut} texts were cut to {self._context} tokens")
        self.note = "; ".join(notes)

    def network(self) -> nn.Module:
        """The float network."""
        return self._model.net

    @plainly
    def calibration(self, device: torch.device) -> list[Any]:
        """Batches that calibrate: windows, pairs of texts, or texts with labels.

        Raises:
            SystemExit: there are none, or they are of the test, and `--leaks` does not say what
                then.
        """
        of = {
            "perplexity": self._calibrating_windows,
            "embedding": self._calibrating_pairs,
            "classification": self._calibrating_labels,
        }
        return [map_tensors(lambda t: t.to(device), batch) for batch in of[self._args.task]()]

    def _windows(self) -> tuple[Task, Dataset[Any]]:
        args, context = self._args, self._context
        if context is None:
            raise ValueError("neither model nor tokenizer says how long a window may be: --context")
        stride = max(context // 2, 1) if args.stride is None else args.stride
        [ids] = self._model.encode([self._text])
        if len(ids) <= context:
            raise ValueError(
                f"--data {args.data} has {len(ids)} tokens, one window of {context}: errors are "
                "over windows, so give a longer text or a smaller --context"
            )
        found = texts.window_items(ids, context, stride)
        chosen = _drawn(found, args.limit, args.seed)
        return LanguageModel(context, stride), Items(chosen)

    def _of_records(self) -> tuple[Task, Dataset[Any], int]:
        """The task of the records, its items, and how many texts were cut."""
        if self._args.task == "classification":
            ids, cut = self._encoded([record.first for record in self._records])
            labels = self._labels(self._records)
            items = [{"ids": i, "label": y} for i, y in zip(ids, labels, strict=True)]
            return Classification(), Items(items), cut
        documents, own = texts.distinct(self._records)
        ids, cut = self._encoded([record.first for record in self._records] + documents)
        task = Embedding(own, self._model.pooling)
        return task, Items([{"ids": i, "place": k} for k, i in enumerate(ids)]), cut

    def _encoded(self, some: list[str]) -> tuple[list[list[int]], int]:
        """Ids of texts, and how many were cut."""
        whole = self._model.encode(some)
        if self._context is None:
            return whole, 0
        cut = sum(len(ids) > self._context for ids in whole)
        return (self._model.encode(some, self._context) if cut else whole), cut

    def _labels(self, records: list[Record]) -> list[int]:
        """The number of each record's class, given by number or by the model's name of it."""
        stated = sorted(self._config.label2id.items(), key=lambda pair: pair[1])
        names: dict[str, int] = {str(name): k for name, k in stated}
        count = int(self._config.num_labels)
        names |= {str(k): k for k in range(count) if str(k) not in names}
        for record in records:
            if record.second not in names:
                raise ValueError(
                    f"{record.where} has the label {record.second!r}: the model knows "
                    f"{list(names)[:10]}"
                )
        return [names[record.second] for record in records]

    @property
    def _config(self) -> Any:
        return self._model.net.config

    def _calibrating_windows(self) -> list[Any]:
        args, context = self._args, self._context
        assert context is not None  # there are windows to test on
        name = args.calibration_data or args.data
        text = self._apart(texts.read_text(name, train=True), name)
        [ids] = self._model.encode([text])
        found = [w for w in texts.window_items(ids, context, context) if len(w["ids"]) == context]
        if not found:
            raise ValueError(
                f"--calibration-data {name} has {len(ids)} tokens, less than a window of {context}"
            )
        return list(texts.EqualLengths(Items(self._chosen(found)), args.batch_size))

    def _calibrating_pairs(self) -> list[Any]:
        records = self._other_records()
        documents, own = texts.distinct(records)
        queries, _ = self._encoded([record.first for record in records])
        others, _ = self._encoded(documents)
        return [
            {"query": torch.tensor([q]), "document": torch.tensor([others[k]]),
             "place": torch.tensor([k])}
            for q, k in zip(queries, own, strict=True)
        ]  # fmt: skip

    def _calibrating_labels(self) -> list[Any]:
        records = self._other_records()
        ids, _ = self._encoded([record.first for record in records])
        labels = self._labels(records)
        items = Items([{"ids": i, "label": y} for i, y in zip(ids, labels, strict=True)])
        return list(self.task.batches(items, self._args.batch_size, 0))

    def _chosen(self, found: Sequence[Any]) -> list[Any]:
        """As many as the options say; where they say nothing, 256, or all if there are fewer."""
        count = self._args.calibration_images
        return _drawn(found, min(_CALIBRATION, len(found)) if count is None else count,
                      self._args.seed)  # fmt: skip

    def _apart(self, text: str, name: str) -> str:
        """A text that calibrates, of which the test text has no more than chance has it."""
        args = self._args
        if args.leaks == "ignore":
            return text
        share, line = overlaps.shared_lines(self._text, text)
        if not share:
            return text
        what = (
            f"{share:.1%} of --data {args.data}, in lines of {overlaps.LONG} characters or more, "
            f"are lines of --calibration-data {name} too, such as {line!r}"
        )
        if args.leaks == "drop":
            _say(f"left out: {what}")
            return overlaps.without_lines(text, self._text)
        if share > overlaps.MOST:
            raise ValueError(
                f"{what}: give another text, or --leaks drop, which leaves these lines out of it"
            )
        _say(f"{what}; up to {overlaps.MOST:.0%} may be so by chance")
        return text

    def _other_records(self) -> list[Record]:
        """Records that calibrate, none of which is tested on."""
        args = self._args
        name = args.calibration_data
        found = texts.read_records(name, _KEYS[args.task])
        if args.leaks != "ignore":
            both = args.task == "embedding"
            shared = overlaps.shared_records(self._records, found, both=both)
            if shared:
                what = (
                    f"{len(shared)} of the {len(found)} lines of --calibration-data {name} have a "
                    f"text of --data {args.data}: {shared[0].where} {shared[0].first[:60]!r}"
                )
                if args.leaks == "refuse":
                    raise ValueError(
                        f"{what}: give others, or --leaks drop, which leaves these lines out"
                    )
                _say(f"left out: {what}")
                found = [record for record in found if record not in set(shared)]
                if not found:
                    raise ValueError("all calibration texts are test texts too: none is left")
        return self._chosen(found)


def _context(args: argparse.Namespace, model: Pretrained) -> int | None:
    """Tokens at most, of a window or of a text.

    Raises:
        ValueError: the options ask for more than the model takes.
    """
    most = model.longest
    if args.context is None:
        return most
    if args.context < 2 or (most is not None and args.context > most):
        limit = "" if most is None else f" to {most}, which the model takes"
        raise ValueError(f"--context must be from 2{limit}, not {args.context}")
    return int(args.context)


def _drawn(found: Sequence[Any], count: int | None, seed: int) -> list[Any]:
    """So many, drawn by the seed; all of them, in order, if None."""
    places = range(len(found)) if count is None else sets.drawn(len(found), count, seed)
    return [found[k] for k in places]
