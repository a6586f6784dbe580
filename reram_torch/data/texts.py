"""Texts: files of them, windows over them, batches of one length."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch.utils.data import Dataset, default_collate

from reram_torch._support.checks import check_int
from reram_torch._support.datasets import length

WIKITEXT = "wikitext-2"
_JSON = {".json", ".jsonl", ".ndjson"}


@dataclass(frozen=True)
class Record:
    """A line of a file of texts.

    Attributes:
        first: the query, or the text.
        second: its document, or its label.
        where: file and line, for messages.
    """

    first: str
    second: str
    where: str


class Items(Dataset[dict[str, torch.Tensor]]):
    """Token ids and what belongs to them: dicts of `ids` (L,) and numbers."""

    def __init__(self, items: list[dict[str, Any]]):
        self.items = [{key: torch.tensor(value) for key, value in d.items()} for d in items]

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, k: int) -> dict[str, torch.Tensor]:
        return self.items[k]


class EqualLengths:
    """Batches of texts of one length, the longest first: nothing is padded.

    Args:
        dataset: dicts with `ids` (L,).
        batch_size: texts of a batch at most.
    """

    def __init__(self, dataset: Dataset[Any], batch_size: int):
        check_int("batch_size", batch_size, 1, 1 << 30)
        self.dataset, self.batch_size = dataset, batch_size

    def __iter__(self) -> Iterator[dict[str, torch.Tensor]]:
        by_length: dict[int, list[Any]] = {}
        for k in range(length(self.dataset)):
            item = self.dataset[k]
            by_length.setdefault(len(item["ids"]), []).append(item)
        for _, items in sorted(by_length.items(), key=lambda pair: -pair[0]):
            for k in range(0, len(items), self.batch_size):
                yield default_collate(items[k : k + self.batch_size])


def read_text(name: str, *, train: bool) -> str:
    """A text file whole; of `wikitext-2` (raw) the lines of its test or training split.

    Raises:
        FileNotFoundError: no such file, or the data set cannot be had.
        ValueError: the file is not text.
    """
    if name == WIKITEXT and not Path(name).exists():
        return _wikitext("train" if train else "test")
    return _content(Path(name))


def _content(path: Path) -> str:
    if not path.is_file():
        raise FileNotFoundError(f"no text file {str(path)!r} (known by name: {WIKITEXT!r})")
    try:
        found = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is not text in UTF-8: {error}") from error
    if not found.strip():
        raise ValueError(f"{path} holds no text")
    return found


def _wikitext(split: str) -> str:
    instead = f"or give the path of a text file instead of {WIKITEXT!r}"
    try:
        from datasets import load_dataset
    except ImportError as error:
        raise ImportError(
            f"{WIKITEXT} by name needs the package 'datasets': pip install datasets, {instead}"
        ) from error
    try:
        found = load_dataset("Salesforce/wikitext", "wikitext-2-raw-v1", split=split)
    except Exception as error:  # the hub's, the network's, the cache's
        why = f"{type(error).__name__}: {str(error).partition(chr(10))[0][:200]}"
        raise FileNotFoundError(
            f"{WIKITEXT} could not be had from the Hugging Face hub ({why}): where the hub can be "
            "reached, datasets.load_dataset('Salesforce/wikitext', 'wikitext-2-raw-v1') puts it "
            f"into the cache that HF_HOME names; copy that here, {instead}"
        ) from error
    return "\n\n".join(found["text"])


def read_records(name: str, keys: tuple[str, str]) -> list[Record]:
    """The lines of a file: JSON lines (.json, .jsonl), comma-separated (.csv) or by tabs.

    Args:
        name: path of the file. One with columns may begin with their names; without them it has
            two columns, in this order.
        keys: what the two values of a line are called.

    Raises:
        FileNotFoundError: no such file.
        ValueError: a line lacks a value, or has more than two without names.
    """
    path = Path(name)
    lines = _content(path).splitlines()
    rows = _json_rows(path, lines) if path.suffix in _JSON else _table_rows(path, lines, keys)
    found = []
    for where, row in rows:
        values = [row.get(key) for key in keys]
        for key, value in zip(keys, values, strict=True):
            if value is None or not str(value).strip():
                raise ValueError(f"{where} has no {key!r}: each line needs {list(keys)}")
        found.append(Record(str(values[0]).strip(), str(values[1]).strip(), where))
    if not found:
        raise ValueError(f"{path} holds names of columns only")
    return found


def _json_rows(path: Path, lines: list[str]) -> Iterator[tuple[str, dict[str, Any]]]:
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        where = f"{path}, line {number},"
        try:
            row = json.loads(line)
        except ValueError as error:
            raise ValueError(f"{where} is not JSON: {error}") from error
        if not isinstance(row, dict):
            raise ValueError(f"{where} is no JSON object")
        yield where, row


def _table_rows(
    path: Path, lines: list[str], keys: tuple[str, str]
) -> Iterator[tuple[str, dict[str, Any]]]:
    text = [f"{line}\n" for line in lines]
    if path.suffix == ".csv":
        reader = csv.reader(text)
    else:  # what is between tabs is literal
        reader = csv.reader(text, delimiter="\t", quoting=csv.QUOTE_NONE)
    names: list[str] | None = None
    try:
        for row in reader:
            if not row:
                continue
            where = f"{path}, line {reader.line_num},"
            if names is None:
                head = [cell.strip() for cell in row]
                names = head if set(keys) <= set(head) else list(keys)
                if names == head:
                    continue
            if len(row) != len(names):
                raise ValueError(f"{where} has {len(row)} columns, not {len(names)}: {names}")
            yield where, dict(zip(names, row, strict=True))
    except csv.Error as error:
        raise ValueError(f"{path}, line {reader.line_num}: {error}") from error


def windows(count: int, context: int, stride: int) -> list[tuple[int, int, int]]:
    """Windows over a text: where each begins and ends, and how many of its last tokens it scores.

    A window scores the tokens past the end of the one before, each given all tokens of the window
    to its left. The first token of a window has none there, and is never scored: the first window
    scores one token less than it has, and so do all where they do not overlap. A window that would
    score none is left out.

    Args:
        count: tokens of the text.
        context: tokens of a window.
        stride: tokens from the beginning of one to that of the next.

    Raises:
        ValueError: `stride` is not from 1 to `context`, or `context` is below 2.
    """
    check_int("context", context, 2, 1 << 30)
    check_int("stride", stride, 1, context, "tokens between windows would not be scored")
    found, before = [], 0
    for begin in range(0, count, stride):
        end = min(begin + context, count)
        scored = min(end - before, end - begin - 1)
        if scored > 0:
            found.append((begin, end, scored))
        before = end
        if end == count:
            break
    return found


def window_items(ids: Sequence[int], context: int, stride: int) -> list[dict[str, Any]]:
    """The windows of a text as items: `ids`, `scored`, and `place`, counted in strides."""
    return [
        {"ids": ids[begin:end], "scored": scored, "place": begin // stride}
        for begin, end, scored in windows(len(ids), context, stride)
    ]


def distinct(records: list[Record]) -> tuple[list[str], list[int]]:
    """The different documents of pairs, in order, and the number of each pair's."""
    numbers: dict[str, int] = {}
    own = [numbers.setdefault(record.second, len(numbers)) for record in records]
    return list(numbers), own
