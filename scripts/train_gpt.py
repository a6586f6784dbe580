"""Trains a small GPT-2 on the docstrings of Python's own library: something to put on crossbars.

Writes a folder for `reram-torch evaluate --model hf:...`, and text of modules that it was not
trained on: test.txt and calibration.txt. Needs the extra `text`.
"""

import argparse
import ast
import math
import sysconfig
import time
from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerFast

from reram_torch._support.progress import progress

LEFT_OUT = {"site-packages", "dist-packages", "test", "tests", "idlelib", "lib2to3", "turtledemo"}


def docstrings(file: Path) -> list[str]:
    """The docstrings of a module, its classes and its functions, in order."""
    try:
        tree = ast.parse(file.read_bytes())
    except (SyntaxError, ValueError):
        return []
    kinds = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef
    found = (ast.get_docstring(node) for node in ast.walk(tree) if isinstance(node, kinds))
    return [text for text in found if text]


def texts(root: Path) -> dict[str, str]:
    """What is learned, calibrates and tests: of each ten modules eight, one and one."""
    files = [f for f in sorted(root.rglob("*.py")) if not LEFT_OUT & set(f.relative_to(root).parts)]
    parts: dict[str, list[str]] = {"train": [], "calibration": [], "test": []}
    seen: set[str] = set()
    for k, found in enumerate(filter(None, map(docstrings, files))):
        new = [text for text in dict.fromkeys(found) if text not in seen]
        seen.update(new)
        parts[{3: "calibration", 7: "test"}.get(k % 10, "train")] += new
    return {name: "\n\n".join(part) + "\n" for name, part in parts.items()}


def tokenizer_of(text: str, size: int) -> PreTrainedTokenizerFast:
    """A byte-level BPE of so many tokens."""
    made = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=size, initial_alphabet=alphabet, special_tokens=["<|end|>"], show_progress=False
    )
    made.train_from_iterator(text.split("\n\n"), trainer)
    return PreTrainedTokenizerFast(tokenizer_object=made, eos_token="<|end|>")


def train(net: GPT2LMHeadModel, ids: torch.Tensor, steps: int, batch: int, rate: float) -> float:
    """Trains on random windows; a cosine after a short warm-up. The last losses' mean."""
    context = net.config.n_positions
    optimizer = torch.optim.AdamW(net.parameters(), rate, weight_decay=0.1, betas=(0.9, 0.95))
    warm = steps // 20 + 1
    lower = torch.optim.lr_scheduler.LambdaLR(
        optimizer,
        lambda k: min((k + 1) / warm, 0.55 + 0.45 * math.cos(math.pi * k / steps)),
    )
    net.train()
    losses = []
    with progress(description="train", total=steps, unit="step") as bar:
        for _ in range(steps):
            starts = torch.randint(len(ids) - context, (batch,))
            window = torch.stack([ids[k : k + context] for k in starts.tolist()])
            loss = net(window, labels=window).loss
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(net.parameters(), 1.0)
            optimizer.step()
            lower.step()
            losses.append(float(loss.detach()))
            bar.update(1)
            bar.set_postfix_str(f"loss {losses[-1]:.3f}")
    net.eval()
    return sum(losses[-20:]) / len(losses[-20:])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="folder of model and texts")
    sizes = {"layers": 4, "width": 192, "heads": 4, "context": 128, "vocabulary": 2048}
    for name, value in {**sizes, "steps": 500, "batch": 16, "seed": 0}.items():
        parser.add_argument(f"--{name}", type=int, default=value)
    library = Path(sysconfig.get_path("stdlib"))
    parser.add_argument("--source", type=Path, default=library, help="folder of Python files")
    parser.add_argument("--rate", type=float, default=2e-3)
    args = parser.parse_args()
    torch.manual_seed(args.seed)
    found, start = texts(args.source), time.perf_counter()
    tokenizer = tokenizer_of(found["train"], args.vocabulary)
    ids = torch.tensor(tokenizer(found["train"], verbose=False).input_ids)
    net = GPT2LMHeadModel(GPT2Config(
        vocab_size=len(tokenizer), n_positions=args.context, n_embd=args.width,
        n_layer=args.layers, n_head=args.heads, resid_pdrop=0.0, embd_pdrop=0.0, attn_pdrop=0.0,
        bos_token_id=tokenizer.eos_token_id, eos_token_id=tokenizer.eos_token_id,
    ))  # fmt: skip
    loss = train(net, ids, args.steps, args.batch, args.rate)
    net.save_pretrained(args.out)
    tokenizer.save_pretrained(args.out)
    for name in ("calibration", "test"):
        (args.out / f"{name}.txt").write_text(found[name], encoding="utf-8")
    print(f"{len(ids)} tokens, loss {loss:.3f}, {time.perf_counter() - start:.0f} s: {args.out}")


if __name__ == "__main__":
    main()
