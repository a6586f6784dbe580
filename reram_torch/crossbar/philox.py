"""Random words by their places: Philox4x32-10, a counter-based generator.

Salmon, Moraes, Dror, Shaw: Parallel Random Numbers: As Easy as 1, 2, 3 (SC 2011). The same words on
every machine and device, in any order: native kernels draw the noise of each conversion so.
"""

from __future__ import annotations

import torch

_MULTIPLIERS = 0xD2511F53, 0xCD9E8D57
_WEYL = 0x9E3779B9, 0xBB67AE85
_ROUNDS = 10
_WORD = 0xFFFFFFFF


def _product(x: torch.Tensor, by: int) -> tuple[torch.Tensor, torch.Tensor]:
    """High and low words of x * by, x below 2^32 in int64, which the product leaves."""
    low, high = x * (by & 0xFFFF), x * (by >> 16)  # below 2^48 each
    middle = high + (low >> 16)
    return middle >> 16, (middle & 0xFFFF) << 16 | low & 0xFFFF


def philox(
    counter: tuple[torch.Tensor, ...], key: tuple[int, int]
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """Four random words for each counter.

    Args:
        counter: four int64 tensors of words, 0 to 2^32 - 1, that broadcast.
        key: two words.

    Returns:
        Four int64 tensors of words.
    """
    a, b, c, d = (word + 0 * sum(counter) for word in counter)
    first, second = key
    for _ in range(_ROUNDS):
        (high_a, low_a), (high_c, low_c) = (
            _product(a, _MULTIPLIERS[0]),
            _product(c, _MULTIPLIERS[1]),
        )
        a, b, c, d = high_c ^ b ^ first, low_c, high_a ^ d ^ second, low_a
        first, second = first + _WEYL[0] & _WORD, second + _WEYL[1] & _WORD
    return a, b, c, d
