"""Torch's fused transformer kernels, which read weights past the layers that hold them.

`TransformerEncoderLayer` takes its kernel only where `activation_relu_or_gelu` says that the kernel
knows the activation, and `TransformerEncoder` packs padded batches for it only where
`use_nested_tensor` is true. Neither is read for anything else.
"""

from __future__ import annotations

from torch import nn

from reram_torch._support.modules import keep_note
from reram_torch.nn.base import CrossbarLayer

_NOTE = "fused_path_before"
_CLOSED: dict[type[nn.Module], tuple[str, object]] = {
    nn.TransformerEncoderLayer: ("activation_relu_or_gelu", 0),
    nn.TransformerEncoder: ("use_nested_tensor", False),
}


def close_fused_paths(net: nn.Module) -> None:
    """Makes torch's modules with crossbar layers in them call these, whatever the mode."""
    for module in net.modules():
        for kind, (name, closed) in _CLOSED.items():
            if isinstance(module, kind) and _NOTE not in vars(module) and _holds_crossbars(module):
                keep_note(module, _NOTE, (name, getattr(module, name, closed)))
                keep_note(module, name, closed)


def reopen_fused_paths(net: nn.Module) -> None:
    """The inverse of `close_fused_paths`."""
    for module in net.modules():
        name, value = vars(module).pop(_NOTE, (None, None))
        if name is not None:
            keep_note(module, name, value)


def _holds_crossbars(module: nn.Module) -> bool:
    return any(isinstance(m, CrossbarLayer) for m in module.modules())
