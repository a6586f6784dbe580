"""Which layers `convert` takes, what becomes of each, and why others are not taken."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

from torch import nn
from torch.nn.parameter import is_lazy

from reram_torch.config.sections import Config
from reram_torch.conversion.float_layers import is_transposed_linear
from reram_torch.nn.attention import PROJECTIONS, ReRAMMultiheadAttention
from reram_torch.nn.base import CrossbarLayer
from reram_torch.nn.borrowed import ReRAMBorrowedAttention, ReRAMShiftedWindowAttention
from reram_torch.nn.layers import ReRAMConv2d, ReRAMLinear
from reram_torch.nn.lines import ReRAMConv1d
from reram_torch.nn.same_padding import ReRAMConv2dSame
from reram_torch.nn.transposed import TransposedLinear

# Methods that decide what a layer computes.
_METHODS = ("forward", "_conv_forward", "_call_impl", "__call__", "__getattr__", "__getattribute__")
# Subclasses with a forward of their own that a crossbar layer computes, and that layer.
_KNOWN: dict[str, Callable[[Any, Config | None], nn.Module]] = {
    "timm.layers.linear.Linear": ReRAMLinear.from_float,
    "timm.layers.conv2d_same.Conv2dSame": ReRAMConv2dSame.from_float,
}
_TORCHVISIONS = "torchvision.models.swin_transformer.ShiftedWindowAttention"
# Attentions that multiply by the weights of their layers, past the layers' forward.
_LENDERS: dict[str, type[ReRAMBorrowedAttention]] = {
    _TORCHVISIONS: ReRAMShiftedWindowAttention,
    f"{_TORCHVISIONS}V2": ReRAMShiftedWindowAttention,
    "timm.models.beit.Attention": ReRAMBorrowedAttention,
    "timm.models.eva.EvaAttention": ReRAMBorrowedAttention,
    "timm.models.swin_transformer_v2.WindowAttention": ReRAMBorrowedAttention,
}


def _path(kind: type) -> str:
    return f"{kind.__module__}.{kind.__qualname__}"


def maker(module: nn.Module) -> Callable[[Any, Config | None], nn.Module] | None:
    """What makes the crossbar layer of a layer; None of a kind that is not taken."""
    if _path(type(module)) in _KNOWN:
        return _KNOWN[_path(type(module))]
    if isinstance(module, nn.Conv2d):
        return ReRAMConv2d.from_float
    if isinstance(module, nn.Linear):
        return ReRAMLinear.from_float
    if isinstance(module, nn.Conv1d):
        return ReRAMConv1d
    if isinstance(module, nn.MultiheadAttention):
        return ReRAMMultiheadAttention.from_float
    if is_transposed_linear(module) and type(module).__module__.split(".")[0] == "transformers":
        return TransposedLinear.from_float
    return None


def candidates(model: nn.Module, *, every_name: bool = False) -> dict[str, nn.Module]:
    """The layers that look convertible, by name; what attention projects with is part of it.

    Those that are on crossbars already are none.
    """
    attentions = (m for m in model.modules() if isinstance(m, nn.MultiheadAttention))
    inner = {id(part) for m in attentions for part in m.out_proj.modules()}
    named = model.named_modules(remove_duplicate=not every_name)
    found = {n: m for n, m in named if maker(m) is not None and id(m) not in inner}
    return {n: m for n, m in found.items() if not is_on_crossbars(m)}


def is_on_crossbars(module: nn.Module) -> bool:
    """Whether a module is a crossbar layer, or computes with some."""
    return any(isinstance(part, CrossbarLayer) for part in module.modules())


def owners(model: nn.Module) -> Counter[int]:
    """How many modules hold each parameter, by its id."""
    return Counter(id(p) for m in model.modules() for p in m.parameters(recurse=False))


def copied_though_shared(net: nn.Module) -> list[str]:
    """Layers on crossbars whose weight another one holds, too, and that `revert` copies."""
    held = owners(net)
    copied: dict[str, nn.Module] = {}
    for name, module in net.named_modules():
        if isinstance(module, TransposedLinear):
            copied[name] = module
        if isinstance(module, ReRAMConv1d):
            copied[f"{name}.conv".removeprefix(".")] = module.conv
        if isinstance(module, ReRAMMultiheadAttention) and module.packs:
            parts = [f"{name}.{part}".removeprefix(".") for part in PROJECTIONS]
            copied |= {part: net.get_submodule(part) for part in parts}
    return [n for n, m in copied.items() if any(held[id(p)] > 1 for p in m.parameters())]


def why_not(module: nn.Module, held: Counter[int]) -> str | None:
    """Why a layer that looks convertible is not, or None."""
    if isinstance(module, nn.MultiheadAttention):
        return _why_not_attention(module, held)
    kinds = nn.Conv2d, nn.Linear, nn.Conv1d
    parent = next((k for k in kinds if isinstance(module, k)), type(module))
    why = _own_ways(module, parent) or _hooked(module, ("weight", "bias"))
    if why:
        return why
    if any(p is not None and is_lazy(p) for p in module._parameters.values()):
        return "its size is not known yet: run the network once first"
    copied = isinstance(module, nn.Conv1d) or is_transposed_linear(module)
    if copied and held[id(module.weight)] > 1:
        return "its weight, which is to be given another shape, is shared with another layer"
    return _more_state(module, {"weight", "bias"}, set())


def _why_not_attention(module: nn.MultiheadAttention, held: Counter[int]) -> str | None:
    if type(module) is not nn.MultiheadAttention:
        return f"a subclass, {type(module).__name__}, whose forward may differ"
    names = {"in_proj_weight", "in_proj_bias", "q_proj_weight", "k_proj_weight", "v_proj_weight"}
    why = _own_ways(module, nn.MultiheadAttention) or _hooked(module, sorted(names))
    why = why or _more_state(module, names | {"bias_k", "bias_v"}, {"out_proj"})
    for packed in ("in_proj_weight", "in_proj_bias"):
        if not why and held[id(getattr(module, packed))] > 1:
            why = f"its {packed}, which is to be taken apart, is shared with another layer"
    if not why and isinstance(module.out_proj, nn.Linear):
        inner = why_not(module.out_proj, held)
        return inner and f"its out_proj: {inner}"
    return why or f"its out_proj is no Linear but a {type(module.out_proj).__name__}"


def _own_ways(module: nn.Module, parent: type[nn.Module]) -> str | None:
    """Why a module may not compute what its parent class does, or None."""
    kind = type(module)
    if "forward" in vars(module):
        return "its forward was replaced"
    if _path(kind) in _KNOWN:
        return None
    for name in _METHODS:
        if getattr(kind, name, None) is not getattr(parent, name, None):
            return f"a subclass, {kind.__name__}, with a {name} of its own"
    return None


def _hooked(module: nn.Module, names: list[str] | tuple[str, ...]) -> str | None:
    for name in names:
        if name not in module._parameters:
            return f"its {name} is computed by a hook"
    return None


def _more_state(module: nn.Module, parameters: set[str], modules: set[str]) -> str | None:
    """Why a module would lose state that its parent class does not have, or None."""
    more = [
        *(set(module._parameters) - parameters),
        *(n for n, _ in module.named_buffers(recurse=False)),
    ]
    more += set(module._modules) - modules
    if type(module).get_extra_state is not nn.Module.get_extra_state:
        more.append("an extra state")
    return f"it has more than weights: {', '.join(sorted(more))}" if more else None


def borrower(module: nn.Module) -> type[ReRAMBorrowedAttention] | None:
    """What calls the layers whose weights a module gives to a function; None of other modules."""
    kinds: list[Any] = [kind for kind in type(module).__mro__ if _path(kind) in _LENDERS]
    if not kinds or type(module).forward is not kinds[0].forward:
        return None
    return _LENDERS[_path(kinds[0])]
