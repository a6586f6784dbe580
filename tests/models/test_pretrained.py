"""Language models from folders."""

import json
import sys

import pytest
import tiny
import torch

from reram_torch.models.pretrained import load_pretrained

pytest.importorskip("transformers")


@pytest.fixture
def bert(tmp_path):
    tiny.bert(tmp_path)
    return tmp_path


def write(folder, **files):
    """JSON files, by their names up to the dot."""
    for name, content in files.items():
        path = folder / name.replace("__", "/")
        path.parent.mkdir(exist_ok=True)
        path.with_suffix(".json").write_text(json.dumps(content), encoding="utf-8")


def modules(*kinds):
    places = ["", "1_Pooling", "2_More"]
    return [
        {"type": f"sentence_transformers.models.{kind}", "path": path}
        for kind, path in zip(kinds, places, strict=False)
    ]


def test_a_sentence_encoder_states_its_pooling_and_its_length(bert):
    made = load_pretrained(str(bert), "embedding")
    assert (made.pooling, made.longest) == ("mean", 64)
    assert made.net.pooler is None
    assert not made.net.training
    write(
        bert,
        modules=modules("Transformer", "Pooling", "Normalize"),
        sentence_bert_config={"max_seq_length": 9, "do_lower_case": False},
        **{"1_Pooling__config": {"word_embedding_dimension": 32, "pooling_mode_cls_token": True}},
    )
    made = load_pretrained(str(bert), "embedding")
    assert (made.pooling, made.longest) == ("cls", 9)
    assert [len(ids) for ids in made.encode(tiny.LINES, 9)] == [9] * len(tiny.LINES)


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"modules": modules("Transformer", "Pooling", "Dense")}, "wants .*'Dense'.: known are"),
        ({"1_Pooling__config": {"pooling_mode_lasttoken": True}}, "'pooling_mode_lasttoken'"),
        ({"1_Pooling__config": {"pooling_mode_mean_tokens": False}}, r"wants \[\]: known is one"),
        ({"sentence_bert_config": {"do_lower_case": True}}, "wants texts in lower case"),
    ],
)
def test_what_encoders_want_and_nobody_does_is_refused(bert, files, message):
    write(bert, **files)
    with pytest.raises(ValueError, match=message):
        load_pretrained(str(bert), "embedding")


def test_a_model_without_the_weights_of_its_task_is_refused(bert):
    with pytest.raises(ValueError, match="lacks weights of a BertForSequenceClassification, such "):
        load_pretrained(str(bert), "classification")


def test_a_tokenizer_of_another_model_is_refused(bert, tmp_path):
    tokenizer = tiny.tokenizer(["[PAD]", "[CLS]", "[SEP]"])
    tokenizer.add_tokens(["crossbar"])
    tokenizer.save_pretrained(bert)
    made = load_pretrained(str(bert), "embedding")
    with pytest.raises(ValueError, match="gives a token 320, but the network knows 320"):
        made.encode(["a crossbar"])


def test_what_is_no_model_is_named(tmp_path, monkeypatch):
    with pytest.raises(ValueError, match="holds no model for perplexity with its tokenizer"):
        load_pretrained(str(tmp_path), "perplexity")
    with pytest.raises(FileNotFoundError, match="no folder '/no/such/folder', and the Hugging"):
        load_pretrained("/no/such/folder", "perplexity")
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(ImportError, match="need the extra 'text'"):
        load_pretrained(str(tmp_path), "perplexity")


def test_what_sees_the_tokens_that_follow_has_no_perplexity(tmp_path):
    transformers = pytest.importorskip("transformers")
    config = transformers.BertConfig(
        vocab_size=320, hidden_size=32, num_hidden_layers=1, num_attention_heads=2,
        intermediate_size=64, initializer_range=0.2,
    )  # fmt: skip
    for decoder in (False, True):
        config.is_decoder = decoder
        transformers.BertLMHeadModel(config).save_pretrained(tmp_path)
        tiny.tokenizer(["[PAD]"]).save_pretrained(tmp_path)
        if decoder:
            assert load_pretrained(str(tmp_path), "perplexity").net is not None
        else:
            with pytest.raises(ValueError, match="is no causal language model: what it predicts"):
                load_pretrained(str(tmp_path), "perplexity")


def test_a_classifier_by_the_last_token_needs_no_padding_token(tmp_path):
    transformers = pytest.importorskip("transformers")
    config = transformers.GPT2Config(
        vocab_size=320, n_embd=32, n_layer=1, n_head=2, num_labels=3, initializer_range=0.2
    )
    transformers.GPT2ForSequenceClassification(config).save_pretrained(tmp_path)
    tiny.tokenizer(["<|end|>"]).save_pretrained(tmp_path)
    net = load_pretrained(str(tmp_path), "classification").net
    ids = torch.randint(320, (4, 6))
    with torch.no_grad():
        assert torch.allclose(net(ids).logits, net.score(net.transformer(ids)[0][:, -1]))
