"""Windows are those of torch's convolutions."""

import torch
from hypothesis import given
from hypothesis import strategies as st
from problems import examples
from torch.nn import functional as F

from reram_torch.crossbar.windows import Window


@st.composite
def convolutions(draw):
    """A window and an input that it fits."""
    pair = lambda low, high: (draw(st.integers(low, high)), draw(st.integers(low, high)))  # noqa: E731
    window = Window(pair(1, 4), pair(1, 3), pair(0, 2), pair(1, 3), draw(st.integers(1, 3)))
    rows, columns = (
        max(1, reach - 2 * pad + draw(st.integers(0, 6)))
        for reach, pad in zip(window.reach, window.padding, strict=True)
    )
    channels = window.groups * draw(st.integers(1, 3))
    u = torch.randint(0, 256, (draw(st.integers(1, 3)), channels, rows, columns)).byte()
    if draw(st.booleans()):
        u = u.contiguous(memory_format=torch.channels_last)
    return window, u


@examples(60)
@given(convolutions(), st.integers(0, 255))
def test_windows_and_sizes_are_torchs(case, zero):
    window, u = case
    kernel = torch.randint(-9, 10, (2 * window.groups, u.shape[1] // window.groups, *window.kernel))
    above, left = window.padding
    padded = F.pad(u, (left, left, above, above), value=zero).double()
    expected = F.conv2d(
        padded, kernel.double(), None, window.stride, 0, window.dilation, window.groups
    )
    assert window.output_size(*u.shape[2:]) == tuple(expected.shape[2:])
    found = window.over(u, zero).flatten(4).double()  # (B, OH, OW, G, K)
    codes = kernel.double().view(window.groups, 2, -1)
    y = torch.einsum("bhwgk,gnk->bgnhw", found, codes).flatten(1, 2)
    assert torch.equal(y, expected)
    assert Window.of_list(window.as_list()) == window


def test_padding_alone_is_copied():
    u = torch.zeros(2, 6, 9, 9, dtype=torch.uint8)
    assert Window((3, 3)).over(u, 0).data_ptr() == u.data_ptr()
