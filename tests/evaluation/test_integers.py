"""The plain integer network is what lossless crossbars are, whatever torch does between layers."""

import pytest
import torch
from torch import nn

import reram_torch as rt
from reram_torch.evaluation.integers import plain_integer


class Tokens(nn.Module):
    """As transformers mix tokens: (B, H, W, C) through a convolution, channels last."""

    def __init__(self, groups, bias):
        super().__init__()
        self.mix = nn.Conv2d(12, 12, 3, padding=1, groups=groups, bias=bias)
        self.out = nn.Linear(12, 7)

    def forward(self, x):
        x = self.mix(x.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)
        return self.out(nn.functional.gelu(x))


@pytest.mark.parametrize("groups", [1, 12])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("images", [1, 2])  # torch's own layout of a single image is another
@pytest.mark.parametrize("last", [True, False])
def test_results_lie_in_memory_alike(groups, bias, images, last):
    """Torch rounds some functions by where a number lies: strides must be the same, too."""
    net = rt.convert(Tokens(groups, bias).eval())
    x = torch.randn(images, 9, 11, 12)
    if not last:
        x = x.permute(0, 3, 1, 2).contiguous().permute(0, 2, 3, 1)
    else:  # as a view of tokens, (B, H * W, C)
        x = x.flatten(1, 2).transpose(1, 2).view(images, 12, 9, 11).permute(0, 2, 3, 1)
    rt.calibrate(net, [x], held_back=0, show_progress=False)
    seen = []
    net.mix.register_forward_hook(lambda _, __, y: seen.append(y))
    with torch.no_grad():
        lossless = net(x)
        with plain_integer(net):
            plain = net(x)
    assert torch.equal(*seen)
    assert seen[0].stride() == seen[1].stride()
    assert torch.equal(lossless, plain)
