"""Random words by their place: those of a purpose of a layer, whatever else is drawn and where.

They are the raw output of numpy's Philox 4x64, which is counter-based: a word's place in its stream
finds it, on every machine and in any order.
"""

from __future__ import annotations

import hashlib
import json

import numpy as np

from reram_torch._support.checks import check_int

_WORDS = 8  # of 32 bits, that one count of Philox gives


def key_of(seed: int, layer: str, purpose: str) -> int:
    """The key of a stream, 128 bits: a hash, so that no two purposes or layers share words.

    Raises:
        ValueError: the seed is no whole number from 0 to 2^63 - 1.
    """
    check_int("seed", seed, 0, 2**63 - 1)
    text = json.dumps([seed, layer, purpose])
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=16).digest(), "little")


def words(key: int, first: int, count: int) -> np.ndarray:
    """So many words of a stream from the place `first` on, uint32 (count,)."""
    block, skipped = divmod(first, _WORDS)
    raw = np.random.Philox(key=key, counter=block).random_raw(-(-(skipped + count) // 2))
    found: np.ndarray = raw.astype("<u8", copy=False).view("<u4")[skipped : skipped + count]
    return found
