"""Language models from folders as Hugging Face's libraries write them, or from its hub."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

PREFIX = "hf:"
_KINDS = {
    "perplexity": "AutoModelForCausalLM",
    "embedding": "AutoModel",
    "classification": "AutoModelForSequenceClassification",
}
_POOLINGS = {
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_cls_token": "cls",
    "pooling_mode_max_tokens": "max",
}
_HUGE = 1 << 24  # tokenizers without a limit state a larger one


@dataclass(frozen=True)
class Pretrained:
    """A language model, in float32 and eval mode, and its tokenizer.

    Attributes:
        net: the network; its first argument is token ids (B, L).
        tokenizer: of transformers.
        longest: tokens that the network takes at most; None if nothing says so.
        pooling: how a sentence encoder makes one vector of those of its tokens.
    """

    net: nn.Module
    tokenizer: Any
    longest: int | None
    pooling: str = "mean"

    def encode(self, texts: list[str], longest: int | None = None) -> list[list[int]]:
        """Token ids of texts, with the special tokens that the model wants.

        Args:
            texts: what to encode.
            longest: tokens of a text at most; what is longer is cut.

        Raises:
            ValueError: the network has no vector for a token, or needs more than ids.
        """
        cut = {} if longest is None else {"truncation": True, "max_length": longest}
        found = self.tokenizer(texts, verbose=False, padding=False, **cut)
        ids: list[list[int]] = found["input_ids"]
        size = self.net.get_input_embeddings().num_embeddings  # type: ignore[operator]
        highest = max((max(each, default=0) for each in ids), default=0)
        if highest >= size:
            raise ValueError(
                f"the tokenizer gives a token {highest}, but the network knows {size}: they are of "
                "different models"
            )
        if any(any(each) for each in found.get("token_type_ids", [])):
            raise ValueError(
                f"{type(self.net).__name__} wants token types, which cannot be given here"
            )
        return ids


def load_pretrained(name: str, task: str) -> Pretrained:
    """A language model by the path of a folder, or by its name on the Hugging Face hub.

    Args:
        name: of the folder or model; a folder is never looked up on the hub.
        task: `perplexity`, `embedding` or `classification`.

    Raises:
        ImportError: transformers is not installed.
        FileNotFoundError: neither a folder nor to be had from the hub.
        ValueError: the folder holds no such model, or lacks some of its weights; or, for
            `perplexity`, predictions see what follows.
    """
    try:
        import transformers
    except ImportError as error:
        raise ImportError(f"models of {PREFIX!r} need the extra 'text': {error}") from error
    local = Path(name).is_dir()
    kind = getattr(transformers, _KINDS[task])
    try:
        tokenizer = transformers.AutoTokenizer.from_pretrained(name, local_files_only=local)
        net, info = kind.from_pretrained(
            name, local_files_only=local, dtype=torch.float32, output_loading_info=True
        )
    except (OSError, ValueError, KeyError) as error:
        why = f"{type(error).__name__}: {str(error).strip().partition(chr(10))[0]}"
        if local:
            raise ValueError(
                f"{name!r} holds no model for {task} with its tokenizer, as save_pretrained "
                f"writes them ({why})"
            ) from error
        raise FileNotFoundError(
            f"no folder {name!r}, and the Hugging Face hub does not give such a model ({why}): "
            f"give {PREFIX} and a folder of save_pretrained"
        ) from error
    if task == "embedding" and isinstance(getattr(net, "pooler", None), nn.Module):
        net.pooler = None  # nothing reads it, and crossbars would compute it
    missing = [key for key in sorted(info["missing_keys"]) if not key.startswith("pooler.")]
    if missing or info["mismatched_keys"]:
        odd = (missing or sorted(map(str, info["mismatched_keys"])))[0]
        raise ValueError(
            f"{name!r} lacks weights of a {type(net).__name__}, such as {odd!r}: it is no model "
            f"for {task}"
        )
    net.config.use_cache = False
    net.eval()
    if task == "perplexity":
        _check_causal(net, name)
    if task == "classification" and net.config.pad_token_id is None:
        net.config.pad_token_id = -1  # nothing is padded: the last token is the last
    side = _SideFiles(name, local)
    pooling = _pooling(side) if task == "embedding" else "mean"
    return Pretrained(net, tokenizer, _longest(net, tokenizer, side), pooling)


@torch.no_grad()
def _check_causal(net: Any, name: str) -> None:
    """Raises ValueError if a token is predicted from itself, or from what follows it."""
    size = net.get_input_embeddings().num_embeddings
    one = torch.arange(4)[None] % size
    other = one.clone()
    other[0, -1] = size - 1
    before, after = (net(ids).logits[:, :-1] for ids in (one, other))
    if not torch.allclose(before, after, rtol=1e-4, atol=1e-5):
        raise ValueError(
            f"{name!r} is no causal language model: what it predicts depends on the tokens that "
            f"follow, so that a {type(net).__name__} has no perplexity"
        )


class _SideFiles:
    """What sentence encoders have beside the model: JSON files.

    Args:
        name: of a folder or of a model on the hub.
        local: it is a folder.
    """

    def __init__(self, name: str, local: bool):
        self.name, self.local = name, local

    def read(self, file: str) -> Any:
        """What a file holds; None if there is none.

        Raises:
            FileNotFoundError: the hub does not say whether there is one.
            ValueError: it is not JSON.
        """
        from transformers.utils.hub import cached_file

        try:
            path = cached_file(
                self.name, file, local_files_only=self.local,
                _raise_exceptions_for_missing_entries=False,
            )  # fmt: skip
        except OSError as error:
            raise FileNotFoundError(
                f"whether {self.name!r} has {file!r} cannot be looked up: {error}"
            ) from error
        try:
            return None if path is None else json.loads(Path(path).read_text(encoding="utf-8"))
        except ValueError as error:
            raise ValueError(f"{path} is not JSON: {error}") from error


def _longest(net: Any, tokenizer: Any, side: _SideFiles) -> int | None:
    """Tokens at most, as network, tokenizer and sentence encoder state them."""
    sentences = side.read("sentence_bert_config.json") or {}
    if sentences.get("do_lower_case"):
        raise ValueError(f"{side.name!r} wants texts in lower case, which is not done here")
    stated = (
        getattr(net.config, "max_position_embeddings", None),
        tokenizer.model_max_length,
        sentences.get("max_seq_length"),
    )
    return min((n for n in stated if isinstance(n, int) and 0 < n < _HUGE), default=None)


def _pooling(side: _SideFiles) -> str:
    """How the modules of a sentence encoder pool; the mean if there are none.

    Raises:
        ValueError: they do what is not known here.
    """
    modules = side.read("modules.json") or []
    kinds = [str(module["type"]).rpartition(".")[2] for module in modules]
    if kinds and kinds not in (["Transformer", "Pooling"], ["Transformer", "Pooling", "Normalize"]):
        raise ValueError(
            f"modules.json of {side.name!r} wants {kinds}: known are Transformer and Pooling, and "
            "Normalize after them"
        )
    file = f"{modules[1]['path'] if kinds else '1_Pooling'}/config.json"
    stated = side.read(file)
    if stated is None:
        return "mean"
    wanted = [key for key, on in stated.items() if key.startswith("pooling_mode") and on]
    if len(wanted) != 1 or wanted[0] not in _POOLINGS:
        raise ValueError(f"{file} of {side.name!r} wants {wanted}: known is one of {[*_POOLINGS]}")
    return _POOLINGS[wanted[0]]
