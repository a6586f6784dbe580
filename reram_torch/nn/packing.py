"""Plain values as a tensor, as whatever handles a `state_dict` expects of its entries.

Bytes: CRC-32 of what follows, length of the text, JSON deflated, zeros. The zeros make the length
the same for most designs of a layer, as torch.distributed.checkpoint wants it.
"""

from __future__ import annotations

import json
import struct
import zlib
from typing import Any

import numpy as np
import torch

_HEAD = struct.Struct("<II")


def pack(values: dict[str, Any], room: int) -> torch.Tensor:
    """Plain values as uint8 (room,), or (room * 2^n,) where that is too short."""
    text = zlib.compress(json.dumps(values, separators=(",", ":")).encode(), 9)
    while room < _HEAD.size + len(text):
        room *= 2
    rest = struct.pack("<I", len(text)) + text
    rest += bytes(room - 4 - len(rest))
    data = struct.pack("<I", zlib.crc32(rest)) + rest
    return torch.from_numpy(np.frombuffer(data, dtype=np.uint8).copy())


def unpack(packed: torch.Tensor) -> dict[str, Any]:
    """The inverse of `pack`; bytes may have become numbers of another type.

    Raises:
        ValueError: these are not the bytes that `pack` made.
    """
    data = packed.detach().cpu()
    codes = data.to(torch.uint8)
    whole = data.dim() == 1 and len(data) >= _HEAD.size and torch.equal(codes.to(data.dtype), data)
    raw = codes.contiguous().numpy().tobytes() if whole else b""
    if not raw or zlib.crc32(raw[4:]) != _HEAD.unpack_from(raw)[0]:
        raise ValueError(
            "this crossbar state was changed since it was saved, or mixed with another "
            "(averaged?): average parameters and buffers, and take the _extra_state of one network"
        )
    length = _HEAD.unpack_from(raw)[1]
    values: dict[str, Any] = json.loads(zlib.decompress(raw[_HEAD.size : _HEAD.size + length]))
    return values
