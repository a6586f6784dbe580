"""What is made of a language model's outputs: perplexity, retrieval, their errors."""

import math
import os
import signal

import pytest
import tiny
import torch

from reram_torch.data.texts import Items, window_items
from reram_torch.evaluation.outcomes import Perplexity, Retrieval
from reram_torch.evaluation.scoring import Kept, score
from reram_torch.evaluation.texts import Embedding, LanguageModel


def perplexity(losses, tokens, blocks):
    losses, tokens = torch.tensor(losses, dtype=torch.float64), torch.tensor(tokens)
    return Perplexity(torch.zeros(len(losses)), 1.0, 0, losses, tokens, torch.tensor(blocks))


def test_the_perplexity_of_windows_without_overlap_is_that_of_the_usual_script(tmp_path):
    """With overlap the script counts a token too few in all windows but the first."""
    net, tokenizer = tiny.gpt(tmp_path)
    ids = tokenizer(" ".join(tiny.LINES)).input_ids
    total, count = 0.0, 0
    for begin in range(0, len(ids), 13):
        window = torch.tensor([ids[begin : begin + 13]])
        with torch.no_grad():
            loss = net(window, labels=window.clone()).loss
        n = window.shape[1] - 1
        total, count = total + float(loss) * n, count + n
    task = LanguageModel(13, 13)
    found = score(net, Items(window_items(ids, 13, 13)), task=task, batch_size=4)
    assert found.score == pytest.approx(math.exp(total / count), rel=1e-5)
    assert found.figures()["tokens"] == count


def test_errors_are_over_blocks_by_hand():
    """Two blocks of two windows, ten tokens in each block, which loses 2 nats a token, or 1."""
    found = perplexity([12.0, 8.0, 6.0, 4.0], [5, 5, 5, 5], [0, 0, 3, 3])
    assert found.score == math.exp(1.5)
    # Each block is away by 5 nats: sqrt(2 / 1 * (25 + 25)) / 20 tokens.
    assert found.score_error == pytest.approx(math.exp(1.5) * 10 / 20)
    assert found.figures()["blocks"] == 2
    assert math.isnan(perplexity([3.0], [5], [0]).score_error)


def test_losses_are_paired():
    """All windows lose alike: the perplexity rises by a known factor, and little is uncertain."""
    own, other = perplexity([6.0, 9.0], [4, 4], [0, 1]), perplexity([5.0, 8.0], [4, 4], [0, 1])
    lost, error = own.lost_against(other)
    assert lost == pytest.approx(math.exp(15 / 8) - math.exp(13 / 8))
    # Both windows are away by 3 / 2 nats, in both networks: what differs is the factor.
    assert error == pytest.approx(lost * math.sqrt(2 * 2 * 1.5**2) / 8)
    assert error < own.score_error / 4
    assert own.lost_against(own) == (0.0, 0.0)
    with pytest.raises(ValueError, match="on the same windows only"):
        own.lost_against(perplexity([6.0, 9.0], [4, 5], [0, 1]))


def test_the_order_in_which_processes_find_windows_does_not_matter(tmp_path):
    net, tokenizer = tiny.gpt(tmp_path)
    items = window_items(tokenizer(tiny.LINES[0]).input_ids, 12, 5)
    task = LanguageModel(12, 5)
    whole = score(net, Items(items), task=task, batch_size=3)
    turned = score(net, Items(items[1::2] + items[::2]), task=task, batch_size=1)
    assert torch.equal(whole.tokens, turned.tokens)
    assert torch.allclose(whole.losses, turned.losses)
    assert turned.lost_against(whole) == (pytest.approx(0, abs=1e-3), pytest.approx(0, abs=1e-3))


def test_a_stopped_evaluation_of_windows_goes_on(tmp_path):
    net, tokenizer = tiny.gpt(tmp_path)
    items = Items(window_items(tokenizer(" ".join(tiny.LINES)).input_ids, 12, 5))
    task, calls = LanguageModel(12, 5), []

    def stop(*_):
        calls.append(None)
        if len(calls) == 3:
            os.kill(os.getpid(), signal.SIGTERM)

    wanted = score(net, items, task=task, batch_size=4)
    handle = net.register_forward_hook(stop)
    kept = Kept(tmp_path / "kept.pt", {})
    with pytest.raises(KeyboardInterrupt):
        score(net, items, task=task, batch_size=4, kept=kept)
    found = score(net, items, task=task, batch_size=4, kept=kept)
    handle.remove()
    assert len(calls) == len(list(task.batches(items, 4, 0)))  # no batch twice
    assert torch.equal(found.digests, wanted.digests)
    assert found.score == wanted.score


def test_design_judges_a_window_by_its_mean_log_likelihood(tmp_path):
    net, tokenizer = tiny.gpt(tmp_path)
    task = LanguageModel(10, 10)
    items = window_items(tokenizer(" ".join(tiny.LINES)).input_ids, 10, 10)[:6]
    batches = list(task.batches(Items(items), 4, 0))
    with torch.no_grad():
        outputs = [task.forward(net, batch) for batch in batches]
    judged = task.metric(net, batches)(outputs, batches, [None, None])
    found = score(net, Items(items), task=task, batch_size=4)
    assert judged.tolist() == pytest.approx((-found.losses / found.tokens).tolist(), rel=1e-5)


def vectors(*rows):
    return torch.nn.functional.normalize(torch.tensor(rows, dtype=torch.float32), dim=1)


def test_retrieval_by_hand():
    documents = vectors([1, 0], [0, 1])
    own = torch.tensor([0, 1, 1])
    found, other = (
        Retrieval(torch.zeros(5), 1.0, 0, queries, documents, own)
        for queries in (vectors([2, 1], [1, 2], [2, 1]), vectors([2, 1], [1, 2], [1, 2]))
    )
    assert (found.top1, other.top1) == (pytest.approx(2 / 3), 1.0)
    row = found.compared(other, "float")
    assert row["lost_to_float"] == pytest.approx(1 / 3)
    assert row["lost_to_float_error"] == pytest.approx(math.sqrt(2) / 3 / math.sqrt(3))
    assert row["cosine_to_float"] == pytest.approx((4 + 0.8) / 5)  # (2, 1) against (1, 2): 4 / 5
    assert found.changed(other) == 1


@pytest.mark.parametrize("pooling", ["mean", "cls", "max"])
def test_design_judges_queries_among_all_documents_that_calibrate(tmp_path, pooling):
    net, tokenizer = tiny.bert(tmp_path)
    task = Embedding([0, 1, 2], pooling)
    ids = tokenizer(tiny.LINES).input_ids
    batches = [
        {"query": torch.tensor([ids[k]]), "document": torch.tensor([ids[3 + k]]),
         "place": torch.tensor([k])}
        for k in range(3)
    ]  # fmt: skip
    judge = task.metric(net, batches)
    with torch.no_grad():
        outputs = [task.forward(net, batch) for batch in batches]
    whole = judge(outputs, batches, [])
    for y in outputs:
        assert float(y["query"].norm()) == pytest.approx(1)
    one = judge(outputs[1:2], batches[1:2], [])  # the other documents are the float network's
    assert one.tolist() == whole[1:2].tolist()
    found = {"query": outputs[1]["document"], "document": outputs[1]["document"]}
    assert judge([found], batches[1:2], []).tolist() == [1.0]
    astray = {"query": outputs[0]["document"], "document": outputs[1]["document"]}
    assert judge([astray], batches[1:2], []).tolist() == [0.0]
    with pytest.raises(ValueError, match="pooling must be one of"):
        Embedding([0], "median")
