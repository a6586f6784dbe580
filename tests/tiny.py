"""Language models made from a configuration, with tokenizers trained on a few lines."""

import pytest
import torch

LINES = [
    "Return the smallest of the numbers that a list holds, and its place in the list.",
    "Open a file for reading; the caller closes it, whatever happens in between.",
    "Words of a sentence are split at blanks, and blanks at both ends are dropped.",
    "A number that cannot be read is an error, which names the line it stands in.",
    "Sort the rows of a table by the value of a column, the smallest value first.",
    "The server answers every request once, and waits for the next one after that.",
]


def tokenizer(special, template=None):
    """A byte-level tokenizer of 320 tokens; `special` are its first ones."""
    tokenizers = pytest.importorskip("tokenizers")
    transformers = pytest.importorskip("transformers")
    made = tokenizers.Tokenizer(tokenizers.models.BPE())
    made.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = tokenizers.decoders.ByteLevel()
    trainer = tokenizers.trainers.BpeTrainer(
        vocab_size=320,
        initial_alphabet=tokenizers.pre_tokenizers.ByteLevel.alphabet(),
        special_tokens=special,
        show_progress=False,
    )
    made.train_from_iterator(LINES, trainer)
    if template:
        pairs = [(token, made.token_to_id(token)) for token in special]
        made.post_processor = tokenizers.processors.TemplateProcessing(
            single=template, special_tokens=pairs
        )
    return transformers.PreTrainedTokenizerFast(tokenizer_object=made, pad_token=special[0])


def gpt(folder, positions=16):
    """A GPT-2 of two layers, saved with its tokenizer."""
    transformers = pytest.importorskip("transformers")
    torch.manual_seed(1)
    config = transformers.GPT2Config(
        vocab_size=320, n_positions=positions, n_embd=32, n_layer=2, n_head=2,
        bos_token_id=0, eos_token_id=0, initializer_range=0.2,
    )  # fmt: skip
    return _saved(transformers.GPT2LMHeadModel(config), tokenizer(["<|end|>"]), folder)


def bert(folder, labels=None):
    """A BERT of two layers, saved with its tokenizer; with names of classes, a classifier."""
    transformers = pytest.importorskip("transformers")
    torch.manual_seed(2)
    more = {} if labels is None else {
        "id2label": dict(enumerate(labels)), "label2id": {n: k for k, n in enumerate(labels)},
    }  # fmt: skip
    config = transformers.BertConfig(
        vocab_size=320, hidden_size=32, num_hidden_layers=2, num_attention_heads=2,
        intermediate_size=64, max_position_embeddings=64, initializer_range=0.2, **more,
    )  # fmt: skip
    kind = transformers.BertModel if labels is None else transformers.BertForSequenceClassification
    made = tokenizer(["[PAD]", "[CLS]", "[SEP]"], "[CLS] $A [SEP]")
    return _saved(kind(config), made, folder)


def _saved(net, made, folder):
    net.save_pretrained(folder)
    made.save_pretrained(folder)
    return net.eval(), made


def pairs(path, items, keys=("query", "document")):
    """A file of pairs, by tabs, with a line of names."""
    rows = ["\t".join(keys), *("\t".join(item) for item in items)]
    path.write_text("\n".join(rows) + "\n", encoding="utf-8")
    return path
