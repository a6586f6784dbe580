"""`reram-torch evaluate` on language models."""

import json
import random
import shutil

import pytest
import tiny
import torch
from programs import run_command

pytest.importorskip("transformers")

WORDS = sorted({word for line in tiny.LINES for word in line.split()})


def sentences(count, seed, words=7):
    """Lines of words in a random order."""
    rng = random.Random(seed)
    return [" ".join(rng.choices(WORDS, k=words)) for _ in range(count)]


@pytest.fixture(scope="module")
def gpt(tmp_path_factory):
    """A folder with a GPT-2, and what tests and calibrates it."""
    folder = tmp_path_factory.mktemp("gpt")
    tiny.gpt(folder)
    (folder / "test.txt").write_text("\n".join(sentences(12, 0)), encoding="utf-8")
    (folder / "other.txt").write_text("\n".join(sentences(12, 1)), encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def bert(tmp_path_factory):
    """A folder with a BERT, and pairs."""
    folder = tmp_path_factory.mktemp("bert")
    tiny.bert(folder)
    for name, seed in (("test", 2), ("other", 4)):
        items = zip(sentences(9, seed, 3), sentences(9, seed + 1), strict=True)
        tiny.pairs(folder / f"{name}.tsv", items)
    return folder


def perplexity(folder, *more, test="test.txt", other="other.txt"):
    return run_command(
        "evaluate", "--model", f"hf:{folder}", "--task", "perplexity", "--data", folder / test,
        "--calibration-data", folder / other, *more,
    )  # fmt: skip


def rows_of(path):
    return {row["network"]: row for row in json.loads(path.read_text())["results"]}


def windows_by_hand(net, ids, context, stride):
    """The perplexity token by token: each is predicted from the window that first reaches it."""
    losses, before = [], 0
    for begin in range(0, len(ids), stride):
        end = min(begin + context, len(ids))
        for k in range(max(before, begin + 1), end):
            with torch.no_grad():
                logits = net(torch.tensor([ids[begin:k]])).logits[0, -1]
            losses.append(-float(logits.double().log_softmax(0)[ids[k]]))
        before = end
        if end == len(ids):
            break
    return torch.tensor(losses, dtype=torch.float64).mean().exp(), len(losses)


@pytest.mark.parametrize(("context", "stride"), [(16, 5), (13, 7), (16, 16), (11, 1)])
def test_the_perplexity_is_that_of_the_definition(gpt, tmp_path, context, stride):
    net, tokenizer = tiny.gpt(tmp_path / "again")
    ids = tokenizer((gpt / "test.txt").read_text()).input_ids[:60]
    (tmp_path / "test.txt").write_text(tokenizer.decode(ids), encoding="utf-8")
    assert tokenizer((tmp_path / "test.txt").read_text()).input_ids == ids
    result = perplexity(
        gpt, "--context", context, "--stride", stride, "--json", tmp_path / "r.json",
        "--no-verify", "--data", tmp_path / "test.txt", "--batch-size", 3,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    wanted, tokens = windows_by_hand(net, ids, context, stride)
    row = rows_of(tmp_path / "r.json")["float"]
    assert row["tokens"] == tokens
    assert row["perplexity"] == pytest.approx(float(wanted), rel=1e-5)


@pytest.mark.slow
def test_an_evaluation_of_a_language_model_resumes(gpt, tmp_path):
    path = tmp_path / "r.json"
    options = (
        "--stride", 5, "--config", "twin_range", "--reduction", 2, "--json", path,
        "--power", "isaac", "--skip", "lm_head", "--limit", 20, "--calibration-items", 6,
    )  # fmt: skip
    result = perplexity(gpt, *options)
    assert result.returncode == 0, result.stderr
    assert "every output of every window is equal" in result.stdout
    assert "perplexity above that of float" in result.stdout
    rows = rows_of(path)
    assert list(rows) == ["float", "lossless crossbar", "plain integer", "twin_range"]
    assert rows["lossless crossbar"]["perplexity"] == rows["plain integer"]["perplexity"]
    assert rows["lossless crossbar"]["lost_to_float_error"] > 0
    made, ideal = rows["twin_range"], rows["float"]
    assert made["lost_to_float"] == pytest.approx(made["perplexity"] - ideal["perplexity"])
    assert made["windows"] == made["report"]["inferences"] == 20
    assert made["reduction"] > 1.8
    named = [layer["name"] for layer in made["report"]["layers"]]
    assert any("c_proj" in name for name in named)
    assert "lm_head" not in named
    cut = json.loads(path.read_text())
    cut["results"] = cut["results"][:2]
    path.write_text(json.dumps(cut))
    again = perplexity(gpt, *options, "--resume")
    assert again.returncode == 0, again.stderr
    for name, row in rows_of(path).items():
        same = {k: v for k, v in row.items() if "seconds" not in k}
        assert same == {k: v for k, v in rows[name].items() if "seconds" not in k}
    other = perplexity(gpt, *options[2:], "--stride", 4, "--resume")
    assert "was made with stride='5', not '4'" in other.stderr


def test_an_embedding_finds_documents(bert, tmp_path):
    options = (
        "evaluate", "--model", f"hf:{bert}", "--task", "embedding", "--data", bert / "test.tsv",
        "--calibration-data", bert / "other.tsv", "--json", tmp_path / "r.json",
    )  # fmt: skip
    result = run_command(*options, "--config", "search_tree", "--lossless")
    assert result.returncode == 0, result.stderr
    assert "every output of every text is equal" in result.stdout
    assert "lossless search == lossless crossbar" in result.stdout
    rows = rows_of(tmp_path / "r.json")
    assert rows["float"]["top1"] == pytest.approx(found_by_hand(bert))
    made = rows["search_tree"]
    assert 0.98 < made["cosine_to_float"] < 1
    assert made["texts"] == made["report"]["inferences"] == 18
    assert made["answers_changed"] == 0
    layers = made["report"]["layers"]
    assert len(layers) == 12
    assert not [layer for layer in layers if "pooler" in layer["name"]]


def found_by_hand(folder):
    """Top-1 with padded batches and masks, as sentence encoders are run."""
    transformers = pytest.importorskip("transformers")
    net = transformers.AutoModel.from_pretrained(folder, local_files_only=True).eval()
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder, local_files_only=True)
    lines = [line.split("\t") for line in (folder / "test.tsv").read_text().splitlines()[1:]]
    batch = tokenizer([t for pair in zip(*lines, strict=True) for t in pair], padding=True,
                      return_tensors="pt")  # fmt: skip
    with torch.no_grad():
        hidden = net(batch.input_ids, attention_mask=batch.attention_mask).last_hidden_state
    mask = batch.attention_mask[:, :, None]
    vectors = torch.nn.functional.normalize((hidden * mask).sum(1) / mask.sum(1), dim=1)
    queries, documents = vectors.chunk(2)
    return float(((queries @ documents.T).argmax(1) == torch.arange(len(lines))).double().mean())


def test_a_classification_of_texts(tmp_path):
    net, tokenizer = tiny.bert(tmp_path, ["good", "bad"])
    some = sentences(10, 7)
    labels = ["good", "1", "bad", "0"] * 2 + ["bad", "good"]
    tiny.pairs(tmp_path / "test.tsv", zip(some, labels, strict=True), ("text", "label"))
    other = [{"text": line, "label": k % 2} for k, line in enumerate(sentences(8, 8))]
    (tmp_path / "other.jsonl").write_text("\n".join(map(json.dumps, other)), encoding="utf-8")
    options = (
        "evaluate", "--model", f"hf:{tmp_path}", "--task", "classification",
        "--data", tmp_path / "test.tsv", "--calibration-data", tmp_path / "other.jsonl",
    )  # fmt: skip
    result = run_command(*options, "--json", tmp_path / "r.json")
    assert result.returncode == 0, result.stderr
    row = rows_of(tmp_path / "r.json")["float"]
    with torch.no_grad():
        made = [int(net(torch.tensor([tokenizer(t).input_ids])).logits.argmax()) for t in some]
    wanted = [{"good": 0, "bad": 1}.get(y, y) for y in labels]
    assert row["top1"] == sum(a == int(b) for a, b in zip(made, wanted, strict=True)) / 10
    assert row["texts"] == 10
    tiny.pairs(tmp_path / "test.tsv", [("a text", "ugly")], ("text", "label"))
    result = run_command(*options)
    known = "['good', 'bad', '0', '1']"
    assert f"line 2, has the label 'ugly': the model knows {known}" in result.stderr


def test_text_that_calibrates_is_none_that_tests(gpt, bert):
    text = (gpt / "test.txt").read_text()
    (gpt / "leaky.txt").write_text(f"{(gpt / 'other.txt').read_text()}\n{text}", encoding="utf-8")
    result = perplexity(gpt, other="leaky.txt")
    assert "100.0% of --data" in result.stderr
    assert "or --leaks drop" in result.stderr
    dropped = perplexity(gpt, "--leaks", "drop", "--no-verify", other="leaky.txt")
    assert dropped.returncode == 0, dropped.stderr
    assert "left out: 100.0% of --data" in dropped.stderr
    result = perplexity(gpt, other="test.txt")
    assert "--calibration-data is --data" in result.stderr
    shutil.copy(bert / "test.tsv", bert / "same.tsv")
    options = ("evaluate", "--model", f"hf:{bert}", "--task", "embedding", "--data",
               bert / "test.tsv", "--calibration-data", bert / "same.tsv")  # fmt: skip
    result = run_command(*options)
    assert "9 of the 9 lines of --calibration-data" in result.stderr
    result = run_command(*options, "--leaks", "drop")
    assert "all calibration texts are test texts too" in result.stderr
    result = run_command(*options, "--leaks", "ignore", "--no-verify")
    assert "not compared: test text may be calibration text too" in result.stdout


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--weights", "x.pt"], "such a folder has its own"),
        (["--size", "32"], "--size is of images, not of --task perplexity"),
        (["--stride", "17"], "stride must be a whole number from 1 to 16"),
        (["--context", "17"], "--context must be from 2 to 16, which the model takes, not 17"),
        (["--task", "images"], "belong together"),
        (["--task", "embedding", "--stride", "3"], "--stride is of the task perplexity"),
        (["--data", "nowhere.txt"], "no text file 'nowhere.txt' (known by name: 'wikitext-2')"),
        (["--model", "hf:./nowhere"], "no folder './nowhere'"),
        (["--model", "lenet5"], "belong together"),
        (["--task", "classification"], "it is no model for classification"),
        (["--calibration-images", "1000"], "cannot take 1000 of"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_what_does_not_fit_is_named(gpt, options, message):
    result = perplexity(gpt, *options)
    assert result.returncode != 0
    assert message in result.stderr


def test_other_commands_name_the_one_that_takes_language_models(gpt):
    result = run_command("train", "--model", f"hf:{gpt}", "--data", "digits", "--out", gpt / "run")
    assert "language models are for `evaluate --task" in result.stderr
