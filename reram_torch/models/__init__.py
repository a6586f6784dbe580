"""The small networks that the project measures on, and checkpoints."""

from reram_torch.models.zoo import LeNet5, efficientnet_lite0

__all__ = ["LeNet5", "efficientnet_lite0"]
