"""What a layer takes with it from a float layer to a crossbar layer, and back."""

from __future__ import annotations

import weakref
from typing import Any

import torch
from torch import nn
from torch.nn.utils import parametrize

from reram_torch.nn.state import STEPS


def carry_over(source: nn.Module, target: nn.Module) -> None:
    """Parameters, shared, and what computes them; buffers, hooks and training mode.

    A weight that a parametrization or a hook (of weight norm, spectral norm, pruning) computes goes
    on being computed by it.

    Raises:
        ValueError: a forward was put on the instance, which would be lost.
    """
    own, made = vars(source), vars(target)
    steps = {n: p for n, p in made["_parameters"].items() if n in STEPS}
    theirs = {n: p for n, p in own["_parameters"].items() if n not in STEPS}
    made["_parameters"] = {**theirs, **steps}
    made["_buffers"].update(own["_buffers"])
    for name in ("weight", "bias"):
        if name in own:  # a tensor that a hook computes
            made[name] = own[name]
    if parametrize.is_parametrized(source):
        _share_parametrizations(source, target)
    carry_hooks(source, target)


def _share_parametrizations(source: nn.Module, target: nn.Module) -> None:
    given: Any = source.parametrizations
    for name in given:
        if name in STEPS:
            continue
        target.register_parameter(name, nn.Parameter(torch.empty(0)))
        # Makes the property; what computes the value is then the same as the source's.
        parametrize.register_parametrization(target, name, nn.Identity(), unsafe=True)
        made: Any = target.parametrizations
        made[name] = given[name]


def carry_hooks(source: nn.Module, target: nn.Module) -> None:
    """Hooks (shared, so that their handles go on working) and training mode."""
    if "forward" in vars(source):  # convert leaves such a layer alone
        raise ValueError("its forward is replaced on the instance: delete that attribute first")
    for name in (
        "_forward_hooks",
        "_forward_pre_hooks",
        "_forward_hooks_with_kwargs",
        "_forward_pre_hooks_with_kwargs",
        "_forward_hooks_always_called",
        "_backward_hooks",
        "_backward_pre_hooks",
        "_is_full_backward_hook",
        "_state_dict_hooks",
        "_state_dict_pre_hooks",
        "_load_state_dict_pre_hooks",
        "_load_state_dict_post_hooks",
    ):
        setattr(target, name, getattr(source, name))
    for hook in vars(target)["_load_state_dict_pre_hooks"].values():
        if getattr(hook, "with_module", False):  # these know their module
            hook.module = weakref.ref(target)
    target.training = source.training
