"""`convert` a float network to crossbars, and `revert` it."""

from __future__ import annotations

import copy
import fnmatch
import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TypeVar

from torch import nn

from reram_torch._support.modules import keep_note, replace_modules
from reram_torch.config.sections import Config
from reram_torch.conversion.float_layers import (
    ATTENTIONS,
    FloatLayer,
    float_layers,
    weights_on_crossbars,
)
from reram_torch.conversion.folding import Fold, fold_batch_norms
from reram_torch.conversion.fused_paths import close_fused_paths, reopen_fused_paths
from reram_torch.conversion.kinds import (
    borrower,
    candidates,
    copied_though_shared,
    is_on_crossbars,
    maker,
    owners,
    why_not,
)
from reram_torch.nn.base import CrossbarLayer
from reram_torch.nn.lines import ReRAMConv1d
from reram_torch.nn.networks import crossbar_layers

logger = logging.getLogger("reram_torch")
Skip = Iterable[str] | Callable[[str, nn.Module], bool]
_HOLDERS = *ATTENTIONS, ReRAMConv1d
_Layer = TypeVar("_Layer", bound=nn.Module)


@dataclass(frozen=True)
class MappingReport:
    """What `convert` did, by qualified name.

    Attributes:
        converted: layers now on crossbars.
        skipped: layers that `skip` named.
        left_alone: layers that could not be converted, with the reason.
        folded: convolutions that took in the batch norm after them, with its name.
        not_folded: batch norms after a convolution that stayed, with the reason.
        in_float: everything with weights that stays in float: layers of every kind, and parameters
            of two dimensions or more that a module reads itself; and attention whose projections
            are on crossbars, without weights, for its products of two activations.
        crossbar_weights: how many weights lie on crossbars.
    """

    converted: tuple[str, ...]
    skipped: tuple[str, ...]
    left_alone: dict[str, str]
    folded: dict[str, str]
    not_folded: dict[str, str]
    in_float: dict[str, FloatLayer] = field(default_factory=dict)
    crossbar_weights: int = 0

    @property
    def float_weights(self) -> int:
        """How many weights stay in float; biases and norms are not counted."""
        return sum(layer.weights for layer in self.in_float.values())

    @property
    def weights_on_crossbars(self) -> float:
        """The share of the weights that lies on crossbars."""
        return self.crossbar_weights / ((self.crossbar_weights + self.float_weights) or 1)


def _skip_predicate(skip: Skip, model: nn.Module) -> Callable[[str, nn.Module], bool]:
    if callable(skip):
        return skip
    wanted = {skip} if isinstance(skip, str) else set(skip)
    every = candidates(model, every_name=True)  # a shared layer has several names
    names = {n: id(m) for n, m in every.items()}
    unknown = sorted(wanted - set(names))
    if unknown:
        raise ValueError(
            f"skip: no layer to convert is named {unknown[0]!r}; there are {sorted(names)}"
        )
    ids = {names[name] for name in wanted}
    return lambda name, module: id(module) in ids


def convert(
    model: nn.Module,
    config: Config | None = None,
    *,
    inplace: bool = False,
    skip: Skip = (),
    fold_bn: bool = False,
    layers: Mapping[str, Config] | None = None,
) -> nn.Module:
    """Swaps the Conv2d and Linear layers of a network for crossbar layers.

    So it does with the projections of `MultiheadAttention` (`ReRAMMultiheadAttention`), with
    `Conv1d` (a `ReRAMConv2d` of height 1), with Hugging Face's `Conv1D`, and with subclasses that
    compute what torch's layer does. Subclasses with a forward or state of their own and layers
    whose weight a hook computes are left alone, and layers of other kinds stay in float, too.
    Modules used in several places stay shared, tied parameters stay tied. Torch's transformer
    layers call their layers rather than take a fused path. What was done is in
    `net.mapping_report`, and in the log of `reram_torch`. Layers that are on crossbars already stay
    as they are, so that each call may give some layers arrays of their own.

    Args:
        model: the network.
        config: arrays, codes and ADC; `Config()` if not given.
        inplace: change `model` itself rather than a copy.
        skip: qualified names of layers to leave in float, or a predicate (name, module) -> bool; a
            `MultiheadAttention` is one layer.
        fold_bn: fold batch norms into the convolutions that they directly follow. The network must
            be in eval mode and traceable by torch.fx. Where the graph makes folding wrong the
            batch norm stays, and `net.mapping_report.not_folded` says why.
        layers: configurations of layers of their own, by patterns of qualified names as the shell
            has them (`layer1.*`); the first that matches counts.

    Returns:
        the network with crossbar layers; run `calibrate` next.

    Raises:
        ValueError: nothing to convert, or nothing that is not on crossbars yet; `skip` names a
            layer that does not exist, or `layers` has a pattern of none; `fold_bn` with a network
            in training mode or one that torch.fx cannot trace.
    """
    if config is not None and not isinstance(config, Config):
        raise TypeError(f"config must be a reram_torch.Config (see load_config), not {config!r}")
    found = candidates(model)
    if not found and is_on_crossbars(model):
        raise ValueError("every layer is on crossbars already: revert it, then convert again")
    if not found:
        raise ValueError("this network has no Conv2d and no Linear layer to convert")
    predicate, held = _skip_predicate(skip, model), owners(model)
    left_alone = {n: why for n, m in found.items() if (why := why_not(m, held))}
    skipped = [n for n, m in found.items() if n not in left_alone and predicate(n, m)]
    wanted = [n for n in found if n not in left_alone and n not in skipped]
    if not wanted:
        raise ValueError(f"nothing left to convert: skipped {skipped}, left alone {left_alone}")

    net = model if inplace else copy.deepcopy(model)
    own = _own_configs(net, layers or {})
    floats = {name: net.get_submodule(name) for name in wanted}
    made = _make(floats, lambda layer: _converted(layer, own.get(id(layer), config)))
    fold = Fold({}, {})
    if fold_bn:  # only now that every layer is known to fit: folding changes the network
        fold = fold_batch_norms(net, wanted)
        for name in fold.folded:
            layer = floats[name]
            made[id(layer)] = _converted(layer, own.get(id(layer), config))
    net = _lend(replace_modules(net, made))
    close_fused_paths(net)
    report = _report(net, skipped, left_alone, fold)
    keep_note(net, "mapping_report", report)
    _log(report)
    return net


def _own_configs(model: nn.Module, layers: Mapping[str, Config]) -> dict[int, Config]:
    """The configurations of layers of their own, by identity."""
    every = candidates(model, every_name=True)
    found: dict[int, Config] = {}
    for pattern, config in reversed(list(layers.items())):  # the first one counts
        if not isinstance(config, Config):
            raise TypeError(f"layers[{pattern!r}] must be a reram_torch.Config, not {config!r}")
        named = fnmatch.filter(every, pattern)
        if not named:
            raise ValueError(
                f"layers: no layer to convert is named {pattern!r}; there are {sorted(every)}"
            )
        found.update({id(every[name]): config for name in named})
    return found


def _converted(layer: nn.Module, config: Config | None) -> nn.Module:
    make = maker(layer)
    assert make is not None  # it is a candidate
    return make(layer, config)


def _lend(net: nn.Module) -> nn.Module:
    """Makes modules call their crossbar layers, where they would hand weights to a function."""
    lenders = {
        id(m): make(m)
        for m in net.modules()
        if (make := borrower(m)) and any(isinstance(x, CrossbarLayer) for x in m.children())
    }
    return replace_modules(net, dict(lenders))


def _report(
    net: nn.Module, skipped: list[str], left_alone: dict[str, str], fold: Fold
) -> MappingReport:
    """What was done to a network that is converted now, and before."""
    before: MappingReport | None = getattr(net, "mapping_report", None)
    folded, stayed = (before.folded, before.not_folded) if before else ({}, {})
    reasons = {**dict.fromkeys(skipped, "skip names it"), **left_alone}
    for name, why in list(reasons.items()):  # attention and what it projects with are one layer
        reasons[f"{name}.out_proj".removeprefix(".")] = why
    return MappingReport(
        tuple(crossbar_layers(net)),
        tuple(skipped),
        left_alone,
        {**folded, **fold.folded},
        {**stayed, **fold.not_folded},
        float_layers(net, reasons),
        weights_on_crossbars(net),
    )


def _log(report: MappingReport) -> None:
    """Warns of what could not be converted or folded."""
    for name, why in report.left_alone.items():
        logger.warning("convert: %s stays in float: %s", name, why)
    for name, why in report.not_folded.items():
        logger.warning("convert: %s is not folded: %s", name, why)


def revert(net: nn.Module, *, inplace: bool = False) -> nn.Module:
    """Back to the float network's own layers, with the weights as they are now.

    Folded batch norms stay folded. Packed and transposed weights are copies; those that were tied
    to other layers' only after `convert` are tied no longer, and the log says so.

    A weight that weight norm, spectral norm or pruning computes goes on being computed.

    Raises:
        ValueError: there are no crossbar layers.
        RuntimeError: torch cannot copy the network.
    """
    layers = crossbar_layers(net)
    for name in copied_though_shared(net):
        logger.warning("revert: the weight of %s is shared, and will not be any longer", name)
    if not inplace:
        try:
            net = copy.deepcopy(net)
        except RuntimeError as error:  # weights of the old weight norm, say, after a pass
            raise RuntimeError(
                f"revert cannot copy this network ({error}): give inplace=True"
            ) from error
        layers = crossbar_layers(net)
    net = replace_modules(net, _make(layers, lambda layer: layer.to_float()))
    holders = {n: m for n, m in net.named_modules() if isinstance(m, _HOLDERS)}
    net = replace_modules(net, _make(holders, lambda holder: holder.to_float()))
    reopen_fused_paths(net)
    for name in ("mapping_report", "calibration"):
        net.__dict__.pop(name, None)
    return net


def _make(
    layers: Mapping[str, _Layer], make: Callable[[_Layer], nn.Module]
) -> dict[int, nn.Module]:
    """What takes the place of each named layer, by the layer's id."""
    made: dict[int, nn.Module] = {}
    for name, layer in layers.items():
        try:
            made[id(layer)] = make(layer)
        except ValueError as error:
            raise ValueError(f"layer {name!r}: {error}") from error
    return made
