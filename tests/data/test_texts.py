"""Files of texts, windows over a text, batches of one length."""

import json
import sys

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from reram_torch.data import overlaps, texts

KEYS = ("query", "document")


@given(st.integers(1, 200), st.integers(2, 40), st.data())
def test_every_token_is_scored_once_with_all_the_context_that_fits(count, context, data):
    stride = data.draw(st.integers(1, context))
    found = texts.windows(count, context, stride)
    scored = [k for begin, end, n in found for k in range(end - n, end)]
    assert scored == sorted(set(scored))
    # The first token of a window that begins where the one before ended has nothing to its left.
    never = {0, *(range(0, count, stride) if stride == context else ())}
    assert set(scored) == set(range(count)) - never
    for begin, end, n in found:
        assert 0 < n < end - begin <= context
        assert begin % stride == 0
        assert end == min(begin + context, count)


def test_windows_that_leave_gaps_are_refused():
    with pytest.raises(ValueError, match="stride must be a whole number from 1 to 8 .tokens betw"):
        texts.windows(20, 8, 9)
    with pytest.raises(ValueError, match="context must be a whole number from 2"):
        texts.windows(20, 1, 1)
    assert texts.windows(17, 8, 8)[-1] == (8, 16, 7)  # a window of one token would score none
    assert texts.window_items(list(range(9)), 8, 4)[-1] == {
        "ids": [4, 5, 6, 7, 8], "scored": 1, "place": 1,
    }  # fmt: skip


def test_batches_hold_texts_of_one_length():
    items = texts.Items([{"ids": [1] * n, "place": k} for k, n in enumerate([3, 5, 3, 3, 5, 2])])
    batches = list(texts.EqualLengths(items, 2))
    assert [b["place"].tolist() for b in batches] == [[1, 4], [0, 2], [3], [5]]
    assert [tuple(b["ids"].shape) for b in batches] == [(2, 5), (2, 3), (1, 3), (1, 2)]
    with pytest.raises(ValueError, match="batch_size must be a whole number from 1"):
        texts.EqualLengths(items, 0)


@pytest.mark.parametrize("name", ["a.tsv", "a.csv", "a.jsonl", "bare.tsv", "more.csv"])
def test_files_of_every_form_hold_the_same(tmp_path, name):
    pairs = [('say "hi"', "a, b"), ("two", "a document")]
    quoted = ['"say ""hi""","a, b"', "two,a document"]
    content = {
        "a.tsv": ["query\tdocument", *map("\t".join, pairs)],
        "bare.tsv": list(map("\t".join, pairs)),
        "a.csv": ["query,document", *quoted],
        "more.csv": ["number,document,query", '1,"a, b","say ""hi"""', "2,a document,two"],
        "a.jsonl": [json.dumps(dict(zip(KEYS, pair, strict=True)) | {"n": 1}) for pair in pairs],
    }[name]
    (tmp_path / name).write_text("\n".join([*content, ""]), encoding="utf-8")
    found = texts.read_records(str(tmp_path / name), KEYS)
    assert [(record.first, record.second) for record in found] == pairs


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.tsv", "one\ttwo\nthree\n", r"line 2, has 1 columns, not 2"),
        ("a.tsv", "one\ttwo\nthree\t \n", r"line 2, has no 'document'"),
        ("a.tsv", "query\tdocument\n", "holds names of columns only"),
        ("a.csv", "query,document\na\n", r"line 2, has 1 columns, not 2"),
        ("a.jsonl", '{"query": "a"}\n', r"line 1, has no 'document'"),
        ("a.jsonl", '\n{"query": \n', r"line 2, is not JSON"),
        ("a.jsonl", "[1]\n", r"line 1, is no JSON object"),
        ("a.tsv", " \n", "holds no text"),
    ],
)
def test_lines_that_lack_something_are_named(tmp_path, name, content, message):
    (tmp_path / name).write_text(content, encoding="utf-8")
    with pytest.raises(ValueError, match=message):
        texts.read_records(str(tmp_path / name), KEYS)


def test_what_is_no_text_is_refused(tmp_path):
    (tmp_path / "a.txt").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ValueError, match="is not text in UTF-8"):
        texts.read_text(str(tmp_path / "a.txt"), train=False)


def test_a_data_set_by_name_that_is_not_there_says_what_to_do(monkeypatch):
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(ImportError, match=r"pip install datasets, or give the path of a text file"):
        texts.read_text("wikitext-2", train=False)

    class Unreachable:
        @staticmethod
        def load_dataset(*_, **__):
            raise ConnectionError("no network")

    monkeypatch.setitem(sys.modules, "datasets", Unreachable)
    with pytest.raises(FileNotFoundError, match=r"no network.*copy that here, or give the path"):
        texts.read_text("wikitext-2", train=True)


def test_a_data_set_by_name_is_joined_as_its_lines(monkeypatch):
    class Hub:
        @staticmethod
        def load_dataset(*names, split):
            return {"text": [*names, split]}

    monkeypatch.setitem(sys.modules, "datasets", Hub)
    joined = "Salesforce/wikitext\n\nwikitext-2-raw-v1\n\n"
    assert texts.read_text("wikitext-2", train=True) == f"{joined}train"
    assert texts.read_text("wikitext-2", train=False) == f"{joined}test"


def test_shared_lines_are_weighed_by_their_length():
    long, other = "a line that is long enough to say something", "x" * 2 * 43
    share, line = overlaps.shared_lines(f"{long}\n}}\n{other}\n", f"}}\n  {long}\n")
    assert len(long) == 43
    assert share == pytest.approx(1 / 3)
    assert line == long
    assert overlaps.shared_lines("}\n", "}\n") == (0.0, "")
    assert overlaps.without_lines(f"{long}\n}}\nrest\n", f" {long}") == "}\nrest\n"


def test_shared_records_have_a_text_in_common():
    made = [texts.Record(*pair, "") for pair in (("a", "b"), ("c", "d"), ("e", "a"))]
    test = [texts.Record("a", "d", "")]
    assert overlaps.shared_records(test, made, both=True) == made
    assert overlaps.shared_records(test, made, both=False) == made[:1]


def test_documents_of_several_queries_are_one():
    made = [texts.Record(*pair, "") for pair in (("a", "x"), ("b", "y"), ("c", "x"))]
    assert texts.distinct(made) == (["x", "y"], [0, 1, 0])


def test_items_are_tensors():
    item = texts.Items([{"ids": [1, 2], "label": 3}])[0]
    assert torch.equal(item["ids"], torch.tensor([1, 2]))
    assert item["label"] == 3
